"""Writes a deployment file: the changed text in the place of the one it was made from, all of it or nothing.

Owns what must stay beside the text: the file's mode and owner, and the link that leads to it. Never makes a text.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from homunculus import whole
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

    def ready(descriptor: int) -> None:
        with suppress(PermissionError):  # another's file becomes ours; its mode still holds
            os.fchown(descriptor, about.st_uid, about.st_gid)
        os.fchmod(descriptor, about.st_mode & 0o7777)
        if file.read_bytes() != before:
            raise NotReady(f"{file} was changed at the same moment; nothing was written, try again")

    whole.put(file, after, ready=ready)
