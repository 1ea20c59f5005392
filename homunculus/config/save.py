"""Writes a deployment file: the changed text in the place of the one it was made from, all of it or nothing.

Owns what must stay beside the text: the file's mode and owner, and the link that leads to it. Never makes a text.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from homunculus.errors import NotReady, Refused

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "edit it where it comes from",
    errno.EBUSY: "mount its folder instead of the file alone, or edit it where it comes from",
}


def replace(file: Path, before: bytes, after: bytes) -> None:
    """Put `after` in the place of `before`; it is durable when this returns.

    Raise NotReady when the file says something else by now, Refused when it cannot be written; then it is as it was.
    """
    try:
        _replace(Path(os.path.realpath(file)), before, after)
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "make it and its folder writable for this program")
        raise Refused(f"{file} cannot be written: {error.strerror}; {remedy}") from error


def _replace(file: Path, before: bytes, after: bytes) -> None:
    about = file.stat()
    draft = file.with_name(f".{file.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(after)
            opened.flush()
            with suppress(PermissionError):  # another's file becomes ours; its mode still holds
                os.fchown(descriptor, about.st_uid, about.st_gid)
            os.fchmod(descriptor, about.st_mode & 0o7777)
            os.fsync(descriptor)
        if file.read_bytes() != before:
            raise NotReady(f"{file} was changed at the same moment; nothing was written, try again")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
