"""Transactions: a group of writes becomes one, and one that fails takes no other with it. Never what a write means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import apsw

from homunculus.runtime.state.tables import run
from homunculus.runtime.state.worker import Job, failed

Apply = Callable[[apsw.Connection, Sequence[Job]], list[Any]]


class _Lost(Exception):
    """The whole transaction is gone, with what other jobs of the group did."""


class Commit:
    """Commit groups of jobs. `apply` runs jobs inside a transaction and returns their results.

    It may run a job again: a transaction that fails is rolled back, and its jobs are tried more carefully.
    """

    def __init__(self, connection: apsw.Connection, apply: Apply) -> None:
        self._connection, self._apply = connection, apply

    def __call__(self, jobs: Sequence[Job]) -> list[Any]:
        """Try them as one; then as one with a savepoint each; then each alone (a disk may have room for some)."""
        return self._tried(jobs, may_make_room=True)

    def _tried(self, jobs: Sequence[Job], *, may_make_room: bool) -> list[Any]:
        for attempt in (self._together, self._apart):
            try:
                return self._transaction(attempt, jobs)
            except Exception as error:  # noqa: BLE001 — of a lone job it goes to the caller, of a group the next try shows it
                if may_make_room and isinstance(error, apsw.FullError):
                    self._make_room()
                    return self._tried(jobs, may_make_room=False)
                failure = failed(error)
                if len(jobs) == 1:
                    return [failure]
        return [result for job in jobs for result in self._tried([job], may_make_room=False)]

    def _make_room(self) -> None:
        """Fold the log into the file: on a small disk the log alone may be what fills it, and only a commit folds it."""
        with suppress(apsw.Error):  # no room for that either: a person must make some
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def _transaction(self, attempt: Callable[[Sequence[Job]], list[Any]], jobs: Sequence[Job]) -> list[Any]:
        run(self._connection, "BEGIN IMMEDIATE")
        try:
            results = attempt(jobs)
            run(self._connection, "COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                run(self._connection, "ROLLBACK")
            raise
        return results

    def _together(self, jobs: Sequence[Job]) -> list[Any]:
        return self._apply(self._connection, jobs)

    def _apart(self, jobs: Sequence[Job]) -> list[Any]:
        return [self._guarded(job) for job in jobs]

    def _guarded(self, job: Job) -> Any:
        run(self._connection, "SAVEPOINT job")
        try:
            (result,) = self._apply(self._connection, [job])
        except Exception as error:
            if not self._connection.in_transaction:  # a full disk ends more than the statement
                raise _Lost from error
            run(self._connection, "ROLLBACK TO job; RELEASE job")
            return failed(error)
        run(self._connection, "RELEASE job")
        return result


def answer(questions: Sequence[Callable[[], Any]]) -> list[Any]:
    """Ask each question; a failing one has its own answer."""
    return [_asked(question) for question in questions]


def _asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except Exception as error:  # noqa: BLE001 — it goes to the caller
        return failed(error)
