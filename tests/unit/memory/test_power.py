"""A power cut at any moment: the order of write, sync and rename is asserted, and every prefix of it is replayed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homunculus import whole
from homunculus.memory import disk, lines
from homunculus.memory.markdown import Markdown
from homunculus.model import Note

Step = tuple[Any, ...]


@dataclass
class Recorder:
    """Stands where `disk` reaches the system, and writes down what it asks for, in order."""

    steps: list[Step] = field(default_factory=list)
    names: dict[int, Path] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        new = flags & os.O_CREAT and not Path(path).exists()
        descriptor = os.open(path, flags, mode)
        self.names[descriptor] = Path(path)
        if new:
            self.steps.append(("create", Path(path)))
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> int:
        self.steps.append(("write", self.names[descriptor], bytes(data)))
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self.steps.append(("sync", self.names[descriptor]))
        os.fsync(descriptor)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    replace: Callable[[Path, Path], Path] = Path.replace

    def recorded(source: Path, target: Path) -> Path:
        recorder.steps.append(("rename", source, target))
        return replace(source, target)

    monkeypatch.setattr(disk, "os", recorder)
    monkeypatch.setattr(whole, "os", recorder)
    monkeypatch.setattr(Path, "replace", recorded)
    return recorder


def disk_after_a_cut(steps: list[Step], before: dict[Path, bytes], *, lucky: bool) -> dict[Path, bytes]:
    """Return what a disk holds that kept only what was synced, or, when lucky, everything that had begun.

    A file's bytes are durable once it is synced, its name (also a new one by rename) once its folder is.
    """
    content, durable = dict(before), dict(before)
    names, durable_names = {path: path for path in before}, {path: path for path in before}
    for step in steps:
        kind, path = step[0], step[1]
        if kind == "create":
            content[path], names[path] = b"", path
        elif kind == "write":
            content[names[path]] = content.get(names[path], b"") + step[2]
        elif kind == "rename":
            names[step[2]] = names.pop(path)
        elif path in names:
            durable[names[path]] = content[names[path]]
        else:  # a folder
            inside = {name: held for name, held in names.items() if name.parent == path}
            durable_names = {name: held for name, held in durable_names.items() if name.parent != path} | inside
    if lucky:
        return {name: content.get(held, b"") for name, held in names.items()}
    return {name: durable.get(held, b"") for name, held in durable_names.items()}


def facts_of(state: dict[Path, bytes], folder: Path) -> set[str]:
    days = (path for path in state if path.parent == folder and path.suffix == ".md" and path.name[0] == "2")
    return {line.fact.text for path in days for line in lines.parsed(path.name, state[path].decode())}


@pytest.mark.parametrize("earlier", [0, 1, 3])
def test_an_acknowledged_append_survives_a_cut_and_a_begun_one_tears_nothing(
    earlier: int, recorder: Recorder, tmp_path: Path
) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    files.make()
    known = {f"fact {number}" for number in range(earlier)}
    for text in known:
        files.append([Note(text)])
    before = {path: path.read_bytes() for path in files.memory.glob("*.md")}
    recorder.steps.clear()
    files.append([Note("new fact"), Note("its neighbour")])
    kinds = [(step[0], step[1].name) for step in recorder.steps]
    day = next(path.name for path in files.memory.glob("2*.md"))
    new = [("create", day)] if not earlier else []
    assert kinds == [*new, ("write", day), ("sync", day), *([("sync", "memory")] if new else [])]
    for cut in range(len(recorder.steps) + 1):
        for lucky in (False, True):
            after = facts_of(disk_after_a_cut(recorder.steps[:cut], before, lucky=lucky), files.memory)
            assert known <= after <= known | {"new fact", "its neighbour"}
    assert facts_of(disk_after_a_cut(recorder.steps, before, lucky=False), files.memory) == after


def test_a_forgotten_fact_is_in_the_archive_before_it_is_gone(recorder: Recorder, tmp_path: Path) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    [gone, stays] = files.append([Note("to forget"), Note("to keep")])
    before = {path: path.read_bytes() for path in files.memory.glob("*.md")}
    recorder.steps.clear()
    files.forget(gone.id)
    journal = tmp_path / "archive/bot/kovach-forgotten.md"
    for cut in range(len(recorder.steps) + 1):
        for lucky in (False, True):
            state = disk_after_a_cut(recorder.steps[:cut], before, lucky=lucky)
            here, there = facts_of(state, files.memory), state.get(journal, b"").decode()
            assert stays.text in here
            assert gone.text in here or f"- {gone.id}: to forget" in there
    assert facts_of(disk_after_a_cut(recorder.steps, before, lucky=False), files.memory) == {"to keep"}


def test_half_a_write_is_no_fact_and_the_next_one_follows_it(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    files.append([Note("first")])
    day = next(files.memory.glob("2*.md"))
    whole = day.read_bytes()
    files.append([Note("second")])
    longer = day.read_bytes()
    for length in range(len(whole), len(longer)):
        day.write_bytes(longer[:length])
        assert {fact.text for fact in files.facts()} <= {"first", "second"}
        files.append([Note("third")])
        assert {fact.text for fact in files.facts()} - {"second"} == {"first", "third"}


@pytest.mark.parametrize("blank", [True, False])
@pytest.mark.parametrize("crash", range(6))
def test_a_restore_that_a_crash_broke_off_is_finished_by_whoever_comes_next(
    crash: int, blank: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    files.append([Note("archived")])
    name = files.archive()
    if not blank:
        files.append([Note("present")])
    left = crash

    def until_the_crash(work: Callable[..., None]) -> Callable[..., None]:
        def counted(*given: object) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            work(*given)

        return counted

    with monkeypatch.context() as patched:
        for step in ("replace", "move", "remove", "make_folder"):
            patched.setattr(disk, step, until_the_crash(getattr(disk, step)))
        with suppress(KeyboardInterrupt):
            files.exchange(name)
    again = Markdown(files.folder, tmp_path / "archive/bot")
    again.make()
    texts = {fact.text for fact in again.facts()}
    begun = texts == {"archived"}
    assert begun or texts == ({"present"} if not blank else set())
    kept = {line.fact.text for archive in again.archives() for line in _archived(tmp_path / "archive/bot" / archive)}
    assert kept == ({"present"} if begun and not blank else set() if begun else {"archived"})


def _archived(folder: Path) -> Iterator[lines.Line]:
    for path in (folder / "memory").glob("2*.md"):
        yield from lines.parsed(path.name, path.read_text("utf-8"))
