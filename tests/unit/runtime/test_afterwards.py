"""What comes after a turn: aside, on the turn's own generation, bounded, and taking nothing with it when it fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from homunculus.errors import Refused
from homunculus.interfaces import Turn
from homunculus.model import Deployment
from homunculus.runtime import afterwards
from homunculus.runtime.afterwards import Afterwards
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds
from tests.unit.pipelines.turns import turn


class Later:
    """A stage that waits until it may go on."""

    name: ClassVar[str] = "later"

    def __init__(self, fault: Exception | None = None) -> None:
        self.go, self.done, self.fault = asyncio.Event(), list[str](), fault

    async def run(self, turn: Turn) -> None:
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        self.done.append(turn.id)


def generation() -> Generation:
    return Generation.of(1, Deployment("bot", Path()))


async def test_a_generation_is_in_use_until_everything_after_its_turns_is_done() -> None:
    stage, freed = Later(), asyncio.Event()
    after, current = Afterwards((stage,), Holds()), generation()
    current.lend(freed.set)
    after.begin(current, turn())
    current.retire()
    assert not freed.is_set()
    stage.go.set()
    await asyncio.wait_for(freed.wait(), 10)
    assert stage.done == ["t1"]
    await after.aclose()


@pytest.mark.parametrize("fault", [Refused("bad key"), ValueError("a bug")])
async def test_a_failure_is_counted_and_the_next_stage_runs(fault: Exception) -> None:
    broken, sound = Later(fault), Later()
    broken.go.set()
    sound.go.set()
    after, current = Afterwards((broken, sound), Holds()), generation()
    after.begin(current, turn())
    await after.aclose()
    assert (after.failed, sound.done, current.turns) == (1, ["t1"], 0)


async def test_what_a_slow_model_cannot_keep_up_with_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "MOST", 3)
    stage = Later()
    after, current = Afterwards((stage,), Holds()), generation()
    for number in range(5):
        after.begin(current, replace(turn(), id=f"t{number}"))
    assert (after.left_out, current.turns) == (2, 3)
    assert after.unremembered == {"failed": 0, "left_out": 2}
    stage.go.set()
    await after.aclose()
    assert stage.done == ["t0", "t1", "t2"]


async def test_stopping_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(afterwards, "GRACE_SECONDS", 0.01)
    after, current = Afterwards((Later(),), Holds()), generation()
    after.begin(current, turn())
    await asyncio.wait_for(after.aclose(), 10)
    assert current.turns == 0
