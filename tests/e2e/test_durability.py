"""Nothing that happens to the process or the disk loses a message or says a thing twice."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e import lives
from tests.e2e.hardship import fill, small_disk, unprivileged
from tests.e2e.lives import World
from tests.e2e.mortal import POINTS
from tests.e2e.serving import Serving, serving

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


# --- the disk -------------------------------------------------------------------------------------------------------


async def homunculus(*words: str | Path) -> tuple[int, str]:
    """Run a command; return its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "homunculus", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=unprivileged,
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, said.decode()


def recorded_as_answered(world: World) -> set[str]:
    replies = world.rows("SELECT reply FROM outbox")
    return {name for (reply,) in replies for name in lives.SAID.findall(reply)}


async def suffers_and_recovers(
    world: World, server: Serving, hurt: Callable[[], object], heal: Callable[[], object], told: str
) -> None:
    """People talk before, while and after nothing can be written; in the end each is answered once, by one process."""
    await world.answered([world.speak("before") for _ in range(4)])
    hurt()
    during = [world.speak("during", "x" * 1800) for _ in range(60)]
    await server.until(lambda s: any("The state cannot be written" in line for line in s.log))
    status = await server.get("/api/status")
    assert told in status["state_fault"]
    assert status["status"] == "degraded"
    assert status["state_fault"] in status["reasons"]
    code, said = await homunculus("status", world.file)
    assert (code, told in said) == (0, True), said
    assert world.told() <= recorded_as_answered(world)
    assert not world.told().issuperset(during)
    heal()
    after = [world.speak("after") for _ in range(4)]
    await world.answered([*during, *after], timeout=40)
    await server.until(lambda s: any("The state can be written again" in line for line in s.log))
    assert (await server.get("/api/status"))["status"] == "ok"
    assert await server.stopped() == 0
    verdict = lives.judge(world)
    assert verdict.good, verdict
    assert (verdict.unheard, verdict.uncertain) == ((), 0)


async def test_a_full_disk_answers_nothing_without_a_record_and_everything_once_there_is_room(tmp_path: Path) -> None:
    async with lives.world(tmp_path, SEED) as world:
        with small_disk(world.file.parent / "home") as disk:
            async with serving(world.file) as server:
                await server.ready("discord")
                await suffers_and_recovers(
                    world, server, lambda: fill(disk), (disk / "filler").unlink, "is full, and nothing was kept"
                )


async def test_a_disk_that_cannot_sync_answers_nothing_and_recovers(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    async with (
        lives.world(tmp_path, SEED) as world,
        serving(world.file, program=("tests.e2e.hardship", str(broken))) as server,
    ):
        await server.ready("discord")
        await suffers_and_recovers(world, server, broken.touch, broken.unlink, "see to its disk")
