"""A machine that fails its programs: disks too small or unable to sync, files nobody may write, descriptors that run out.

    python -m tests.e2e.hardship BROKEN serve FILE      # no file can be synced while the file BROKEN exists

Owns the hardships alone; what suffers them is the real program.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import pytest

PR_CAPBSET_DROP = 24
CAPABILITIES = range(64)  # more than there are: unknown ones are refused, which is as good


def unprivileged() -> None:
    """Let the program that is started next be refused what any user is refused; for `preexec_fn`.

    It keeps its user id, so that it can read an interpreter in root's home, but may not override the modes of files.
    """
    if os.geteuid() == 0:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        for capability in CAPABILITIES:
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@contextmanager
def small_disk(folder: Path, size: str = "2m") -> Iterator[Path]:
    """Mount a disk of its own for a folder; skips the test where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    if made.returncode:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}; run the tests as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte of a disk free; return the file to remove."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        for chunk in (b"x" * 65536, b"x" * 4096, b"x"):
            with suppress(OSError):
                while file.write(chunk) == len(chunk):
                    continue
    return filler


def fail_syncs_while(broken: Path) -> None:
    """Make SQLite's disk fail to sync for as long as a file exists."""
    usual = apsw.vfs_names()[0]

    class File(apsw.VFSFile):
        def __init__(self, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
            super().__init__(usual, name, flags)

        def xSync(self, flags: int) -> None:  # noqa: N802
            if broken.exists():
                raise apsw.IOError("the disk does not answer")
            super().xSync(flags)

    class Disk(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("failing-disk", "", makedefault=True)

        def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
            return File(name, flags)

    global _disk
    _disk = Disk()


_disk: apsw.VFS | None = None

if __name__ == "__main__":
    fail_syncs_while(Path(sys.argv.pop(1)))
    from homunculus.cli import main

    main()
