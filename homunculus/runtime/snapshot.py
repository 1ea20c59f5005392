"""What was read, exactly: every file of one load with its identity and hash, so that it can be looked at again.

Owns reading without ever blocking (no FIFO, device or directory is opened for data); never waits and never decides.
Everything here is synchronous file work and belongs in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from homunculus.runtime.lease import Hold, held, worse

FILE_LIMIT = 4 * 1024 * 1024
OTHER_LIMIT = 64 * 1024 * 1024  # a card may be a picture
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
# Within this time after a change the same signature may hide another one: clocks of file systems tick coarsely.
_RECENT_NS = 1_000_000_000

Signature = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One file as it was read: `signature` is device, inode, mtime, ctime, size, or the negative errno of the failure.

    `taken` is in nanoseconds since the epoch; `sha256` is "" where nothing could be read.
    """

    signature: Signature
    sha256: str = ""
    hold: Hold = Hold.FREE
    taken: int = 0
    newline: bool = True  # it ends in one
    known: bool = False  # it was found the same by an earlier, settled look

    @property
    def inode(self) -> Signature:
        return self.signature[:2]

    @property
    def present(self) -> bool:
        return len(self.signature) > 1

    @property
    def recent(self) -> bool:
        """Tell whether it changed so shortly before it was read that its signature alone proves nothing."""
        return self.present and (self.hold is Hold.UNKNOWN or self.signature[3] > self.taken - _RECENT_NS)


def take(path: Path, limit: int = OTHER_LIMIT) -> tuple[Reading, bytes | OSError]:
    """Read one file once: its bytes, or the OSError that says why not. Asks who writes it before and after."""
    taken = time.time_ns()
    try:
        fd = _open(path)
    except BlockingIOError as error:  # somebody holds a write lease of their own
        return Reading((-errno.EAGAIN,), hold=Hold.HELD, taken=taken), error
    except OSError as error:
        return Reading((-(error.errno or errno.EIO),), taken=taken), error
    try:
        before, signature = held(fd), _signature(os.fstat(fd))
        data = _read(fd, limit, path)
        reading = Reading(
            signature, hashlib.sha256(data).hexdigest(), worse(before, held(fd)), taken, data[-1:] == b"\n"
        )
    except OSError as error:
        return Reading((-(error.errno or errno.EIO),), taken=taken), error
    else:
        return reading, data
    finally:
        os.close(fd)


def glance(path: Path) -> Signature:
    """Return a file's signature without opening it."""
    try:
        return _signature(os.stat(path))  # noqa: PTH116 - one call a file, thousands of files
    except OSError as error:
        return (-(error.errno or errno.EIO),)


class Snapshot:
    """Every file that one load reads, each read once; `close` drops the contents, `release` ends it.

    From `close` to `release` the file is kept open for reading: a deleted file's number is given to the next one made, and
    a file that was made anew would look like one written in place.

    `previous` is an earlier settled snapshot: what equals it needs no second proof. `text` stands in for the file itself
    (a start from a kept generation). All its mutable state: `_readings` and `_held`, filled by `read`, in one thread at a time.
    """

    def __init__(self, file: Path, previous: Snapshot | None = None, text: bytes | None = None) -> None:
        self.file = file
        self._before = previous._readings if previous else {}
        self._readings: dict[Path, Reading] = {}
        self._contents: dict[Path, bytes | OSError] = {}
        self._pinned = text is not None
        self._last = 0.0
        self._anchor: int | None = None
        if text is None:
            self._look(file)
        else:
            self._contents[file] = text
            self._readings[file] = Reading((0, 0, 0, 0, len(text)), hashlib.sha256(text).hexdigest(), known=True)

    @property
    def main(self) -> Reading:
        return self._readings[self.file]

    @property
    def content(self) -> bytes | OSError:
        """What the file itself holds, or why it cannot be read."""
        return self._contents[self.file]

    @property
    def paths(self) -> frozenset[Path]:
        """Every path that was asked for, present or not."""
        return frozenset(self._readings)

    @property
    def digest(self) -> str:
        """One hash of all that was read and all that was missing."""
        parts = (f"{path}\0{reading.sha256}\n" for path, reading in sorted(self._readings.items()))
        return hashlib.sha256("".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def leased(self) -> bool:
        """Tell whether the kernel vouches for everything that is new here."""
        return all(reading.known or reading.hold is not Hold.UNKNOWN for reading in self._readings.values())

    @property
    def age(self) -> float:
        """Seconds since something new was read."""
        return time.monotonic() - self._last

    def in_place(self, previous: Snapshot | None) -> bool:
        """Tell whether the file was written over, rather than replaced, since `previous`."""
        return previous is not None and self.main.present and self.main.inode == previous.main.inode

    def read(self, path: Path) -> bytes:
        """Return a file's bytes; the same bytes however often it is asked. Raises the OSError of the first try."""
        if path not in self._contents:
            self._look(path)
        content = self._contents[path]
        if isinstance(content, OSError):
            raise content.with_traceback(None)
        return content

    def still(self) -> bool:
        """Read again: tell whether every file is what it was, and nobody holds a new one open for writing."""
        return all(self._same(path, reading) for path, reading in self._readings.items())

    def close(self) -> None:
        """Let go of the contents and take everything as settled."""
        self._contents.clear()
        self._before = {}
        self._readings = {path: _settled(reading) for path, reading in self._readings.items()}
        if self.main.hold is Hold.FREE and self._anchor is None:
            self._anchor = _anchor(self.file, self.main.inode)

    def release(self) -> None:
        """Let go of the file itself. Safe twice."""
        anchor, self._anchor = self._anchor, None
        if anchor is not None:
            os.close(anchor)

    def _look(self, path: Path) -> None:
        reading, content = take(path, FILE_LIMIT if path == self.file else OTHER_LIMIT)
        before = self._before.get(path)
        if before and (before.signature, before.sha256) == (reading.signature, reading.sha256):
            reading = _settled(reading)
        else:
            self._last = time.monotonic()
        self._readings[path], self._contents[path] = reading, content

    def _same(self, path: Path, reading: Reading) -> bool:
        if self._pinned and path == self.file:
            return True
        if glance(path) != reading.signature and reading.present:
            return False
        if reading.known and not reading.recent and reading.present:
            return True
        again, _ = take(path, FILE_LIMIT if path == self.file else OTHER_LIMIT)
        same = (again.signature, again.sha256) == (reading.signature, reading.sha256)
        return same and (reading.known or again.hold is not Hold.HELD)


def _anchor(path: Path, inode: Signature) -> int | None:
    try:
        fd = _open(path)
    except OSError:
        return None
    if _signature(os.fstat(fd))[:2] == inode:
        return fd
    os.close(fd)
    return None


def _settled(reading: Reading) -> Reading:
    return Reading(reading.signature, reading.sha256, reading.hold, reading.taken, reading.newline, known=True)


def _signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


def _open(path: Path) -> int:
    """Open a regular file and nothing else; what changes between the two looks is refused by the second."""
    _refuse(os.stat(path).st_mode, path)  # noqa: PTH116 - before opening: to open a device may already act on it
    fd = os.open(path, _FLAGS)
    try:
        _refuse(os.fstat(fd).st_mode, path)
    except OSError:
        os.close(fd)
        raise
    return fd


def _refuse(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENODEV, "is not a regular file", str(path))


def _read(fd: int, limit: int, path: Path) -> bytes:
    pieces: list[bytes] = []
    left = limit + 1
    while left > 0 and (piece := os.read(fd, min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    if left <= 0:
        raise OSError(errno.EFBIG, f"is larger than {limit // 1024 // 1024} MiB", str(path))
    return b"".join(pieces)
