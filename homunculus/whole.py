"""Files that are written whole or not at all, also after `kill -9` and a power cut. Owns the order of write, sync, rename.

Knows nothing of what is in them. No function here follows a symbolic link in a file's own name. Raises OSError.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def put(
    path: Path,
    data: bytes,
    *,
    mode: int = 0o600,
    replace: bool = True,
    ready: Callable[[int], object] = lambda descriptor: None,
) -> None:
    """Put a file at `path`, durable when this returns; with `replace` False one that is there stays: FileExistsError.

    `ready` gets the descriptor of the written draft before it takes the path's place: what it raises ends everything.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, mode)
    try:
        try:
            write(descriptor, data)
            ready(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
    sync_folder(path.parent)


def write(descriptor: int, data: bytes) -> None:
    """Write all of it, however little the system takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where a folder can be opened for that."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
