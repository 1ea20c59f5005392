"""Two accounts on Twitch in one real `homunculus serve`: channels added live, and a run of every fault there is.

Owns the world around it (the loopback Twitch, the model's endpoint, the people) and the verdict. What the verdict knows comes
from the loopback's own log, from the API and from the rows of the state database; never from the program's code. Twitch keeps
no history: the bot is held to what its client is known to have read.

Run as a program it is `homunculus serve` that looks at its subscriptions more often, so that the run need not wait.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from homunculus.testing.model import ModelServer
from homunculus.testing.twitch import Bot, Channel, ChatMessage, TwitchServer
from tests.e2e.lives import SAID, echo
from tests.e2e.serving import Serving, serving, write

KEEPER, SECOND = "keepertokenofthefirst", "secondtokenoftheother"
CROWD = 40  # so many that nobody meets the limit of answered turns a minute
PATIENCE = 30.0
HURRIED = ("tests.e2e.test_twitch",)


@dataclass
class World:
    """A Twitch with two bots and some channels, each with its NPC, full of people."""

    twitch: TwitchServer
    model: ModelServer
    folder: Path
    rng: random.Random
    said: dict[str, tuple[Channel, ChatMessage]] = field(default_factory=dict)
    extra: str = ""  # more lines of the file's `channels`
    prefix: str = ""

    def __post_init__(self) -> None:
        self.keeper = self.twitch.add_bot(
            KEEPER,
            "Keeper_Bot",
            refresh_token="refreshtokenofthefirst",
            client_id="clientidoftheapplication",
            client_secret="secretoftheapplication",
        )
        self.second = self.twitch.add_bot(SECOND, "Second_Bot")
        names = ("Tavern", "Harbour", "Library", "Attic")
        self.tavern, self.harbour, self.library, self.attic = map(self.twitch.add_channel, names)
        for channel in (self.tavern, self.harbour, self.library, self.attic):
            for bot in (self.keeper, self.second):
                self.twitch.promote(channel, bot)
        self.crowd = [self.twitch.add_user(f"Player_{number}") for number in range(CROWD)]
        self.bots: dict[str, Bot] = {"tavern": self.keeper, "harbour": self.keeper, "library": self.second}
        self.bots["attic"] = self.keeper
        self.model.script(echo)
        self.file = self.folder / "deployments" / "streams.yaml"
        write(self.folder / "characters" / "kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
        self.save()

    def save(self) -> None:
        write(self.file, self._text())

    def _text(self) -> str:
        prefix = f'    trigger_prefix: "{self.prefix}"\n' if self.prefix else ""
        return f"""
version: 1
bot_name: streams
data_home: {self.file.parent / "home"}
server: {{port: 0}}
messaging:
  twitch:
    oauth_token: {KEEPER}
    client_id: clientidoftheapplication
    client_secret: secretoftheapplication
    refresh_token: refreshtokenofthefirst
{prefix}    api_base: {self.twitch.api_base}
    auth_base: {self.twitch.auth_base}
    gateway: {self.twitch.gateway}
    instances: [{{name: second, oauth_token: {SECOND}, username: Second_Bot}}]
models:
  m: {{provider: openai, name: m, base_url: {self.model.base_url}, api_key: {self.model.key}}}
agents:
  one: {{character: kovach, model: m, respond: always, history_size: 0}}
  two: {{character: kovach, model: m, respond: always, history_size: 0}}
  three: {{character: kovach, model: m, respond: always, history_size: 0}}
  shy: {{character: kovach, model: m, respond: mention, history_size: 0}}
channels:
  - {{platform: twitch, channel_id: Tavern, agent_id: one}}
  - {{platform: twitch, channel_id: HARBOUR, agent_id: two}}
  - {{platform: twitch, adapter: second, channel_id: library, agent_id: three}}
{self.extra}
"""

    def speak(self, channel: Channel | None = None, form: str = "{}") -> str:
        """Let somebody say the next thing somewhere; return its name."""
        number = len(self.said)
        name = f"said-{number}"
        place = channel or self.rng.choice((self.tavern, self.harbour, self.library))
        message = self.twitch.say(place, self.crowd[number % CROWD], form.format(name))
        self.said[name] = (place, message)
        return name

    async def talk(self, over: asyncio.Event) -> None:
        """Keep talking, in bursts, until it is over."""
        while not over.is_set():
            for _ in range(self.rng.choice((1, 1, 2))):
                self.speak()
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self.rng.uniform(0.05, 0.25))

    def posts(self) -> list[tuple[Channel, str]]:
        """Return what the bots said, from the loopback's own log."""
        places = (self.tavern, self.harbour, self.library, self.attic)
        accounts = (self.keeper, self.second)
        return [(place, post.text) for place in places for bot in accounts for post in self.twitch.posts(place, bot)]

    def told(self) -> Counter[str]:
        """Count how often each message was answered."""
        return Counter(name for _, text in self.posts() for name in SAID.findall(text))

    def read(self) -> set[str]:
        """Return what the bots' clients are known to have read."""
        said = self.said.items()
        return {name for name, (place, one) in said if self.twitch.delivered(self.bots[place.login], one)}

    def rows(self, sql: str) -> list[tuple[str, ...]]:
        database = self.file.parent / "home" / "state" / "streams.sqlite"
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as plain:
            return plain.execute(sql).fetchall()

    def recorded(self) -> set[str]:
        found = self.rows("SELECT message FROM inbox WHERE message IS NOT NULL")
        return {name for (message,) in found for name in SAID.findall(message)}

    def dropped(self) -> set[str]:
        """Return what the replies that Twitch dropped were to answer, as the bot recorded it."""
        found = self.rows("SELECT reply FROM outbox WHERE state = 'failed' AND reason LIKE '%(msg_rejected)%'")
        return {name for (reply,) in found for name in SAID.findall(reply)}

    def hear(self) -> bool:
        """Tell whether both bots hear where they should."""
        mine = self.twitch.subscribed(self.keeper) >= {"tavern", "harbour"}
        return mine and "library" in self.twitch.subscribed(self.second)

    async def answered(self, *names: str) -> None:
        await self.twitch.wait_for(lambda _: set(names) <= self.told().keys(), timeout=PATIENCE)


@asynccontextmanager
async def world(folder: Path, seed: int = 1) -> AsyncIterator[World]:
    async with TwitchServer(keepalive=1.0) as twitch, ModelServer() as model:
        yield World(twitch, model, folder, random.Random(seed))


async def up(world: World, server: Serving) -> None:
    """Wait until both instances are ready and hear their channels."""
    await server.ready("twitch")
    await server.ready("twitch:second")
    await world.twitch.wait_for(lambda _: world.hear(), timeout=PATIENCE)


async def saved(world: World, server: Serving) -> None:
    after = len(server.events)
    world.save()
    event = await server.event("reload", after=after)
    assert event["result"] == "applied", event


async def test_two_accounts_answer_where_the_file_says_and_channels_are_added_live(tmp_path: Path) -> None:
    async with world(tmp_path) as streams, serving(streams.file) as server:
        await up(streams, server)
        for place in (streams.tavern, streams.harbour, streams.library):
            await streams.answered(streams.speak(place))
        authors = {place.login: {post.author for post in place.log} for place in (streams.tavern, streams.library)}
        assert streams.keeper.user in authors["tavern"]
        assert streams.second.user not in authors["tavern"]
        assert streams.second.user in authors["library"]
        welcomes = streams.twitch.welcomes
        streams.extra, streams.prefix = "  - {platform: twitch, channel_id: Attic, agent_id: shy}", "!k"
        await saved(streams, server)
        await streams.twitch.wait_for(lambda twitch: "attic" in twitch.subscribed(streams.keeper))
        unheard = streams.speak(streams.attic, "{} is not for the bot")
        asked = [streams.speak(streams.attic, form) for form in ("!k {}", "{} @keeper_bot", "kovach, {}")]
        await streams.answered(*asked)
        streams.extra, streams.prefix = "  - {platform: twitch, channel_id: nobody_here, agent_id: shy}", ""
        await saved(streams, server)
        await streams.twitch.wait_for(lambda twitch: "attic" not in twitch.subscribed(streams.keeper))
        (status,) = (one for one in (await server.get("/api/status"))["adapters"] if one["runtime_key"] == "twitch")
        assert (status["state"], status["unseen"]) == ("ready", ["nobody_here"])
        said = await server.post("/api/broadcast", adapter="twitch:second", target="LIBRARY", text="A word\nto all.")
        assert streams.twitch.posts(streams.library, streams.second)[-1].text == "A word to all."
        assert said
        assert streams.twitch.welcomes == welcomes
        assert unheard not in streams.told()
        assert await server.stopped() == 0
    assert not [line for line in server.log if KEEPER in line or "refreshtokenofthefirst" in line]


# -- every fault there is


async def _silence(streams: World) -> None:
    welcomes = streams.twitch.welcomes
    streams.twitch.mute(streams.keeper)
    await streams.twitch.wait_for(lambda twitch: twitch.welcomes > welcomes, timeout=PATIENCE)


async def _moved(streams: World) -> None:
    welcomes = streams.twitch.welcomes
    for bot in (streams.keeper, streams.second):
        streams.twitch.reconnect(bot)
    await streams.twitch.wait_for(lambda twitch: twitch.welcomes >= welcomes + 2, timeout=PATIENCE)


async def _failures(streams: World, *statuses: int | None) -> None:
    for status in statuses:
        streams.twitch.fail_next(1, status, "/chat/messages", after=status is None)
    await streams.twitch.wait_for(lambda twitch: not twitch.failures_left, timeout=PATIENCE)


async def _drop(streams: World) -> None:
    streams.twitch.drop_next("msg_rejected", "Because.")
    await streams.twitch.wait_for(lambda twitch: not twitch.drops_left, timeout=PATIENCE)


async def _expiry(streams: World) -> None:
    token = streams.keeper.access
    streams.twitch.expire(streams.keeper)
    await streams.twitch.wait_for(lambda _: streams.keeper.access != token, timeout=PATIENCE)


async def _forgotten(streams: World) -> None:
    streams.twitch.forget(streams.keeper, streams.tavern)
    streams.twitch.forget(streams.second, streams.library)


async def _at_once(strike: Callable[[World], None], streams: World) -> None:
    strike(streams)


def _cut(streams: World) -> None:
    for bot in (streams.keeper, streams.second):
        streams.twitch.disconnect(bot)


def _twice(streams: World) -> None:
    for bot in (streams.keeper, streams.second):
        streams.twitch.duplicate(bot, 5)


Fault = Callable[[World], Awaitable[None]]
FAULTS: dict[str, Fault] = {
    "notifications twice": lambda streams: _at_once(_twice, streams),
    "asked to move": _moved,
    "silence": _silence,
    "cut": lambda streams: _at_once(_cut, streams),
    "closed 4000": lambda streams: _at_once(lambda one: one.twitch.disconnect(one.second, 4000), streams),
    "failures": lambda streams: _failures(streams, 500, 503),
    "answer lost": lambda streams: _failures(streams, None),
    "rate limit": lambda streams: _failures(streams, 429, 429),
    "dropped": _drop,
    "token ran out": _expiry,
    "subscriptions forgotten": _forgotten,
}


async def storm(streams: World, faults: list[str]) -> None:
    """Strike again and again while people talk, each time until the bots hear again."""
    over = asyncio.Event()
    talking = asyncio.create_task(streams.talk(over))
    try:
        for name in faults:
            await FAULTS[name](streams)
            await heard_everywhere(streams)
    finally:
        over.set()
        await talking


async def heard_everywhere(streams: World) -> None:
    """Wait until something was read in every channel that was said from now on."""
    before = set(streams.said)

    def heard(_: object) -> bool:
        fresh = streams.read() - before
        return len({streams.said[name][0].login for name in fresh}) == 3

    await streams.twitch.wait_for(heard, timeout=PATIENCE)


async def caught_up(streams: World) -> None:
    """Wait until everything that was read is on the bot's disk: what it has not recorded dies with it."""
    async with asyncio.timeout(PATIENCE):
        while not streams.read() <= streams.recorded():  # noqa: ASYNC110 - a file of another process tells nobody
            await asyncio.sleep(0.02)


async def uncertain(server: Serving) -> set[str]:
    """Return what the replies that `status` reports as uncertain were to answer."""
    reported = (await server.get("/api/status"))["uncertain"]
    return {name for one in reported for name in SAID.findall(one["text"])}


async def settled(streams: World, server: Serving) -> set[str]:
    """Wait until everything that was read is answered or accounted for; return what is uncertain."""
    async with asyncio.timeout(PATIENCE):
        while True:
            unsure = await uncertain(server)
            if streams.read() <= streams.told().keys() | unsure | streams.dropped():
                return unsure
            await asyncio.sleep(0.1)


@pytest.mark.timeout(170)
async def test_every_fault_of_twitch_loses_nothing_that_was_delivered_and_says_nothing_twice(tmp_path: Path) -> None:
    async with world(tmp_path, seed=20261127) as streams:
        faults = streams.rng.sample(sorted(FAULTS), len(FAULTS))
        half = len(faults) // 2
        async with serving(streams.file, program=HURRIED) as server:
            await up(streams, server)
            await storm(streams, faults[:half])
            streams.model.slow(0.2)  # so that the killed one is thinking
            last = [streams.speak(place) for place in (streams.tavern, streams.harbour, streams.library)]
            await streams.twitch.wait_for(lambda _: set(last) <= streams.read(), timeout=PATIENCE)
            await caught_up(streams)
            assert await server.stopped(signal.SIGKILL) == -signal.SIGKILL
        streams.model.heal()
        streams.speak(streams.tavern)  # to nobody: Twitch will not say it again
        async with serving(streams.file, program=HURRIED) as server:
            await up(streams, server)
            await storm(streams, faults[half:])
            unsure = await settled(streams, server)
            states = {one["runtime_key"]: one["state"] for one in (await server.get("/api/status"))["adapters"]}
            assert await server.stopped() == 0
        told, read = streams.told(), streams.read()
        print(f"{len(streams.said)} said, {len(read)} read, {len(told)} told, {len(unsure)} uncertain", faults)
        assert {name for name, times in told.items() if times > 1} == set()
        assert read - told.keys() - unsure - streams.dropped() == set()
        assert set(last) <= read, "what was recorded when it was killed is among what is accounted for"
        assert states["twitch"] == states["twitch:second"] == "ready"
        assert not [text for _, text in streams.posts() if not SAID.search(text)]
        astray = [n for place, text in streams.posts() for n in SAID.findall(text) if streams.said[n][0] is not place]
        assert astray == []
        assert len(read) > len(streams.said) / 2
        assert 0 < len(unsure) < len(read) / 2


if __name__ == "__main__":
    from homunculus.adapters.twitch import subscriptions
    from homunculus.cli import main

    subscriptions.CHECK_EVERY = 1.0
    main()
