"""Commits in groups, and disks that are full or fail: nothing is acknowledged that was not committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest
from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.runtime.state import State, writes
from tests.unit.runtime.state.said import address, message, reply

TAVERN = address().conversation


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keeper.sqlite"


@pytest.fixture
async def state(path: Path) -> AsyncIterator[State]:
    state = await State.open(path)
    yield state
    await state.aclose()


async def count_commits(state: State, commits: list[str]) -> None:
    def count() -> bool:
        commits.append(threading.current_thread().name)
        return False

    await state._write(writes.Call(lambda connection: connection.set_commit_hook(count)))
    commits.clear()


async def limit_pages(state: State, pages: int) -> None:
    await state._write(writes.Call(lambda connection: connection.pragma("max_page_count", pages)))


async def pages(state: State) -> int:
    return int(await state._write(writes.Call(lambda connection: connection.pragma("page_count"))))


async def test_concurrent_writes_share_commits_and_a_lone_one_is_not_kept_waiting(state: State) -> None:
    commits: list[str] = []
    await count_commits(state, commits)
    await asyncio.gather(*(state.record(message(str(n)), "kovach") for n in range(500)))
    assert 1 <= len(commits) <= 25
    assert set(commits) == {"state-writer"}
    commits.clear()
    await state.record(message("alone"), "kovach")
    assert len(commits) == 1


async def test_a_failing_write_takes_no_other_of_its_group_with_it(state: State) -> None:
    def broken(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO overrides VALUES ('half', 'of', 'it', '')")
        raise LookupError("a mistake of ours")

    await state.finish("t0", "kovach", [], [reply("taken")], address())
    commits: list[str] = []
    await count_commits(state, commits)
    results = await asyncio.gather(
        state.record(message("1"), "kovach"),
        state._write(writes.Call(broken)),
        state.finish("t1", "kovach", [message("1")], [reply("taken")], address()),
        state.record(message("2"), "kovach"),
        state.finish("t2", "kovach", [message("2")], [reply("free")], address()),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [bool, LookupError, Refused, bool, type(None)]
    assert len(commits) <= 2  # one for whichever was taken first, one for the group with savepoints
    assert [waiting.id for waiting, _ in await state.unanswered(0)] == ["1"]
    assert await state.overrides() == {}
    assert [line.id for line in await state.recent(TAVERN, "kovach", 9)] == ["taken", "1", "2", "free"]


async def test_a_full_disk_refuses_and_recovers_without_a_restart(state: State) -> None:
    await limit_pages(state, await pages(state) + 8)
    said = [message(str(n), "x" * 2_000) for n in range(60)]
    assert not any(state.seen(one) for one in said)
    results = await asyncio.gather(*(state.record(one, "kovach") for one in said), return_exceptions=True)
    kept = {one.id for one, result in zip(said, results, strict=True) if result is True}
    refused = [one for one, result in zip(said, results, strict=True) if isinstance(result, NotReady)]
    assert kept
    assert refused
    assert len(kept) + len(refused) == len(said)
    assert {waiting.id for waiting, _ in await state.unanswered(0)} == kept
    await limit_pages(state, 100_000)
    assert not any(state.seen(one) for one in refused)  # the claim was given back: the platform delivers it again
    assert all(await asyncio.gather(*(state.record(one, "kovach") for one in refused)))
    assert len(await state.unanswered(0)) == 60


async def test_a_turn_that_does_not_fit_is_kept_not_even_in_part(state: State) -> None:
    await state.record(message("1"), "kovach")
    await limit_pages(state, await pages(state) + 2)
    with pytest.raises(NotReady):
        await state.finish("t", "kovach", [message("1")], [reply(f"r{n}", "x" * 4_000) for n in range(9)], address())
    assert [waiting.id for waiting, _ in await state.unanswered(0)] == ["1"]
    assert [line.id for line in await state.recent(TAVERN, "kovach", 9)] == ["1"]
    await limit_pages(state, 100_000)
    await state.finish("t", "kovach", [message("1")], [reply("r0")], address())
    assert await state.unanswered(0) == ()


class FailingDisk(apsw.VFS):
    """The real disk, until `broken` is set: then nothing can be synced."""

    def __init__(self) -> None:
        self.broken, self.usual = False, apsw.vfs_names()[0]
        super().__init__("failing-disk", "", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        return FailingFile(self, name, flags)


class FailingFile(apsw.VFSFile):
    def __init__(self, disk: FailingDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self.disk = disk
        super().__init__(disk.usual, name, flags)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self.disk.broken:
            raise apsw.IOError("the disk does not answer")
        super().xSync(flags)


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    disk = FailingDisk()
    yield disk
    disk.unregister()
    apsw.set_default_vfs(disk.usual)


async def test_a_disk_that_cannot_sync_acknowledges_nothing_and_recovers(disk: FailingDisk, path: Path) -> None:
    state = await State.open(path)
    await state.record(message("before"), "kovach")
    disk.broken = True
    results = await asyncio.gather(*(state.record(message(str(n)), "kovach") for n in range(9)), return_exceptions=True)
    assert {type(result) for result in results} == {NotReady}
    assert [waiting.id for waiting, _ in await state.unanswered(0)] == ["before"]
    disk.broken = False
    assert await state.record(message("after"), "kovach")
    assert [waiting.id for waiting, _ in await state.unanswered(0)] == ["before", "after"]
    await state.aclose()


async def test_a_fault_of_the_disk_is_told_and_taken_back_though_nobody_writes(
    disk: FailingDisk, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.runtime.state.state.PROBE_SECONDS", 0.01)
    state = await State.open(path)
    assert state.fault == ""
    disk.broken = True
    with pytest.raises(NotReady) as refused:
        await state.record(message("1"), "kovach")
    assert state.fault == refused.value.reason
    assert "see to its disk" in state.fault
    well = asyncio.Event()
    sink = logger.add(lambda line: well.set() if "can be written again" in line else None, level="INFO")
    try:
        disk.broken = False
        await asyncio.wait_for(well.wait(), 10)
    finally:
        logger.remove(sink)
    assert state.fault == ""
    await state.aclose()


async def test_a_database_that_became_read_only_says_so_and_recovers(state: State) -> None:
    state._connection.pragma("query_only", True)
    with pytest.raises(NotReady, match="read-only; make its folder and its disk writable again"):
        await state.record(message("1"), "kovach")
    assert "read-only" in state.fault
    state._connection.pragma("query_only", False)
    assert await state.record(message("1"), "kovach")
    assert state.fault == ""


async def test_a_mistake_of_ours_is_no_fault_of_the_disk(state: State) -> None:
    def broken(connection: apsw.Connection) -> None:
        raise LookupError("a mistake of ours")

    with pytest.raises(LookupError):
        await state._write(writes.Call(broken))
    assert state.fault == ""
