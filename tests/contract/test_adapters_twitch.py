"""The Twitch adapter keeps the promises of every adapter, with the real twitchio against a loopback Twitch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homunculus.adapters.twitch import platform
from homunculus.interfaces import Adapter
from homunculus.model import AdapterSpec, Address, Secret
from homunculus.testing.adapter_contract import AdapterContract, AdapterWorld, Sent
from homunculus.testing.twitch import ChatMessage, TwitchServer

TOKEN = "contracttokenofthebot"
STRANGE = "nobodyknowsthistoken"


class TwitchWorld(AdapterWorld):
    features = frozenset({"token", "network", "death", "replies", "quotes", "hidden", "nowhere"})
    nowhere = "nobody_at_all"

    def __init__(self, server: TwitchServer, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.bot = server.add_bot(TOKEN, name="Keeper_Bot")
        self.ana = server.add_user("Ana")
        rooms = [server.add_channel(name) for name in ("Tavern", "Harbour", "Attic")]
        server.ban(rooms[2], self.bot)
        self.channels = {room.login: room for room in rooms}
        self.places = ("tavern", "harbour")
        self.said: dict[str, ChatMessage] = {}

    @property
    def hidden(self) -> str:
        return "attic"

    @property
    def connections(self) -> int:
        return self.server.welcomes

    def serves(self, task: asyncio.Task[object]) -> bool:
        code = getattr(task.get_coro(), "cr_code", None)
        name = code.co_qualname if code is not None else ""
        return name.startswith(("RequestHandler.", "Socket.serve")) or task.get_name().startswith("twitch eventsub")

    def _spec(self, token: str) -> AdapterSpec:
        return AdapterSpec(
            "twitch",
            credentials=(("oauth_token", Secret("literal", token)),),
            connection=(
                ("api_base", self.server.api_base),
                ("auth_base", self.server.auth_base),
                ("gateway", self.server.gateway),
            ),
            options=(("channels", "\n".join(self.places)),),
        )

    def adapter(self) -> Adapter:
        return platform.build(self._spec(TOKEN), folder=self.folder)

    def bad_token(self) -> Adapter:
        return platform.build(self._spec(STRANGE), folder=self.folder)

    async def say(
        self, place: str, text: str, *, mention: bool = False, direct: bool = False, reply_to: str | None = None
    ) -> str:
        channel = self.channels[place]
        answered = channel.find(reply_to) if reply_to else None
        words = f"@Keeper_Bot {text}" if mention else text
        return self.server.say(channel, self.ana, words, reply_to=answered).id

    async def sent(self, address: Address, count: int) -> list[Sent]:
        channel = self.channels[address.place]
        await self.server.wait_for(lambda server: len(server.posts(channel, self.bot)) >= count)
        return [
            Sent(post.id, post.text, post.reply_to.id if post.reply_to else None)
            for post in self.server.posts(channel, self.bot)
        ]

    async def network_down(self) -> None:
        self.server.refuse_connections()

    async def network_up(self) -> None:
        self.server.accept_connections()

    async def kill(self) -> None:
        self.server.revoke(self.bot)


class TestTwitch(AdapterContract):
    @pytest.fixture
    async def world(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[AdapterWorld]:
        monkeypatch.setattr("homunculus.adapters.twitch.line.LOST_PATIENCE", 0.5)
        monkeypatch.setattr("homunculus.adapters.twitch.line.BRIEF", 0.0)
        async with TwitchServer() as server:
            yield TwitchWorld(server, tmp_path)
