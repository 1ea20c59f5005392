"""The way out while the state cannot be written: an answer waits for its record, and what was said is noted in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from homunculus.errors import NotReady
from tests.unit.runtime.fakes import World, adapter, agent, calm, deployment, rule, running

FILE = deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1")])


@dataclass
class Failing:
    """One method of the store that is refused so many times, as by a full disk."""

    whole: Callable[..., Awaitable[Any]]
    times: int
    tried: int = 0

    async def __call__(self, *arguments: Any) -> Any:
        self.tried += 1
        if self.tried <= self.times:
            raise NotReady("the disk is full")
        return await self.whole(*arguments)


def failing(world: World, monkeypatch: pytest.MonkeyPatch, method: str, times: int) -> Failing:
    made = Failing(getattr(world.store, method), times)
    monkeypatch.setattr(world.store, method, made)
    return made


async def passes(world: World, seconds: int) -> None:
    for _ in range(seconds):
        world.time.advance(1)
        await calm()


async def test_an_answer_waits_until_its_turn_can_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as world:
        await world.apply(FILE)
        await calm()
        finish = failing(world, monkeypatch, "finish", 3)
        said = world.say("t", "1")
        await calm()
        assert finish.tried == 1
        assert (world.server("t").posts, world.ended()) == ([], [])
        await passes(world, 1 + 2 + 4)
        assert world.outcomes() == {said.id: ["answered"]}
        assert len(world.server("t").posts) == 1
        assert len(world.turns) == 1  # what was thought is kept, not thought again


async def test_an_answer_that_could_not_be_recorded_for_ten_minutes_fails_visibly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as world:
        await world.apply(FILE)
        await calm()
        failing(world, monkeypatch, "finish", 10_000)
        world.say("t", "1")
        await calm()
        await passes(world, 620)
        (end,) = world.ended()
        assert (end.trace.outcome, end.trace.reason) == ("failed", "the disk is full")
        assert world.server("t").posts == []


async def test_shutting_down_does_not_wait_for_the_disk_and_leaves_the_message_to_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as world:
        await world.apply(FILE)
        await calm()
        failing(world, monkeypatch, "finish", 10_000)
        said = world.say("t", "1")
        await calm()
        await world.stop()
        assert world.ended() == []
        assert [message.id for message, _ in await world.store.unanswered(0)] == [said.id]


async def test_what_became_of_a_reply_is_noted_later_and_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as world:
        world.parts = 2
        await world.apply(FILE)
        await calm()
        failing(world, monkeypatch, "sent", 2)
        world.say("t", "1")
        await calm()
        assert len(world.server("t").posts) == 2
        assert list(world.store.outbox.values()) == ["sending", "sending"]
        await passes(world, 1)
        assert list(world.store.outbox.values()) == ["sent", "sent"]


async def test_what_became_of_a_reply_is_noted_at_the_end_when_the_disk_allows_it_by_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as world:
        await world.apply(FILE)
        await calm()
        sent = failing(world, monkeypatch, "sent", 1)
        world.say("t", "1")
        await calm()
        assert list(world.store.outbox.values()) == ["sending"]
        await world.supervisor.aclose()  # before the next try is due
        assert list(world.store.outbox.values()) == ["sent"]
        assert sent.tried == 2
