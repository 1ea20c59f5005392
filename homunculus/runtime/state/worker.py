"""A thread that serves the event loop in groups. Owns the queue and the futures; never what a job means.

It takes everything that is queued, works on it as one group, and answers the group with one call into the loop: waking
either side costs more than most of the jobs. A lone job is worked on at once, and while it is, the next group gathers;
only one that is `patient` waits a moment for company, for a commit of its own is what costs most.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import apsw

from homunculus.errors import Refused
from homunculus.runtime.state.tables import told_as

Job = Any  # only `work` looks inside
LINGER = 0.005  # seconds that patient jobs wait for another one


class Failed(NamedTuple):
    """What a job gets instead of its result: what to raise in its caller."""

    error: Exception


def failed(error: Exception) -> Failed:
    """Turn an error into an answer; those of the database say what to do next."""
    return Failed(told_as(error) if isinstance(error, apsw.Error) else error)


class Worker:
    """Run jobs on a thread of its own. `work` takes a group and returns a result or a Failed for each; it never raises."""

    def __init__(
        self,
        name: str,
        work: Callable[[Sequence[Job]], Sequence[Any]],
        patient: Callable[[Job], bool] = lambda job: False,
    ) -> None:
        self._work, self._patient = work, patient
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Job, asyncio.Future[Any]] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> asyncio.Future[Any]:
        """Queue a job; the future ends with its group. Raise Refused after `close`."""
        if self._closed:
            raise Refused("the state database is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.put((job, future))
        return future

    def close(self) -> None:
        """Take no more jobs; the thread ends after those it has. Call it on the loop; safe twice."""
        self._closed = True
        self._queue.put(None)

    def join(self) -> None:
        """Wait for the thread's end. Blocks; safe twice."""
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._gather()
            if group:
                results = self._work([job for job, _ in group])
                answers = [(future, result) for (_, future), result in zip(group, results, strict=True)]
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(_answer, answers)

    def _gather(self) -> tuple[list[tuple[Job, asyncio.Future[Any]]], bool]:
        """Wait for one job and take every other that is there; False when the last was taken."""
        group: list[tuple[Job, asyncio.Future[Any]]] = []
        asked, linger = self._queue.get(), LINGER
        while asked is not None:
            group.append(asked)
            try:
                asked = self._queue.get_nowait()
            except Empty:
                if not linger or not all(self._patient(job) for job, _ in group):
                    return group, True
                try:
                    asked, linger = self._queue.get(timeout=linger), 0.0
                except Empty:
                    return group, True
        return group, False


def _answer(answers: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():  # the caller gave up; what was done stands all the same
            continue
        if isinstance(result, Failed):
            future.set_exception(result.error)
        else:
            future.set_result(result)
