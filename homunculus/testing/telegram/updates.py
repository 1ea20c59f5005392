"""The queue of updates of one bot: what was not confirmed comes again, and only one may ask at a time.

Owns the queue and the one open poll. Never words an update and never decides who sees what.
Source: the Bot API's "getUpdates".
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from homunculus.testing.telegram.refusals import SECOND_POLLER, UNAUTHORIZED, Refusal, refuse

Json = dict[str, Any]
LONGEST_POLL: Final = 50.0  # seconds
MOST: Final = 100  # updates in one answer
# What is told only to those who ask for it.
_BY_REQUEST: Final = frozenset({"chat_member", "message_reaction", "message_reaction_count"})


@dataclass(frozen=True, slots=True)
class _Update:
    id: int
    body: Json
    queued: float


class Updates:
    """One bot's queue. `polls` counts every getUpdates, `open` the one that waits now, `conflicts` the 409s."""

    def __init__(self, first_id: int, retention: float, changed: Callable[[], None]) -> None:
        self.polls = self.open = self.conflicts = 0
        self.times_given: dict[int, int] = {}  # update id → how often it was handed out
        self._next, self._retention, self._changed = first_id, retention, changed
        self._pending: list[_Update] = []
        self._allowed: frozenset[str] | None = None
        self._deaf = 0
        self._news: asyncio.Future[None] | None = None

    def put(self, kind: str, body: Json) -> None:
        """Queue an update, unless the bot asked for other kinds only."""
        wanted = kind not in _BY_REQUEST if self._allowed is None else kind in self._allowed
        if wanted:
            self._pending.append(_Update(self._next, {"update_id": self._next, kind: body}, time.time()))
            self._next += 1
            self._wake(None)

    def put_raw(self, body: Json) -> None:
        """Queue something that is no update of any known kind, or none at all."""
        self._pending.append(_Update(self._next, {"update_id": self._next, **body}, time.time()))
        self._next += 1
        self._wake(None)

    @property
    def waiting(self) -> int:
        """Count the updates that are not confirmed."""
        return len(self._pending)

    def forget_confirmations(self, times: int) -> None:
        """Lose the next `times` confirmations: what they confirmed is handed out again, at most so often."""
        self._deaf += times

    def hang_up(self) -> None:
        """Answer the open poll as a token that is no longer known."""
        self._wake(refuse(UNAUTHORIZED))

    async def get(self, offset: int, limit: int, timeout: float, allowed: frozenset[str] | None) -> list[Json]:
        """Confirm what lies before the offset, then answer with what comes next; wait for it up to `timeout` seconds."""
        self._wake(refuse(SECOND_POLLER))
        if allowed is not None:
            self._allowed = allowed or None
        self._confirm(offset)
        self.polls += 1
        self.open += 1
        self._changed()
        try:
            return await self._found(limit if 1 <= limit <= MOST else MOST, min(timeout, LONGEST_POLL))
        except Refusal as refusal:
            self.conflicts += refusal.status == 409
            raise
        finally:
            self.open -= 1
            self._changed()

    async def _found(self, limit: int, timeout: float) -> list[Json]:
        deadline = time.monotonic() + timeout
        while not self._pending and (left := deadline - time.monotonic()) > 0:
            news = self._news = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait_for(news, left)
            except TimeoutError:
                break
            finally:
                if self._news is news:
                    self._news = None
        found = self._pending[:limit]
        for update in found:
            self.times_given[update.id] = self.times_given.get(update.id, 0) + 1
        return [update.body for update in found]

    def _confirm(self, offset: int) -> None:
        oldest = time.time() - self._retention
        self._pending = [update for update in self._pending if update.queued >= oldest]
        if offset < 0:
            self._pending = self._pending[offset:]
            return
        done = [update for update in self._pending if update.id < offset]
        if done and self._deaf:
            self._deaf -= 1
            return
        self._pending = [update for update in self._pending if update.id >= offset]

    def _wake(self, refusal: Refusal | None) -> None:
        news = self._news
        if news is not None and not news.done():
            if refusal is None:
                news.set_result(None)
            else:
                news.set_exception(refusal)
