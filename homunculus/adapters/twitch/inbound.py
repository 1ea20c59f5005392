"""Messages on their way in. Twitch delivers each once and takes no confirmation, so what cannot be recorded waits here.

Owns the order of what one session heard; never maps a message and never decides who hears it.
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
    """Deliver messages one after the other; one that cannot be recorded yet holds up those behind it."""

    def __init__(self, key: str, deliver: Deliver) -> None:
        self.key, self._deliver = key, deliver
        # All the mutable state that outlives a message:
        self._waiting: deque[Message] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def put(self, message: Message) -> None:
        """Deliver one message, from soon on."""
        if len(self._waiting) >= MOST_WAITING:
            self._lose(message, NotReady(f"{MOST_WAITING} messages wait already"))
            return
        self._waiting.append(message)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(), name=f"{self.key} messages")

    async def aclose(self) -> None:
        """Let what is just being recorded finish; what cannot be recorded now is lost, and the log says so."""
        self._closing.set()
        if self._worker is not None:
            _, late = await asyncio.wait({self._worker}, timeout=PATIENCE)
            for task in late:
                task.cancel()
                await asyncio.wait({task})
        if self._waiting:
            logger.bind(adapter=self.key, messages=len(self._waiting)).error(
                "Twitch messages could not be recorded and are lost: Twitch keeps no history"
            )

    async def _work(self) -> None:
        wait = FIRST_WAIT
        while self._waiting:
            try:
                await self._delivered(self._waiting[0])
            except NotReady as error:
                logger.bind(adapter=self.key, reason=error.reason).error(
                    "A Twitch message could not be recorded; it is tried again for as long as the session lives"
                )
                if await self._closes_within(wait):
                    return
                wait = min(2 * wait, LONGEST_WAIT)
                continue
            self._waiting.popleft()
            wait = FIRST_WAIT

    async def _delivered(self, message: Message) -> None:
        try:
            await self._deliver(message)
        except NotReady:
            raise
        except Exception as error:  # noqa: BLE001 - one message that cannot be recorded must not cost the next
            self._lose(message, error)

    async def _closes_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._closing.wait()
        except TimeoutError:
            return False

    def _lose(self, message: Message, error: Exception) -> None:
        logger.bind(adapter=self.key, message=message.id, error=type(error).__name__).opt(exception=error).error(
            "A Twitch message could not be recorded and is lost: Twitch keeps no history"
        )
