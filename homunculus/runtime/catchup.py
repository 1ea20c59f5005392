"""What was posted while nobody listened: fetched when a session begins, and handed in before anything newer there.

Owns the order of old and new in a conversation for the life of one session; never decides what is answered, and keeps no
memory of its own: what is already recorded is dropped by the inbox like any other duplicate. Only conversations that were
recorded before are asked about, so nothing from before a binding existed is taken for ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from loguru import logger

from homunculus.errors import HomunculusError, NotReady, Uncertain
from homunculus.interfaces import Clock, Deliver, PlatformHistory
from homunculus.model import Address, Message, Scope
from homunculus.runtime.store import Mark
from homunculus.runtime.tasks import ended_first

WINDOW = 600.0  # seconds: what is older than this is not fetched any more
LIMIT = 100  # messages of one conversation
AT_ONCE = 4  # conversations asked about at a time: platforms limit how often one may ask
PERSISTENCE = 300.0  # seconds for which a failing call is made again, 1 to 15 seconds between two tries
LONGEST_WAIT = 15.0
CALL_SECONDS = 45.0  # a client library may itself repeat a failing request for half a minute
HOLD_SECONDS = 20.0  # how long a new message waits for the older ones of its conversation


class CatchUp:
    """Hold back what is new in some conversations until what is older has been fetched and handed in.

    `marks` say where to begin, `deliver` takes a message. `begin` it before anything can be heard, then `run` it once.
    """

    def __init__(
        self,
        key: str,
        history: PlatformHistory,
        marks: Iterable[Mark],
        deliver: Deliver,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._key, self._history, self._deliver, self._clock, self._sleep = key, history, deliver, clock, sleep
        self._marks = {mark.address.conversation: mark for mark in marks}
        self.unfetched = dict(
            self._marks
        )  # until what came after was handed in: the next session's, if not by this one
        # A lock lets those who wait go in the order they came, and whoever comes then behind them.
        self._locks = {conversation: asyncio.Lock() for conversation in self._marks}
        self._holding: set[str] = set()
        self._abandoned: set[str] = set()
        self._fetched, self._failed = 0, 0

    async def begin(self) -> None:
        """Hold back everything new from now on."""
        for conversation, lock in self._locks.items():
            await lock.acquire()
            self._holding.add(conversation)

    async def older(self, conversation: str) -> None:
        """Wait until what is older in a conversation was handed in; nothing is awaited after its turn has come.

        Raise NotReady when that will not happen any more: recording what is new would hide the gap from the next session.
        """
        lock = self._locks.get(conversation)
        if lock is not None:
            async with lock:
                pass
        if conversation in self._abandoned:
            raise NotReady("the session ended before what is older was fetched")

    async def run(self) -> None:
        """Fetch and hand in, conversation by conversation; whatever becomes of it, nothing stays held back."""
        try:
            await ended_first(self._all(), self._grow_impatient())
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self._let_go(*self._marks)
        if self._fetched or self._failed:
            logger.bind(adapter=self._key, messages=self._fetched, failed=self._failed).info(
                "Caught up on what was said meanwhile"
            )

    def abandon(self) -> None:
        """Refuse what is new wherever the older was not handed in yet."""
        self._abandoned |= self._holding
        self._let_go(*self._marks)

    async def _all(self) -> None:
        marks = iter(self._marks.items())

        async def work() -> None:
            for conversation, mark in marks:
                await self._one(conversation, mark)
                await asyncio.sleep(0)  # where nothing was said nothing is waited for, and there may be thousands

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work(), name=f"{self._key} catching up")

    async def _grow_impatient(self) -> None:
        await self._sleep(HOLD_SECONDS)
        self._let_go(*self._marks)
        await asyncio.Event().wait()

    async def _one(self, conversation: str, mark: Mark) -> None:
        try:
            found = await self._asked(mark)
            await self._hand_in(found)
            self._fetched += len(found)
            del self.unfetched[conversation]
        except Exception as error:  # noqa: BLE001 - one conversation that cannot be read must not keep the bot from the others
            self._tell(mark.address, error)
        self._let_go(conversation)

    async def _hand_in(self, found: list[Message]) -> None:
        """Deliver what was fetched; what cannot be recorded now, on a full disk, is handed in again until it can."""
        began, tries = self._clock(), 0
        while True:
            # Started in order, and recorded in one group.
            receipts = await asyncio.gather(*(self._deliver(message) for message in found), return_exceptions=True)
            failed = [receipt for receipt in receipts if isinstance(receipt, Exception)]
            if not failed:
                return
            if not all(isinstance(error, NotReady) for error in failed) or self._clock() - began >= PERSISTENCE:
                raise failed[0]
            await self._sleep(min(2.0 ** min(tries, 8), LONGEST_WAIT))
            tries += 1

    async def _asked(self, mark: Mark) -> list[Message]:
        """Return what was posted since the mark, oldest first; asking again is safe after any failure but a refusal."""
        began, tries = self._clock(), 0
        while True:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await self._since(mark)
            except (NotReady, Uncertain, TimeoutError) as error:
                if self._clock() - began >= PERSISTENCE:
                    raise
                after = error.after if isinstance(error, NotReady) else None
                await self._sleep(max(min(2.0 ** min(tries, 8), LONGEST_WAIT), after or 0.0))
                tries += 1

    async def _since(self, mark: Mark) -> list[Message]:
        address, limit = _present(mark.address, self._key), LIMIT + mark.known
        found = [message async for message in self._history.history(address, mark.after, limit)]
        if len(found) >= limit:
            # There is more than may be fetched: the newest of it is what people wait for.
            newest = [message async for message in self._history.history(address, None, LIMIT)]
            found = [message for message in newest if message.time >= mark.time]
        return [message for message in found if message.time > self._clock() - WINDOW]

    def _tell(self, address: Address, error: Exception) -> None:
        """Log the first failure of a session for people, and the others, which most likely have its cause, for the curious."""
        level = "DEBUG" if self._failed else "WARNING"
        self._failed += 1
        reason = str(error) if isinstance(error, HomunculusError) else type(error).__name__
        logger.bind(adapter=self._key, place=address.label, reason=reason).log(
            level, "What was said there meanwhile could not be fetched"
        )

    def _let_go(self, *conversations: str) -> None:
        for conversation in conversations:
            if conversation in self._holding:
                self._holding.discard(conversation)
                self._locks[conversation].release()


def heard(scope: Scope, address: Address) -> bool:
    """Tell whether a scope reaches a place."""
    anywhere = scope.direct if address.direct else scope.everything
    return anywhere or bool({address.place, address.parent} & scope.places)


def _present(address: Address, key: str) -> Address:
    """Return an address as the instance that has the account now would give it."""
    label = address.label.removeprefix(f"{address.adapter}:")
    return replace(address, adapter=key, label=f"{key}:{label}" if label != address.label else address.label)
