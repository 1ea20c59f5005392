"""From "something changed" to a text that somebody meant to save.

A save is what lies in the file while no process holds it open for writing. Where the kernel cannot tell, it is what lay
there unchanged for a while. Owns that decision and its times; never watches, never applies, and does no file work itself.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from homunculus.errors import ConfigError, ConfigErrors, Where
from homunculus.runtime.aside import Aside
from homunculus.runtime.lease import Hold
from homunculus.runtime.snapshot import Snapshot


class Findable(Protocol):
    """What examining a text yields: settling needs to know only whether it looks like half of one."""

    @property
    def suspicious(self) -> bool: ...


Found = TypeVar("Found", bound=Findable)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to wait for what, in seconds."""

    gap: float = 0.010  # between two readings of a file that the kernel vouches for
    quiet: float = 0.100  # the same where it does not
    doubt: float = 0.150  # for a text that looks like half of one
    grace: float = 0.250  # for a file that is empty or gone: editors do that in passing
    step: float = 0.025  # between looks during the longer waits
    patience: float = 10.0  # before a file that never settles is reported


@dataclass(frozen=True, slots=True)
class Settled(Generic[Found]):
    """A settled look: what was `found` in the text, or the `fault` of a file without one.

    `final` is False for a file that would not settle within the patience: look again.
    """

    snapshot: Snapshot
    found: Found | None = None
    fault: ConfigErrors | None = None
    final: bool = True


class Restless(Exception):
    """The file changed, or is being written: begin again."""


async def settle(
    file: Path,
    examine: Callable[[Snapshot], Found],
    aside: Aside,
    *,
    previous: Snapshot | None = None,
    pace: Pace | None = None,
    shown: str = "",
) -> Settled[Found]:
    """Wait for a settled text, examine it in the thread `aside`, and return what was found.

    `examine` reads only through the snapshot and puts its failures into what it returns. `previous` is the last settled
    snapshot: what equals it needs no second proof. `shown` is the file's name for people. A file that does not settle in
    time is returned as a fault, not final.
    """
    pace = pace or Pace()
    deadline = asyncio.get_running_loop().time() + pace.patience
    while True:
        snapshot = await aside(Snapshot, file, previous)
        try:
            if snapshot.main.hold is Hold.HELD and not snapshot.main.known:
                raise Restless
            if fault := _fault(snapshot, shown or str(file)):
                await _outlast(snapshot, pace.grace, pace.step, aside)
                return Settled(snapshot, fault=fault)
            return await _prove(snapshot, examine, aside, previous, pace)
        except Restless:
            if asyncio.get_running_loop().time() > deadline:
                return Settled(snapshot, fault=_error(shown or str(file), *_BUSY, file), final=False)
            await asyncio.sleep(pace.gap)


async def _prove(
    snapshot: Snapshot,
    examine: Callable[[Snapshot], Found],
    aside: Aside,
    previous: Snapshot | None,
    pace: Pace,
) -> Settled[Found]:
    """Prove one look; raise Restless as soon as anything contradicts it."""
    # Loading overlaps the gap: a torn text is loaded in vain now and then, a whole one is live that much sooner.
    found = await aside(examine, snapshot)
    await second_look(snapshot, aside, pace)
    if (found.suspicious and snapshot.in_place(previous)) or not snapshot.main.newline:
        await _outlast(snapshot, pace.doubt, pace.step, aside)
    return Settled(snapshot, found)


async def second_look(snapshot: Snapshot, aside: Aside, pace: Pace) -> None:
    """Read everything once more, long enough after the first time; raise Restless unless it is the same."""
    wait = pace.gap if snapshot.leased else pace.quiet
    await asyncio.sleep(max(0.0, wait - snapshot.age))
    if not await aside(snapshot.still):
        raise Restless


async def _outlast(snapshot: Snapshot, seconds: float, step: float, aside: Aside) -> None:
    """Wait, looking every `step`; raise Restless at the first difference."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while (left := until - clock()) > 0:
        await asyncio.sleep(min(left, step))
        if not await aside(snapshot.still):
            raise Restless


_BUSY = ("is still being written: another process holds it open or keeps changing it", "close it there")
_FAULTS = {
    errno.ENOENT: ("does not exist", "create it, or give the right path"),
    errno.ENOTDIR: ("does not exist: a part of its path is not a folder", "give the right path"),
    errno.EISDIR: ("is a folder", "give the path of a file in it"),
    errno.ENODEV: ("is not a regular file", "replace it by one"),
    errno.EACCES: ("may not be read", "give this user the right to read it"),
    errno.ELOOP: ("is a symbolic link that leads nowhere", "let it point to a file"),
    errno.EFBIG: ("is larger than 4 MiB", "a deployment file must be smaller"),
}


def _fault(snapshot: Snapshot, shown: str) -> ConfigErrors | None:
    """Say why there is no text to load, if so. An empty file is never a configuration."""
    content = snapshot.content
    if isinstance(content, OSError):
        reason = content.strerror or type(content).__name__
        words = _FAULTS.get(content.errno or 0, (f"cannot be read: {reason}", "make it a readable file"))
        return _error(shown, *words, snapshot.file)
    return None if content.strip() else _error(shown, "is empty", "write a deployment into it", snapshot.file)


def _error(shown: str, message: str, hint: str, file: Path) -> ConfigErrors:
    return ConfigErrors((ConfigError(Where(shown), message, hint),), watched=frozenset({file}))
