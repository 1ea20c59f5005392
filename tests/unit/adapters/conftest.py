"""A loopback Discord with one bot, one guild and one channel, and an adapter that is connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from homunculus.adapters.discord.adapter import DiscordAdapter
from homunculus.model import AdapterSpec, Address, Message, Receipt, Reply, Scope, Secret
from homunculus.testing.discord import Bot, Channel, DiscordServer, Guild, User

TOKEN = "unit.token.one"
ALL = Scope(everything=True, direct=True)


@dataclass
class Table:
    """A server with everything a conversation needs, and what the adapter delivered of it."""

    server: DiscordServer
    bot: Bot
    guild: Guild
    tavern: Channel
    ana: User
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def adapter(self, *, token: str = TOKEN, name: str | None = None, gateway: str | None = None) -> DiscordAdapter:
        endpoints = (("api_base", self.server.api_base), ("gateway", gateway or self.server.gateway))
        return DiscordAdapter(
            AdapterSpec("discord", name, credentials=(("token", Secret("literal", token)),), connection=endpoints)
        )

    async def deliver(self, message: Message) -> Receipt:
        self.heard.put_nowait(message)
        return Receipt.RECORDED

    async def next(self) -> Message:
        async with asyncio.timeout(10):
            while (message := await self.heard.get()).author.own:
                continue
            return message

    @asynccontextmanager
    async def open(self, adapter: DiscordAdapter | None = None, scope: Scope = ALL) -> AsyncIterator[DiscordAdapter]:
        adapter = adapter or self.adapter()
        try:
            async with asyncio.timeout(10):
                await adapter.open(self.deliver)
                await adapter.listen(scope)
            yield adapter
        finally:
            await adapter.aclose()

    def address(self, channel: Channel | None = None) -> Address:
        return Address("discord", "discord", str(self.bot.user_id), str((channel or self.tavern).id))

    def said(self, channel: Channel | None = None) -> list[str]:
        log = self.server.messages(channel or self.tavern)
        return [message.content for message in log if message.author is self.bot.user]


def table_of(server: DiscordServer) -> Table:
    bot = server.add_bot(TOKEN, name="Keeper")
    guild = server.add_guild("Arkham", bots=[bot])
    return Table(server, bot, guild, server.add_channel(guild, "tavern"), server.add_user("Ana"))


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    async with DiscordServer() as server:
        yield table_of(server)


def part(text: str, turn: str = "t1", **more: str) -> Reply:
    return Reply(f"{turn}.0", "kovach", "Kovach", text, **more)  # type: ignore[arg-type]
