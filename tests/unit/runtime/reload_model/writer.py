"""A process that saves files in every way people and programs do. Standard library only: it is run by path.

Reads one JSON list of edits a line, performs them in order, answers with one line: the monotonic time (the same clock in
every process) at which each edit was complete.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path


def in_place(path: Path, data: bytes, pauses: list[float], cuts: list[int]) -> None:
    """Write piece by piece while holding the file open; with no pauses, at once."""
    with open(path, "wb", buffering=0) as file:  # noqa: PTH123
        for begin, end, pause in zip([0, *cuts], [*cuts, len(data)], [*pauses, 0.0], strict=True):
            file.write(data[begin:end])
            if pause:
                os.fsync(file.fileno())
                time.sleep(pause)


def rename(path: Path, data: bytes, pauses: list[float], cuts: list[int]) -> None:
    """Write beside it and move it there; the temporary file may be slow."""
    beside = path.with_name(f".{path.name}.tmp")
    in_place(beside, data, pauses, cuts)
    beside.replace(path)


def recreate(path: Path, data: bytes, pauses: list[float], cuts: list[int]) -> None:
    path.unlink(missing_ok=True)
    in_place(path, data, pauses, cuts)


def reopened(path: Path, data: bytes, pauses: list[float], cuts: list[int]) -> None:
    """Close and open again between the pieces: a save that no lease can see as one."""
    path.write_bytes(data[: cuts[0]] if cuts else data)
    for begin, end, pause in zip(cuts, [*cuts[1:], len(data)], pauses, strict=True):
        time.sleep(pause)
        with open(path, "ab") as file:  # noqa: PTH123
            file.write(data[begin:end])


def stamped(path: Path, data: bytes, pauses: list[float], cuts: list[int]) -> None:
    """Write in place and give the file its old time back."""
    before = path.stat() if path.exists() else None
    in_place(path, data, pauses, cuts)
    if before:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def swap(path: Path, data: bytes, pauses: list[float], cuts: list[int]) -> None:
    """Do as a mounted ConfigMap does: a new folder, `..data` moved onto it, the old folder removed."""
    folder, old = path.parent, path.parent / "..data"
    gone = old.readlink() if old.is_symlink() else None
    fresh = folder / f"..v{time.monotonic_ns()}"
    fresh.mkdir()
    in_place(fresh / path.name, data, pauses, cuts)
    (folder / "..tmp").symlink_to(fresh.name)
    (folder / "..tmp").replace(old)
    if not path.is_symlink():
        (folder / ".link").symlink_to(f"..data/{path.name}")
        (folder / ".link").replace(path)
    if gone:
        shutil.rmtree(folder / gone)


def remove(path: Path, *_: object) -> None:
    path.unlink(missing_ok=True)


def fifo(path: Path, *_: object) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def folder(path: Path, *_: object) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def touch(path: Path, *_: object) -> None:
    if path.exists():
        os.utime(path)


def forbidden(path: Path, data: bytes, *_: object) -> None:
    """Leave a file that its owner may not read either (no obstacle for root)."""
    beside = path.with_name(".forbidden")
    beside.write_bytes(data)
    beside.chmod(0)
    beside.replace(path)


HOW: dict[str, Callable[[Path, bytes, list[float], list[int]], None]] = {
    call.__name__: call
    for call in (in_place, rename, recreate, reopened, stamped, swap, remove, fifo, folder, touch, forbidden)
}


def perform(edit: dict[str, object]) -> float:
    """Do one edit: `how`, `path`, `data`, `pauses`, `cuts`, and `rest` seconds afterwards; return when it was done."""
    path = Path(str(edit["path"]))
    _clear(path)
    HOW[str(edit["how"])](path, str(edit["data"]).encode(), edit["pauses"], edit["cuts"])  # type: ignore[arg-type]
    done = time.monotonic()
    time.sleep(float(edit["rest"]))  # type: ignore[arg-type]
    return done


def _clear(path: Path) -> None:
    """Take away what cannot be written: a folder, a FIFO, a link to nowhere, a forbidden file."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    elif (path.is_symlink() and not path.exists()) or (
        path.exists() and (not stat.S_ISREG(path.stat().st_mode) or not os.access(path, os.W_OK))
    ):
        path.unlink()


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps([perform(edit) for edit in json.loads(line)]), flush=True)
