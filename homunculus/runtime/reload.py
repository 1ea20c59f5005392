"""One way from a save to a running deployment: watch, settle, load, plan, apply, tell.

Owns what the file last was, what runs, and the order of looks: one at a time, bursts collapsed, the last valid text kept.
Never reads a file on the event loop, never writes one, and never decides how a plan is applied.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from pathlib import Path
from typing import Any, TypeVar

from loguru import logger

from homunculus.errors import ConfigError, ConfigErrors, HomunculusError, Refused
from homunculus.interfaces import Emit
from homunculus.model import Deployment
from homunculus.plan import Plan
from homunculus.runtime.aside import Aside
from homunculus.runtime.examine import BUG, Found, Load, PlanOf, examine, one_error
from homunculus.runtime.outcome import Outcome
from homunculus.runtime.settle import Pace, Settled, settle
from homunculus.runtime.snapshot import Snapshot
from homunculus.runtime.survey import fingerprint
from homunculus.runtime.watch import Watcher

T = TypeVar("T")
Apply = Callable[[Deployment], Awaitable[object]]


class Reloader:
    """Keep what runs equal to one file.

    Times are in seconds: `poll` between silent looks at the disk, `retry` after an `apply` that failed in passing.
    `load` and `plan` run in a thread of its own; `apply` takes the whole wanted deployment and returns once it is live.
    `redact` gives the text that is kept as a generation, without literal secrets; `add_generation` keeps it with its
    SHA-256 and returns its number; `last_generation` returns number and text of the newest one.
    All its mutable state lives on the event loop and is written by one look at a time (`_one`), except `_next`.
    """

    def __init__(
        self,
        file: Path,
        *,
        load: Load,
        plan: PlanOf,
        apply: Apply,
        emit: Emit,
        add_generation: Callable[[str, str], Awaitable[int]],
        last_generation: Callable[[], Awaitable[tuple[int, str] | None]],
        redact: Callable[[Deployment], str],
        clock: Callable[[], float] = time.monotonic,
        pace: Pace | None = None,
        poll: float = 3.0,
        retry: float = 10.0,
    ) -> None:
        self.file = Path(os.path.abspath(file))  # noqa: PTH100 - lexical: links are followed anew at every look
        self._given = file  # as the person named it: errors say it so
        self._load, self._plan, self._apply, self._emit = load, plan, apply, emit
        self._add_generation, self._last_generation, self._redact = add_generation, last_generation, redact
        self._clock, self._pace, self._poll, self._retry = clock, pace or Pace(), poll, retry
        self._aside = Aside("reload")
        self._one = asyncio.Lock()
        self._next: asyncio.Task[Outcome] | None = None
        self._looks: set[asyncio.Task[Outcome]] = set()
        self._watcher: Watcher | None = None
        self._running: Deployment | None = None
        self._running_digest = ""  # of everything that was read for what runs
        self._kept = ""  # the text of the newest generation
        self._snapshot: Snapshot | None = None  # the last settled look
        self._watched = frozenset({self.file})
        self._traces: Hashable = None  # what the watched paths looked like before it; None when that proves nothing
        self._final = True
        self._postpone = False  # the last apply failed in a way that may pass: look again even if nothing changed
        self._generation = 0
        self._outcome = self._news = Outcome("refused", 0)
        self._asked = False
        self._told: tuple[str, ...] = ()
        self._warned: frozenset[str] = frozenset()  # warnings that were logged for the last text
        self._first = True

    # --- what others may know ---------------------------------------------------------------------------------------

    @property
    def deployment(self) -> Deployment | None:
        """What runs."""
        return self._running

    @property
    def running_equals_file(self) -> bool:
        """Tell whether what runs is what the file said when it was last looked at."""
        return self._running is not None and not self._outcome.errors

    @property
    def outcome(self) -> Outcome:
        """What became of the last look."""
        return self._outcome

    @property
    def errors(self) -> tuple[ConfigError, ...]:
        """Every error of the file as it is now, in file order."""
        return self._outcome.errors

    @property
    def warnings(self) -> tuple[ConfigError, ...]:
        return self._outcome.warnings

    # --- what others may ask ----------------------------------------------------------------------------------------

    async def start(self, strict: bool = False) -> Outcome:
        """Bring the file up, or with an invalid file the text that ran last; raise ConfigErrors when there is neither.

        `strict` raises them for any invalid file. What `apply` raises ends the start.
        """
        async with self._one:
            began = self._clock()
            self._generation, self._kept = await self._last_generation() or (0, "")
            settled = await self._settled()
            if errors := _errors(settled):
                outcome = await self._start_last(settled, errors, strict)
            else:
                outcome = await self._go_live(settled.snapshot, _finding(settled))
            await self._publish(settled, outcome, began, asked=True)
            return outcome

    async def run(self) -> None:
        """Reload whenever something that was read changes, until cancelled."""
        self._watcher = Watcher(self._watched, hashed=self.file, poll=self._poll)
        async with contextlib.aclosing(self._watcher.batches()) as batches:
            async for _ in batches:
                await self._heard()
                while not self._final:  # the last close of a file held open makes no sound
                    await self._shared()

    async def request(self, digest: str = "") -> Outcome:
        """Look at the file now and return what became of the text that lies in it, even if the watcher was quicker.

        `digest` is the SHA-256 of the text that the caller wrote, when it wrote one. Callers that come before a look
        begins share it. Cancelling a caller does not end the look.
        """
        before, self._asked = self._news, True
        outcome = await self._shared()
        newer = self._news is not before or self._news.digest == digest
        return (
            self._news if outcome.result == "unchanged" and newer and self._news.digest == outcome.digest else outcome
        )

    async def aclose(self) -> None:
        """End every look in hand and the thread; a switch that has begun is finished first. Safe twice."""
        looks = tuple(self._looks)
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        if self._snapshot:
            self._snapshot.release()
        await self._aside.aclose()

    # --- one look ---------------------------------------------------------------------------------------------------

    async def _heard(self) -> None:
        """Look, unless everything that was read last time is as it was: one save makes several sounds."""
        if not (self._final and self._snapshot and await self._aside(self._untouched, self._snapshot)):
            await self._shared()

    async def _shared(self) -> Outcome:
        """Join the look that has not begun yet, or arrange one."""
        if self._next is None:
            self._next = asyncio.create_task(self._look(), name="look at the deployment file")
            self._looks.add(self._next)
            self._next.add_done_callback(self._looks.discard)
        return await asyncio.shield(self._next)

    async def _look(self) -> Outcome:
        async with self._one:
            self._next = None  # who asks from here on may have written after this look read
            asked, self._asked = self._asked, False
            began = self._clock()
            settled = await self._settled()
            return await _unbroken(self._conclude(settled, began, asked))

    async def _settled(self) -> Settled[Found]:
        """Settle the file; the last reading before the switch must agree as well."""
        while True:
            settled = await settle(
                self.file,
                self._examine,
                self._aside,
                previous=self._snapshot,
                pace=self._pace,
                shown=str(self._given),
            )
            if not settled.final or await self._aside(settled.snapshot.still):
                return settled

    async def _conclude(self, settled: Settled[Found], began: float, asked: bool) -> Outcome:
        outcome = await self._switch(settled)
        await self._publish(settled, outcome, began, asked)
        return outcome

    async def _switch(self, settled: Settled[Found]) -> Outcome:
        """Apply what was found, or refuse; whatever fails, what runs goes on."""
        if errors := _errors(settled):
            return self._refused(settled, errors)
        found = _finding(settled)
        if self._running and settled.snapshot.digest == self._running_digest:
            return Outcome("unchanged", self._generation, warnings=found.warnings, digest=settled.snapshot.main.sha256)
        try:
            return await self._go_live(settled.snapshot, found)
        except ConfigErrors as errors:
            return self._refused(settled, errors)
        except Refused as error:
            return self._refused(settled, one_error(self._given, str(error)))
        except HomunculusError as error:
            return self._postponed(settled, one_error(self._given, str(error), "it is tried again by itself"))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the reload: the next save may pass
            logger.opt(exception=True).debug("applying the deployment failed")
            return self._postponed(settled, one_error(self._given, f"cannot be applied: {type(error).__name__}", BUG))

    async def _go_live(self, snapshot: Snapshot, found: Found) -> Outcome:
        """Apply a deployment and keep its text; raise what `apply` raises."""
        assert found.deployment is not None
        await self._apply(found.deployment)
        self._running, self._running_digest = found.deployment, snapshot.digest
        await self._keep(found.deployment)
        return Outcome("applied", self._generation, found.plan, (), found.warnings, snapshot.main.sha256)

    async def _start_last(self, settled: Settled[Found], errors: ConfigErrors, strict: bool) -> Outcome:
        """Start the text that ran last instead of an invalid file."""
        if strict or not self._kept:
            raise errors
        snapshot = Snapshot(self.file, text=self._kept.encode())
        found = await self._aside(self._examine, snapshot)
        if found.deployment is None:
            raise errors
        await self._go_live(snapshot, found)
        banner = "THE DEPLOYMENT FILE IS INVALID: started generation {generation}, the last that ran; waiting for a valid file"
        logger.error(banner, generation=self._generation)
        return self._refused(settled, errors)

    def _refused(self, settled: Settled[Found], errors: ConfigErrors) -> Outcome:
        plan = settled.found.plan if settled.found else Plan()
        return Outcome("refused", self._generation, plan, errors.errors, errors.warnings, settled.snapshot.main.sha256)

    def _postponed(self, settled: Settled[Found], errors: ConfigErrors) -> Outcome:
        """Refuse for now: what stood in the way (a full disk) may go without making a sound."""
        self._postpone = True
        if self._watcher:
            asyncio.get_running_loop().call_later(self._retry, self._watcher.nudge)
        return self._refused(settled, errors)

    async def _keep(self, deployment: Deployment) -> None:
        """Keep the text as a generation; a full disk must not undo what is live."""
        text = self._redact(deployment)
        if text == self._kept:
            return
        try:
            self._generation = await self._add_generation(text, hashlib.sha256(text.encode()).hexdigest())
        except Exception as error:  # noqa: BLE001 - any failure of the store: say it and go on
            logger.error("the applied text could not be kept as a generation: {error}", error=error)
        else:
            self._kept = text

    async def _publish(self, settled: Settled[Found], outcome: Outcome, began: float, asked: bool) -> None:
        """Take over what a look found and tell what is new: a save applied, errors of this text, errors that went away.

        State and event change in one step of the loop; wording and logging thousands of lines is left to the thread.
        """
        if settled.final:
            await self._aside(_exchange, self._snapshot, settled.snapshot)
        event = await self._aside(outcome.event, self._clock() - began)
        if settled.final:
            self._snapshot = settled.snapshot
            self._watch(settled)
        self._outcome, self._final = outcome, settled.final
        if outcome.result != "unchanged":
            self._news = outcome
        told = (outcome.digest, *event.errors) if outcome.errors else ()
        news, self._told = outcome.result == "applied" or asked or told != self._told, told
        if news:
            self._emit(event)
            await self._aside(outcome.log, self._warned, self._first)
            self._warned, self._first = frozenset(event.warnings), False

    def _watch(self, settled: Settled[Found]) -> None:
        errors = _errors(settled)
        running = self._running.watched if self._running else frozenset()
        missed = errors.watched if errors else frozenset()
        watched = frozenset({self.file}) | settled.snapshot.paths | running | missed
        same, self._postpone = watched == self._watched and not self._postpone, False
        self._traces = settled.found.traces if settled.found and same else None
        self._watched = watched
        if self._watcher:
            self._watcher.watch(watched)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _examine(self, snapshot: Snapshot) -> Found:
        return examine(self._given, snapshot, self._load, self._plan, self._running, fingerprint(self._watched))

    def _untouched(self, snapshot: Snapshot) -> bool:
        return self._traces is not None and fingerprint(self._watched) == self._traces and snapshot.still()


async def _unbroken(work: Coroutine[Any, Any, T]) -> T:
    """Finish `work` even when cancelled meanwhile, then be cancelled."""
    task = asyncio.create_task(work, name="switch to the new deployment")
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


def _exchange(old: Snapshot | None, new: Snapshot) -> None:
    if old:
        old.release()
    new.close()


def _errors(settled: Settled[Found]) -> ConfigErrors | None:
    return settled.fault or (settled.found.errors if settled.found else None)


def _finding(settled: Settled[Found]) -> Found:
    assert settled.found is not None
    return settled.found
