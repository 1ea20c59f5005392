"""Files that belong to the account that runs the program. Owns their modes; never what is in them."""

from __future__ import annotations

import errno
from pathlib import Path

from homunculus import whole
from homunculus.errors import Refused

_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "make its disk writable or set another data_home",
    errno.EMFILE: "let this process open more files",
    errno.ENFILE: "let this machine open more files",
}


def refusal(path: Path, error: OSError) -> Refused:
    """Say which path cannot be used, why, and what would help."""
    remedy = _REMEDIES.get(error.errno or 0, "make it writable or set another data_home")
    return Refused(f"{path} cannot be used: {error.strerror}; {remedy}")


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700 and return it. Raise Refused, naming the folder, when it cannot be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise refusal(folder, error) from error
    return folder


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Put `text` at `path` with mode 0600, all of it or nothing, also after a power cut.

    With `replace` False an existing file stays and FileExistsError is raised. Raise Refused when it cannot be written.
    """
    try:
        whole.put(path, text.encode(), replace=replace)
    except FileExistsError:
        raise
    except OSError as error:
        raise refusal(path, error) from error
