"""A loopback Slack with one bot, one channel and one person, and adapters that are connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from homunculus.adapters.slack.adapter import SlackAdapter
from homunculus.model import AdapterSpec, Address, Message, Receipt, Reply, Scope, Secret
from homunculus.testing import slack
from homunculus.testing.slack import Bot, Channel, SlackServer, User, Workspace

BOT_TOKEN, APP_TOKEN = "xoxb-unit-one", "xapp-unit-one"
ALL = Scope(everything=True, direct=True)


@dataclass
class Table:
    """A server with everything a conversation needs, and what the adapter delivered of it."""

    server: SlackServer
    team: Workspace
    bot: Bot
    tavern: Channel
    ana: User
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def adapter(self, bot_token: str = BOT_TOKEN, app_token: str = APP_TOKEN, name: str | None = None) -> SlackAdapter:
        return SlackAdapter(
            AdapterSpec(
                "slack",
                name,
                credentials=(("bot_token", Secret("literal", bot_token)), ("app_token", Secret("literal", app_token))),
                connection=(("api_base", self.server.api_base),),
            )
        )

    async def deliver(self, message: Message) -> Receipt:
        self.heard.put_nowait(message)
        return Receipt.RECORDED

    async def next(self) -> Message:
        async with asyncio.timeout(15):
            while (message := await self.heard.get()).author.own:
                continue
            return message

    @asynccontextmanager
    async def open(self, adapter: SlackAdapter | None = None, scope: Scope = ALL) -> AsyncIterator[SlackAdapter]:
        adapter = adapter or self.adapter()
        try:
            async with asyncio.timeout(15):
                await adapter.open(self.deliver)
                await adapter.listen(scope)
            yield adapter
        finally:
            await adapter.aclose()

    def address(self, channel: Channel | None = None, thread: str | None = None) -> Address:
        place = channel or self.tavern
        direct = place.kind == "im"
        return Address("slack", "slack", self.bot.user_id, place.id, self.team.id, thread=thread, direct=direct)

    def said(self, channel: Channel | None = None) -> list[slack.Message]:
        """Return the bot's posts."""
        return [message for message in self.server.messages(channel or self.tavern) if message.bot is self.bot]


@asynccontextmanager
async def laid(**settings: Any) -> AsyncIterator[Table]:
    """Lay a table on a server with settings of its own."""
    async with SlackServer(**settings) as server:
        team = server.add_workspace("Arkham")
        bot = server.add_bot(team, BOT_TOKEN, APP_TOKEN, name="Keeper")
        ana = server.add_user(team, "Ana")
        yield Table(server, team, bot, server.add_channel(team, "tavern", [bot, ana]), ana)


def part(text: str, turn: str = "t1", **more: Any) -> Reply:
    return Reply(f"{turn}.0", "kovach", "Kovach", text, **more)
