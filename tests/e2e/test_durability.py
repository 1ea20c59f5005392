"""Nothing that happens to the process or the disk loses a message or says a thing twice."""

from __future__ import annotations

import asyncio
import resource
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.e2e import lives
from tests.e2e.hardship import fill, small_disk, unprivileged
from tests.e2e.lives import World
from tests.e2e.mortal import POINTS
from tests.e2e.serving import Serving, serving

T = TypeVar("T")
DEATHS = 12  # in every run; forty in `python -m tests.soak kill`
SEED = 20261122


@pytest.mark.timeout(120)
async def test_killed_under_load_nothing_goes_unanswered_and_nothing_is_said_twice(tmp_path: Path) -> None:
    async with lives.world(tmp_path, SEED) as world:
        await lives.first_words(world)
        for death in lives.deaths(list(POINTS), DEATHS, SEED):
            await lives.one_life(world, death)
        status, said = await lives.live_on(world, partial(homunculus, "status", world.file))
        verdict = lives.judge(world)
        assert verdict.good, verdict
        assert len(status["uncertain"]) == said.count("uncertain: Kovach in discord:") == verdict.uncertain > 0
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


async def asked(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """Ask until the answer is good: a small write may still find room between two that do not, and says so."""
    async with asyncio.timeout(20):
        # No event tells, and the API answers two hundred questions a second.
        while not good(answer := await ask()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return answer


async def suffers_and_recovers(
    world: World, server: Serving, hurt: Callable[[], object], heal: Callable[[], object], told: str
) -> None:
    """People talk before, while and after nothing can be written; in the end each is answered once, by one process."""
    await world.answered([world.speak("before") for _ in range(4)])
    hurt()
    during = [world.speak("during", "x" * 1800) for _ in range(60)]
    await server.until(lambda s: any("The state cannot be written" in line for line in s.log))
    status = await asked(lambda: server.get("/api/status"), lambda status: told in status["state_fault"])
    assert status["status"] == "degraded"
    assert status["state_fault"] in status["reasons"]
    code, _ = await asked(lambda: homunculus("status", world.file), lambda answer: told in answer[1])
    assert code == 0
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


async def starts(world: World) -> None:
    async with serving(world.file, preexec=unprivileged) as server:
        await server.ready("discord")
        await world.answered([world.speak("started")])
        assert await server.stopped() == 0


async def test_a_start_on_a_full_disk_says_what_to_do_and_succeeds_once_there_is_room(tmp_path: Path) -> None:
    async with lives.world(tmp_path, SEED) as world:
        with small_disk(world.file.parent / "home") as disk:
            await starts(world)
            filler = fill(disk)
            code, said = await homunculus("serve", world.file)
            assert code == 3
            assert "home/state/mortal.lock cannot be used: No space left on device; free some space" in said
            assert "Traceback" not in said
            filler.unlink()
            await starts(world)


@pytest.mark.parametrize(
    ("modes", "told"),
    [
        ((0o500, 0o600), "mortal.sqlite: the state database is read-only; make its folder and its disk writable again"),
        ((0o500, 0o400), "mortal.lock cannot be used: Permission denied; make it writable or set another data_home"),
    ],
    ids=["folder", "folder and files"],
)
async def test_a_start_on_a_read_only_state_says_what_to_do_and_harms_nothing(
    tmp_path: Path, modes: tuple[int, int], told: str
) -> None:
    async with lives.world(tmp_path, SEED) as world:
        await starts(world)
        state = world.database.parent

        def change(folder: int, files: int) -> None:
            for file in state.iterdir():
                file.chmod(files)
            state.chmod(folder)

        change(*modes)
        code, said = await homunculus("serve", world.file)
        assert (code, told in said) == (3, True), said
        assert "Traceback" not in said
        change(0o700, 0o600)
        await starts(world)


def limit_descriptors(pid: int, more: int) -> None:
    """Let a process open so many more files than it has open now."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    highest = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(highest + 1 + more, hard), hard))


async def test_out_of_descriptors_every_message_ends_visibly_and_more_of_them_heal_it(tmp_path: Path) -> None:
    async with lives.world(tmp_path, SEED) as world, serving(world.file, preexec=unprivileged) as server:
        await server.ready("discord")
        await world.answered([world.speak("before") for _ in range(4)])
        limit_descriptors(server.process.pid, 0)
        after = len(server.events)
        during = [world.speak("during") for _ in range(40)]
        ids = {str(m.id): m.content.split()[0] for c in world.channels for m in world.discord.messages(c)}

        def ended(serving: Serving) -> dict[str, str]:
            return {
                ids[message]: event["outcome"]
                for kind, event in serving.events[after:]
                if kind == "turn"
                for message in event["message_ids"]
                if ids.get(message) in during
            }

        await server.until(lambda s: set(during) <= set(ended(s)), seconds=40)
        outcomes = ended(server)
        assert set(outcomes.values()) <= {"answered", "failed"}
        assert {name for name, outcome in outcomes.items() if outcome == "answered"} <= world.told()
        if "failed" in outcomes.values():
            assert any("A turn failed" in line and "Too many open files" in line for line in server.log)
        written = world.rows("SELECT json_extract(message, '$.text'), outcome, reason FROM inbox")
        rows = {text.split()[0]: (outcome, reason) for text, outcome, reason in written}
        assert {name: rows[name][0] for name in during} == outcomes
        assert all(reason for outcome, reason in rows.values() if outcome == "failed")
        limit_descriptors(server.process.pid, 200)
        await world.answered([world.speak("after") for _ in range(8)])
        assert await server.stopped() == 0
        assert lives.judge(world).twice == ()
