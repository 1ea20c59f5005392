"""Random reloads under traffic break no promise, and each promise that is broken on purpose is noticed.

The promises are the sentences marked ● in design/architecture.md; `mutants.py` breaks them one by one. The one that no storm
of fakes can see, "SQLite is never called on the loop", is proved with the state itself.
"""

from __future__ import annotations

import os

import pytest

from tests.unit.runtime.mutants import MUTANTS
from tests.unit.runtime.storm import Storm

STORMS = int(os.environ.get("HOMUNCULUS_STORMS", "80"))  # the long run takes thousands
SEEDS_A_MUTANT = 40


@pytest.mark.parametrize("first", range(0, STORMS, 20))
async def test_random_reloads_under_traffic_break_no_promise(first: int) -> None:
    for seed in range(first, min(first + 20, STORMS)):
        assert await Storm(seed).run() == [], f"seed {seed}"


async def test_a_long_storm_breaks_no_promise() -> None:
    assert await Storm(10_000).run(steps=600) == []


@pytest.mark.parametrize("sentence", MUTANTS)
async def test_a_promise_broken_on_purpose_is_noticed(sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.unit.runtime.storm.APPLY_SECONDS", 0.5)
    for seed in range(SEEDS_A_MUTANT):
        with monkeypatch.context() as patch:
            MUTANTS[sentence](patch, lambda: storm)  # noqa: B023 - it is called while this storm runs
            storm = Storm(seed)
            if await storm.run(steps=150):
                return
    pytest.fail(f"{SEEDS_A_MUTANT} storms did not notice the break")
