"""A save is what lies in the file while no process holds it open for writing."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from homunculus.runtime import lease, snapshot
from homunculus.runtime import settle as settling
from homunculus.runtime.aside import Aside
from homunculus.runtime.lease import Hold
from homunculus.runtime.settle import Pace, Settled, settle
from homunculus.runtime.snapshot import Snapshot, take
from tests.unit.runtime.reload_model import drive

LEASES = sys.platform == "linux"
LAZY = Pace(quiet=2.0, doubt=2.0)  # tells a wait that was skipped from a slow machine
needs_leases = pytest.mark.skipif(not LEASES, reason="only Linux tells who holds a file open for writing")


@dataclasses.dataclass
class Text:
    """What the tests examine a snapshot for: its bytes, and whether they look like half of a save."""

    data: bytes
    suspicious: bool = False


def whole(found: Snapshot) -> Text:
    return Text(found.read(found.file))


def doubtful(found: Snapshot) -> Text:
    return Text(found.read(found.file), suspicious=True)


@pytest.fixture
async def aside() -> AsyncIterator[Aside]:
    thread = Aside("settle")
    yield thread
    await thread.aclose()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "deployment.yaml"
    path.write_bytes(b"one\n")
    return path


def settled(file: Path, first: Callable[[Path], object]) -> Snapshot:
    """Return the snapshot of an earlier, settled text."""
    first(file)
    before = Snapshot(file)
    before.close()
    return before


async def timed(file: Path, aside: Aside, **more: object) -> tuple[Settled[Text], float]:
    began = time.monotonic()
    examine = doubtful if more.pop("doubt", False) else whole
    found = await settle(file, examine, aside, **more)  # type: ignore[arg-type]
    return found, time.monotonic() - began


async def changed_after(seconds: float, change: Callable[[], object]) -> None:
    await asyncio.sleep(seconds)
    change()


# --- leases ----------------------------------------------------------------------------------------------------------


@needs_leases
def test_the_kernel_tells_who_holds_a_file_open_for_writing(file: Path) -> None:
    assert take(file)[0].hold is Hold.FREE
    with file.open("ab"):
        assert take(file)[0].hold is Hold.HELD
        with file.open("rb"):
            assert take(file)[0].hold is Hold.HELD
    with file.open("rb"):
        assert take(file)[0].hold is Hold.FREE


@needs_leases
def test_another_process_that_opens_the_file_is_neither_refused_nor_ends_us(file: Path) -> None:
    """The kernel signals the owner of a lease that it breaks; the usual signal would end this process."""
    script = "import sys\nfor _ in range(3000):\n    open(sys.argv[1], 'ab').close()"
    with subprocess.Popen([sys.executable, "-c", script, str(file)]) as other:
        holds = [take(file)[0].hold for _ in range(3000)]
        assert other.wait() == 0
    assert Hold.UNKNOWN not in holds


@needs_leases
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user to own a file")
def test_the_file_of_another_user_is_unknown_not_held(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "other"
    file.write_bytes(b"x\n")
    probe = (
        "import fcntl, os, sys\n"
        "exec(open(sys.argv[2]).read(), scope := {'__name__': 'lease'})\n"
        "print(scope['_lease'](os.open(sys.argv[1], os.O_RDONLY)).value)"
    )
    # Only the module's text: an unprivileged user may not be able to enter the folder it lies in.
    source = tmp_path / "lease.py"
    source.write_text(Path(lease.__file__).read_text())
    for folder in [*tmp_path.parents][:3]:
        folder.chmod(folder.stat().st_mode | 0o011)
    interpreter = "/usr/bin/python3"
    if not Path(interpreter).exists():
        pytest.skip("needs an interpreter that every user may run")
    answer = subprocess.run(
        [interpreter, "-SE", "-c", probe, str(file), str(source)],
        user=65534,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.strip() == "unknown", answer.stderr


def test_a_network_disk_is_unknown_because_other_machines_write_there(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = file.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    monkeypatch.setattr(lease, "_kinds", lambda: {here: "nfs4"})
    lease._shared.cache_clear()
    assert take(file)[0].hold is Hold.UNKNOWN
    lease._shared.cache_clear()


# --- snapshots -------------------------------------------------------------------------------------------------------


def test_a_snapshot_reads_each_file_once_however_often_it_is_asked(file: Path) -> None:
    found = Snapshot(file)
    file.write_bytes(b"two\n")
    assert found.read(file) == b"one\n"
    assert not found.still()


def test_a_snapshot_notices_what_was_missing_and_came(file: Path) -> None:
    found, card = Snapshot(file), file.with_name("card")
    with pytest.raises(FileNotFoundError):
        found.read(card)
    assert found.still()
    card.write_bytes(b"x")
    assert not found.still()


def test_a_snapshot_notices_a_save_of_the_same_size_and_time(file: Path) -> None:
    card = file.with_name("card")
    card.write_bytes(b"aaa")
    found, before = Snapshot(file), card.stat()
    found.read(card)
    card.write_bytes(b"bbb")
    os.utime(card, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not found.still()
    found.close()
    assert not found.still()


def test_two_snapshots_of_the_same_contents_have_the_same_digest(file: Path) -> None:
    def digest() -> str:
        found = Snapshot(file)
        for name in ("b", "a", "missing"):
            if file.with_name(name).exists():
                found.read(file.with_name(name))
        return found.digest

    file.with_name("a").write_bytes(b"1")
    file.with_name("b").write_bytes(b"2")
    first = digest()
    file.touch()
    assert digest() == first
    file.with_name("b").write_bytes(b"3")
    assert digest() != first


def test_a_file_made_anew_is_not_taken_for_one_written_in_place(file: Path) -> None:
    """A deleted file's inode number usually goes to the next one made."""
    before = settled(file, lambda path: None)
    for _ in range(20):
        file.unlink()
        file.write_bytes(b"new\n")
        assert not Snapshot(file).in_place(before)
    before.release()
    inode = settled(file, lambda path: None)
    file.write_bytes(b"over\n")
    assert Snapshot(file).in_place(inode)
    inode.release()


def test_no_descriptor_outlives_a_snapshot(file: Path) -> None:
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = settled(file, lambda path: None)
    assert len(list(Path("/proc/self/fd").iterdir())) == before + LEASES
    found.release()
    found.release()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- settling --------------------------------------------------------------------------------------------------------


@needs_leases
async def test_a_quiet_file_settles_after_the_gap(file: Path, aside: Aside) -> None:
    found, seconds = await timed(file, aside, pace=LAZY)
    assert found.found == Text(b"one\n")
    assert 0.010 <= seconds < 1.0


@needs_leases
async def test_a_file_held_open_is_waited_for_however_long_its_pauses_are(file: Path, aside: Aside) -> None:
    with file.open("wb", buffering=0) as held:
        held.write(b"half\n")
        task = asyncio.create_task(timed(file, aside))
        await asyncio.sleep(0.3)
        assert not task.done()
        held.write(b"whole\n")
    found, _ = await task
    assert found.found == Text(b"half\nwhole\n")


@needs_leases
async def test_a_file_that_stays_open_is_reported_and_asked_for_again(file: Path, aside: Aside) -> None:
    with file.open("wb", buffering=0) as held:
        held.write(b"half\n")
        found, _ = await timed(file, aside, pace=Pace(patience=0.05))
    assert not found.final
    assert "still being written" in str(found.fault)


@needs_leases
async def test_a_card_held_open_keeps_the_whole_load_waiting(file: Path, aside: Aside) -> None:
    card = file.with_name("card")

    def both(found: Snapshot) -> Text:
        return Text(found.read(file) + found.read(card))

    with card.open("wb", buffering=0) as held:
        held.write(b"half")
        task = asyncio.create_task(settle(file, both, aside))
        await asyncio.sleep(0.1)
        assert not task.done()
        held.write(b" whole")
    assert (await task).found == Text(b"one\nhalf whole")


async def test_without_leases_a_text_must_lie_still_for_a_tenth_of_a_second(
    file: Path, aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "held", lambda fd: Hold.UNKNOWN)
    change = asyncio.create_task(changed_after(0.06, lambda: file.write_bytes(b"two\n")))
    found, seconds = await timed(file, aside)
    await change
    assert found.found == Text(b"two\n")
    assert seconds >= 0.16


async def test_what_was_settled_before_needs_no_quiet_again(
    file: Path, aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "held", lambda fd: Hold.UNKNOWN)
    before = settled(file, lambda path: None)
    _, seconds = await timed(file, aside, previous=before, pace=LAZY)
    assert seconds < 1.0
    before.release()


async def test_a_text_written_in_place_that_takes_something_away_is_doubted(file: Path, aside: Aside) -> None:
    before = settled(file, lambda path: path.write_bytes(b"a longer text\n"))
    file.write_bytes(b"a\n")
    found, seconds = await timed(file, aside, previous=before, doubt=True, pace=Pace(quiet=0.01))
    assert found.found == Text(b"a\n", suspicious=True)
    assert seconds >= 0.15
    before.release()


async def test_a_doubted_text_that_goes_on_growing_is_never_returned(file: Path, aside: Aside) -> None:
    before = settled(file, lambda path: path.write_bytes(b"a longer text\n"))
    file.write_bytes(b"half\n")

    def more() -> None:
        with file.open("ab") as again:
            again.write(b"rest\n")

    change = asyncio.create_task(changed_after(0.1, more))
    found, _ = await timed(file, aside, previous=before, doubt=True)
    await change
    assert found.found == Text(b"half\nrest\n", suspicious=True)
    before.release()


@needs_leases
async def test_a_text_that_was_moved_into_place_is_not_doubted(file: Path, aside: Aside) -> None:
    before = settled(file, lambda path: path.write_bytes(b"a longer text\n"))
    file.with_name("new").write_bytes(b"a\n")
    file.with_name("new").replace(file)
    _, seconds = await timed(file, aside, previous=before, doubt=True, pace=LAZY)
    assert seconds < 1.0
    before.release()


async def test_a_missing_final_newline_is_doubted(file: Path, aside: Aside) -> None:
    file.write_bytes(b"half a li")
    found, seconds = await timed(file, aside)
    assert found.found == Text(b"half a li")
    assert seconds >= 0.15


@pytest.mark.parametrize("data", [b"", b"\n \n"])
async def test_an_empty_file_is_never_a_configuration(file: Path, aside: Aside, data: bytes) -> None:
    file.write_bytes(data)
    found, seconds = await timed(file, aside)
    assert found.found is None
    assert str(found.fault) == f"{file}:1:1: is empty; write a deployment into it"
    assert seconds >= 0.25


async def test_an_empty_file_is_forgiven_when_the_text_follows(file: Path, aside: Aside) -> None:
    file.write_bytes(b"")
    change = asyncio.create_task(changed_after(0.1, lambda: file.write_bytes(b"text\n")))
    found, _ = await timed(file, aside)
    await change
    assert found.found == Text(b"text\n")


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def _device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (Path.unlink, "does not exist"),
        (_fifo, "is not a regular file"),
        (_folder, "is a folder"),
        (_device, "is not a regular file"),
        (_loop, "leads nowhere"),
        (lambda path: path.write_bytes(b"x" * (4 * 1024 * 1024 + 1)), "is larger than 4 MiB"),
    ],
)
async def test_what_is_no_text_is_an_error_and_never_hangs(
    file: Path, aside: Aside, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(file)
    async with asyncio.timeout(5):
        found = await settle(file, whole, aside, pace=Pace(grace=0.03))
    assert found.found is None
    assert words in str(found.fault)


async def test_a_file_without_the_right_to_read_it_is_an_error(
    file: Path, aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:  # root may read everything: let the system call refuse instead

        def refuse(path: Path) -> int:
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(snapshot, "_open", refuse)
    file.chmod(0)
    found, _ = await timed(file, aside, pace=Pace(grace=0.03))
    assert "may not be read; give this user the right to read it" in str(found.fault)


# --- broken on purpose -------------------------------------------------------------------------------------------------


def _no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "held", lambda fd: Hold.FREE)


def _no_second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(*_: object) -> None: ...

    monkeypatch.setattr(settling, "second_look", believe)
    monkeypatch.setattr(Snapshot, "still", lambda self: True)


def _nothing(monkeypatch: pytest.MonkeyPatch) -> None: ...


HELD_LONG = ("in_place", 5, 0.5)  # longer than every doubt: only the lease keeps it out
REOPENED = ("reopened", 60, 0.003)  # closed and opened again within the gap: no lease sees it


@needs_leases
@pytest.mark.parametrize(
    ("mutant", "saves", "pace", "torn"),
    [
        (_nothing, HELD_LONG, Pace(), False),
        (_nothing, REOPENED, Pace(), False),
        (_no_lease, HELD_LONG, Pace(), True),
        (_no_second_look, REOPENED, Pace(doubt=0.0), True),
    ],
)
async def test_each_check_of_settling_keeps_torn_saves_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
    saves: tuple[str, int, float],
    pace: Pace,
    torn: bool,
) -> None:
    """Take a check away and torn saves are applied: of files held open, or of files closed and opened again."""
    mutant(monkeypatch)
    how, count, pause = saves
    report = await drive.hammered(tmp_path / "world", count, 3, how, pause, pace)
    print(report)
    assert bool(report.torn) == torn, report
