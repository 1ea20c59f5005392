"""One queue for each conversation: turns of a conversation follow one another, those of different ones never wait.

Owns the order of what waits; never decides who answers it. A lane lives only while something is in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from homunculus.model import Message, Span
from homunculus.runtime.runner import Runner
from homunculus.runtime.tasks import Tasks


@dataclass(slots=True, eq=False)
class Waiting:
    """One message that is to be answered. `generation` is the one it was last judged by.

    `recorded` ends with False when the database already had it, and with the error when it could not be written;
    `beside` lets its turn begin before that is known, but never end.
    """

    message: Message
    agent_id: str
    rule: str
    runner: Runner
    generation: int
    recorded: asyncio.Future[bool]
    beside: bool
    spans: list[Span] = field(default_factory=list)
    deleted: bool = False

    async def stands(self) -> bool:
        """Wait for the record; tell whether the message is ours to answer."""
        if not self.recorded.done():
            await asyncio.wait({self.recorded})
        return not self.void

    @property
    def void(self) -> bool:
        """Tell whether it is known not to be ours: written before, or not at all."""
        future = self.recorded
        return future.done() and (future.cancelled() or future.exception() is not None or not future.result())


Lane = deque[Waiting]


class Lanes:
    """Work through every conversation's queue, one task a conversation; `work` takes what it answers off the front."""

    def __init__(self, work: Callable[[Lane], Awaitable[None]]) -> None:
        self._work = work
        self._tasks = Tasks()
        self._lanes: dict[str, Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    @staticmethod
    def key(waiting: Waiting) -> str:
        """Name the lane of a message: its conversation, so a renamed instance or another agent keeps the order."""
        return waiting.message.address.conversation

    def put(self, waiting: Waiting) -> None:
        """Queue a message behind what its conversation is busy with."""
        waiting.runner.hold()
        key = self.key(waiting)
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(waiting)
            return
        self._lanes[key] = lane = deque((waiting,))
        self._tasks.start(self._run(key, lane), f"lane {waiting.message.address.label or key}")

    def waiting(self, message: Message) -> Waiting | None:
        """Return what waits under the id of a message in its conversation."""
        lane = self._lanes.get(message.address.conversation, ())
        return next((waiting for waiting in lane if waiting.message.id == message.id), None)

    async def cancel(self) -> None:
        """End every lane where it is; what was not ended durably is found again at the next start."""
        await self._tasks.cancel()

    async def _run(self, key: str, lane: Lane) -> None:
        try:
            while lane:
                await self._work(lane)
        finally:
            del self._lanes[key]
