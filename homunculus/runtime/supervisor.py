"""The owner of every live thing: it applies one deployment at a time and keeps it running.

`apply` prepares what is new (which may fail, and touches nothing live), switches to one new generation, tells the runners,
and returns. It never awaits a network or a drain: connecting, retrying and closing are the runners' own business.
"""

from __future__ import annotations

import asyncio
import difflib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homunculus.errors import Refused
from homunculus.interfaces import (
    BuildAdapter,
    ChatCommands,
    ChatModel,
    Clock,
    Emit,
    History,
    Namespace,
    Outbox,
    Pipeline,
)
from homunculus.model import AdapterChanged, Agent, Deployment, Message, Reply, Scope
from homunculus.model.events import AdapterState
from homunculus.pipelines.split import split
from homunculus.plan import Plan, nothing, plan
from homunculus.runtime.afterwards import Afterwards
from homunculus.runtime.answer import Answer
from homunculus.runtime.collector import held
from homunculus.runtime.credential import Locks
from homunculus.runtime.desk import Reloads, RunningDesk, Swapping, Traced
from homunculus.runtime.generation import BuildModel, BuildNamespace, Generation, Preparation
from homunculus.runtime.greet import Greetings, Words
from homunculus.runtime.holds import Holds
from homunculus.runtime.memories import Memories
from homunculus.runtime.orders import SPEAKER, Orders
from homunculus.runtime.overrides import Overrides
from homunculus.runtime.post import Post
from homunculus.runtime.routes import Routes
from homunculus.runtime.runner import Runner, Sleep, Wires
from homunculus.runtime.sending import Sending, Way
from homunculus.runtime.store import UNHEARD, Store
from homunculus.runtime.tasks import Tasks
from homunculus.runtime.turns import Turns

ANSWER_WITHIN = 600.0  # seconds: an older message is not answered after a crash


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did: the number of the generation that runs now, and what changed."""

    generation: int
    plan: Plan


@dataclass(frozen=True, slots=True)
class AdapterStatus:
    """One adapter instance as it is now; `unseen` are the places of its rules that it cannot see, `hindrances` what else
    cannot work though it is connected."""

    platform: str
    name: str | None
    runtime_key: str
    state: AdapterState
    reason: str
    since: float
    binding_count: int
    enabled: bool
    unseen: tuple[str, ...] = ()
    hindrances: tuple[str, ...] = ()


class Supervisor:
    """Run what a deployment says."""

    def __init__(
        self,
        *,
        state: Store,
        build_adapter: BuildAdapter,
        build_model: BuildModel,
        build_namespace: BuildNamespace,
        build_pipeline: Callable[[History, Outbox], Pipeline],
        commands: ChatCommands,
        reloads: Callable[[], Reloads],
        swaps: Callable[[], Swapping],
        traced: Traced,
        greeting: Words,
        emit: Emit,
        clock: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
        drain_seconds: float = 10.0,
    ) -> None:
        self._store, self._emit, self._clock = state, emit, clock
        self._preparation = Preparation(build_model, build_namespace)
        self.overrides = Overrides(state)
        self._sending = Sending(state, emit, sleep)
        post = Post(state, self._sending, emit)
        self._greetings = Greetings(state, self._sending, greeting)
        pipeline = build_pipeline(state, post)
        self.holds = Holds()
        self.memories = Memories(lambda: self._generation, self.holds)
        self._after = Afterwards(pipeline.after, self.holds)
        desk = RunningDesk(
            current=lambda: self._generation,
            runner=self._runner,
            overrides=self.overrides,
            sending=self._sending,
            reloads=reloads,
            swaps=swaps,
            holds=self.holds,
            memories=self.memories,
            traced=traced,
        )
        self._turns = Turns(
            store=state,
            gate=pipeline.gate,
            answer=Answer(pipeline.stages, self._after, state, post, emit, clock, sleep),
            overrides=self.overrides,
            current=lambda: self._generation,
            own=self._is_own,
            orders=Orders(commands, desk, self._sending, emit, clock),
            holds=self.holds,
            emit=emit,
            clock=clock,
        )
        self._wires = Wires(
            build=build_adapter,
            deliver=self._turns.receive,
            changed=self._changed,
            clock=clock,
            sleep=sleep,
            drain_seconds=drain_seconds,
            marks=state.last_recorded,
            resume=self._take_up,
            commands=commands.specs,
        )
        self._locks, self._tasks, self._applying = Locks(), Tasks(), asyncio.Lock()
        # All the mutable state that outlives a message:
        self._generation = Generation.of(0, Deployment(bot_name="", data_home=Path()))
        self._runners: dict[str, Runner] = {}
        self._retired: set[Runner] = set()
        self._accounts: frozenset[tuple[str, str]] = frozenset()
        self._crashed: list[tuple[Message, str]] = []
        self._closing = False

    # -- what runs now

    @property
    def applied(self) -> Deployment:
        """Return the deployment that runs; an empty one before the first `apply`."""
        return self._generation.deployment

    @property
    def generation(self) -> int:
        """Return the number of the running generation; 0 before the first `apply`."""
        return self._generation.number

    @property
    def after(self) -> Afterwards:
        """Return what is done after turns, which counts what failed and what was left out."""
        return self._after

    @property
    def routes(self) -> Routes:
        """Return the routing table that holds now."""
        return self._generation.routes

    def agent(self, agent_id: str) -> Agent | None:
        """Return an agent as it runs now."""
        return self._generation.agents.get(agent_id)

    def models(self, agent_id: str) -> tuple[ChatModel, ...]:
        """Return an agent's live models, its own first: for warming and for showing prompts. Not to be kept."""
        agent = self.agent(agent_id)
        return self._generation.models_of(agent) if agent is not None else ()

    def memory(self, agent_id: str) -> Namespace | None:
        """Return an agent's memory as it runs now. Not to be kept."""
        return self._generation.namespaces.get(agent_id)

    def adapters(self) -> tuple[AdapterStatus, ...]:
        """Return every instance of the file in its order, then those that are on their way out."""
        leaving = sorted((r for r in self._retired if r.key not in self._runners), key=lambda runner: runner.key)
        return tuple(self._status(runner) for runner in (*self._runners.values(), *leaving))

    async def settled(self) -> None:
        """Wait until what the turns left to be done aside is done: what they taught is remembered then."""
        await self._after.settled()

    # -- what it says unasked

    async def send(self, key: str, target: str, text: str) -> tuple[str, ...]:
        """Say a text through the instance of a runtime key, as the bot itself; return the platform's ids.

        A bare platform name is its default instance. Raises Refused when that will never arrive, NotReady when it may later,
        Uncertain when nobody can tell whether it did.
        """
        runner = self._runner(key)
        if runner is None:
            near = difflib.get_close_matches(key[:60], self._runners, n=1)
            fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._runners) or 'none'}"
            raise Refused(f"no adapter instance is called {key[:60]}; {fix}")
        address = await runner.locate(target)
        ident = secrets.token_hex(12)
        parts = enumerate(split(text, runner.limit))
        replies = tuple(Reply(f"{ident}.{ordinal}", UNHEARD, SPEAKER, part) for ordinal, part in parts)
        if not replies:
            raise Refused("there is nothing to say: the text is blank")
        return await self._sending.unasked(Way(ident, address, runner), UNHEARD, replies)

    # -- what changes it

    async def apply(self, wanted: Deployment) -> Applied:
        """Run `wanted` from now on. Raises Refused when that takes a new process, or whatever preparing raises.

        After a failure everything is as it was. An instance that cannot connect is no failure: its runner goes on trying.
        """
        async with self._applying:
            if not self.generation:
                await self._recall()
            changes, generation, scopes = await asyncio.to_thread(self._computed, self._generation, wanted)
            if changes.needs_process:
                raise Refused("a change of bot_name or data_home needs a restart of the program")
            await self._preparation.furnish(generation)
            if self._closing:
                generation.retire()
                raise Refused("the program is stopping")
            self._switch(generation, scopes)
            return Applied(generation.number, changes)

    async def aclose(self) -> None:
        """Stop: hear nothing, finish what is held, close the adapters, free what is shared. Safe twice."""
        self._closing = True
        runners = (*self._runners.values(), *self._retired)
        for runner in runners:
            runner.stop()
        await asyncio.gather(*(runner.ended() for runner in runners))
        await self._turns.cancel()
        await self._after.aclose()
        await self._sending.cancel()
        await self._tasks.cancel()
        if not self._generation.retired:
            self._generation.retire()
        await self._preparation.aclose()

    # -- inside

    async def _recall(self) -> None:
        await self.overrides.load()
        self._crashed = list(await self._store.unanswered(self._clock() - ANSWER_WITHIN))

    @staticmethod
    def _computed(before: Generation, wanted: Deployment) -> tuple[Plan, Generation, dict[str, Scope]]:
        """Decide everything, in a thread: a large table must not stall the conversations."""
        with held():
            changes = plan(before.deployment if before.number else nothing(wanted), wanted)
            number = before.number + 1 if changes or not before.number else before.number
            generation = Generation.of(number, wanted)
            return changes, generation, {spec.key: generation.routes.scope(spec.key) for spec in wanted.adapters}

    def _switch(self, generation: Generation, scopes: dict[str, Scope]) -> None:
        """Make a generation the current one and tell the runners. Nothing here awaits, so nobody sees half of it."""
        before, self._generation = self._generation, generation
        before.retire()
        old, self._runners = self._runners, {}
        wanted = {spec.key: spec for spec in generation.deployment.adapters}
        for key, runner in old.items():
            if key not in wanted or wanted[key].identity != runner.spec.identity:
                self._retire(runner)
        for key, spec in wanted.items():
            kept = old.get(key)
            if kept is not None and not kept.stopping:
                kept.update(spec, scopes[key])
                self._runners[key] = kept
            else:
                self._runners[key] = Runner(spec, scopes[key], self._locks.of(spec), self._wires)
        for runner in self._runners.values():
            if runner is not old.get(runner.key):
                runner.start()
            elif runner.state == "ready":
                self._greet(runner)

    def _retire(self, runner: Runner) -> None:
        self._retired.add(runner)
        runner.stop()
        self._tasks.start(self._forget(runner), f"forget {runner.key}")

    async def _forget(self, runner: Runner) -> None:
        await runner.ended()
        self._retired.discard(runner)
        self._count_accounts()

    def _changed(self, runner: Runner) -> None:
        self._emit(AdapterChanged(runner.key, runner.state, runner.reason, runner.since))
        if runner.state == "ready":
            self._count_accounts()
            self._greet(runner)

    def _greet(self, runner: Runner) -> None:
        if any(agent.spec.greeting for agent in self._generation.agents.values()):
            self._tasks.start(self._greetings.at(runner, self._generation), f"greetings of {runner.key}")

    def _count_accounts(self) -> None:
        runners = (*self._runners.values(), *self._retired)
        self._accounts = frozenset(
            (runner.spec.platform, name) for runner in runners for name in (runner.account, *runner.aliases) if name
        )

    def _runner(self, key: str) -> Runner | None:
        return self._runners.get(key)

    def _is_own(self, message: Message) -> bool:
        return (message.address.platform, message.author.id) in self._accounts

    async def _take_up(self, runner: Runner) -> None:
        """Answer what a crash left unanswered on this account; it goes on when the session dies meanwhile."""
        account = (runner.spec.platform, runner.account)
        mine = [item for item in self._crashed if (item[0].address.platform, item[0].address.account) == account]
        if mine:
            self._crashed = [item for item in self._crashed if item not in mine]
            await asyncio.shield(self._tasks.start(self._resume(runner, mine), f"resume {runner.key}"))

    async def _resume(self, runner: Runner, mine: list[tuple[Message, str]]) -> None:
        for message, agent_id in mine:
            if message.time < self._clock() - ANSWER_WITHIN:
                await self._turns.give_up(message, agent_id, "it was found too late after a crash to be answered")
            else:
                await self._turns.resume(runner, message)

    def _status(self, runner: Runner) -> AdapterStatus:
        spec = runner.spec
        return AdapterStatus(
            platform=spec.platform,
            name=spec.name,
            runtime_key=spec.key,
            state=runner.state,
            reason=runner.reason,
            since=runner.since,
            binding_count=self.routes.count(spec.key),
            enabled=spec.enabled,
            unseen=tuple(sorted(runner.unseen)),
            hindrances=runner.hindrances,
        )
