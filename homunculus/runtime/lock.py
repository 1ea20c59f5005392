"""One process a bot: the lock, the run file that says where its server is, the token of its API.

Owns `<data_home>/state/<bot_name>.lock`, `.run.json` and `.token`. The lock file stays when the process ends: removing it
would let two processes lock two files of one name. A run file counts only while the process that wrote it holds the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from homunculus.errors import InUse, Refused
from homunculus.private import private_folder, refusal, write_private

RUN_SUFFIX = ".run.json"
_TRIES, _PAUSE = 50, 0.01  # half a second for whoever only looks at the lock, or has not yet signed it


def state_path(data_home: Path, bot_name: str, suffix: str = ".sqlite") -> Path:
    """Return where a bot keeps its state: `<data_home>/state/<bot_name><suffix>`."""
    if Path(bot_name).name != bot_name:
        raise Refused(f"{bot_name!r} cannot be a bot_name: it must name a file")
    return data_home / "state" / f"{bot_name}{suffix}"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a lock, and when it took it (seconds since the epoch)."""

    pid: int
    started: float

    def __str__(self) -> str:
        return f"process {self.pid}, running since {datetime.fromtimestamp(self.started, UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # it runs, as somebody else
            return True
        return True


class ProcessLock:
    """Hold a bot for as long as the context lasts. Entering raises InUse when another process holds it, else Refused."""

    def __init__(self, data_home: Path, bot_name: str) -> None:
        self.path = state_path(data_home, bot_name, ".lock")
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        private_folder(self.path.parent)
        try:
            self._descriptor = self._taken()
        except OSError as error:
            raise refusal(self.path, error) from error
        return self

    def _taken(self) -> int:
        descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            self._take(descriptor)
            os.fchmod(descriptor, 0o600)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "started": time.time()}).encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None

    def _take(self, descriptor: int) -> None:
        for left in reversed(range(_TRIES)):
            if _flock(descriptor, fcntl.LOCK_EX):
                return
            owner = _owner(self.path)
            if owner is not None and owner.alive:
                raise InUse(str(self.path), str(owner))
            if left:
                time.sleep(_PAUSE)  # flock has no wait with a limit
        raise InUse(str(self.path), "another process")


def _flock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(path: Path) -> Owner | None:
    """Read who signed the lock file last; None when nobody did, or it was left without a word."""
    try:
        written = json.loads(path.read_bytes())
        return Owner(int(written["pid"]), float(written["started"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _holder(path: Path) -> Owner | None:
    """Return the process that holds the lock now. Looking takes a shared lock for a moment: see `ProcessLock._take`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return None if _flock(descriptor, fcntl.LOCK_SH) else _owner(path)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One running server: `address` is where its API answers (empty without a server), `file` its deployment file.

    `key` opens the API to the program's own command line for as long as this server runs.
    """

    bot_name: str
    pid: int
    address: str
    file: Path
    key: str = field(default="", repr=False)


class RunFile:
    """Tell other commands where the server of a bot is. Written and removed only by the holder of the lock."""

    def __init__(self, data_home: Path, bot_name: str) -> None:
        self.path = state_path(data_home, bot_name, RUN_SUFFIX)
        self._lock = state_path(data_home, bot_name, ".lock")
        self._bot_name = bot_name

    def write(self, *, pid: int, address: str, file: Path, key: str = "") -> None:
        private_folder(self.path.parent)
        write_private(self.path, json.dumps({"pid": pid, "address": address, "file": str(file), "key": key}) + "\n")

    def read(self) -> RunInfo | None:
        """Return what the running server wrote; None when none runs, whatever a crash left behind."""
        try:
            written = json.loads(self.path.read_bytes())
            pid, address, file = int(written["pid"]), str(written["address"]), Path(written["file"])
            info = RunInfo(self._bot_name, pid, address, file, str(written.get("key", "")))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        holder = _holder(self._lock)
        return info if holder is not None and holder.pid == info.pid else None

    def remove(self) -> None:
        """Remove it. Safe twice; one that cannot be removed counts for nothing once the lock is free."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def running(data_home: Path) -> tuple[RunInfo, ...]:
    """List the servers that run with this data home, by bot name."""
    names = sorted(path.name.removesuffix(RUN_SUFFIX) for path in (data_home / "state").glob(f"[!.]*{RUN_SUFFIX}"))
    return tuple(info for name in names if (info := RunFile(data_home, name).read()) is not None)


def api_token(data_home: Path, bot_name: str) -> str:
    """Return the token of a bot's API; the first call makes it, and every later one reads the same."""
    path = state_path(data_home, bot_name, ".token")
    private_folder(path.parent)
    token = _token(path)
    if token:
        return token
    if token is not None:  # emptied: somebody wants a new one
        path.unlink(missing_ok=True)
    with suppress(FileExistsError):  # another process was first: its token is the one
        write_private(path, secrets.token_urlsafe(32) + "\n", replace=False)
    return path.read_text(encoding="utf-8").strip()


def _token(path: Path) -> str | None:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
