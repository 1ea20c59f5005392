"""A loopback Telegram with one bot and a few chats, and an adapter that is connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from homunculus.adapters.telegram.adapter import TelegramAdapter
from homunculus.model import AdapterSpec, Address, Message, Receipt, Reply, Scope, Secret
from homunculus.testing.telegram import Bot, Chat, TelegramServer, User

TOKEN = "7001:unit-token-one"
ALL = Scope(everything=True, direct=True)


@dataclass
class Table:
    """A server with everything a conversation needs, and what the adapter delivered of it."""

    server: TelegramServer
    bot: Bot
    tavern: Chat
    ana: User
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def adapter(self, *, token: str = TOKEN, name: str | None = None, api_base: str | None = None) -> TelegramAdapter:
        base = self.server.api_base if api_base is None else api_base
        return TelegramAdapter(
            AdapterSpec(
                "telegram",
                name,
                credentials=(("token", Secret("literal", token)),),
                connection=(("api_base", base),),
            )
        )

    async def deliver(self, message: Message) -> Receipt:
        self.heard.put_nowait(message)
        return Receipt.RECORDED

    async def next(self) -> Message:
        async with asyncio.timeout(10):
            return await self.heard.get()

    @asynccontextmanager
    async def open(self, adapter: TelegramAdapter | None = None, scope: Scope = ALL) -> AsyncIterator[TelegramAdapter]:
        adapter = adapter or self.adapter()
        try:
            async with asyncio.timeout(10):
                await adapter.open(self.deliver)
                await adapter.listen(scope)
            yield adapter
        finally:
            await adapter.aclose()

    def say(self, text: str, chat: Chat | None = None, **more: Any) -> str:
        return str(self.server.post(chat or self.tavern, self.ana, text, **more).id)

    def address(self, chat: Chat | None = None, topic: int | None = None) -> Address:
        place = str((chat or self.tavern).id)
        return Address("telegram", "telegram", str(self.bot.id), place, thread=str(topic) if topic else None)

    def said(self, chat: Chat | None = None) -> list[str]:
        return [message.text for message in self.server.sent(self.bot, chat or self.tavern)]

    async def confirmed(self) -> None:
        """Wait until Telegram holds nothing for the bot any more."""
        await self.server.wait_for(lambda server: server.updates(self.bot).waiting == 0)


@asynccontextmanager
async def laid(**settings: Any) -> AsyncIterator[Table]:
    async with TelegramServer(**settings) as server:
        bot = server.add_bot(TOKEN, name="Keeper", privacy=False)
        tavern = server.add_chat("supergroup", "tavern", bots=[bot], forum=True)
        yield Table(server, bot, tavern, server.add_user("Ana"))


def part(text: str, turn: str = "t1", **more: str) -> Reply:
    return Reply(f"{turn}.0", "kovach", "Kovach", text, **more)  # type: ignore[arg-type]
