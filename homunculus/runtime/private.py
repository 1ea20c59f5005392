"""Files that belong to the account that runs the program. Owns their modes; never what is in them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from homunculus.errors import Refused


def private_folder(folder: Path) -> Path:
    """Make `folder` with mode 0700 and return it. Raise Refused, naming the folder, when it cannot be used."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise Refused(
            f"{folder} cannot be used: {error.strerror}; make it writable or set another data_home"
        ) from error
    return folder


def write_private(path: Path, text: str, *, replace: bool = True) -> None:
    """Put `text` at `path` with mode 0600, all of it or nothing, also after a power cut.

    With `replace` False an existing file stays and FileExistsError is raised.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            path.hardlink_to(draft)
    finally:
        draft.unlink(missing_ok=True)
