"""The Slack adapter keeps the promises of every adapter, with the real slack-sdk against a loopback Slack."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator

import pytest

from homunculus.adapters.slack import platform
from homunculus.interfaces import Adapter
from homunculus.model import AdapterSpec, Address, Secret
from homunculus.testing.adapter_contract import AdapterContract, AdapterWorld, Sent
from homunculus.testing.slack import Channel, Message, SlackServer

BOT_TOKEN, APP_TOKEN = "xoxb-contract-one", "xapp-contract-one"


def spec(server: SlackServer, bot_token: str = BOT_TOKEN, app_token: str = APP_TOKEN) -> AdapterSpec:
    return AdapterSpec(
        "slack",
        credentials=(("bot_token", Secret("literal", bot_token)), ("app_token", Secret("literal", app_token))),
        connection=(("api_base", server.api_base),),
    )


class SlackWorld(AdapterWorld):
    features = frozenset(
        {"token", "network", "death", "direct", "threads", "edits", "deletions", "replies", "hidden", "nowhere"}
        | {"redelivery", "bots"}
    )
    nowhere = "C0NOWHERE"

    def __init__(self, server: SlackServer) -> None:
        self.server = server
        self.team = server.add_workspace("Arkham")
        self.bot = server.add_bot(self.team, BOT_TOKEN, APP_TOKEN, name="Keeper")
        self.dice = server.add_bot(self.team, "xoxb-contract-two", "xapp-contract-two", name="Dice")
        self.ana = server.add_user(self.team, "Ana")
        rooms = [server.add_channel(self.team, name, [self.bot, self.ana]) for name in ("tavern", "harbour")]
        self.attic = server.add_channel(self.team, "attic", [self.ana])
        self.channels: dict[str, Channel] = {room.id: room for room in rooms}
        self.places = (rooms[0].id, rooms[1].id)
        self.threads: dict[str, Message] = {}
        self.said: dict[tuple[str, str], Message] = {}

    @property
    def friend(self) -> str:
        return self.ana.id

    @property
    def hidden(self) -> str:
        return self.attic.id

    @property
    def connections(self) -> int:
        return self.server.opened(self.bot)

    def serves(self, task: asyncio.Task[object]) -> bool:
        code = getattr(task.get_coro(), "cr_code", None)
        handles = code is not None and code.co_qualname.startswith("RequestHandler.")
        return handles or task.get_name() in ("slack socket writer", "slack socket reader", "discord door")

    def adapter(self) -> Adapter:
        return platform.build(spec(self.server))

    def bad_token(self) -> Adapter:
        return platform.build(spec(self.server, "xoxb-nobody-knows-this"))

    def _channel(self, place: str, direct: bool) -> Channel:
        return self.server.open_dm(self.bot, self.ana) if direct else self.channels[place.partition("#")[0]]

    async def say(
        self, place: str, text: str, *, mention: bool = False, direct: bool = False, reply_to: str | None = None
    ) -> str:
        channel = self._channel(place, direct)
        root = self.threads.get(place) or next((m for m in self.server.messages(channel) if m.ts == reply_to), None)
        words = f"<@{self.bot.user_id}> {text}" if mention else html.escape(text, quote=False)
        message = self.server.post(channel, self.ana, words, thread=root)
        self.said[channel.id, message.ts] = message
        return message.ts

    def _posts(self, address: Address) -> list[Message]:
        channel = self.channels.get(address.place, self.server.open_dm(self.bot, self.ana))
        assert channel.id == address.place
        posts = [message for message in self.server.messages(channel) if message.bot is self.bot]
        return [post for post in posts if (post.thread_ts if post.is_reply else None) == address.thread]

    async def sent(self, address: Address, count: int) -> list[Sent]:
        await self.server.wait_for(lambda _: len(self._posts(address)) >= count)
        return [Sent(post.ts, html.unescape(post.text)) for post in self._posts(address)]

    async def bot_says(self, place: str, text: str) -> str:
        return self.server.post(self.channels[place], self.dice, text).ts

    async def whispered(self, address: Address, count: int) -> list[str]:
        await self.server.wait_for(lambda s: len(s.whispers) >= count)
        assert {(w.channel.id, w.user_id) for w in self.server.whispers} == {(address.place, self.ana.id)}
        return [whisper.text for whisper in self.server.whispers]

    async def network_down(self) -> None:
        self.server.refuse_connections()

    async def network_up(self) -> None:
        self.server.accept_connections()

    async def kill(self) -> None:
        self.server.revoke(self.bot)

    async def thread(self, place: str) -> str:
        root = self.server.post(self.channels[place], self.ana, "", subtype="channel_topic")
        self.threads[f"{place}#{root.ts}"] = root
        return f"{place}#{root.ts}"

    async def edit(self, place: str, message_id: str, text: str) -> None:
        self.server.edit(self.said[place, message_id], text)

    async def delete(self, place: str, message_id: str) -> None:
        self.server.delete(self.said[place, message_id])

    async def reacted(self, address: Address, message_id: str) -> None:
        message = self.said[address.place, message_id]
        await self.server.wait_for(lambda s: s.reactions(message) == {"white_check_mark": [self.bot.user_id]})

    async def shown_as(self, address: Address, message_id: str) -> str:
        return next(post.shown_name for post in self._posts(address) if post.ts == message_id)


class TestSlack(AdapterContract):
    @pytest.fixture
    async def world(self) -> AsyncIterator[AdapterWorld]:
        async with SlackServer(ack_seconds=1.5, retry_seconds=(0.0, 0.0)) as server:
            yield SlackWorld(server)
