"""The local adapter keeps the promises of every adapter; people speak through the hub, as the page and the terminal do."""

from __future__ import annotations

import asyncio

import pytest

from homunculus.adapters.local import LocalHub, platform
from homunculus.interfaces import Adapter
from homunculus.model import AdapterSpec, Address
from homunculus.testing.adapter_contract import AdapterContract, AdapterWorld, Sent


class LocalWorld(AdapterWorld):
    places = ("tavern", "@kovach")
    features = frozenset({"direct", "quotes"})
    friend = "ana"

    def __init__(self) -> None:
        self.hub = LocalHub()

    def adapter(self) -> Adapter:
        return platform.build(AdapterSpec("local"), hub=self.hub)

    async def say(
        self, place: str, text: str, *, mention: bool = False, direct: bool = False, reply_to: str | None = None
    ) -> str:
        return await self.hub.say(place or "page", user="ana", text=text, mention=mention, dm=direct)

    async def sent(self, address: Address, count: int) -> list[Sent]:
        await asyncio.sleep(0)
        posts = [
            post
            for post in self.hub.posts(f"dm:{address.place}" if address.direct else address.place)
            if post.agent_id is not None
        ]
        assert len(posts) == count
        return [Sent(post.id, post.text, post.quotes) for post in posts]

    async def shown_as(self, address: Address, message_id: str) -> str:
        room = f"dm:{address.place}" if address.direct else address.place
        return next(post.author for post in self.hub.posts(room) if post.id == message_id)


class TestLocal(AdapterContract):
    @pytest.fixture
    def world(self) -> AdapterWorld:
        return LocalWorld()
