"""A scripted world for the runtime: platforms with tokens, models, memories, a strict state, and time that only we move.

Nothing here calls the code under test; every fake reports what must never happen to `World.violations`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Literal

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.interfaces import (
    Deliver,
    Desk,
    Gate,
    History,
    Mode,
    Order,
    Outbox,
    Pipeline,
    Response,
    Swapped,
    Turn,
    Verdict,
)
from homunculus.memory.keeping import Forgetful
from homunculus.model import (
    AdapterChanged,
    AdapterSpec,
    Address,
    Agent,
    AgentSpec,
    Author,
    BindingSpec,
    Character,
    CommandSpec,
    Completion,
    Deployment,
    Event,
    HistoryLine,
    MemorySpec,
    Message,
    ModelSpec,
    Prompt,
    Receipt,
    Reply,
    Scope,
    Secret,
    Trace,
    TurnEnded,
    runtime_key,
)
from homunculus.runtime.outcome import Outcome
from homunculus.runtime.store import Mark
from homunculus.runtime.supervisor import Supervisor

Mood = Literal["ok", "hang", "later", "refuse", "break", "uncertain"]
START = 1_000_000.0


# --- time and waiting -----------------------------------------------------------------------------------------------


class Time:
    """A clock that stands still until it is moved, and the sleep that goes with it."""

    def __init__(self) -> None:
        self.now = START
        self.slept: list[float] = []
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._order), woken))
        await woken

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            _, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)


async def calm(turns: int = 60) -> None:
    """Let everything run that can run without time passing; the fakes never need more steps than this."""
    for _ in range(turns):
        await asyncio.sleep(0)


# --- the state ------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    message: Message
    agent_id: str
    outcome: str = ""


class FakeStore:
    """The state in memory, strict about what the runtime may ask of it. `commits` may be closed to hold every commit."""

    def __init__(self, world: World) -> None:
        self.opened_at = START - 1
        self.inbox: dict[tuple[str, ...], Row] = {}
        self.outbox: dict[str, str] = {}
        self.lines: list[tuple[str, str, HistoryLine]] = []
        self.kept: dict[tuple[str, str, Literal["mode", "paused"]], str] = {}
        self.full = False
        self.commits = asyncio.Event()
        self.commits.set()
        self._claims: set[tuple[str, ...]] = set()
        self._world = world

    @staticmethod
    def key(message: Message) -> tuple[str, ...]:
        return (message.address.conversation, message.id)

    def seen(self, message: Message) -> bool:
        known = self.key(message) in self._claims
        if not known:
            self._claims.add(self.key(message))
            self._world.arrived[message.id] = self._world.arrivals = self._world.arrivals + 1
        return known

    async def record(self, message: Message, agent_id: str) -> bool:
        await self._commit()
        if self.full:
            self._claims.discard(self.key(message))
            raise OSError(28, "No space left on device")
        if self.key(message) in self.inbox:
            return False
        self.inbox[self.key(message)] = Row(message, agent_id)
        if agent_id:
            line = HistoryLine(message.id, message.author.name, message.text)
            self.lines.append((message.address.conversation, agent_id, line))
        return True

    async def amend(self, message: Message) -> None:
        await self._commit()
        row = self.inbox.get(self.key(message))
        if row is not None:
            row.message = replace(row.message, text=message.text)

    async def settle(self, messages: Sequence[Message], outcome: str, reason: str = "") -> None:
        await self._commit()
        if self.full:
            raise OSError(28, "No space left on device")
        self._end(messages, outcome)

    async def finish(
        self, turn_id: str, agent_id: str, messages: Sequence[Message], replies: Sequence[Reply], address: Address
    ) -> None:
        await self._commit()
        if self.full:
            raise OSError(28, "No space left on device")
        self._end(messages, "replied")
        for reply in replies:
            if reply.id in self.outbox:
                self._world.violations.append(f"reply {reply.id} entered the outbox twice")
            self.outbox[reply.id] = "sending"
            if agent_id:
                line = HistoryLine(reply.id, reply.author, reply.text, agent_id=agent_id)
                self.lines.append((address.conversation, agent_id, line))

    async def extend(self, turn_id: str, agent_id: str, replies: Sequence[Reply], address: Address) -> None:
        await self._commit()
        for reply in replies:
            self.outbox.setdefault(reply.id, "sending")
        texts = {reply.id: reply.text for reply in replies}
        self.lines = [(c, a, replace(line, text=texts.pop(line.id, line.text))) for c, a, line in self.lines]
        for reply in replies:
            if reply.id in texts:
                self.lines.append(
                    (address.conversation, agent_id, HistoryLine(reply.id, reply.author, reply.text, agent_id=agent_id))
                )

    async def sent(self, reply_id: str, message_id: str) -> None:
        self._leave(reply_id, "sent")

    async def unsent(self, reply_id: str, outcome: Literal["failed", "uncertain"], reason: str) -> None:
        self._leave(reply_id, outcome)

    async def unanswered(self, since: float) -> tuple[tuple[Message, str], ...]:
        rows = [row for row in self.inbox.values() if not row.outcome and row.message.time >= since]
        return tuple((row.message, row.agent_id) for row in rows)

    async def last_recorded(self, platform: str, account: str) -> tuple[Mark, ...]:
        await asyncio.sleep(0)
        newest = {row.message.address.conversation: row.message for row in self.inbox.values()}
        return tuple(
            Mark(message.address, message.id, message.time)
            for message in newest.values()
            if (message.address.platform, message.address.account) == (platform, account)
        )

    async def overrides(self) -> dict[tuple[str, str, Literal["mode", "paused"]], str]:
        return dict(self.kept)

    async def set_override(
        self, conversation: str, agent_id: str, key: Literal["mode", "paused"], value: str | None
    ) -> None:
        if value is None:
            self.kept.pop((conversation, agent_id, key), None)
        else:
            self.kept[conversation, agent_id, key] = value

    async def recent(
        self, conversation: str, agent_id: str, limit: int, before: Message | None = None
    ) -> tuple[HistoryLine, ...]:
        return tuple(line for c, a, line in self.lines if (c, a) == (conversation, agent_id))[-limit:]

    async def _commit(self) -> None:
        await asyncio.sleep(0)
        await self.commits.wait()

    def _end(self, messages: Sequence[Message], outcome: str) -> None:
        for message in messages:
            row = self.inbox.get(self.key(message))
            if row is None or row.outcome:
                self._world.violations.append(
                    f"{message.id} ended, but it was {row.outcome if row else 'not recorded'}"
                )
            else:
                row.outcome = outcome

    def _leave(self, reply_id: str, outcome: str) -> None:
        if self.outbox.get(reply_id) != "sending":
            self._world.violations.append(f"reply {reply_id} is {outcome}, but it was {self.outbox.get(reply_id)}")
        self.outbox[reply_id] = outcome


# --- the platform ---------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """The platform's side of one token: who is connected with it, what was not confirmed yet, what was posted."""

    token: str
    live: list[FakeAdapter] = field(default_factory=list)
    opens: int = 0
    open_mood: Mood = "ok"
    send_mood: Mood = "ok"
    edit_mood: Mood = "ok"
    offer_mood: Mood = "ok"
    after: float | None = None
    unconfirmed: list[Message] = field(default_factory=list)
    posts: list[tuple[Address, Reply]] = field(default_factory=list)
    edits: list[tuple[str, str]] = field(default_factory=list)
    whispers: list[tuple[str, str]] = field(default_factory=list)  # to whom, what
    offers: list[tuple[CommandSpec, ...]] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)  # set and replaced: ends what hangs

    @property
    def account(self) -> str:
        return f"bot-{self.token}"

    def release(self) -> None:
        self.released, released = asyncio.Event(), self.released
        released.set()

    def die(self, error: Exception | None = None) -> None:
        for adapter in self.live:
            if adapter.dead.done():
                continue
            if error is None:
                adapter.dead.set_result(None)
            else:
                adapter.dead.set_exception(error)
                adapter.dead.exception()  # nobody need be watching


class FakeAdapter:
    """One session of a token. It confirms to its platform after any receipt, and never after an exception."""

    limit = 2000
    edit_every = 1.0

    def __init__(self, spec: AdapterSpec, world: World) -> None:
        self.spec, self.world = spec, world
        self.server = world.server(spec.credential("token") or "")
        self.abilities = frozenset(world.abilities)
        self.account = ""
        self.scope = Scope()
        self.heard: list[Scope] = []
        self.receipts: list[tuple[str, Receipt | BaseException]] = []
        self.signs: list[str] = []
        self.closed_for_good = False
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._deliver: Deliver | None = None
        self._pump: asyncio.Task[None] | None = None
        self._more = asyncio.Event()

    async def open(self, deliver: Deliver) -> None:
        server = self.server
        if server.live:
            self.world.violations.append(f"{server.token} is open twice: {server.live[0].spec.key}, {self.spec.key}")
        server.live.append(self)
        server.opens += 1
        await self._suffer(server.open_mood)
        self.account, self._deliver = server.account, deliver
        self._pump = asyncio.create_task(self._redeliver(), name=f"pump {self.spec.key}")

    async def listen(self, scope: Scope) -> frozenset[str]:
        self.scope = scope
        self.heard.append(scope)
        self._more.set()
        return frozenset(place for place in scope.places if place.startswith("hidden"))

    async def send(self, address: Address, reply: Reply) -> str:
        if self.closed_for_good or address.account != self.account:
            self.world.violations.append(f"{reply.id} for {address.account} went out through {self.account}")
        if self.world.store.outbox.get(reply.id) != "sending":
            self.world.violations.append(f"{reply.id} was sent, but its row is {self.world.store.outbox.get(reply.id)}")
        await self._suffer(self.server.send_mood)
        self.server.posts.append((address, reply))
        return f"post-{len(self.server.posts)}"

    async def locate(self, target: str) -> Address:
        if target == "nowhere":
            raise Refused("there is no such place")
        return Address(self.spec.platform, self.spec.key, self.account, target, label=f"{self.spec.key}:{target}")

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        await self._suffer(self.server.edit_mood)
        self.server.edits.append((message_id, reply.text))

    async def whisper(self, message: Message, text: str) -> bool:
        await self._suffer(self.server.send_mood)
        if self.world.overheard:
            return False
        self.server.whispers.append((message.author.id, text))
        return True

    async def offer(self, commands: tuple[CommandSpec, ...]) -> None:
        self.server.offers.append(commands)
        await self._suffer(self.server.offer_mood)

    async def react(self, address: Address, message_id: str) -> None:
        self.signs.append(f"react {message_id}")
        await self._suffer(self.world.sign_mood)

    def typing(self, address: Address) -> FakeTyping:
        return FakeTyping(self)

    async def closed(self) -> None:
        await asyncio.shield(self.dead)

    async def aclose(self) -> None:
        self.closed_for_good = True
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        await asyncio.sleep(0)
        if self in self.server.live:
            self.server.live.remove(self)
        if not self.dead.done():
            self.dead.cancel()

    def wake(self) -> None:
        """Deliver what is unconfirmed."""
        self._more.set()

    async def deliver(self, message: Message) -> Receipt:
        """Hand one message in, as the platform's event would."""
        assert self._deliver is not None
        message = replace(message, address=replace(message.address, adapter=self.spec.key, account=self.account))
        receipt = await self._deliver(message)
        self.receipts.append((message.id, receipt))
        if receipt is Receipt.RECORDED and FakeStore.key(message) not in {
            FakeStore.key(row.message) for row in self.world.store.inbox.values()
        }:
            self.world.violations.append(f"{message.id} was confirmed before it was recorded")
        return receipt

    def hears(self, message: Message) -> bool:
        scope = self.scope
        return scope.everything or message.address.place in scope.places

    async def _redeliver(self) -> None:
        """Deliver what is unconfirmed, one after the other, oldest first, like a long poll."""
        while True:
            await self._more.wait()
            self._more.clear()
            for message in [m for m in self.server.unconfirmed if self.hears(m)]:
                try:
                    await self.deliver(message)
                except Exception as error:
                    self.receipts.append((message.id, error))
                    break
                if message in self.server.unconfirmed:
                    self.server.unconfirmed.remove(message)

    async def _suffer(self, mood: Mood) -> None:
        await asyncio.sleep(0)
        if mood == "hang":
            await self.server.released.wait()
        elif mood == "later":
            raise NotReady("the platform is busy", self.server.after)
        elif mood == "refuse":
            raise Refused("the token is bad")
        elif mood == "uncertain":
            raise Uncertain("the line was cut")
        elif mood == "break":
            raise ZeroDivisionError("a bug of the adapter")


class FakeTyping:
    def __init__(self, adapter: FakeAdapter) -> None:
        self.adapter = adapter

    async def __aenter__(self) -> None:
        self.adapter.signs.append("typing")

    async def __aexit__(self, *error: object) -> None:
        self.adapter.signs.append("typed")


# --- models and memory ----------------------------------------------------------------------------------------------


class FakeModel:
    """Answers `<model id> v<temperature>`; thinks for as long as the world says."""

    def __init__(self, spec: ModelSpec, world: World) -> None:
        self.spec, self.world = spec, world
        self.closed = False
        world.models.append(self)

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        await self.world.think(prompt)
        if self.closed:
            self.world.violations.append(f"model {self.spec.id} was closed while a turn used it")
        if self.spec.id in self.world.failing_models:
            raise NotReady("overloaded")
        return Completion(f"v{self.spec.temperature:g}", self.spec.id, "scripted")

    async def warm(self, prompt: Prompt) -> None:
        return None

    async def aclose(self) -> None:
        self.closed = True


class FakeNamespace(Forgetful):
    """A folder that must never have two owners with the same settings. Closing takes longer than an `apply`."""

    def __init__(self, name: str, memory: MemorySpec, world: World) -> None:
        super().__init__(Path(name), Path("archive"), memory)
        self.name, self.key, self.world = name, (name, memory), world

    async def open(self) -> None:
        if self.name in self.world.broken_namespaces:
            raise Refused("the folder cannot be made")
        self.world.owners[self.key] += 1
        if self.world.owners[self.key] > 1:
            self.world.violations.append(f"namespace {self.name} has two owners")
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        if self.name in self.world.broken_namespaces:
            return
        for _ in range(self.world.closing_steps):
            await asyncio.sleep(0)
        self.world.owners[self.key] -= 1


# --- the pipeline ---------------------------------------------------------------------------------------------------


def fake_gate(agent: Agent, mode: Mode, message: Message) -> Verdict:
    if mode == "observe":
        return Verdict(answer=False, reason="it observes")
    return Verdict(answer=not message.text.startswith("quiet"), reason="as the text says")


class Think:
    """Ask the first model, and check on the way what a turn is promised."""

    name = "model"

    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self, turn: Turn) -> None:
        world, conversation, agent = self.world, turn.address.conversation, turn.agent
        current = world.supervisor.agent(agent.id)
        if current != agent:
            world.violations.append(f"turn {turn.id} began on an agent that is not current")
        if conversation in world.thinking:
            world.violations.append(f"{conversation} answers two turns at once")
        world.thinking[conversation] = turn
        for message in turn.messages:
            row, arrived = world.store.inbox.get(FakeStore.key(message)), world.arrived.get(message.id, 0)
            if row is not None and agent.id != row.agent_id and world.missing.get(row.agent_id, -1) < arrived:
                world.violations.append(f"{message.id} is answered by {agent.id}, and {row.agent_id} is still there")
        arrivals = [world.arrived.get(message.id, 0) for message in turn.messages]
        if arrivals != sorted(arrivals) or arrivals[0] < world.last_answered.get(conversation, 0):
            world.violations.append(f"{conversation} answers out of order")
        world.turns.append(turn)
        try:
            prompt = Prompt((), tuple(message.text for message in turn.messages), char=conversation)
            turn.completion = await turn.models[0].complete(prompt)
        finally:
            world.thinking.pop(conversation, None)
        if turn.agent != agent:
            world.violations.append(f"turn {turn.id} ended on another agent than it began with")
        if turn.completion.text != f"v{agent.models[0].temperature:g}":
            world.violations.append(f"turn {turn.id} was answered by another model than it began with")
        if not any(owners for (name, _), owners in world.owners.items() if name == agent.spec.namespace):
            world.violations.append(f"turn {turn.id} has lost its namespace")


class Say:
    """Post one reply, in as many parts as the world says."""

    name = "delivery"

    def __init__(self, outbox: Outbox, world: World) -> None:
        self.outbox, self.world = outbox, world

    async def run(self, turn: Turn) -> None:
        assert turn.completion is not None
        name = turn.agent.character.name
        turn.replies = tuple(
            Reply(f"{turn.id}.{part}", turn.agent.id, name, turn.completion.text, turn.messages[-1].id)
            for part in range(self.world.parts)
        )
        self.world.posting.add(turn.address.conversation)
        try:
            turn.sent = await self.outbox.post(turn, turn.replies)
        finally:
            self.world.posting.discard(turn.address.conversation)
            if turn.replies[0].id in self.world.store.outbox:  # else it was no turn after all
                last = self.world.arrived.get(turn.messages[-1].id, 0)
                self.world.last_answered[turn.address.conversation] = last


# --- the world ------------------------------------------------------------------------------------------------------


class FakeCommands:
    """Takes `!word …` from people: does what the world says of the word, and keeps every order."""

    specs = (CommandSpec(("echo",), "say it again"),)

    def __init__(self, world: World) -> None:
        self._world = world

    def line(self, message: Message) -> str | None:
        return message.command or (message.text[1:] if message.text.startswith("!") else None)

    async def run(self, order: Order, desk: Desk) -> Response:
        self._world.orders.append(order)
        return await self._world.command(order, desk)


async def echo(order: Order, desk: Desk) -> Response:
    """What a command says unless a test wants it otherwise."""
    return Response(f"heard: {order.line}", private="private" in order.line)


class FakeReloads:
    """A file that is looked at on request: every look finds what the test put there."""

    def __init__(self) -> None:
        self.outcome = Outcome("applied", 1)
        self.asked = 0

    async def request(self) -> Outcome:
        self.asked += 1
        return self.outcome


class FakeSwaps:
    """Swaps nothing, and remembers who was to be swapped for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def swap(self, agent: Agent, character: str) -> Swapped:
        self.asked.append((agent.id, character))
        return Swapped(agent.character.name, character, "an-archive")


class World:
    """Everything around one supervisor."""

    def __init__(self, gate: Gate = fake_gate) -> None:
        self.violations: list[str] = []
        self.events: list[Event] = []
        self.time = Time()
        self.store = FakeStore(self)
        self.servers: dict[str, Server] = {}
        self.adapters: list[FakeAdapter] = []
        self.models: list[FakeModel] = []
        self.owners: Counter[tuple[str, MemorySpec]] = Counter()
        self.abilities: set[str] = set()
        self.sign_mood: Mood = "ok"
        self.overheard = False  # the platform cannot show a text to one person alone
        self.failing_models: set[str] = set()
        self.broken_namespaces: set[str] = set()
        self.parts = 1
        self.thinking: dict[str, Turn] = {}
        self.turns: list[Turn] = []
        self.arrived: dict[str, int] = {}
        self.arrivals = 0  # how many messages the runtime has claimed: the order of arrival
        self.known: set[str] = set()  # every agent there ever was
        self.missing: dict[str, int] = {}  # agent → arrivals when it was last seen to be missing
        self.posting: set[str] = set()  # conversations whose reply is on its way out
        self.last_answered: dict[str, int] = {}
        self.pondering: dict[str, asyncio.Event] = {}  # conversation → released when its model may answer
        self.slow = False
        self.closing_steps = 0
        self.gate = gate
        self.reloads = FakeReloads()
        self.swaps = FakeSwaps()
        self.trace: Trace | None = None
        self.orders: list[Order] = []
        self.command: Callable[[Order, Desk], Awaitable[Response]] = echo
        self._ids = count(1)
        self.supervisor = self.start()

    def start(self) -> Supervisor:
        self.supervisor = Supervisor(
            state=self.store,
            build_adapter=self._adapter,
            build_model=lambda spec: FakeModel(spec, self),
            build_namespace=lambda deployment, spec: FakeNamespace(spec.namespace, deployment.memory, self),
            build_pipeline=self._pipeline,
            commands=FakeCommands(self),
            reloads=lambda: self.reloads,
            swaps=lambda: self.swaps,
            traced=self.traced,
            greeting=lambda spoken: f"{spoken.character.name} looks up.",
            emit=self.events.append,
            clock=self.time,
            sleep=self.time.sleep,
            drain_seconds=10.0,
        )
        return self.supervisor

    def traced(self, message: Message) -> Trace | None:
        return self.trace

    async def apply(self, wanted: Deployment) -> None:
        """Apply a deployment, and remember which agents it takes away."""
        await self.supervisor.apply(wanted)
        self.known |= {spec.id for spec in wanted.agents}
        self.missing |= dict.fromkeys(self.known - {spec.id for spec in wanted.agents}, self.arrivals)

    async def stop(self) -> None:
        """Close the supervisor; time passes as it needs."""
        closing = asyncio.create_task(self.supervisor.aclose())
        deadline = asyncio.get_running_loop().time() + 20  # of real time: threads are part of it
        while asyncio.get_running_loop().time() < deadline:
            await calm()
            if closing.done():
                return await closing
            self.time.advance(60)
        closing.cancel()
        self.violations.append("it does not stop")
        await asyncio.wait({closing})
        return None

    def server(self, token: str) -> Server:
        return self.servers.setdefault(token, Server(token))

    def live(self, key: str) -> FakeAdapter:
        """Return the newest live adapter of a runtime key."""
        return next(a for a in reversed(self.adapters) if a.spec.key == key and not a.closed_for_good)

    def message(self, token: str, place: str, text: str = "hello", **changes: object) -> Message:
        ident = f"m{next(self._ids)}"
        address = Address("discord", "?", self.server(token).account, place, label=f"{token}:{place}")
        made = Message(ident, address, Author("ana", "Ana"), text, time=self.time.now)
        return replace(made, **changes)  # type: ignore[arg-type]

    def say(self, token: str, place: str, text: str = "hello") -> Message:
        """Post as a player: the platform keeps it until somebody confirms it."""
        message = self.message(token, place, text)
        self.put(message, token)
        return message

    def put(self, message: Message, token: str) -> None:
        self.server(token).unconfirmed.append(message)
        for adapter in self.server(token).live:
            adapter.wake()

    async def think(self, prompt: Prompt) -> None:
        await asyncio.sleep(0)
        if self.slow:
            await self.pondering.setdefault(prompt.char, asyncio.Event()).wait()

    def answer(self, conversation: str) -> None:
        """Let the model of a conversation answer what it ponders."""
        self.pondering.pop(conversation, asyncio.Event()).set()

    def answer_all(self) -> None:
        self.slow = False
        for conversation in list(self.pondering):
            self.answer(conversation)

    def ended(self) -> list[TurnEnded]:
        return [event for event in self.events if isinstance(event, TurnEnded)]

    def outcomes(self) -> dict[str, list[str]]:
        """Return, for each message id, how often and how it ended."""
        found: dict[str, list[str]] = {}
        for event in self.ended():
            for message_id in event.trace.message_ids:
                found.setdefault(message_id, []).append(event.trace.outcome)
        return found

    def states(self, key: str) -> list[str]:
        return [e.state for e in self.events if isinstance(e, AdapterChanged) and e.runtime_key == key]

    def state(self, key: str) -> str:
        return next(s.state for s in self.supervisor.adapters() if s.runtime_key == key)

    def _adapter(self, spec: AdapterSpec) -> FakeAdapter:
        adapter = FakeAdapter(spec, self)
        self.adapters.append(adapter)
        return adapter

    def _pipeline(self, history: History, outbox: Outbox) -> Pipeline:
        return Pipeline(self.gate, (Think(self), Say(outbox, self)))


@asynccontextmanager
async def running(gate: Gate = fake_gate) -> AsyncIterator[World]:
    """Yield a world; afterwards it is stopped, and nothing that must never happen has happened."""
    world = World(gate)
    try:
        yield world
    finally:
        world.answer_all()
        await world.stop()
    assert world.violations == []
    assert not any(server.live for server in world.servers.values())
    assert not +world.owners
    assert all(model.closed for model in world.models)


# --- deployments ----------------------------------------------------------------------------------------------------


def adapter(name: str | None, token: str | None, **changes: object) -> AdapterSpec:
    secret = Secret(f"env:{name or 'DEFAULT'}", token)
    return replace(AdapterSpec("discord", name, credentials=(("token", secret),)), **changes)  # type: ignore[arg-type]


def agent(ident: str, version: int = 0, **changes: object) -> AgentSpec:
    character = Character(ident, ident.title(), description=f"version {version}")
    return replace(AgentSpec(ident, character, ident, respond="always"), **changes)  # type: ignore[arg-type]


def rule(agent_id: str, name: str | None = None, *places: str, **changes: object) -> BindingSpec:
    made = BindingSpec(agent_id, "discord", name, channel_ids=places, path=f"bindings[{agent_id}]")
    return replace(made, **changes)  # type: ignore[arg-type]


def deployment(
    adapters: Sequence[AdapterSpec], agents: Sequence[AgentSpec], bindings: Sequence[BindingSpec], **changes: object
) -> Deployment:
    made = Deployment(
        bot_name="campaigns",
        data_home=Path("/data"),
        adapters=tuple(adapters),
        models=(ModelSpec("default", "scripted"),),
        memory=MemorySpec(backend="none"),
        agents=tuple(agents),
        bindings=tuple(bindings),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def key(name: str | None) -> str:
    return runtime_key("discord", name)
