"""Messages on their way in. Discord delivers each once and takes no confirmation, so what cannot be recorded waits here.

Owns the deliveries of one session and the order of what waits; never maps a message and never decides who hears it.
"""

from __future__ import annotations

import asyncio
from collections import deque

from loguru import logger

from homunculus.errors import NotReady
from homunculus.interfaces import Deliver
from homunculus.model import Message

PATIENCE = 2.0  # seconds for messages that were being recorded when we closed
FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0  # seconds between two tries, doubled each time
MOST_WAITING = 10_000  # messages; a disk that is full that long is not mended by one more


class Inbound:
    """Deliver messages: at once, or behind those that still wait to be recorded."""

    def __init__(self, key: str, deliver: Deliver) -> None:
        self.key, self._deliver = key, deliver
        # All the mutable state that outlives a message:
        self._deliveries: set[asyncio.Task[None]] = set()
        self._waiting: deque[Message] = deque()
        self._again: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def put(self, message: Message) -> None:
        """Deliver one message, from soon on."""
        if self._waiting:
            self._keep(message)
            return
        delivery = asyncio.create_task(self._delivered(message), name=f"{self.key} message {message.id}")
        self._deliveries.add(delivery)
        delivery.add_done_callback(self._deliveries.discard)

    async def aclose(self) -> None:
        """Let what is just being recorded finish; what still waits is left to the catch-up of the next session."""
        self._closing.set()
        if self._waiting:
            logger.bind(adapter=self.key, messages=len(self._waiting)).warning(
                "Messages that could not be recorded are left to the next session"
            )
        tasks = self._deliveries | ({self._again} if self._again else set())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=PATIENCE)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _delivered(self, message: Message) -> None:
        try:
            await self._deliver(message)
        except NotReady as error:
            logger.bind(adapter=self.key, message=message.id, reason=error.reason).error(
                "A Discord message could not be recorded; it is tried again for as long as the session lives"
            )
            self._keep(message)
        except Exception as error:  # noqa: BLE001 - one message that cannot be recorded must not cost the next
            self._lose(message, error)

    def _keep(self, message: Message) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._lose(message, NotReady(f"{MOST_WAITING} messages wait already"))
            return
        self._waiting.append(message)
        if self._again is None or self._again.done():
            self._again = asyncio.create_task(self._deliver_again(), name=f"{self.key} unrecorded messages")

    async def _deliver_again(self) -> None:
        """Bring what waits in its order; one that is still refused holds up those behind it."""
        wait = FIRST_WAIT
        while self._waiting and not await self._closes_within(wait):
            wait = min(2 * wait, LONGEST_WAIT)
            try:
                while self._waiting:
                    await self._retried(self._waiting[0])
                    self._waiting.popleft()
            except NotReady:
                continue

    async def _retried(self, message: Message) -> None:
        try:
            await self._deliver(message)
        except NotReady:
            raise
        except Exception as error:  # noqa: BLE001 - as in the first try
            self._lose(message, error)

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False

    def _lose(self, message: Message, error: Exception) -> None:
        logger.bind(adapter=self.key, message=message.id, error=type(error).__name__).opt(exception=error).error(
            "A Discord message could not be recorded; it is lost unless the history brings it back"
        )
