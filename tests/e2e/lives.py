"""A bot that is killed again and again while people talk to it, and what must be true at the end.

Owns the world around it (the loopback Discord, the model's endpoint, the people) and the verdict. Everything the verdict
knows comes from what the people posted, from the loopback server's own log, and from the rows of the state database, read
with a plain SQLite; never from the program's code.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homunculus.testing.discord import Channel, DiscordServer
from homunculus.testing.model import ModelServer
from tests.e2e.serving import ROOT, serving, write

TOKEN = "MORTAL.bot.token-of-a-mortal-bot"
CHANNELS = 4
CROWD = 120  # so many that nobody meets the limit of answered turns a minute
RANDOM = "any moment"
SAID = re.compile(r"\bsaid-\d+\b")


@dataclass(frozen=True, slots=True)
class Death:
    """Where a life ends: the n-th time at a point, or after so many seconds under load."""

    point: str
    number: int = 1
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.point} after {self.seconds:.2f} s" if self.point == RANDOM else f"{self.point} #{self.number}"


def deaths(points: list[str], count: int, seed: int) -> list[Death]:
    """Draw `count` deaths: every point in turn, in between at moments that nobody chose."""
    rng = random.Random(seed)
    named = [points[n % len(points)] for n in range(count - count // 4)]
    drawn = [Death(point, rng.randint(3, 20)) for point in named]
    drawn += [Death(RANDOM, seconds=rng.uniform(0.0, 0.8)) for _ in range(count // 4)]
    rng.shuffle(drawn)
    return drawn


def echo(body: dict[str, Any]) -> str:
    """Answer with the name of every message of the turn: with no history in the prompt it holds nothing else."""
    return "heard " + " ".join(SAID.findall(body["messages"][-1]["content"]))


@dataclass
class World:
    """A Discord of a few channels, each with its NPC, full of people."""

    discord: DiscordServer
    model: ModelServer
    folder: Path
    rng: random.Random
    said: dict[str, Channel] = field(default_factory=dict)  # what people said → where
    moments: dict[str, str] = field(default_factory=dict)  # what people said → in which life

    def __post_init__(self) -> None:
        self.bot = self.discord.add_bot(TOKEN, name="Mortal")
        guild = self.discord.add_guild("Arkham", bots=[self.bot])
        self.channels = [self.discord.add_channel(guild, f"room-{n}") for n in range(CHANNELS)]
        self.crowd = [self.discord.add_user(f"Player {n}") for n in range(CROWD)]
        self.model.script(echo)
        self.file = self.folder / "deployments" / "mortal.yaml"
        write(self.folder / "characters" / "kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
        write(self.file, self._text())

    @property
    def database(self) -> Path:
        return self.file.parent / "home" / "state" / "mortal.sqlite"

    def _text(self) -> str:
        agents = "\n".join(
            f"  npc-{n}: {{character: kovach, model: endpoint, respond: always, history_size: 0}}"
            for n in range(CHANNELS)
        )
        channels = "\n".join(
            f"  - {{platform: discord, channel_id: {channel.id}, agent_id: npc-{n}}}"
            for n, channel in enumerate(self.channels)
        )
        return f"""
version: 1
bot_name: mortal
data_home: {self.file.parent / "home"}
server: {{port: 0}}
messaging:
  discord: {{token: {TOKEN}, api_base: {self.discord.api_base}, gateway: "{self.discord.gateway}"}}
models:
  endpoint: {{provider: openai, name: m, base_url: {self.model.base_url}, api_key: {self.model.key}}}
agents:
{agents}
channels:
{channels}
"""

    def speak(self, life: str, more: str = "") -> str:
        """Let somebody say the next thing somewhere; return its name."""
        number = len(self.said)
        name, place = f"said-{number}", self.rng.choice(self.channels)
        self.said[name], self.moments[name] = place, life
        self.discord.post(place, self.crowd[number % CROWD], f"{name} {more}")
        return name

    async def talk(self, life: str, over: asyncio.Event) -> None:
        """Keep talking, in bursts, until it is over; now and then the answer to a post gets lost on its way."""
        while not over.is_set():
            for _ in range(self.rng.choice((1, 1, 2, 5))):
                self.speak(life)
            if self.rng.random() < 0.05:
                self.discord.fail_next(status=None, path_contains="/webhooks", method="POST", after=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), self.rng.uniform(0.0, 0.06))

    def posts(self) -> list[tuple[Channel, str]]:
        """Return what the bot said, from the loopback server's own log."""
        people = {user.id for user in self.crowd}
        return [
            (channel, message.content)
            for channel in self.channels
            for message in self.discord.messages(channel)
            if message.author.id not in people
        ]

    def told(self) -> set[str]:
        """Return what the bot's posts answer."""
        return {name for _, text in self.posts() for name in SAID.findall(text)}

    async def answered(self, names: Iterable[str], timeout: float = 20.0) -> None:
        """Wait until the bot has answered all of these."""
        wanted = set(names)
        await self.discord.wait_for(lambda _: wanted <= self.told(), timeout=timeout)

    def rows(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as plain:
            return plain.execute(sql).fetchall()


@asynccontextmanager
async def world(folder: Path, seed: int) -> AsyncIterator[World]:
    """Make a world; its servers run in this process and are never killed."""
    async with DiscordServer() as discord, ModelServer() as model:
        yield World(discord, model, folder, random.Random(seed))


async def first_words(world: World) -> None:
    """Let every channel be heard once: only what was recorded before is asked about after a death."""
    async with serving(world.file) as server:
        await server.ready("discord")
        wanted = {place.id for place in world.channels}
        while wanted:
            wanted.discard(world.said[world.speak("the first life")].id)
        await world.answered(world.said)
        assert await server.stopped() == 0


async def one_life(world: World, death: Death, patience: float = 30.0) -> None:
    """Start the bot, let people talk to it, and see it die by SIGKILL where it should."""
    number = str(death.number) if death.point != RANDOM else "0"
    point = death.point if death.point != RANDOM else "-"
    with (world.folder / "life.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.e2e.mortal", point, number, "serve", str(world.file)),
            stdout=log,
            stderr=log,
            cwd=ROOT,
        )
    dead = asyncio.create_task(process.wait(), name=f"life until {death}")
    over = asyncio.Event()
    dead.add_done_callback(lambda _: over.set())
    try:
        async with asyncio.timeout(patience):
            up = asyncio.create_task(world.discord.wait_for(lambda d: d.connections(TOKEN) == 1, timeout=patience))
            await asyncio.wait({up, dead}, return_when=asyncio.FIRST_COMPLETED)
            up.cancel()
            await asyncio.wait({up})
            talking = asyncio.create_task(world.talk(str(death), over))
            if death.point == RANDOM:
                await asyncio.sleep(death.seconds)  # the moment is what is being chosen
                process.kill()
            await dead
            await talking
    finally:
        over.set()
        with suppress(ProcessLookupError):
            process.kill()
        await dead
    assert process.returncode == -signal.SIGKILL, (process.returncode, (world.folder / "life.log").read_text()[-2000:])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of everything that was said."""

    said: int
    posts: int
    uncertain: int
    unheard: tuple[str, ...]  # never recorded
    unanswered: tuple[str, ...]  # recorded, and neither answered nor reported
    twice: tuple[str, ...]
    waiting: int  # inbox rows that never ended
    sending: int  # outbox rows that say they are still leaving
    integrity: str

    @property
    def good(self) -> bool:
        lost = self.unheard or self.unanswered or self.twice
        return not (lost or self.waiting or self.sending) and self.integrity == "ok"

    def __str__(self) -> str:
        return (
            f"{self.said} messages: {self.posts} posts, {self.uncertain} replies uncertain, "
            f"{len(self.unanswered)} unanswered, {len(self.twice)} answered twice, {len(self.unheard)} never heard, "
            f"{self.waiting} left waiting, {self.sending} left sending, "
            f"integrity {self.integrity}"
        )


async def live_on(world: World, ask: Callable[[], Awaitable[tuple[int, str]]] | None = None) -> tuple[Any, str]:
    """Start it once more, and stop it when nothing waits any more and new words are answered.

    Return what its API tells about itself then, and what the command `ask` says.
    """
    async with serving(world.file) as server:
        await server.ready("discord")
        last = [world.speak("the last life") for _ in range(CHANNELS)]

        def quiet(_: object) -> bool:
            return world.told().issuperset(last) and not world.rows("SELECT 1 FROM inbox WHERE outcome IS NULL")

        await server.until(quiet, seconds=40)
        status, (_, said) = await server.get("/api/status"), await ask() if ask else (0, "")
        assert await server.stopped() == 0, "\n".join(server.log[-20:])
        return status, said


def judge(world: World) -> Verdict:
    """Hold the rows and the loopback's log against what was said."""
    answered: Counter[str] = Counter()
    for _, text in world.posts():
        answered.update(SAID.findall(text))
    unsure: set[str] = set()
    replies = world.rows("SELECT reply FROM outbox WHERE state = 'uncertain'")
    for (reply,) in replies:
        unsure.update(SAID.findall(reply))
    recorded = {name for (message,) in world.rows("SELECT message FROM inbox") for name in SAID.findall(message)}
    told = set(answered) | unsure
    ((integrity,),) = world.rows("PRAGMA integrity_check")
    return Verdict(
        said=len(world.said),
        posts=len(world.posts()),
        uncertain=len(replies),
        unheard=tuple(name for name in world.said if name not in recorded),
        unanswered=tuple(name for name in world.said if name in recorded and name not in told),
        twice=tuple(name for name, times in answered.items() if times > 1),
        waiting=len(world.rows("SELECT 1 FROM inbox WHERE outcome IS NULL")),
        sending=len(world.rows("SELECT 1 FROM outbox WHERE state = 'sending'")),
        integrity=integrity,
    )
