"""The one thread that writes. Owns transactions and the order of writes; never what a write means.

It takes everything that is queued, commits it as one transaction, and only then tells the callers: while the disk syncs,
the next group gathers. Nothing lingers: a lone write is committed at once. Statements are run for a whole group at a time
(see `writes`), because each one hands the interpreter lock over, and to a busy event loop that costs more than the write.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import apsw

from homunculus.errors import Refused
from homunculus.runtime.state.tables import run, told_as

Job = Any  # only `apply` looks inside
Apply = Callable[[apsw.Connection, Sequence[Job]], list[Any]]
_Asked = tuple[Job, "asyncio.Future[Any]"]


class _Failed:
    """What a job gets instead of its result."""

    def __init__(self, error: Exception) -> None:
        self.error = told_as(error) if isinstance(error, apsw.Error) else error


class _Lost(Exception):
    """The whole transaction is gone, with what other jobs of the group did."""


class Writer:
    """Commit jobs in groups on a thread of its own. `apply` runs jobs inside a transaction and returns their results.

    `apply` may run a job again: a transaction that fails is rolled back, and its jobs are tried more carefully.
    """

    def __init__(self, connection: apsw.Connection, apply: Apply) -> None:
        self._connection, self._apply = connection, apply
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="state-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> asyncio.Future[Any]:
        """Queue a job; the future ends after its commit, with its result, NotReady, Refused, or what `apply` raised."""
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

    def _work(self) -> None:
        open_ = True
        while open_:
            group, open_ = self._gather()
            if group:
                results = self._commit([job for job, _ in group])
                answers = [(future, result) for (_, future), result in zip(group, results, strict=True)]
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._loop.call_soon_threadsafe(_answer, answers)

    def _gather(self) -> tuple[list[_Asked], bool]:
        """Wait for one job and take every other that is there; False at the end of the queue's life."""
        group = []
        asked = self._queue.get()
        with suppress(Empty):
            while asked is not None:
                group.append(asked)
                asked = self._queue.get_nowait()
            return group, False
        return group, True

    def _commit(self, jobs: list[Job]) -> list[Any]:
        """Try them as one; then as one with a savepoint each; then each alone (a disk may have room for some)."""
        for attempt in (self._together, self._apart):
            try:
                return self._transaction(attempt, jobs)
            except Exception as error:  # noqa: BLE001 — the last try gives it to the caller
                failure = _Failed(error)
                if len(jobs) == 1:
                    return [failure]
        return [result for job in jobs for result in self._commit([job])]

    def _transaction(self, attempt: Callable[[list[Job]], list[Any]], jobs: list[Job]) -> list[Any]:
        run(self._connection, "BEGIN IMMEDIATE")
        try:
            results = attempt(jobs)
            run(self._connection, "COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run(self._connection, "ROLLBACK")
            raise
        return results

    def _together(self, jobs: list[Job]) -> list[Any]:
        return self._apply(self._connection, jobs)

    def _apart(self, jobs: list[Job]) -> list[Any]:
        return [self._guarded(job) for job in jobs]

    def _guarded(self, job: Job) -> Any:
        run(self._connection, "SAVEPOINT job")
        try:
            (result,) = self._apply(self._connection, [job])
        except Exception as error:
            if not self._connection.in_transaction:  # a full disk ends more than the statement
                raise _Lost from error
            run(self._connection, "ROLLBACK TO job; RELEASE job")
            return _Failed(error)
        run(self._connection, "RELEASE job")
        return result


def _answer(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():  # the caller gave up; its write stands all the same
            continue
        if isinstance(result, _Failed):
            future.set_exception(result.error)
        else:
            future.set_result(result)
