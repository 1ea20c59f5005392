"""Hear that something on disk may have changed. The only importer of watchfiles.

Owns listening threads (one for each set of folders) and the slow poll behind them; never reads a file's meaning, never
says *what* changed: whoever hears a batch looks at the disk again. Folders are watched, never files: a watched file goes
deaf after one atomic save.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable
from pathlib import Path

import watchfiles
from loguru import logger

from homunculus.runtime.survey import Survey, fingerprint, survey

_DEBOUNCE_MS = 50
_STEP_MS = 15  # an early callback meets half-written files, a late one costs latency; each step wakes the processor
_ALIVE_MS = 100  # how soon a new listener says that it is up, and the longest it takes to end

Heard = Callable[["_Listener", "frozenset[str] | BaseException"], None]


class Watcher:
    """Watch a set of paths that may be replaced at any time; `hashed` is the file whose content the poll compares.

    All its mutable state lives on the event loop: the paths, the last survey, the current listener and those that retire.
    """

    def __init__(self, paths: Iterable[Path], *, hashed: Path | None = None, poll: float = 3.0) -> None:
        self._paths, self._hashed, self._poll = frozenset(paths), hashed, poll
        self._survey = Survey()
        self._print: Hashable = None
        self._listener: _Listener | None = None
        self._retired: set[_Listener] = set()
        self._heard = self._stale = False
        self._changed = asyncio.Event()
        self._deaf = ""

    @property
    def paths(self) -> frozenset[Path]:
        return self._paths

    def watch(self, paths: Iterable[Path]) -> None:
        """Watch exactly these paths from now on; what is missing is waited for in its nearest existing parent."""
        wanted = frozenset(paths)
        if wanted != self._paths:
            self._paths = wanted
            self._changed.set()

    def nudge(self) -> None:
        """Yield a batch although nothing made a sound."""
        self._heard = True
        self._changed.set()

    async def batches(self) -> AsyncGenerator[None, None]:
        """Yield once when listening has begun, then whenever something may have changed. Closing it ends the threads."""
        try:
            await self._look()
            while True:
                if await self._next():
                    yield None
        finally:
            await self._hush()

    async def _next(self) -> bool:
        """Wait for a sound or for the poll's time; tell whether anything worth a look is behind it."""
        try:
            async with asyncio.timeout(self._poll):
                await self._changed.wait()
        except TimeoutError:
            pass  # the poll's turn
        self._changed.clear()
        heard, self._heard = self._heard, False
        return await self._look() or heard

    async def _look(self) -> bool:
        """Survey the paths; listen anew where folders came, went or were replaced; tell whether anything differs."""
        found, seen = await asyncio.to_thread(_examine, self._paths, self._hashed)
        if found.places != self._survey.places or self._stale or self._listener is None:
            self._listen(found)
        self._survey = found
        before, self._print = self._print, seen
        return seen != before

    def _listen(self, found: Survey) -> None:
        """Begin a new listener; the old one is kept until the new one is up, so that nothing is missed between them."""
        if self._listener:
            self._retired.add(self._listener)
        self._stale = False
        self._listener = _Listener(sorted(found.places), asyncio.get_running_loop(), self._hear)

    def _hear(self, listener: _Listener, sound: frozenset[str] | BaseException) -> None:
        if isinstance(sound, BaseException):
            return self._deafen(listener, sound)
        self._deaf = ""
        if listener is self._listener:
            self._retired = {old for old in self._retired if not old.ended.is_set()}
            for old in self._retired:
                old.stop()
        # A folder that is itself spoken of may be another one by now, even with the same inode number.
        self._stale = self._stale or not self._survey.places.keys().isdisjoint(sound)
        if not sound or any(map(self._survey.concerns, sound)):
            self.nudge()
        return None

    def _deafen(self, listener: _Listener, error: BaseException) -> None:
        """Go on with the poll, and try again with it; at once only when the reason is new (a folder vanished just now)."""
        if listener is not self._listener:
            return
        self._retired.add(listener)
        self._listener = None
        if self._deaf == str(error):
            return
        self._deaf = str(error)
        if not isinstance(error, FileNotFoundError):
            logger.warning(
                "cannot watch for changes, looking every {poll} s instead: {error}", poll=self._poll, error=error
            )
        self.nudge()

    async def _hush(self) -> None:
        listeners = {*self._retired, *filter(None, [self._listener])}
        self._listener, self._retired = None, set()
        for listener in listeners:
            listener.stop()
        for listener in listeners:
            await listener.ended.wait()
            listener.join()


class _Listener:
    """One thread that listens in fixed folders: says an empty set when it is up, then what it hears, or why it cannot."""

    def __init__(self, places: list[str], loop: asyncio.AbstractEventLoop, hear: Heard) -> None:
        self._places, self._loop, self._hear = places, loop, hear
        self._stop = threading.Event()
        self.ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does within `_ALIVE_MS`."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the last instructions of a thread that has said it ended."""
        self._thread.join()

    def _run(self) -> None:
        try:
            self._listen()
        except Exception as error:  # noqa: BLE001 - whatever the watcher of this system raises, the poll carries on
            self._say(error)
        finally:
            self._call(self.ended.set)

    def _listen(self) -> None:
        up = False
        # No filter here: `..data`, folders and hidden files matter, and which names do changes with every survey.
        # No stop_event either: it would be asked at every step.
        for changes in watchfiles.watch(
            *self._places,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            rust_timeout=_ALIVE_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
            recursive=False,
            ignore_permission_denied=True,
        ):
            if self._stop.is_set():
                return
            if changes or not up:
                self._say(frozenset() if not up else frozenset(path for _, path in changes))
            up = True

    def _say(self, sound: frozenset[str] | BaseException) -> None:
        self._call(self._hear, self, sound)

    def _call(self, callback: Callable[..., object], *args: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *args)


def _examine(paths: frozenset[Path], hashed: Path | None) -> tuple[Survey, Hashable]:
    return survey(paths), fingerprint(paths, hashed)
