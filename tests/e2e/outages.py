"""A bot whose connection fails again and again while people talk to it, and what must be true at the end.

Owns the world around it (the loopback Discord, the model's endpoint, the people, the weather) and the verdict. What should
have happened is derived from what people posted and which faults were injected; what did happen is read from the loopback
servers' own logs. The bot is a real `homunculus serve`; nothing here calls its code.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homunculus.testing.discord import Bot, Channel, DiscordServer, User
from homunculus.testing.model import ModelServer
from tests.e2e.lives import SAID, echo
from tests.e2e.serving import Serving, serving, write

TOKEN = "OUTAGE.bot.token-of-an-unlucky-bot"
CROWD = 120  # so many that nobody meets the limit of answered turns a minute


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to lose the connection, and what the protocol then leaves to do: so many RESUMEs, so many IDENTIFYs.

    A RESUME before an IDENTIFY is one that the server had to refuse: the client cannot know that its session is forgotten.
    """

    name: str
    strike: Callable[[World], None]
    resumes: int
    identifies: int
    weight: int = 2
    seconds: float = 30.0  # until it must be over, back-off included


def _close(code: int, *, resumable: bool = True) -> Callable[[World], None]:
    return lambda world: world.discord.disconnect(world.bot, code, resumable=resumable)


def _outage(world: World) -> None:
    world.discord.refuse_connections()
    asyncio.get_running_loop().call_later(world.rng.uniform(0.3, 6.0), world.discord.accept_connections)


FAULTS = (
    Fault("cut", lambda world: world.discord.disconnect(world.bot), 1, 0, weight=6),
    Fault("closed 1000", _close(1000), 1, 0),
    Fault("closed 4000", _close(4000), 1, 0),
    Fault("closed 4001", _close(4001), 1, 0, weight=1),
    Fault("closed 4008", _close(4008), 1, 0, weight=1),
    Fault("asked to reconnect (op 7)", lambda world: world.discord.reconnect(world.bot), 1, 0, weight=4),
    Fault("invalidated, resumable (op 9)", lambda world: world.discord.invalidate(world.bot, True), 1, 0, weight=3),
    Fault("unreachable for seconds", _outage, 1, 0, weight=4),
    Fault("invalidated for good (op 9)", lambda world: world.discord.invalidate(world.bot, False), 0, 1, seconds=90),
    Fault("closed 4009, session forgotten", _close(4009, resumable=False), 1, 1, weight=1, seconds=90),
    Fault(
        "cut, session forgotten",
        lambda world: world.discord.disconnect(world.bot, resumable=False),
        *(1, 1),
        weight=1,
        seconds=90,
    ),
)
SILENT = Fault("silent socket", lambda world: world.discord.mute(world.bot), 1, 0, seconds=75)


def drawn(count: int, rng: random.Random, *, silent: int) -> list[Fault]:
    """Draw faults, so many of them sockets that fall silent: each of those takes the better part of a minute to notice."""
    found = [SILENT] * silent + rng.choices(FAULTS, [fault.weight for fault in FAULTS], k=count - silent)
    rng.shuffle(found)
    return found


@dataclass
class World:
    """A Discord of a few places, each with its NPC, full of people, under bad weather."""

    discord: DiscordServer
    model: ModelServer
    folder: Path
    rng: random.Random
    said: dict[str, Channel] = field(default_factory=dict)  # what addressed an NPC → where
    asides: int = 0  # what addressed nobody
    weather: Counter[str] = field(default_factory=Counter)
    struck: list[Fault] = field(default_factory=list)
    log: list[str] = field(default_factory=list)  # what the bot wrote
    bot: Bot = field(init=False)

    def __post_init__(self) -> None:
        discord = self.discord
        self.bot = discord.add_bot(TOKEN, name="Unlucky")
        guild = discord.add_guild("Arkham", bots=[self.bot])
        self.crowd = [discord.add_user(f"Player {n}") for n in range(CROWD)]
        rooms = [discord.add_channel(guild, f"room-{n}") for n in range(3)]
        self.whisperer = discord.add_user("Whisperer")
        self.private = discord.open_dm(self.bot, self.whisperer)
        self.bound = [*rooms, self.private]
        self.public = [*rooms, discord.add_thread(rooms[0], "a thread")]
        self.model.script(echo)
        self.file = self.folder / "deployments" / "unlucky.yaml"
        write(self.folder / "characters" / "kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
        write(self.file, self._text())

    def _text(self) -> str:
        agents = [f"  npc-{n}: {{character: kovach, model: m, history_size: 0}}" for n in range(len(self.bound))]
        channels = [
            f"  - {{platform: discord, channel_id: {place.id}, agent_id: npc-{n}}}"
            for n, place in enumerate(self.bound)
        ]
        return "\n".join(
            [
                "version: 1",
                "bot_name: unlucky",
                f"data_home: {self.file.parent / 'home'}",
                "server: {port: 0}",
                "messaging:",
                f"  discord: {{token: {TOKEN}, api_base: {self.discord.api_base}, gateway: '{self.discord.gateway}',",
                "    persona: off}",
                "models:",
                f"  m: {{provider: openai, name: m, base_url: {self.model.base_url}, api_key: {self.model.key}}}",
                "agents:",
                *agents,
                "channels:",
                *channels,
                "",
            ]
        )

    # -- people

    def speak(self, place: Channel, author: User) -> None:
        """Let somebody address the NPC of a place: by a mention, or by its name."""
        name = f"said-{len(self.said)}"
        self.said[name] = place
        if self.rng.random() < 0.5:
            self.discord.post(place, author, name, mentions=[self.bot])
        else:
            self.discord.post(place, author, f"{name}, Kovach")

    async def talk(self, over: asyncio.Event) -> None:
        """Keep talking everywhere, in bursts, until it is over."""
        count = 0
        while not over.is_set():
            for _ in range(self.rng.choice((1, 1, 1, 2, 4))):
                count += 1
                place, author = self.rng.choice(self.public), self.crowd[count % CROWD]
                if self.rng.random() < 0.2:
                    self.asides += 1
                    self.discord.post(place, author, f"aside-{count}: nobody is meant")
                else:
                    self.speak(place, author)
            if count % 40 == 0:
                self.speak(self.private, self.whisperer)
            await _pause(over, self.rng.uniform(0.05, 0.5))

    # -- weather

    async def storm(self, over: asyncio.Event) -> None:
        """Let requests and events suffer beside the connection, until it is over."""
        while not over.is_set():
            # What nobody asks for piles up: a bot that waits 15 s between two tries would meet nothing but failures.
            if self.discord.failures_left < 4:
                kind = self.rng.choice(list(_WEATHER))
                _WEATHER[kind](self)
                self.weather[kind] += 1
            await _pause(over, self.rng.uniform(0.3, 1.5))
        self.discord.slow("/messages", 0)

    # -- faults

    async def lose(self, fault: Fault, server: Serving) -> None:
        """Strike, and wait until the bot is back where the protocol lets it."""
        events = len(server.events)
        resumes = self.discord.resumes(TOKEN) + fault.resumes
        identifies = self.discord.identifies(TOKEN) + fault.identifies
        self.struck.append(fault)
        fault.strike(self)

        def back(discord: DiscordServer) -> bool:
            seen = discord.resumes(TOKEN) >= resumes and discord.identifies(TOKEN) >= identifies
            return seen and discord.connections(TOKEN) == 1

        await self.discord.wait_for(back, timeout=fault.seconds)
        if fault.identifies:
            await server.event("adapter", after=events, runtime_key="discord", state="ready", seconds=30)

    # -- what came of it

    def posts(self) -> list[tuple[Channel, str]]:
        """Return what the bot said, from the loopback server's own log."""
        return [
            (place, message.content)
            for place in (*self.public, self.private)
            for message in self.discord.messages(place)
            if message.author.id == self.bot.user_id
        ]

    def told(self) -> Counter[str]:
        """Count how often each message was answered."""
        return Counter(name for _, text in self.posts() for name in SAID.findall(text))

    async def settled(self, seconds: float) -> None:
        """Wait until everything is answered, but not for ever: the verdict says what is missing."""
        with suppress(TimeoutError):
            await self.discord.wait_for(lambda _: self.said.keys() <= self.told().keys(), timeout=seconds)


def _fail(**how: Any) -> Callable[[World], None]:
    return lambda world: world.discord.fail_next(path_contains="/messages", **how)


_WEATHER: dict[str, Callable[[World], None]] = {
    "event twice": lambda world: world.discord.duplicate(world.bot, world.rng.randint(1, 3)),
    "event out of order": lambda world: world.discord.reorder(world.bot),
    "HTTP 429": _fail(status=429, retry_after=0.4),
    "HTTP 429, global": _fail(status=429, retry_after=0.3, global_=True),
    "HTTP 500": _fail(status=500),
    "HTTP 502": _fail(status=502),
    "HTTP 503": _fail(status=503),
    "HTTP 504 after the fact": _fail(status=504, method="POST", after=True),
    "request cut": _fail(status=None),
    "answer cut": _fail(status=None, method="POST", after=True),
    "slow": lambda world: world.discord.slow("/messages", world.rng.uniform(0.1, 0.8)),
    "fast again": lambda world: world.discord.slow("/messages", 0),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was lost and what was doubled, and whether the connection went as the protocol has it."""

    addressed: int
    asides: int
    posts: int
    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    astray: tuple[str, ...]  # answered in another place than it was said in, or not said at all
    foreign: int  # posts that answer nothing
    unhappy: tuple[str, ...]  # why turns failed or their replies are uncertain
    resumes: tuple[int, int]  # seen, allowed by the protocol
    identifies: tuple[int, int]  # seen, demanded by it; the first one included

    @property
    def good(self) -> bool:
        wrong = self.lost or self.doubled or self.astray or self.foreign or self.unhappy
        return not wrong and self.resumes[0] == self.resumes[1] and self.identifies[0] == self.identifies[1]

    def __str__(self) -> str:
        return (
            f"{self.addressed} messages addressed an NPC, {self.asides} did not; {self.posts} posts; "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, {len(self.astray)} astray, {self.foreign} uncalled for, "
            f"{len(self.unhappy)} turns failed or uncertain; "
            f"RESUME {self.resumes[0]} (expected {self.resumes[1]}), "
            f"IDENTIFY {self.identifies[0]} (expected {self.identifies[1]})"
        )


def judge(world: World, server: Serving) -> Verdict:
    """Hold what Discord shows against what was said and what was done to the connection."""
    told, posts = world.told(), world.posts()
    astray = [name for place, text in posts for name in SAID.findall(text) if world.said.get(name, place) is not place]
    ends = [event for kind, event in server.events if kind == "turn"]
    return Verdict(
        addressed=len(world.said),
        asides=world.asides,
        posts=len(posts),
        lost=tuple(name for name in world.said if name not in told),
        doubled=tuple(name for name, times in told.items() if times > 1),
        astray=(*astray, *(name for name in told if name not in world.said)),
        foreign=sum(not SAID.search(text) for _, text in posts),
        unhappy=tuple(event["reason"] for event in ends if event["outcome"] in ("failed", "uncertain")),
        resumes=(world.discord.resumes(TOKEN), sum(fault.resumes for fault in world.struck)),
        identifies=(world.discord.identifies(TOKEN), 1 + sum(fault.identifies for fault in world.struck)),
    )


@asynccontextmanager
async def unlucky(folder: Path, seed: int) -> AsyncIterator[tuple[World, Serving]]:
    """Run the bot until it has answered once in every place: what was never heard before cannot be caught up on."""
    async with DiscordServer() as discord, ModelServer() as model:
        world = World(discord, model, folder, random.Random(seed))
        async with serving(world.file) as server:
            await server.ready("discord")
            for place in (*world.public, world.private):
                world.speak(place, world.whisperer)
            await discord.wait_for(lambda _: world.said.keys() <= world.told().keys(), timeout=20)
            yield world, server


async def run(folder: Path, seconds: float, count: int, seed: int, *, silent: int = 0) -> tuple[World, Verdict]:
    """Lose the connection `count` times within `seconds` or a little more, while people talk; then judge."""
    async with unlucky(folder, seed) as (world, server):
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        moments = sorted(loop.time() + world.rng.uniform(0, seconds) for _ in range(count))
        beside = [asyncio.create_task(world.talk(over)), asyncio.create_task(world.storm(over))]
        end = loop.time() + seconds
        for moment, fault in zip(moments, drawn(count, world.rng, silent=silent), strict=True):
            await _pause(over, moment - loop.time())
            await world.lose(fault, server)
        await _pause(over, end - loop.time())
        over.set()
        await asyncio.gather(*beside)
        await world.settled(60)
        world.log = list(server.log)
        return world, judge(world, server)


async def _pause(over: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), max(0.0, seconds))
