"""Nothing that happens to the process or the disk loses a message or says a thing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import lives
from tests.e2e.mortal import POINTS

DEATHS = 12  # in every run; forty in `python -m tests.soak kill`
SEED = 20261122


@pytest.mark.timeout(120)
async def test_killed_under_load_nothing_recorded_goes_unanswered_or_is_said_twice(tmp_path: Path) -> None:
    async with lives.world(tmp_path, SEED) as world:
        for death in lives.deaths(list(POINTS), DEATHS, SEED):
            await lives.one_life(world, death)
        await lives.live_on(world)
        verdict = lives.judge(world)
        assert verdict.good, verdict
        assert verdict.posts > DEATHS  # people were being answered all the while
