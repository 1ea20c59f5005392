"""The runtime with one sentence of design/architecture.md broken on purpose, for each sentence: the storm must notice.

Each entry names the sentence (● marks it there) and breaks it by replacing one function.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from homunculus.errors import Refused
from homunculus.interfaces import Stage, Turn
from homunculus.model import AdapterSpec, Deployment, Message, Receipt, Reply
from homunculus.runtime import turns as turns_module
from homunculus.runtime.answer import Answer
from homunculus.runtime.credential import Locks
from homunculus.runtime.generation import Generation
from homunculus.runtime.lanes import Lane, Lanes, Waiting
from homunculus.runtime.pool import Pool
from homunculus.runtime.post import Batch, Post
from homunculus.runtime.runner import Runner
from homunculus.runtime.supervisor import Applied, Supervisor
from homunculus.runtime.turns import Turns
from tests.unit.runtime.fakes import FakeStore
from tests.unit.runtime.storm import Storm

Mutate = Callable[[pytest.MonkeyPatch, Callable[[], Storm]], None]


def lock_by_name(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    def key(spec: AdapterSpec) -> tuple[str, str]:
        return (spec.platform, spec.key)

    patch.setattr(Locks, "key", staticmethod(key))


def apply_awaits_open(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    apply = Supervisor.apply

    async def waiting(self: Supervisor, wanted: Deployment) -> Applied:
        applied = await apply(self, wanted)
        for runner in self._runners.values():
            with suppress(Refused):
                await runner._connected()
        return applied

    patch.setattr(Supervisor, "apply", waiting)


def apply_awaits_drain(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    apply = Supervisor.apply

    async def waiting(self: Supervisor, wanted: Deployment) -> Applied:
        applied = await apply(self, wanted)
        for runner in tuple(self._retired):
            await runner.ended()
        return applied

    patch.setattr(Supervisor, "apply", waiting)


def confirm_before_record(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    receive = Turns.receive

    async def early(self: Turns, runner: Runner, message: Message) -> Receipt:
        receiving = self._tasks.watch(receive(self, runner, message), "receive")
        await asyncio.sleep(0)
        return receiving.result() if receiving.done() else Receipt.RECORDED

    patch.setattr(Turns, "receive", early)


def turns_are_not_counted(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    @contextmanager
    def in_use(self: Generation) -> Iterator[None]:
        yield

    patch.setattr(Generation, "in_use", in_use)


def turn_reads_its_agent_again(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    stage_of = Answer._stage

    async def again(self: Answer, stage: Stage, turn: Turn) -> None:
        async def watched() -> None:
            while True:
                turn.agent = storm().world.supervisor.agent(turn.agent.id) or turn.agent
                await asyncio.sleep(0)

        watching = asyncio.create_task(watched())
        try:
            await stage_of(self, stage, turn)
        finally:
            watching.cancel()

    patch.setattr(Answer, "_stage", again)


def waiting_message_keeps_the_agent_it_arrived_at(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    born: dict[int, Generation] = {}
    of, run = Generation.of, Answer.run

    def remembered(number: int, wanted: Deployment) -> Generation:
        return born.setdefault(number, of(number, wanted))

    async def stale(self: Answer, generation: Generation, batch: Batch) -> None:
        old = born[batch.last.generation]
        await run(self, replace(generation, agents=old.agents, models=old.models | generation.models), batch)

    patch.setattr(Generation, "of", staticmethod(remembered))
    patch.setattr(Turns, "_again", lambda self, waiting, generation: "")
    patch.setattr(Answer, "run", stale)


def waiting_message_is_not_routed_again(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    patch.setattr(Turns, "_again", lambda self, waiting, generation: "")


def lanes_by_instance(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    patch.setattr(Lanes, "key", staticmethod(lambda waiting: waiting.message.address.adapter))


def lanes_by_agent_too(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    def key(waiting: Waiting) -> str:
        return f"{waiting.agent_id} {waiting.message.address.conversation}"

    patch.setattr(Lanes, "key", staticmethod(key))


def neighbours_of_any_agent_are_joined(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    def all_of_it(lane: Lane) -> list[Waiting]:
        batch = list(lane)
        lane.clear()
        return batch

    patch.setattr(turns_module, "_neighbours", all_of_it)


def pool_does_not_wait_for_the_old_one(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    async def gone(self: Pool[Any], key: object) -> None:
        self._closing.pop(key, None)

    patch.setattr(Pool, "_gone", gone)


def inbox_by_instance(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    def key(message: Message) -> tuple[str, ...]:
        return (message.address.adapter, message.address.place, message.id)

    patch.setattr(FakeStore, "key", staticmethod(key))


def send_before_the_row(patch: pytest.MonkeyPatch, storm: Callable[[], Storm]) -> None:
    async def hasty(self: Post, turn: Turn, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        batch = self._open[turn.id]
        await batch.recorded()
        ids = [await batch.last.runner.send(turn.address, reply) for reply in replies]
        await self._store.finish(turn.id, turn.agent.id, turn.messages, replies, turn.address)
        batch.ended, batch.sent = True, len(ids)
        return tuple(ids)

    patch.setattr(Post, "post", hasty)


MUTANTS: dict[str, Mutate] = {
    "● runner's lock is keyed by credential": lock_by_name,
    "● apply never awaits a network": apply_awaits_open,
    "● apply never awaits a drain": apply_awaits_drain,
    "● the adapter confirms after a receipt that is true": confirm_before_record,
    "● a turn is counted in its generation": turns_are_not_counted,
    "● a turn ends on the character and model it began with": turn_reads_its_agent_again,
    "● a message still waiting gets the new agent": waiting_message_keeps_the_agent_it_arrived_at,
    "● it is routed again if its agent is gone": waiting_message_is_not_routed_again,
    "● lanes are keyed by conversation, so different ones never wait": lanes_by_instance,
    "● lanes are keyed by conversation, so one has one turn at a time": lanes_by_agent_too,
    "only neighbours with the same agent are joined": neighbours_of_any_agent_are_joined,
    "● taking what is still closing waits for it": pool_does_not_wait_for_the_old_one,
    "the inbox key is not the instance's name": inbox_by_instance,
    "one transaction ends a turn; then it is sent": send_before_the_row,
}
