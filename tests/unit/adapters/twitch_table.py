"""A loopback Twitch with one bot and two channels, and an adapter that is connected to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homunculus.adapters.twitch.adapter import TwitchAdapter
from homunculus.model import AdapterSpec, Address, Message, Receipt, Reply, Scope, Secret
from homunculus.testing.twitch import Bot, Channel, TwitchServer, User

TOKEN = "unittokenoftheaccount"
REFRESH = "unitrefreshtokenoftheaccount"
CLIENT, SECRET = "unitclientid", "unitclientsecret"
PATIENCE = 15.0


@dataclass
class Table:
    """A server with everything a conversation needs, and what the adapter delivered of it."""

    server: TwitchServer
    folder: Path
    bot: Bot
    tavern: Channel
    harbour: Channel
    ana: User
    heard: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)

    def spec(self, *, name: str | None = None, options: Any = (), username: str = "", **secrets: str) -> AdapterSpec:
        """Describe an instance; keyword arguments replace its credentials, "" leaves one out."""
        written = {"oauth_token": TOKEN, **secrets}
        return AdapterSpec(
            "twitch",
            name,
            credentials=tuple((key, Secret("literal", value)) for key, value in written.items() if value),
            connection=(
                ("api_base", self.server.api_base),
                ("auth_base", self.server.auth_base),
                ("gateway", self.server.gateway),
                *((("username", username),) if username else ()),
            ),
            options=options,
        )

    def adapter(self, **how: Any) -> TwitchAdapter:
        return TwitchAdapter(self.spec(**how), self.folder)

    def renewable(self, **how: Any) -> TwitchAdapter:
        """Return an adapter that can renew its token."""
        secrets = {"client_id": CLIENT, "client_secret": SECRET, "refresh_token": REFRESH}
        return self.adapter(**{**secrets, **how})

    async def deliver(self, message: Message) -> Receipt:
        self.heard.put_nowait(message)
        return Receipt.RECORDED

    async def next(self) -> Message:
        """Return the next message that a person said."""
        async with asyncio.timeout(PATIENCE):
            while (message := await self.heard.get()).author.own:
                continue
            return message

    @asynccontextmanager
    async def open(
        self, adapter: TwitchAdapter | None = None, scope: Scope | None = None
    ) -> AsyncIterator[TwitchAdapter]:
        adapter = adapter or self.adapter()
        try:
            async with asyncio.timeout(PATIENCE):
                await adapter.open(self.deliver)
                await adapter.listen(scope or places("tavern"))
            yield adapter
        finally:
            await adapter.aclose()

    def address(self, channel: Channel | None = None) -> Address:
        place = (channel or self.tavern).login
        return Address("twitch", "twitch", self.bot.user.id, place, label=f"twitch:{place}")

    def posts(self, channel: Channel | None = None) -> list[str]:
        return [post.text for post in self.server.posts(channel or self.tavern, self.bot)]


def places(*logins: str, **options: str) -> Scope:
    """Ask for these places, with these live options."""
    return Scope(places=frozenset(logins), options=tuple(options.items()))


def reply(text: str, **how: Any) -> Reply:
    return Reply(**{"id": "turn.0", "agent_id": "kovach", "author": "Kovach", "text": text, **how})


@asynccontextmanager
async def laid(folder: Path, **settings: Any) -> AsyncIterator[Table]:
    """Lay a table; keyword arguments are the server's."""
    async with TwitchServer(**settings) as server:
        bot = server.add_bot(TOKEN, "Keeper_Bot", refresh_token=REFRESH, client_id=CLIENT, client_secret=SECRET)
        tavern, harbour = server.add_channel("Tavern"), server.add_channel("Harbour")
        yield Table(server, folder / "kept", bot, tavern, harbour, server.add_user("Ana"))
