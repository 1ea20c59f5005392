"""From a delivered message to its turn: record, judge, wait, take. Spec: "One message, start to end".

Owns what waits and what is taken together; never connects anything and never reads a deployment. The current generation
is asked for when a message arrives and once more when its turn begins, and not again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from loguru import logger

from homunculus.interfaces import Clock, Emit, Gate, Verdict
from homunculus.model import Message, MessageReceived, Receipt, Span
from homunculus.runtime.answer import Answer, Outcome
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds
from homunculus.runtime.lanes import Lane, Lanes, Waiting
from homunculus.runtime.limits import Limits
from homunculus.runtime.orders import LOST, Orders
from homunculus.runtime.overrides import Overrides
from homunculus.runtime.post import Batch, Void
from homunculus.runtime.routes import Route
from homunculus.runtime.runner import Runner
from homunculus.runtime.store import UNHEARD, Store
from homunculus.runtime.tasks import Tasks

_PLACES = 10_000  # unmatched places that are remembered as logged


class Turns:
    """Take what the runners deliver, and see that each recorded message ends exactly once."""

    def __init__(
        self,
        *,
        store: Store,
        gate: Gate,
        answer: Answer,
        overrides: Overrides,
        current: Callable[[], Generation],
        own: Callable[[Message], bool],
        orders: Orders,
        holds: Holds,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self._holds = holds
        self._store, self._gate, self._answer, self._overrides = store, gate, answer, overrides
        self._orders = orders
        self._current, self._own, self._emit, self._clock = current, own, emit, clock
        self._limits = Limits(clock)
        self._lanes = Lanes(self._next)
        self._tasks = Tasks()
        self._logged: set[tuple[str, str]] = set()

    # -- what comes in

    async def receive(self, runner: Runner, message: Message) -> Receipt:
        """Take one delivery. What is RECORDED is durable when this returns; raises when it could not be written."""
        started = self._clock()
        if not message.author.own and self._own(message):
            message = replace(message, author=replace(message.author, own=True))
        generation = self._current()
        route = generation.routes.match(message)
        if message.kind != "posted":
            return await self._amend(message, route)
        self._limits.heard(message)
        span = Span("route", started, self._clock(), route.reason)
        if (line := self._orders.line(message, route)) is not None:
            return await self._obey(runner, message, line, route, span)
        if route.agent_id is None:
            return self._ignore(message, route, span)
        if self._store.seen(message):
            self._emit(MessageReceived(message, Receipt.DUPLICATE, route.agent_id))
            return Receipt.DUPLICATE
        # It cannot be in the database from before, so its turn need not wait for the commit.
        beside = message.time > self._store.opened_at
        recorded = self._tasks.watch(self._record(message, route.agent_id), f"record {message.id}")
        waiting = Waiting(
            message, route.agent_id, route.rule, runner, generation.number, recorded, beside=beside, spans=[span]
        )
        verdict = self._judge(waiting, generation)
        if verdict.answer:
            self._lanes.put(waiting)
        else:
            # Aside: a delivery may be cancelled with its session, and the message must end all the same.
            self._tasks.start(self._stay_silent(waiting, verdict.reason), f"end {message.id}")
        return Receipt.RECORDED if await asyncio.shield(recorded) else Receipt.DUPLICATE

    async def resume(self, runner: Runner, message: Message) -> None:
        """Take up a message that was recorded before a crash and never ended; it is routed again."""
        message = replace(message, address=replace(message.address, adapter=runner.key))
        generation = self._current()
        route = generation.routes.match(message)
        if self._orders.line(message, route) is not None:
            # Carried out at most once: who typed it sees that nothing came of it.
            await self.give_up(message, route.agent_id or "", LOST)
            return
        recorded: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        recorded.set_result(True)
        now = self._clock()
        span = Span("route", now, now, route.reason)
        waiting = Waiting(
            message, route.agent_id or "", route.rule, runner, generation.number, recorded, beside=False, spans=[span]
        )
        verdict = self._judge(waiting, generation) if route.agent_id else Verdict(answer=False, reason=route.reason)
        if verdict.answer:
            self._lanes.put(waiting)
        else:
            await self._end(waiting, "silent", verdict.reason)

    async def give_up(self, message: Message, agent_id: str, reason: str) -> None:
        """End a recorded message that is not going to be answered any more."""
        await self._answer.settle((message,), "failed", reason)
        self._answer.tell(message, "failed", reason, agent_id, "")

    async def cancel(self) -> None:
        """End everything where it is."""
        await self._lanes.cancel()
        await self._tasks.cancel()

    # -- what becomes of it

    async def _obey(self, runner: Runner, message: Message, line: str, route: Route, span: Span) -> Receipt:
        """Carry out a command beside everything else; once it is recorded, since the platform may bring it again."""
        if self._store.seen(message):
            self._emit(MessageReceived(message, Receipt.DUPLICATE))
            return Receipt.DUPLICATE
        recorded = self._tasks.watch(self._record(message, UNHEARD), f"record {message.id}")
        if not await asyncio.shield(recorded):
            return Receipt.DUPLICATE
        self._tasks.start(self._carried_out(runner, message, line, route, span), f"command {message.id}")
        return Receipt.RECORDED

    async def _carried_out(self, runner: Runner, message: Message, line: str, route: Route, span: Span) -> None:
        runner.hold()
        try:
            generation = self._current()
            with generation.in_use():
                if reason := self._limits.objection(message):
                    self._answer.tell(message, "silent", reason, route.agent_id, route.rule, span)
                else:
                    await self._orders.run(runner, message, line, route, generation, span)
                    self._limits.answered((message,))
            await self._answer.settle((message,), "silent", "a command")
        finally:
            runner.let_go()

    async def _record(self, message: Message, agent_id: str) -> bool:
        new = await self._store.record(message, agent_id)
        self._emit(MessageReceived(message, Receipt.RECORDED if new else Receipt.DUPLICATE, agent_id or None))
        return new

    async def _amend(self, message: Message, route: Route) -> Receipt:
        if route.agent_id is None and route.binding is None:
            self._emit(MessageReceived(message, Receipt.IGNORED))
            return Receipt.IGNORED
        waiting = self._lanes.waiting(message)
        if waiting is not None and message.kind == "deleted":
            waiting.deleted = True
        elif waiting is not None:
            waiting.message = replace(waiting.message, text=message.text, attachments=message.attachments)
        await self._store.amend(message)
        self._emit(MessageReceived(message, Receipt.RECORDED, route.agent_id))
        return Receipt.RECORDED

    def _ignore(self, message: Message, route: Route, span: Span) -> Receipt:
        place = (message.address.adapter, message.address.place)
        if route.unmatched and place not in self._logged and len(self._logged) < _PLACES:
            self._logged.add(place)
            logger.bind(adapter=place[0], place=message.address.label or place[1]).info("Nobody answers in a place")
        self._emit(MessageReceived(message, Receipt.IGNORED))
        if not message.author.own:  # what we said belongs to its turn's own trace, and must not take its place
            self._answer.tell(message, "ignored", route.reason, None, route.rule, span)
        return Receipt.IGNORED

    def _judge(self, waiting: Waiting, generation: Generation) -> Verdict:
        """Ask the gate, with what people overrode in this conversation."""
        started = self._clock()
        agent, conversation = generation.agents[waiting.agent_id], waiting.message.address.conversation
        try:
            verdict = self._gate(agent, self._overrides.mode(conversation, agent), waiting.message)
        except Exception as error:  # noqa: BLE001 - a message that was claimed must end, whatever the gate does
            logger.bind(agent=agent.id).opt(exception=error).error("The gate failed unexpectedly")
            verdict = Verdict(answer=False, reason=f"the gate failed unexpectedly: {type(error).__name__}")
        if self._overrides.paused(conversation, agent):
            verdict = Verdict(answer=False, reason="it is paused here")
        waiting.spans.append(Span("gate", started, self._clock(), verdict.reason))
        return verdict

    async def _end(self, waiting: Waiting, outcome: Outcome, reason: str) -> None:
        await self._answer.settle((waiting.message,), outcome, reason)
        self._answer.tell(waiting.message, outcome, reason, waiting.agent_id or None, waiting.rule, *waiting.spans)

    async def _stay_silent(self, waiting: Waiting, reason: str) -> None:
        if await waiting.stands():
            await self._end(waiting, "silent", reason)

    # -- what a lane does next

    async def _next(self, lane: Lane) -> None:
        """Answer the front of a lane in one turn, on the generation that is current when it begins."""
        if not lane[0].beside:
            await lane[0].stands()
        await self._holds.passed(lane[0].agent_id)
        generation = self._current()
        if dropped := self._sift(lane, generation):
            await self._drop(dropped)
            return
        if self._holds.is_held(lane[0].agent_id):  # another agent than before, since that one is gone
            return
        # Nothing is awaited between asking for the generation and being counted in it.
        with generation.in_use(), self._holds.taken(lane[0].agent_id):
            batch = Batch(_neighbours(lane))
            try:
                await self._run(generation, batch, lane)
            finally:
                for waiting in batch.waiting:
                    waiting.runner.let_go()

    async def _run(self, generation: Generation, batch: Batch, lane: Lane) -> None:
        try:
            await self._answer.run(generation, batch)
        except Void:
            ours = [waiting for waiting in batch.waiting if not waiting.void]
            for waiting in reversed(ours):
                waiting.runner.hold()
                lane.appendleft(waiting)
            return
        if batch.ended:
            self._limits.answered(waiting.message for waiting in batch.waiting)

    def _sift(self, lane: Lane, generation: Generation) -> list[tuple[Waiting, Outcome, str]]:
        """Take out of a lane what will not be answered, so that it keeps no neighbours apart."""
        judged = [(waiting, self._objection(waiting, generation)) for waiting in lane]
        dropped = [(waiting, *objection) for waiting, objection in judged if objection is not None]
        for waiting, _, _ in dropped:
            lane.remove(waiting)
        return dropped

    async def _drop(self, dropped: list[tuple[Waiting, Outcome, str]]) -> None:
        for waiting, outcome, reason in dropped:
            try:
                if await waiting.stands():
                    await self._end(waiting, outcome, reason)
            finally:
                waiting.runner.let_go()

    def _objection(self, waiting: Waiting, generation: Generation) -> tuple[Outcome, str] | None:
        if waiting.void:
            return "silent", "it was answered before"
        if waiting.deleted:
            return "silent", "it was deleted before it was answered"
        if waiting.runner.gone:
            return "failed", f"{waiting.runner.key} has gone, and no other instance may speak for it"
        if waiting.generation != generation.number and (reason := self._again(waiting, generation)):
            return "silent", reason
        reason = self._limits.objection(waiting.message)
        return ("silent", reason) if reason else None

    def _again(self, waiting: Waiting, generation: Generation) -> str:
        """Judge by a newer generation: the same agent as it is now, or whoever answers there since that one is gone."""
        waiting.generation = generation.number
        if waiting.agent_id not in generation.agents:
            route = generation.routes.match(waiting.message)
            if route.agent_id is None:
                return f"{waiting.agent_id} was removed while it waited: {route.reason}"
            waiting.agent_id, waiting.rule = route.agent_id, route.rule
        verdict = self._judge(waiting, generation)
        return "" if verdict.answer else verdict.reason


def _neighbours(lane: Lane) -> list[Waiting]:
    """Take off the front of a lane what one reply can answer: the same agent, heard by the same instance."""
    batch = [lane.popleft()]
    while lane and (lane[0].beside or lane[0].recorded.done()):
        if lane[0].agent_id != batch[0].agent_id or lane[0].runner is not batch[0].runner:
            break
        batch.append(lane.popleft())
    return batch
