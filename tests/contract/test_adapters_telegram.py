"""The Telegram adapter keeps the promises of every adapter, with python-telegram-bot against a loopback Telegram."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from homunculus.adapters.telegram import platform
from homunculus.interfaces import Adapter
from homunculus.model import AdapterSpec, Address, Secret
from homunculus.testing.adapter_contract import AdapterContract, AdapterWorld, Sent
from homunculus.testing.telegram import Chat, Message, TelegramServer, Topic

TOKEN = "7001:contract-token-one"
FEATURES = frozenset(
    {
        *(
            "token",
            "network",
            "resume",
            "death",
            "direct",
            "threads",
            "edits",
            "replies",
            "quotes",
            "hidden",
            "nowhere",
        ),
        "redelivery",
    }
)


def spec(server: TelegramServer, token: str = TOKEN, name: str | None = None) -> AdapterSpec:
    return AdapterSpec(
        "telegram",
        name,
        credentials=(("token", Secret("literal", token)),),
        connection=(("api_base", server.api_base),),
    )


class TelegramWorld(AdapterWorld):
    features = FEATURES
    nowhere = "-1009999999999"

    def __init__(self, server: TelegramServer) -> None:
        self.server = server
        self.bot = server.add_bot(TOKEN, name="Keeper", privacy=False)
        self.ana = server.add_user("Ana")
        self.tavern = server.add_chat("supergroup", "tavern", bots=[self.bot], forum=True)
        self.harbour = server.add_chat("supergroup", "harbour", bots=[self.bot], forum=True)
        attic = server.add_chat("supergroup", "attic")
        self.hidden_place = str(attic.id)
        self.private = server.open_private(self.bot, self.ana)
        self.places = (str(self.tavern.id), str(self.harbour.id))
        self.threads: dict[str, tuple[Chat, Topic | None]] = {
            str(self.tavern.id): (self.tavern, None),
            str(self.harbour.id): (self.harbour, None),
        }
        self.said: dict[tuple[int, str], Message] = {}

    @property
    def hidden(self) -> str:
        return self.hidden_place

    @property
    def friend(self) -> str:
        return str(self.ana.id)

    @property
    def connections(self) -> int:
        return self.server.calls("getMe", self.bot)

    def serves(self, task: asyncio.Task[object]) -> bool:
        code = getattr(task.get_coro(), "cr_code", None)
        handles = code is not None and code.co_qualname.startswith("RequestHandler.")
        return handles or task.get_name() == "loopback door"

    def adapter(self) -> Adapter:
        return platform.build(spec(self.server))

    def bad_token(self) -> Adapter:
        return platform.build(spec(self.server, "7002:nobody-knows-this"))

    async def say(
        self, place: str, text: str, *, mention: bool = False, direct: bool = False, reply_to: str | None = None
    ) -> str:
        chat, topic = (self.private, None) if direct else self.threads[place]
        answered = chat.log.get(int(reply_to)) if reply_to else None
        mentions = [self.bot] if mention else []
        message = self.server.post(chat, self.ana, text, topic=topic, reply_to=answered, mentions=mentions)
        self.said[chat.id, str(message.id)] = message
        return str(message.id)

    def _posts(self, address: Address) -> list[Message]:
        chat = self.private if address.direct else self.threads[address.place][0]
        assert str(chat.id) == address.place
        topic = chat.topics[int(address.thread)] if address.thread else None
        return self.server.sent(self.bot, chat, topic)

    async def sent(self, address: Address, count: int) -> list[Sent]:
        await self.server.wait_for(lambda _: len(self._posts(address)) >= count)
        return [
            Sent(str(post.id), post.text, str(post.reply_to.id) if post.reply_to else None)
            for post in self._posts(address)
        ]

    async def network_down(self) -> None:
        self.server.refuse_connections()

    async def network_up(self) -> None:
        self.server.accept_connections()

    async def drop(self) -> None:
        self.server.drop()

    async def kill(self) -> None:
        self.server.revoke(self.bot)

    async def thread(self, place: str) -> str:
        chat = self.threads[place][0]
        topic = self.server.add_topic(chat, "a topic", self.ana)
        name = f"{place}#{topic.id}"
        self.threads[name] = (chat, topic)
        return name

    async def edit(self, place: str, message_id: str, text: str) -> None:
        self.server.edit(self.said[self.threads[place][0].id, message_id], text)

    async def typed(self, address: Address) -> None:
        await self.server.wait_for(lambda server: server.typings(self.threads[address.place][0]))

    async def reacted(self, address: Address, message_id: str) -> None:
        message = self.said[int(address.place), message_id]
        await self.server.wait_for(lambda _: message.reactions == {self.bot.id: ["👌"]})

    async def give(self, place: str, command: str) -> str:
        first, *rest = command.split()
        return await self.say(place, " ".join([f"/{first}@{self.bot.username}", *rest]))

    async def told(self, address: Address, count: int) -> list[str]:
        return [post.text for post in await self.sent(address, count)]

    def offered(self) -> tuple[int, list[str]]:
        return self.bot.command_writes, [command["command"] for command in self.bot.commands]


class TestTelegram(AdapterContract):
    @pytest.fixture
    async def world(self, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AdapterWorld]:
        monkeypatch.setattr("homunculus.adapters.telegram.polling.LOST_PATIENCE", 0.5)
        async with TelegramServer() as server:
            yield TelegramWorld(server)
