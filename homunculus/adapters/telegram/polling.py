"""The messages of one session on their way in: fetched, delivered, and only then confirmed to Telegram.

Owns the offset and what of it is done; never maps a message and never decides who hears it. Telegram keeps what is not
confirmed for a day, so whatever cannot be recorded is simply fetched again. Updates of one place are delivered in their
order, those of different places side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from loguru import logger
from telegram.error import TimedOut

from homunculus.adapters.telegram import faults
from homunculus.adapters.telegram.client import Client
from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.interfaces import Deliver
from homunculus.model import Message

POLL_SECONDS = 25  # how long Telegram may wait for news before it answers
ANSWER_PATIENCE = 5.0  # seconds beyond that without an answer: the connection is dead
RETRY_PATIENCE = 8.0  # the same for the short polls after a failure
LOST_PATIENCE = 48.0  # seconds without an answer after which the session is over: a death is told within a minute
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0  # seconds between two tries of a poll, doubled each time
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # the same where messages could not be recorded
TRIES = 5  # of an update whose delivery fails without saying that it is worth another
OLDEST = 600.0  # seconds: what was said longer ago, before the session began, is not answered any more
REST_SECONDS = 25.0  # between two looks whether the token still works, while nobody is to be heard
CLOSE_PATIENCE = 2.0  # seconds for messages that were being recorded when we closed, and for the last confirmation

Read = Callable[[Any], Message | None]


class Polling:
    """Fetch for one session; `read` makes a message of an update, or None where there is nothing to deliver."""

    def __init__(self, key: str, client: Client, read: Read, deliver: Deliver) -> None:
        self._key, self._client, self._read, self._deliver = key, client, read, deliver
        # All the mutable state that outlives a message:
        self._offset = self._confirmed = 0
        self._done: set[int] = set()  # delivered, behind one that is not
        self._tries: Counter[int] = Counter()
        self._backlog = True  # what comes first may have waited for hours
        self._stale = 0
        self._delivering = False
        self._stopping = False
        self._complained = False

    async def run(self) -> None:
        """Fetch and deliver until the session dies; raise why."""
        self._stopping, pause = False, 0.0
        while True:
            updates = await self._fetched(0 if self._backlog or pause else POLL_SECONDS)
            settled = await self._delivered(updates)
            if self._stopping:
                return
            if self._backlog and settled and len(updates) < 100:
                self._end_backlog()
            if settled:
                pause, self._complained = 0.0, False
            else:
                pause = min(2 * pause or FIRST_PAUSE, LONGEST_PAUSE)
                await asyncio.sleep(pause)

    async def rest(self) -> None:
        """Confirm nothing and hear nothing, but notice when the session dies; raise why."""
        trouble: float | None = None
        while True:
            await asyncio.sleep(REST_SECONDS if trouble is None else LONGEST_WAIT)
            try:
                await self._client.get_me(read_timeout=RETRY_PATIENCE)
            except Exception as error:  # noqa: BLE001 - sorted by what it means
                trouble = self._bear(error, trouble, time.monotonic())
            else:
                trouble = None

    async def skip(self) -> None:
        """Confirm what was said while nobody was to be heard. Raises NotReady or Refused."""
        try:
            while updates := await self._client.fetch(self._offset, 0, RETRY_PATIENCE):
                self._offset = max(self._ids(updates)) + 1
        except Exception as error:
            raise faults.of_session(error, "what was said meanwhile") from error
        self._done.clear()

    async def stop(self, running: asyncio.Task[None]) -> None:
        """End `run` or `rest`: what is just being recorded gets a moment to finish."""
        self._stopping = True
        try:
            if self._delivering:
                await asyncio.wait({running}, timeout=CLOSE_PATIENCE)
        finally:
            running.cancel()
        await asyncio.wait({running})

    async def confirm(self) -> None:
        """Tell Telegram what the last delivery has done, so that it is not sent again to whoever polls next."""
        if self._offset > self._confirmed:
            with suppress(Exception):  # what is not confirmed comes again, and is known then
                async with asyncio.timeout(CLOSE_PATIENCE):
                    await self._client.fetch(self._offset, 0, CLOSE_PATIENCE, limit=1)

    # -- fetching

    async def _fetched(self, seconds: int) -> list[Any]:
        trouble, wait = None, FIRST_WAIT
        while True:
            began, offset = time.monotonic(), self._offset
            try:
                patience = ANSWER_PATIENCE if seconds else RETRY_PATIENCE
                updates = await self._client.fetch(offset, seconds, patience)
                self._confirmed = max(self._confirmed, offset)
                return updates
            except Exception as error:  # noqa: BLE001 - sorted by what it means
                trouble = self._bear(error, trouble, began)
                seconds = 0  # a short poll tells soonest that it is over
                await asyncio.sleep(getattr(error, "seconds", wait))
                wait = min(2 * wait, LONGEST_WAIT)

    def _bear(self, error: Exception, trouble: float | None, began: float) -> float:
        """Return since when there is trouble; raise when it is final or lasts too long."""
        fault = faults.of_session(error, "a poll")
        if isinstance(fault, Refused | faults.SecondPoller):
            raise fault from None
        if faults.is_odd(error):
            logger.bind(adapter=self._key).opt(exception=error).warning("The Telegram client failed in its own code")
        now = time.monotonic()
        if fault.after:
            return now  # it answered, if only that we ask too often
        if trouble is None:
            # A connection that fell silent did so when it was asked; one that was cut, just now.
            trouble = began if isinstance(error, TimedOut) else now
        if now - trouble >= LOST_PATIENCE:
            raise NotReady(f"the connection to Telegram was lost and not restored in time: {fault.reason}") from None
        return trouble

    # -- delivering

    async def _delivered(self, updates: list[Any]) -> bool:
        """Deliver what is not done yet and move the offset; tell whether all of it is settled."""
        last: dict[str, asyncio.Task[bool]] = {}
        deliveries: list[asyncio.Task[bool]] = []
        ids = self._ids(updates)
        for number, update in zip(ids, updates, strict=True):
            message = None if number in self._done else self._readable(number, update)
            if message is None:
                self._done.add(number)
                continue
            place = message.address.conversation
            work = self._recorded_after(last.get(place), number, message)
            last[place] = asyncio.create_task(work, name=f"{self._key} message {message.id}")
            deliveries.append(last[place])
        await self._all(deliveries)
        return self._advance(ids)

    async def _all(self, deliveries: list[asyncio.Task[bool]]) -> None:
        if not deliveries:
            return
        self._delivering = True
        try:
            await asyncio.wait(deliveries)
        finally:
            self._delivering = False
            late = [delivery for delivery in deliveries if not delivery.done()]
            for delivery in late:
                delivery.cancel()
            if late:
                await asyncio.wait(late)

    @staticmethod
    def _ids(updates: list[Any]) -> list[int]:
        """Return the ids of a batch; one that has none stands before its successor, and is confirmed with it."""
        ids: list[int] = []
        for update in updates:
            number = update.get("update_id") if isinstance(update, dict) else None
            ids.append(number if isinstance(number, int) else ids[-1] if ids else 0)
        return ids

    def _readable(self, number: int, update: Any) -> Message | None:
        try:
            message = self._read(update)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the next update is another one
            logger.bind(adapter=self._key, update=number, error=type(error).__name__).opt(exception=error).error(
                "Telegram sent an update that the client cannot read; it is skipped"
            )
            return None
        if message is not None and self._backlog and message.time < time.time() - OLDEST:
            self._stale += 1
            return None
        return message

    async def _recorded_after(self, before: asyncio.Task[bool] | None, number: int, message: Message) -> bool:
        """Deliver a message once the one before it in its place is recorded; leave it where that one is not."""
        if (before is not None and not await before) or not await self._recorded(number, message):
            return False
        self._done.add(number)
        return True

    async def _recorded(self, number: int, message: Message) -> bool:
        log = logger.bind(adapter=self._key, message=message.id, place=message.address.label)
        try:
            await self._deliver(message)
        except NotReady as error:
            if not self._complained and not self._stopping:
                self._complained = True
                log.bind(reason=error.reason).error("Messages cannot be recorded; Telegram keeps them until they are")
            return False
        except Exception as error:  # noqa: BLE001 - one message that cannot be recorded must not cost the next
            self._tries[number] += 1
            lost = self._tries[number] >= TRIES
            what = "is lost" if lost else "is fetched again"
            log.opt(exception=error).error("A Telegram message could not be recorded; it {what}", what=what)
            return lost
        return True

    def _advance(self, ids: list[int]) -> bool:
        before = self._offset
        for number in ids:
            if number not in self._done:
                break
            self._offset = number + 1 if number else self._offset
            self._tries.pop(number, None)
        else:
            self._done.clear()
            # What confirms nothing new would come again at once, without an end.
            return not ids or self._offset != before
        self._done = {number for number in self._done if number >= self._offset}
        return False

    def _end_backlog(self) -> None:
        self._backlog = False
        if self._stale:
            logger.bind(adapter=self._key, messages=self._stale).warning(
                "What was said more than ten minutes before the bot came back is not answered"
            )


def death(running: asyncio.Task[None], key: str) -> NotReady | Refused | None:
    """Say why a loop ended; None where it was told to."""
    if running.cancelled() or (error := running.exception()) is None:
        return None
    if isinstance(error, NotReady | Refused):
        return error
    if not isinstance(error, HomunculusError):
        logger.bind(adapter=key).opt(exception=error).error("Polling Telegram failed unexpectedly")
    return NotReady(f"polling failed unexpectedly: {type(error).__name__}")
