"""Appending, moving and locking so that what was acknowledged is there after `kill -9` and a power cut.

Knows nothing of memories. No function here follows a symbolic link in a file's own name.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from homunculus import whole


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file against every other thread and process; it is let go however the holder ends."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | whole.FLAGS, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def tried(path: Path) -> Iterator[bool]:
    """Hold a lock file if nobody else does; say whether it is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | whole.FLAGS, 0o600)
    try:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
            return
        yield False
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a folder and what is missing above it, each durable in its parent."""
    if path.is_symlink():
        raise NotADirectoryError(20, "it is a symbolic link; put a real folder in its place", str(path))
    if path.is_dir():
        return
    if not path.parent.exists():
        make_folder(path.parent)
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    whole.sync_folder(path.parent)


def read(path: Path) -> bytes:
    """Return a regular file's content; FileNotFoundError when there is none, or something else in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | whole.FLAGS)
    except OSError as error:
        raise FileNotFoundError(error.errno, error.strerror, str(path)) from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError(2, "it is no regular file", str(path))
        return file.read()


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file, made if need be: all of it durably, or nothing when the disk refuses."""
    descriptor, new = _opened(path)
    try:
        before = os.fstat(descriptor).st_size
        try:
            whole.write(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, before)
            raise
    except OSError:
        if new:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    if new:
        whole.sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Put other content in a file's place, all of it or nothing."""
    whole.put(path, data)


def move(source: Path, target: Path) -> None:
    """Rename a folder or file, durably on both sides."""
    source.rename(target)
    whole.sync_folder(target.parent)
    whole.sync_folder(source.parent)


def remove(path: Path) -> None:
    """Remove a file durably."""
    path.unlink(missing_ok=True)
    whole.sync_folder(path.parent)


def _opened(path: Path) -> tuple[int, bool]:
    flags = os.O_WRONLY | os.O_APPEND | whole.FLAGS
    try:
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(path, flags), False
