"""NPCs on Telegram through the whole program: its file, a real process, the real library, bad weather and a violent death.

Telegram and the model's endpoint are loopback servers in this process. What should have happened is derived from what this
test wrote and posted, what did happen from the loopback Telegram's own log; never from the program's code.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homunculus.testing.model import ModelServer
from homunculus.testing.telegram import Chat, TelegramServer, Topic
from tests.e2e.lives import SAID, echo
from tests.e2e.serving import Serving, serving, write

MAIN, SUPPORT = "7101:MAIN-token-of-the-main-bot", "7102:SUPPORT-token-of-the-other"
CROWD = 120  # so many that nobody meets the limit of answered turns a minute
WHOLE = "The cellar has been nailed shut since nineteen nineteen, and whoever asks me twice does not ask a third time."


def deployment(
    file: Path, telegram: TelegramServer, model: ModelServer, messaging: list[str], rules: list[str], *, more: str = ""
) -> None:
    """Write a deployment: the lines under `telegram:`, and one agent for each rule."""
    write(file.parents[1] / "characters" / "kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
    agents = [f"  npc-{n}: {{character: kovach, model: m, history_size: 0{more}}}" for n in range(len(rules))]
    lines = [
        "version: 1",
        "bot_name: story",
        "log_level: DEBUG",
        f"data_home: {file.parent / 'home'}",
        "server: {port: 0}",
        "messaging:",
        "  telegram:",
        f'    api_base: "{telegram.api_base}"',
        *(f"    {line}" for line in messaging),
        "models:",
        f"  m: {{provider: openai, name: m, base_url: {model.base_url}, api_key: {model.key}}}",
        "agents:",
        *agents,
        "channels:",
        *(f"  - {{platform: telegram, {rule}, agent_id: npc-{n}}}" for n, rule in enumerate(rules)),
        "",
    ]
    write(file, "\n".join(lines))


def rule(chat: Chat, adapter: str = "") -> str:
    return f'channel_id: "{chat.id}"' + (f", adapter: {adapter}" if adapter else "")


# -- two bots in one chat


async def test_two_bots_in_one_chat_answer_only_for_themselves(tmp_path: Path) -> None:
    async with TelegramServer() as telegram, ModelServer() as model:
        main = telegram.add_bot(MAIN, name="Main", privacy=False)
        support = telegram.add_bot(SUPPORT, name="Support", privacy=False)
        tavern = telegram.add_chat("supergroup", "tavern", bots=[main, support])
        crowd = [telegram.add_user(f"Player {n}") for n in range(12)]
        file = tmp_path / "deployments" / "story.yaml"
        messaging = [f"token: {MAIN}", f"instances: [{{name: support, token: {SUPPORT}}}]"]
        deployment(file, telegram, model, messaging, [rule(tavern), rule(tavern, "support")])
        model.script(echo)
        async with serving(file) as server:
            await server.ready("telegram")
            await server.ready("telegram:support")
            asked: dict[str, Any] = {}
            for number, player in enumerate(crowd):
                bot = (main, support)[number % 2]
                asked[f"said-{number}"] = bot
                telegram.post(tavern, player, f"said-{number}", mentions=[bot])
            await telegram.wait_for(
                lambda t: told(t, [tavern], {main.id, support.id}).keys() >= asked.keys(), timeout=20
            )
            answers = {
                name: one.author
                for one in telegram.messages(tavern)
                if one.author in (main.user, support.user)
                for name in SAID.findall(one.text)
            }
            assert answers == {name: bot.user for name, bot in asked.items()}
            assert set(told(telegram, [tavern], {main.id, support.id}).values()) == {1}
            assert telegram.calls("getMe") == 2
            await telegram.wait_for(lambda _: main.commands and support.commands)
            assert {command["command"] for command in main.commands} >= {"npc", "whoami", "help"}
            before = len(telegram.messages(tavern))
            asking = telegram.post(tavern, crowd[0], f"/whoami@{support.username}")
            await telegram.wait_for(lambda t: len(t.messages(tavern)) == before + 2)
            answer = telegram.messages(tavern)[-1]
            assert (answer.author, answer.reply_to) == (support.user, asking)
            assert f"id {crowd[0].id}" in answer.text
            secrets = (MAIN, SUPPORT)
            assert not [line for line in server.log if any(secret in line for secret in secrets)]


def told(telegram: TelegramServer, chats: list[Chat], bots: set[int]) -> Counter[str]:
    """Count how often each message was answered."""
    return Counter(
        name
        for chat in chats
        for one in telegram.messages(chat)
        if one.author is not None and one.author.id in bots
        for name in SAID.findall(one.text)
    )


# -- streaming


async def test_a_slow_answer_grows_in_one_post(tmp_path: Path) -> None:
    async with TelegramServer() as telegram, ModelServer() as model:
        model.reply(WHOLE)
        model.slow(0.2)
        bot = telegram.add_bot(MAIN, name="Keeper")
        store = telegram.add_chat("supergroup", "store", bots=[bot])
        file = tmp_path / "deployments" / "story.yaml"
        deployment(file, telegram, model, [f"token: {MAIN}", "persona: prefix"], [rule(store)])
        async with serving(file) as server:
            await server.ready("telegram")
            telegram.post(store, telegram.add_user("Ana"), "what is in the cellar?", mentions=[bot])
            await telegram.wait_for(lambda t: len(t.sent(bot, store)) == 1)
            early = telegram.sent(bot, store)[0].text.removeprefix("Kovach: ")
            assert WHOLE.startswith(early)
            assert early != WHOLE
            await server.event("turn", outcome="answered")
            [post] = telegram.sent(bot, store)
            assert post.text == f"Kovach: {WHOLE}"
            assert post.bold == "Kovach:"
            assert 1 <= telegram.calls("editMessageText") <= 4
            [shown] = [one for one in (await server.get("/api/status"))["adapters"] if one["platform"] == "telegram"]
            assert ["/setprivacy" in one for one in shown["hindrances"]] == [True]


# -- a token that moves


async def test_a_token_that_moves_between_names_never_has_two_pollers(tmp_path: Path) -> None:
    async with TelegramServer() as telegram, ModelServer() as model:
        model.script(echo)
        bot = telegram.add_bot(MAIN, name="Keeper", privacy=False)
        store = telegram.add_chat("supergroup", "store", bots=[bot])
        crowd = [telegram.add_user(f"Player {n}") for n in range(CROWD)]
        file = tmp_path / "deployments" / "story.yaml"
        ways = [
            ([f"token: {MAIN}"], rule(store), "telegram"),
            ([f"instances: [{{name: keeper, token: {MAIN}}}]"], rule(store, "keeper"), "telegram:keeper"),
        ]
        deployment(file, telegram, model, ways[0][0], [ways[0][1]])
        said: list[str] = []

        def speak() -> None:
            said.append(f"said-{len(said)}")
            telegram.post(store, crowd[len(said)], said[-1], mentions=[bot])

        async with serving(file) as server:
            await server.ready("telegram")
            for move in range(1, 4):
                speak()
                after = len(server.events)
                messaging, where, key = ways[move % 2]
                deployment(file, telegram, model, messaging, [where])
                speak()
                await server.event("adapter", after=after, runtime_key=key, state="ready")
                speak()
            await telegram.wait_for(lambda t: told(t, [store], {bot.id}).keys() >= {*said}, timeout=20)
        assert told(telegram, [store], {bot.id}) == Counter(said)
        assert telegram.updates(bot).conflicts == 0
        assert telegram.calls("getMe") == 4


# -- bad weather


@dataclass
class Weather:
    """A Telegram of a few places, each with its NPC, full of people, under faults drawn from a seed."""

    telegram: TelegramServer
    model: ModelServer
    file: Path
    rng: random.Random
    said: list[str] = field(default_factory=list)
    struck: Counter[str] = field(default_factory=Counter)
    to_come: list[str] = field(default_factory=list)  # kinds of fault that have not struck yet

    def __post_init__(self) -> None:
        telegram = self.telegram
        self.bot = telegram.add_bot(MAIN, name="Unlucky", privacy=False)
        self.crowd = [telegram.add_user(f"Player {n}") for n in range(CROWD)]
        group = telegram.add_chat("group", "old friends", bots=[self.bot])
        rooms = [telegram.add_chat("supergroup", f"room {n}", bots=[self.bot], forum=True) for n in range(3)]
        topic = telegram.add_topic(rooms[0], "rumours", self.crowd[0])
        self.whisperer = telegram.add_user("Whisperer")
        self.private = telegram.open_private(self.bot, self.whisperer)
        self.chats = [group, *rooms, self.private]
        self.places: list[tuple[Chat, Topic | None]] = [*((chat, None) for chat in self.chats), (rooms[0], topic)]
        deployment(self.file, telegram, self.model, [f"token: {MAIN}"], [rule(chat) for chat in self.chats])
        self.model.script(echo)
        self.to_come = list(FAULTS)
        self.rng.shuffle(self.to_come)

    def speak(self) -> None:
        """Let somebody address the NPC of a place: by a mention, or by its name."""
        name = f"said-{len(self.said)}"
        chat, topic = self.rng.choice(self.places)
        author = self.whisperer if chat is self.private else self.crowd[len(self.said) % CROWD]
        self.said.append(name)
        if self.rng.random() < 0.5:
            self.telegram.post(chat, author, name, topic=topic, mentions=[self.bot])
        else:
            self.telegram.post(chat, author, f"{name}, Kovach", topic=topic)

    async def talk(self, over: asyncio.Event) -> None:
        while not over.is_set():
            for _ in range(self.rng.choice((1, 1, 2))):
                self.speak()
            await pause(over, self.rng.uniform(0.1, 0.4))

    async def storm(self, over: asyncio.Event) -> None:
        """Strike with every kind of fault in turn, then with any, until it is over."""
        while not over.is_set():
            kind = self.to_come.pop() if self.to_come else self.rng.choice(list(FAULTS))
            FAULTS[kind](self)
            self.struck[kind] += 1
            await pause(over, self.rng.uniform(0.3, 0.6))
        self.telegram.heal()

    def told(self) -> Counter[str]:
        return told(self.telegram, self.chats, {self.bot.id})

    async def missing(self, server: Serving) -> set[str]:
        """Return what was neither answered nor reported as uncertain."""
        unsure = {name for one in (await server.get("/api/status"))["uncertain"] for name in SAID.findall(one["text"])}
        return set(self.said) - self.told().keys() - unsure

    async def settled(self, server: Serving, seconds: float) -> set[str]:
        """Wait until nothing is missing, but not for ever: the caller says what it then means."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while missing := await self.missing(server):
                    events = len(server.events)
                    with suppress(TimeoutError):
                        await server.until(lambda s, n=events: len(s.events) > n, seconds=2)  # type: ignore[misc]
                return missing
        return await self.missing(server)


def _fail(method: str, **how: Any) -> Callable[[Weather], None]:
    return lambda weather: weather.telegram.fail_next(method=method, **how)


def _away(weather: Weather) -> None:
    weather.telegram.refuse_connections()
    asyncio.get_running_loop().call_later(weather.rng.uniform(0.3, 1.5), weather.telegram.accept_connections)


FAULTS: dict[str, Callable[[Weather], None]] = {
    "send cut before it is accepted": _fail("sendMessage", status=None),
    "send cut after it is accepted": _fail("sendMessage", status=None, after=True),
    "send answered 429": _fail("sendMessage", status=429),
    "send answered 500": _fail("sendMessage", status=500),
    "send answered 502 after the fact": _fail("sendMessage", status=502, after=True),
    "poll cut": _fail("getUpdates", status=None),
    "poll cut with its answer": _fail("getUpdates", status=None, after=True),
    "poll answered 502": _fail("getUpdates", status=502),
    "second poller (409)": _fail("getUpdates", status=409),
    "redelivered": lambda weather: weather.telegram.redeliver(weather.bot, weather.rng.randint(1, 4)),
    "everything cut": lambda weather: weather.telegram.drop(),
    "out of reach": _away,
}


async def pause(over: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


async def _under_faults(weather: Weather, seconds: float) -> None:
    over = asyncio.Event()
    beside = [asyncio.create_task(weather.talk(over)), asyncio.create_task(weather.storm(over))]
    await pause(over, seconds)
    over.set()
    await asyncio.gather(*beside)


@pytest.mark.timeout(100)
async def test_under_bad_weather_and_a_violent_death_everything_is_answered_once_or_reported(tmp_path: Path) -> None:
    async with TelegramServer() as telegram, ModelServer() as model:
        weather = Weather(telegram, model, tmp_path / "deployments" / "story.yaml", random.Random(7))
        async with serving(weather.file) as server:
            await server.ready("telegram")
            await _under_faults(weather, 5)
            weather.speak()
            await server.stopped(signal.SIGKILL)
        for _ in range(3):
            weather.speak()
        async with serving(weather.file) as server:
            await server.ready("telegram")
            await _under_faults(weather, 3)
            missing = await weather.settled(server, 30)
            assert not missing, (sorted(missing), weather.struck, server.log[-20:])
            answers = weather.told()
            assert [name for name, times in answers.items() if times > 1] == []
            assert answers.keys() <= {*weather.said}
            assert weather.struck.keys() == FAULTS.keys()
            assert len(weather.said) > 25
            secrets = [line for line in server.log if MAIN in line]
            assert secrets == []
