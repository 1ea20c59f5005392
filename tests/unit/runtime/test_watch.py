"""Whatever way a file changes, the watcher is heard; and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from homunculus.runtime.survey import fingerprint, survey
from homunculus.runtime.watch import Watcher

NEVER = 600.0  # a poll that plays no part in a test


class Ear:
    """Counts the batches of a watcher."""

    def __init__(self) -> None:
        self.count = 0
        self._more = asyncio.Event()

    async def listen(self, watcher: Watcher) -> None:
        async with contextlib.aclosing(watcher.batches()) as batches:
            async for _ in batches:
                self.count += 1
                self._more.set()

    async def hears(self, seconds: float = 3.0) -> bool:
        """Wait for the next batch."""
        try:
            async with asyncio.timeout(seconds):
                await self._more.wait()
        except TimeoutError:
            return False
        self._more.clear()
        return True

    async def quiet(self, seconds: float = 0.15) -> None:
        """Let everything that is on its way arrive."""
        while await self.hears(seconds):
            pass


@contextlib.asynccontextmanager
async def listening(
    *paths: Path, poll: float = NEVER, hashed: Path | None = None
) -> AsyncIterator[tuple[Ear, Watcher]]:
    ear, watcher = Ear(), Watcher(paths, hashed=hashed, poll=poll)
    task = asyncio.create_task(ear.listen(watcher))
    try:
        assert await ear.hears()  # up
        await ear.quiet()
        yield ear, watcher
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _in_place(file: Path) -> None:
    file.write_text("new")


def _replace(file: Path) -> None:
    file.with_name(".tmp").write_text("new")
    file.with_name(".tmp").replace(file)


def _recreate(file: Path) -> None:
    file.unlink()
    file.write_text("new")


def _append(file: Path) -> None:
    with file.open("a") as opened:
        opened.write("more")


@pytest.mark.parametrize("change", [_in_place, _replace, _recreate, _append, Path.unlink])
async def test_every_way_of_saving_is_heard_again_and_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("old")
    async with listening(file) as (ear, _):
        for _ in range(3):
            change(file)
            assert await ear.hears()
            await ear.quiet()
            file.write_text("old")
            assert await ear.hears()
            await ear.quiet()


async def test_a_neighbour_of_the_file_makes_no_sound(tmp_path: Path) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("old")
    async with listening(file) as (ear, _):
        (tmp_path / "other.log").write_text("noise")
        assert not await ear.hears(0.3)


async def test_every_file_of_a_watched_folder_is_heard(tmp_path: Path) -> None:
    folder = tmp_path / "characters"
    folder.mkdir()
    async with listening(folder) as (ear, _):
        (folder / "kovach.yaml").write_text("name: Kovach")
        assert await ear.hears()


async def test_a_missing_folder_is_waited_for_step_by_step(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "characters" / "kovach.yaml"
    async with listening(deep) as (ear, _):
        for parent in (tmp_path / "a", tmp_path / "a" / "b", deep.parent):
            parent.mkdir()
            assert await ear.hears()
            await ear.quiet()
        deep.write_text("name: Kovach")
        assert await ear.hears()


async def test_a_folder_made_in_one_go_is_heard_with_what_is_in_it(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b" / "kovach.yaml"
    async with listening(deep) as (ear, _):
        deep.parent.mkdir(parents=True)
        deep.write_text("name: Kovach")
        assert await ear.hears()
        await ear.quiet()
        deep.write_text("name: Kovach, later")
        assert await ear.hears()


@pytest.mark.parametrize("how", ["deleted", "moved away"])
async def test_a_folder_made_anew_under_its_old_name_is_heard(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    file = folder / "deployment.yaml"
    file.write_text("old")
    async with listening(file) as (ear, _):
        if how == "deleted":
            shutil.rmtree(folder)
        else:
            folder.rename(tmp_path / "conf.old")
        folder.mkdir()
        file.write_text("new")
        assert await ear.hears()
        await ear.quiet()
        file.write_text("newer")
        assert await ear.hears()


async def test_a_swapped_link_is_heard_and_so_is_what_it_now_points_to(tmp_path: Path) -> None:
    """As a mounted ConfigMap: deployment.yaml → ..data/deployment.yaml, ..data → ..v1, and ..data is moved."""
    for version in ("..v1", "..v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "deployment.yaml").write_text(version)
    (tmp_path / "..data").symlink_to("..v1")
    file = tmp_path / "deployment.yaml"
    file.symlink_to("..data/deployment.yaml")
    async with listening(file) as (ear, _):
        (tmp_path / "..next").symlink_to("..v2")
        (tmp_path / "..next").replace(tmp_path / "..data")
        assert await ear.hears()
        await ear.quiet()
        (tmp_path / "..v2" / "deployment.yaml").write_text("edited where it lies")
        assert await ear.hears()


async def test_a_linked_folder_on_the_way_is_heard(tmp_path: Path) -> None:
    for release in ("r1", "r2"):
        (tmp_path / "releases" / release).mkdir(parents=True)
        (tmp_path / "releases" / release / "deployment.yaml").write_text(release)
    current = tmp_path / "current"
    current.symlink_to("releases/r1")
    async with listening(current / "deployment.yaml") as (ear, _):
        (tmp_path / "next").symlink_to(tmp_path / "releases" / "r2")
        (tmp_path / "next").replace(current)
        assert await ear.hears()
        await ear.quiet()
        (tmp_path / "releases" / "r2" / "deployment.yaml").write_text("edited")
        assert await ear.hears()


async def test_the_watched_paths_change_while_watching(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    async with listening(one) as (ear, watcher):
        watcher.watch({two})
        assert await ear.hears(), "what changed before the new folder was listened to must be looked at"
        await ear.quiet()
        (two / "card").write_text("x")
        assert await ear.hears()
        await ear.quiet()
        (one / "card").write_text("x")
        assert not await ear.hears(0.3)


async def test_the_poll_hears_where_listening_is_impossible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(watchfiles, "watch", full)
    file = tmp_path / "deployment.yaml"
    file.write_text("old")
    async with listening(file, poll=0.05) as (ear, _):
        assert not await ear.hears(0.3)
        file.write_text("new")
        assert await ear.hears()


async def test_listening_begins_again_when_it_becomes_possible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    possible, real = [False], watchfiles.watch

    def sometimes(*places: str, **knobs: Any) -> object:
        if not possible[0]:
            raise OSError(28, "inotify watch limit reached")
        return real(*places, **knobs)

    monkeypatch.setattr(watchfiles, "watch", sometimes)
    file = tmp_path / "deployment.yaml"
    file.write_text("old")
    async with listening(file, poll=0.1) as (ear, watcher):
        possible[0] = True
        assert await ear.hears()
        await ear.quiet()
        watcher._poll = NEVER
        await asyncio.sleep(0.15)  # lets the last short poll pass
        file.write_text("new")
        assert await ear.hears()


def test_the_poll_compares_the_contents_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "deployment.yaml"
    file.write_text("old")
    monkeypatch.setattr("homunculus.runtime.survey.glance", lambda path: (1, 2, 3, 4, 5))
    before = fingerprint({file}, hashed=file)
    assert fingerprint({file}, hashed=file) == before
    file.write_text("new")
    assert fingerprint({file}, hashed=file) != before


async def test_closing_leaves_no_thread_and_no_descriptor(tmp_path: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    await asyncio.to_thread(int)  # the loop's own thread
    threads = {thread for thread in threading.enumerate() if thread.name == "watch"}
    descriptors, rounds = len(list(Path("/proc/self/fd").iterdir())), 5
    for round_ in range(rounds):
        async with listening(tmp_path / f"{round_}") as (ear, watcher):
            watcher.watch({tmp_path / "deeper" / "still", tmp_path})
            (tmp_path / "deeper").mkdir(exist_ok=True)
            assert await ear.hears()
    assert {thread for thread in threading.enumerate() if thread.name == "watch"} == threads
    # One left a round would be five. Parts that earlier tests started may open one or two of their own meanwhile.
    assert len(list(Path("/proc/self/fd").iterdir())) < descriptors + rounds


async def test_closing_is_quick(tmp_path: Path) -> None:
    async with listening(tmp_path):
        began = time.monotonic()
    assert time.monotonic() - began < 1.0


def test_a_survey_survives_links_that_lead_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    found = survey({tmp_path / "a" / "deployment.yaml"})
    assert str(tmp_path.resolve()) in found.places
