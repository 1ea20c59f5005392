"""A month at twelve tables, out of `tests/data/memory/month.txt`: what is said when, and what each NPC should know after it.

Owns the script, its filling with talk that teaches nothing, the deployment and the playing of it. What should be remembered is
read off the script's own marks (`+` new, `=` known already) and computed by nothing of the program.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from homunculus.model import AdapterChanged, Event
from homunculus.program import Program, started
from tests.e2e.serving import ROOT

SCRIPT = ROOT / "tests/data/memory/month.txt"
DAYS, EACH = 30, 250  # messages to each of the twelve: 3,000 in all
QUIET = 4  # messages of an evening without a session
SLOTS, SLOT = 50, timedelta(minutes=4)  # an evening's
FIRST = datetime(2026, 10, 1, 19, tzinfo=UTC)  # when people meet on the first day
AGAIN = 0.2  # of what fills an evening: something that was said before, word for word
ASIDE = 0.75  # of the rest: players talking among themselves, which the NPC hears and does not answer

KEEPER = "Keeper"  # the game master of all of them

SMALL = (
    "Evening, everyone.",
    "Sorry, I'm late, the bus again.",
    "Hold on, somebody is at the door.",
    "I look around. Anything?",
    "Ha! Of course you would say that.",
    "What do I roll for that?",
    "Nineteen. No, wait, that's a six.",
    "Who has the map?",
    "I wait.",
    "Back in a minute.",
    "Could you say that again, please?",
    "I have no idea what we are doing.",
    "Nice weather for once.",
    "We should really get going.",
    "Is there any coffee left?",
    "Let me read that part of the rules again.",
    "I nod and say nothing.",
    "Fine. After you, then.",
    "That can't be good.",
    "Good night, all. See you!",
)
SMALL_CHINESE = (
    "大家晚上好。",
    "不好意思，来晚了。",
    "等一下，有人敲门。",
    "我四处看看，有什么吗？",
    "哈哈，你果然这么说。",
    "这个要掷什么骰子？",
    "我先不说话。",
    "今天天气不错。",
    "再来一壶茶吧。",
    "你再说一遍好吗？",
    "那就走吧。",
    "这可不妙。",
    "晚安，明天见！",
)

speaking_to: ContextVar[random.Random] = ContextVar("speaking_to")


@dataclass(frozen=True, slots=True)
class Said:
    """One message of a player. `facts` are what the extracting model makes of it, `new` how many of them nobody knew.

    `alone` is in a direct message, `aside` to the other players.
    """

    who: str
    text: str
    alone: bool = False
    aside: bool = False
    facts: tuple[str, ...] = ()
    new: int = 0


@dataclass(slots=True)
class Evening:
    """One day at one table. `session` are the dates of the game's world at its begin and end; None is no session."""

    session: tuple[str, str] | None = None
    story: list[Said] = field(default_factory=list)


@dataclass(slots=True)
class Campaign:
    """One agent and its table."""

    agent: str
    character: str
    place: str
    canary: str
    evenings: dict[int, Evening] = field(default_factory=dict)

    @property
    def players(self) -> list[str]:
        return list(dict.fromkeys(said.who for evening in self.evenings.values() for said in evening.story))


@dataclass(frozen=True, slots=True)
class Known:
    """One fact that an NPC should know: as its line of its day's file should say it."""

    day: str
    time: str
    text: str
    source: str
    session: str
    date: str
    alone: bool


def campaigns(text: str) -> list[Campaign]:
    """Read the script."""
    found: list[Campaign] = []
    for line in text.splitlines():
        mark, _, rest = line.strip().partition(" ")
        cells = [cell.strip() for cell in rest.split("|")]
        if not mark or mark == "#":
            continue
        if mark == "==":
            agent, character, place, canary = cells
            found.append(Campaign(agent, character, place, canary))
        elif mark == "--":
            session = ((*cells[2:], "")[0], (*cells[2:], "", "")[1]) if "session" in cells else None
            evening = found[-1].evenings[int(cells[0].removeprefix("day "))] = Evening(session)
        elif mark in ("+", "="):
            said = evening.story[-1]
            evening.story[-1] = replace(said, facts=(*said.facts, rest), new=said.new + (mark == "+"))
        else:
            who, _, words = line.partition(": ")
            evening.story.append(Said(who.removesuffix(" (alone)"), words, who.endswith(" (alone)")))
    return found


@dataclass(frozen=True, slots=True)
class Table:
    """A campaign's month, message by message, and what should be remembered of it."""

    campaign: Campaign
    said: dict[int, dict[int, Said]]  # day → slot → what is said
    known: tuple[Known, ...]


def table(campaign: Campaign) -> Table:
    """Fill a campaign's evenings up to its share of the messages."""
    chance = random.Random(campaign.agent)
    sessions = [day for day, evening in campaign.evenings.items() if evening.session is not None]
    left = EACH - QUIET * (DAYS - len(sessions))
    many = {day: left // len(sessions) + (place < left % len(sessions)) for place, day in enumerate(sessions)}
    said: dict[int, dict[int, Said]] = {}
    before: list[Said] = []
    for day in range(1, DAYS + 1):
        story = campaign.evenings.get(day, Evening()).story
        count = many.get(day, QUIET)
        turns = dict(zip(sorted(chance.sample(range(count), len(story))), story, strict=True))
        for turn in range(count):
            turns.setdefault(turn, _filler(campaign, chance, before))
            before += [turns[turn]] if turns[turn] in story else []
        said[day] = {turn * SLOTS // count: turns[turn] for turn in sorted(turns)}
    return Table(campaign, said, tuple(_known(campaign, said)))


def _filler(campaign: Campaign, chance: random.Random, before: Sequence[Said]) -> Said:
    if before and chance.random() < AGAIN:
        return chance.choice(before)
    small = SMALL_CHINESE if any(letter >= "\u4e00" for letter in campaign.canary) else SMALL
    return Said(chance.choice(campaign.players), chance.choice(small), aside=chance.random() < ASIDE)


def _known(campaign: Campaign, said: dict[int, dict[int, Said]]) -> Iterator[Known]:
    met: set[int] = set()
    sessions = [day for day, evening in campaign.evenings.items() if evening.session is not None]
    for day, turns in said.items():
        session = campaign.evenings.get(day, Evening()).session
        number = str(sessions.index(day) + 1) if session else ""
        for slot, one in turns.items():
            if id(one) in met:
                continue
            met.add(id(one))
            when = moment(day, slot).strftime("%Y-%m-%dT%H:%M:%SZ")
            room = f"dm:{one.who}" if one.alone else campaign.place
            for text in one.facts[: one.new]:
                source = f"{one.who} @ local:{room}"
                yield Known(when[:10], when, text, source, number, session[0] if session else "", one.alone)


def moment(day: int, slot: int) -> datetime:
    """Return when something is said: nobody speaks on the full minute."""
    return FIRST + timedelta(days=day - 1, seconds=60 + (17 * slot + 7 * day) % 60) + slot * SLOT


def deployment(tables: Sequence[Table], home: Path) -> str:
    """Write the file that the month is played with; JSON is YAML."""
    lines = {one.text: one.facts for table in tables for turns in table.said.values() for one in turns.values()}
    extracted = [
        {"when": f"^{re.escape(text)}$", "say": "\n".join(f"- {fact}" for fact in facts)}
        for text, facts in lines.items()
        if facts
    ]
    nothing = [
        {"when": "weather", "say": "- None."},
        {"when": "天气", "say": "无"},
        {"when": "rules", "say": "Nothing lasting was said."},
    ]
    return json.dumps(
        {
            "version": 1,
            "data_home": str(home),
            "characters": str(ROOT / "characters"),
            "models": {
                "default": {"provider": "scripted", "otherwise": "{{char}} nods at {{user}}."},
                "scribe": {"provider": "scripted", "otherwise": "NONE", "replies": extracted + nothing},
            },
            "memory": {"extract_with": "scribe", "embeddings": "off"},
            "agents": {
                table.campaign.agent: {"character": table.campaign.character, "history_size": 8} for table in tables
            },
            "bindings": [
                {
                    "agent_id": table.campaign.agent,
                    "channel": "local",
                    "chat_id": table.campaign.place,
                    "dm_allowed_users": table.campaign.players,
                    "authority": [KEEPER],
                }
                for table in tables
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


async def connected(program: Program) -> None:
    """Wait until the local platform hears its places: what is said before is nobody's."""
    ready = asyncio.Event()

    def observe(event: Event) -> None:
        if isinstance(event, AdapterChanged) and event.state == "ready":
            ready.set()

    program.container.bus().subscribe(observe)
    if any(adapter.state != "ready" for adapter in program.supervisor.adapters()):
        async with asyncio.timeout(30):
            await ready.wait()


class Ids:
    """Stands in for `secrets` where ids are made: each agent's are drawn from its own seed, whoever comes first."""

    @staticmethod
    def choice(letters: str) -> str:
        return speaking_to.get().choice(letters)


class Month:
    """Plays the tables at one time, in a running program whose clock it is."""

    def __init__(self, tables: Sequence[Table], folder: Path) -> None:
        self.tables, self.home, self.file = tables, folder / "home", folder / "month.yaml"
        self.now = FIRST
        self.said = 0
        self._chance = {table.campaign.agent: random.Random(f"ids of {table.campaign.agent}") for table in tables}

    def memory(self, agent: str) -> Path:
        return self.home / "agents" / self.file.stem / agent / "memory"

    async def play(self) -> None:
        """Run the program, and a month of evenings in it."""
        self.file.write_text(deployment(self.tables, self.home), "utf-8")
        async with started(self.file, only=("local",), clock=lambda: self.now.timestamp()) as program:
            await connected(program)
            for day in range(1, DAYS + 1):
                await self._evening(program, day)

    async def _evening(self, program: Program, day: int) -> None:
        playing = [
            (table, dates)
            for table in self.tables
            if (dates := table.campaign.evenings.get(day, Evening()).session) is not None
        ]
        self.now = FIRST + timedelta(days=day - 1)
        await asyncio.gather(*(self._session(program, table, "start", dates[0]) for table, dates in playing))
        for slot in range(SLOTS):
            self.now = moment(day, slot)
            speaking = [(table, table.said[day][slot]) for table in self.tables if slot in table.said[day]]
            await asyncio.gather(*(self._say(program, table, said) for table, said in speaking))
            await program.supervisor.settled()
        self.now = FIRST + timedelta(days=day - 1, hours=3, minutes=40)
        await asyncio.gather(*(self._session(program, table, "end", dates[1]) for table, dates in playing))

    async def _say(self, program: Program, table: Table, said: Said) -> None:
        speaking_to.set(self._chance[table.campaign.agent])
        _, replies = await program.container.hub().ask(
            table.campaign.place, user=said.who, text=said.text, mention=not said.aside, dm=said.alone
        )
        assert [reply.agent_id for reply in replies] == ([] if said.aside else [table.campaign.agent])
        self.said += 1

    async def _session(self, program: Program, table: Table, word: str, date: str) -> None:
        """Have the game master type it, and see that the program obeyed."""
        speaking_to.set(self._chance[table.campaign.agent])
        hub, place = program.container.hub(), table.campaign.place
        told, _ = await hub.ask(place, user=KEEPER, text=f"!session {word} {date}")
        [response] = hub.posts(place, told)
        assert response.text.startswith("Session "), response.text
