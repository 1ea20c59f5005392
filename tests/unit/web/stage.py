"""A small running program for the web part: the real rooms, a deployment of four, and turns that a test can hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import time
from typing import Any

from homunculus.adapters.local import LocalAdapter, LocalHub, LocalPost
from homunculus.errors import ConfigError, ConfigErrors, HomunculusError, Where
from homunculus.interfaces import Namespace
from homunculus.model import (
    AdapterSpec,
    AgentSpec,
    BindingSpec,
    Character,
    Deployment,
    Event,
    Message,
    MessageReceived,
    ModelSpec,
    Receipt,
    Reply,
    ReplySent,
    Scope,
    Secret,
    ServerSpec,
    Span,
    Trace,
    TurnEnded,
)
from homunculus.plan import Change, Plan
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds
from homunculus.runtime.memories import Memories
from homunculus.runtime.state import UnsureReply
from homunculus.runtime.store import Overrides
from homunculus.web.app import Phase, Running, build_app
from homunculus.web.events import EventHub
from homunculus.web.limits import TokenBuckets
from homunculus.web.server import Listening, WebServer
from homunculus.web.sessions import Sessions
from homunculus.web.traces import Traces

TOKEN = "stage-token-0123456789-canary"

KOVACH = Character(
    "kovach",
    "Kovach",
    nickname="Kov",
    description="A taciturn veteran who keeps a general store in Arkham; an old scar over the left eye.",
    greeting="The bell over the door rings. {{char}} looks up from the ledger, and does not smile at {{user}}.",
)
LIN = Character(
    "lin-niang",
    "林娘",
    description="茶馆的女掌柜，耳朵比猫还灵，记得每一位客人欠下的人情。",
    language="zh",
    greeting="雨声敲着瓦檐。林娘提着铜壶走来，为{{user}}斟了一盏热茶。",
)
BRANNOC = Character(
    "brannoc",
    "Brannoc Ironquill",
    description="Dwarven quartermaster of the Gilded Pick; counts everything twice and trusts nobody's sums.",
    greeting="A quill scratches. The dwarf behind the counter does not look up.",
)
ODETTE = Character(
    "odette", "Odette Marsh", description="Librarian of the restricted stacks. She whispers even when she shouts."
)


def deployment() -> Deployment:
    """Two campaigns: four agents, one local room, three adapters that are in different moods."""
    return Deployment(
        bot_name="campaigns",
        data_home=Path("/nowhere"),
        server=ServerSpec(),
        adapters=(
            AdapterSpec("local"),
            AdapterSpec("discord", credentials=(("token", Secret("env:DISCORD_BOT_TOKEN")),)),
            AdapterSpec("discord", "keeper", credentials=(("token", Secret("env:KEEPER", "keeper-canary-secret")),)),
            AdapterSpec("telegram", "support"),
        ),
        models=(ModelSpec("default", "embedded"), ModelSpec("rehearsal", "scripted")),
        agents=(
            AgentSpec("kovach-eod", KOVACH, "kovach-eod"),
            AgentSpec("lin", LIN, "lin", model="rehearsal"),
            AgentSpec("brannoc", BRANNOC, "brannoc", ruleset="dnd5e"),
            AgentSpec("odette", ODETTE, "odette"),
        ),
        bindings=(
            *(
                BindingSpec(agent, "local", chat_id=f"@{agent}", kind="agent")
                for agent in ("kovach-eod", "lin", "brannoc", "odette")
            ),
            BindingSpec("kovach-eod", "local", chat_id="tavern", kind="channel", path="channels[0]"),
            BindingSpec("lin", "local", chat_id="听雨楼", kind="channel", path="channels[1]"),
            BindingSpec("lin", "local", chat_id="tavern", path="bindings[0]"),
            BindingSpec("kovach-eod", "discord", "keeper", guild_id="42", channel_ids=("1", "2"), authority=()),
            BindingSpec("odette", "telegram", "support", id="stacks", require_mention=True, dm_allowed_users=("7",)),
            BindingSpec("odette", "telegram", "support"),
            BindingSpec("odette", "telegram", "support"),
        ),
        file=Path("deployments/campaigns.yaml"),
    )


@dataclass
class Status:
    """One adapter instance, as the supervisor would tell."""

    platform: str
    name: str | None
    state: str
    reason: str = ""
    since: float = 1_795_000_000.0
    binding_count: int = 1
    unseen: tuple[str, ...] = ()
    hindrances: tuple[str, ...] = ()

    @property
    def runtime_key(self) -> str:
        return self.platform if self.name is None else f"{self.platform}:{self.name}"


@dataclass
class Reloads:
    """What the last look at the file found."""

    running_equals_file: bool = True
    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()


def broken() -> tuple[ConfigError, ...]:
    """Two errors of one save."""
    file = "deployments/campaigns.yaml"
    return (
        ConfigError(
            Where(file, 41, 14, "bindings[2].adapter"),
            '"suport" is not configured for telegram',
            'did you mean "support"?',
        ),
        ConfigError(Where(file, 9, 5, "agents.lin"), 'unknown key "modle"', 'did you mean "model"?'),
    )


class Rooms(LocalHub):
    """The real rooms, that tell when a caller stopped waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.left = asyncio.Event()

    async def ask(
        self, chat: str, *, user: str, text: str, mention: bool = True, dm: bool = False
    ) -> tuple[str, tuple[LocalPost, ...]]:
        try:
            return await super().ask(chat, user=user, text=text, mention=mention, dm=dm)
        finally:
            self.left.set()


@dataclass
class Stage:
    """Everything a test may turn: states, the thinking of NPCs, what they say."""

    says: dict[str, str] = field(default_factory=dict)  # agent → answer
    fails: dict[str, str] = field(default_factory=dict)  # agent → reason
    current: Deployment = field(default_factory=deployment)
    now: Phase = "running"
    reloads: Reloads = field(default_factory=Reloads)
    states: list[Status] = field(
        default_factory=lambda: [
            Status("local", None, "ready", binding_count=6),
            Status("discord", None, "unconfigured", "waiting for env:DISCORD_BOT_TOKEN", binding_count=0),
            Status(
                "discord",
                "keeper",
                "ready",
                unseen=("41",),
                hindrances=("it cannot read who is there; switch that on",),
            ),
            Status(
                "telegram", "support", "retrying", "the network is unreachable; trying again in 8 s", binding_count=3
            ),
        ]
    )
    overrides: dict[Any, str] = field(default_factory=dict)
    uncertain: list[UnsureReply] = field(default_factory=list)
    state_fault: str = ""
    exhausted: list[str] = field(default_factory=list)
    said: list[tuple[str, str, str]] = field(default_factory=list)  # unasked: instance, target, text
    send_faults: dict[str, HomunculusError] = field(default_factory=dict)  # by instance
    hub: Rooms = field(default_factory=lambda: Rooms())
    events: EventHub = field(default_factory=EventHub)
    traces: Traces = field(default_factory=Traces)
    sessions: Sessions = field(default_factory=lambda: Sessions(TOKEN))
    buckets: TokenBuckets = field(default_factory=lambda: TokenBuckets(rate=0.5, burst=10_000))
    may_think: asyncio.Event = field(default_factory=asyncio.Event)
    thinking: asyncio.Event = field(default_factory=asyncio.Event)  # a turn has begun
    turns: set[asyncio.Task[None]] = field(default_factory=set)
    namespaces: dict[str, Namespace] = field(default_factory=dict)  # by agent
    holds: Holds = field(default_factory=Holds)
    unremembered: dict[str, int] = field(default_factory=lambda: {"failed": 0, "left_out": 0})

    def __post_init__(self) -> None:
        self.may_think.set()
        self.memories = Memories(self.generation, self.holds)
        self.adapter = LocalAdapter(AdapterSpec("local"), self.hub)

    @property
    def running(self) -> Running:
        return Running(
            version="0.3.0",
            phase=lambda: self.now,
            deployment=lambda: self.current,
            generation=lambda: 7,
            adapters=lambda: tuple(self.states),
            reloads=self.reloads,
            rooms=self.hub,
            plan=self.plan,
            route=self.route,
            send=self.send,
            events=self.events,
            traces=self.traces,
            sessions=self.sessions,
            overrides=self.read_overrides,
            uncertain=self.read_uncertain,
            state_fault=lambda: self.state_fault,
            usage=self.read_usage,
            exhausted=lambda: tuple(self.exhausted),
            memory=self.memories.lent,
            changing=self.memories.changing,
            unremembered=lambda: dict(self.unremembered),
        )

    def generation(self) -> Generation:
        generation = Generation.of(7, self.current)
        generation.namespaces = self.namespaces
        return generation

    async def read_usage(self) -> dict[str, Any]:
        return {"day": "2026-11-26", "models": [], "agents": [], "conversations": []}

    async def read_uncertain(self) -> tuple[UnsureReply, ...]:
        return tuple(self.uncertain)

    async def read_overrides(self) -> Overrides:
        return self.overrides

    async def plan(self, text: str | None) -> Plan:
        if text == "broken":
            raise ConfigErrors(broken())
        if text == "explode":
            raise RuntimeError(f"a surprise with {TOKEN} in it")
        return Plan(
            (
                Change("agent", "change", "lin", detail=text or "the file"),
                Change("settings", "change", "data_home", "process"),
            )
        )

    async def send(self, key: str, target: str, text: str) -> tuple[str, ...]:
        if key in self.send_faults:
            raise self.send_faults[key]
        self.said.append((key, target, text))
        return (f"post-{len(self.said)}",)

    async def route(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"asked": dict(question), "agent_id": "lin"}

    def emit(self, event: Event) -> None:
        for observer in (self.hub, self.events, self.traces):
            observer.observe(event)

    async def deliver(self, message: Message) -> Receipt:
        place = message.address.place
        agent = next((rule.agent_id for rule in self.current.bindings if rule.chat_id == place), None)
        receipt = Receipt.RECORDED if agent else Receipt.IGNORED
        self.emit(MessageReceived(message, receipt, agent))
        if agent:
            turn = asyncio.create_task(self.answer(message, agent), name=f"turn of {agent}")
            self.turns.add(turn)
            turn.add_done_callback(self.turns.discard)
            self.thinking.set()
        return receipt

    async def answer(self, message: Message, agent: str) -> None:
        began, spec = time(), self.current.agent(agent)
        assert spec is not None
        turn = f"turn-{message.id}"
        await self.may_think.wait()
        trace = Trace(
            turn,
            (message.id,),
            message.address.label,
            agent,
            "channels[0]",
            "answered",
            model=spec.model,
            provider="embedded",
        )
        if agent in self.fails:
            self.emit(TurnEnded(message.address, replace(trace, outcome="failed", reason=self.fails[agent])))
            return
        said = self.says.get(agent, f"You said: {message.text}")
        reply = Reply(f"{turn}.0", agent, spec.character.name, said, quotes=message.id)
        reply_id = await self.adapter.send(message.address, reply)
        self.emit(ReplySent(message.address, reply, reply_id))
        self.emit(TurnEnded(message.address, replace(trace, spans=_spans(began))))

    @asynccontextmanager
    async def up(self) -> AsyncIterator[Listening]:
        """Serve it on a free port; the stage is open already."""
        server = WebServer(build_app(self.running, self.buckets), port=0, closing=self.events.close)
        try:
            yield await server.start()
        finally:
            await server.aclose()

    async def __aenter__(self) -> Stage:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        await self.adapter.open(self.deliver)
        await self.adapter.listen(Scope(everything=True, direct=True))

    async def close(self) -> None:
        self.may_think.set()
        await asyncio.gather(*self.turns)
        await self.adapter.aclose()


def _spans(began: float) -> tuple[Span, ...]:
    stages = (
        ("gate", 0.001, "mentioned"),
        ("prompt", 0.006, "412 of 2000 tokens"),
        ("model", 1.32, "default (embedded), 38 tokens"),
        ("deliver", 0.012, "1 part"),
    )
    spans = []
    for stage, seconds, found in stages:
        spans.append(Span(stage, began, began + seconds, found))
        began += seconds
    return tuple(spans)
