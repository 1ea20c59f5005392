"""An instance that comes and goes leaves nothing behind, on any platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import eight
from tests.e2e.cycles import WARM_UP, Measure, growth, measured
from tests.e2e.eight import Account, World
from tests.e2e.serving import write

CYCLES = 30  # in every run; fifty in `python -m tests.soak cycles`
MOST_GROWTH = 20_000  # bytes a cycle


def text(world: World, *accounts: Account) -> str:
    """Word the deployment with these accounts: no web server, and lines instead of a model."""
    world.accounts = list(accounts)
    world.model_lines = "models: {default: {provider: scripted, otherwise: 'Yes.'}}"
    return world.text().replace("server: {port: 0}", "server: {enabled: false}")


async def cycles(folder: Path, times: int, platform: str) -> list[Measure]:
    """Let an instance come, hear one message, answer it and go, so many times; return what was measured after each."""
    async with eight.world(folder, seed=30) as world:
        world.accounts = []
        stays = world.create(platform)
        world.accounts = [stays]
        comes = world.create(platform)
        # As few as may speak once a second: caches of names are bounded, and would look like growth until they are full.
        del comes.crowd[3:]
        texts = text(world, stays, comes), text(world, stays)
        write(world.file, texts[1])
        place = comes.places[0]
        async with measured(times, world.file, texts, comes.key, lambda: world.speak(place)) as measures:
            found = [one async for one in measures]
        assert comes.posts(place) == ["Yes."] * times
        assert (comes.connects, stays.connects) == (times * comes.connects_a_session, stays.connects_a_session)
        return found


@pytest.mark.timeout(180)
@pytest.mark.parametrize("platform", eight.PLATFORMS)
async def test_instances_that_come_and_go_leave_no_task_thread_descriptor_or_memory(
    tmp_path: Path, platform: str
) -> None:
    found = await cycles(tmp_path, CYCLES, platform)
    assert len(found) == CYCLES
    steady = found[WARM_UP:]
    early, late = steady[:5], steady[-5:]
    # What stays may just be asking its platform something: the least of a few cycles is what there always is.
    for kind in ("tasks", "threads", "descriptors"):
        assert min(getattr(m, kind) for m in late) <= min(getattr(m, kind) for m in early), (kind, found)
    assert growth(found) < MOST_GROWTH, [m.memory for m in found]
