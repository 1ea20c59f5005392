"""The Discord adapter keeps the promises of every adapter, with the real discord.py against a loopback Discord."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from homunculus.adapters.discord import platform
from homunculus.interfaces import Adapter
from homunculus.model import AdapterSpec, Address, Secret
from homunculus.testing.adapter_contract import AdapterContract, AdapterWorld, Sent
from homunculus.testing.discord import Channel, DiscordServer, Message

TOKEN = "contract.token.one"


def spec(server: DiscordServer, token: str = TOKEN, name: str | None = None) -> AdapterSpec:
    return AdapterSpec(
        "discord",
        name,
        credentials=(("token", Secret("literal", token)),),
        connection=(("api_base", server.api_base), ("gateway", server.gateway)),
    )


class DiscordWorld(AdapterWorld):
    features = frozenset(
        {
            "token",
            "network",
            "resume",
            "death",
            "direct",
            "threads",
            "edits",
            "deletions",
            "replies",
            "quotes",
            "hidden",
        }
        | {"nowhere", "bots"}
    )
    nowhere = "4"

    def __init__(self, server: DiscordServer) -> None:
        self.server = server
        self.bot = server.add_bot(TOKEN, name="Keeper")
        self.ana = server.add_user("Ana")
        self.other = server.add_bot("contract.token.two", name="Dice")
        guild = server.add_guild("Arkham", bots=[self.bot, self.other])
        rooms = [server.add_channel(guild, name) for name in ("tavern", "harbour", "attic")]
        server.deny(self.bot, rooms[2], "view_channel")
        self.channels: dict[str, Channel] = {str(room.id): room for room in rooms}
        self.places = (str(rooms[0].id), str(rooms[1].id))
        self.said: dict[str, Message] = {}

    @property
    def friend(self) -> str:
        return str(self.ana.id)

    @property
    def hidden(self) -> str:
        return list(self.channels)[2]

    @property
    def connections(self) -> int:
        return self.server.identifies(TOKEN) + self.server.resumes(TOKEN)

    def serves(self, task: asyncio.Task[object]) -> bool:
        code = getattr(task.get_coro(), "cr_code", None)
        handles = code is not None and code.co_qualname.startswith("RequestHandler.")
        return handles or task.get_name().startswith("discord gateway")

    def adapter(self) -> Adapter:
        return platform.build(spec(self.server))

    def bad_token(self) -> Adapter:
        return platform.build(spec(self.server, "nobody.knows.this"))

    def _channel(self, place: str, direct: bool) -> Channel:
        return self.server.open_dm(self.bot, self.ana) if direct else self.channels[place]

    async def say(
        self, place: str, text: str, *, mention: bool = False, direct: bool = False, reply_to: str | None = None
    ) -> str:
        channel = self._channel(place, direct)
        answered = next((m for m in self.server.messages(channel) if str(m.id) == reply_to), None)
        mentions = [self.bot] if mention else []
        message = self.server.post(channel, self.ana, text, mentions=mentions, reply_to=answered)
        self.said[str(message.id)] = message
        return str(message.id)

    def _posts(self, address: Address) -> list[Message]:
        private = self.server.open_dm(self.bot, self.ana)
        channel = self.channels.get(address.place, private)
        assert str(channel.id) == address.place
        return [
            message
            for message in self.server.messages(channel)
            if message.author is self.bot.user or message.application_id == self.bot.application_id
        ]

    async def sent(self, address: Address, count: int) -> list[Sent]:
        await self.server.wait_for(lambda _: len(self._posts(address)) >= count)
        return [
            Sent(str(post.id), post.content, str(post.reference) if post.reference else None)
            for post in self._posts(address)
        ]

    async def network_down(self) -> None:
        self.server.refuse_connections()

    async def network_up(self) -> None:
        self.server.accept_connections()

    async def drop(self) -> None:
        self.server.disconnect(self.bot, 4000)

    async def bot_says(self, place: str, text: str) -> str:
        return str(self.server.post(self.channels[place], self.other.user, text).id)

    async def kill(self) -> None:
        self.server.revoke(self.bot)

    async def thread(self, place: str) -> str:
        thread = self.server.add_thread(self.channels[place], "a thread")
        self.channels[str(thread.id)] = thread
        return str(thread.id)

    async def edit(self, place: str, message_id: str, text: str) -> None:
        self.server.edit(self.said[message_id], text)

    async def delete(self, place: str, message_id: str) -> None:
        self.server.delete(self.said[message_id])

    async def typed(self, address: Address) -> None:
        await self.server.wait_for(lambda server: server.typings(self.channels[address.place]))

    async def reacted(self, address: Address, message_id: str) -> None:
        await self.server.wait_for(lambda server: server.reactions(self.said[message_id]) == {"✅": [self.bot.user_id]})

    async def give(self, place: str, command: str) -> str:
        words = next(one for one in self.server.commands(self.bot) if command.startswith(one))
        values = command.removeprefix(words).split()
        given = self.server.command(self.channels[place], self.ana, words, {"mode": values[0]} if values else {})
        return str(given.id)

    async def told(self, address: Address, count: int) -> list[str]:
        def answers() -> list[str]:
            given = self.server.interactions(self.channels[address.place])
            return [answer.content for one in given for answer in one.answers]

        await self.server.wait_for(lambda _: len(answers()) >= count)
        return answers()

    def offered(self) -> tuple[int, list[str]]:
        return self.server.command_writes(self.bot), self.server.commands(self.bot)

    async def whispered(self, address: Address, count: int) -> list[str]:
        channel = self.channels[address.place]
        await self.server.wait_for(lambda server: len(server.whispers(channel, self.ana)) >= count)
        return [message.content for message in self.server.whispers(channel, self.ana)]

    async def shown_as(self, address: Address, message_id: str) -> str:
        return next(post.username for post in self._posts(address) if str(post.id) == message_id)


class TestDiscord(AdapterContract):
    @pytest.fixture
    async def world(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AdapterWorld]:
        monkeypatch.setattr("homunculus.adapters.discord.adapter.LOST_PATIENCE", 0.5)
        async with DiscordServer() as server:
            yield DiscordWorld(server)
