"""Envelopes on their way in: made into messages in order, recorded, and only then acknowledged.

Owns the deliveries of one session. What cannot be recorded is not acknowledged, so Slack brings it again: at once, after
one minute and after five. Never decides who hears a message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger
from slack_sdk.socket_mode.request import SocketModeRequest

from homunculus.adapters.slack.line import Line
from homunculus.errors import NotReady
from homunculus.interfaces import Deliver
from homunculus.model import Message

PATIENCE = 2.0  # seconds for messages that were being recorded when we closed

Make = Callable[[], Awaitable[Message | None]]


class Inbound:
    """Deliver what envelopes hold, each place in its order."""

    def __init__(self, key: str, deliver: Deliver) -> None:
        self.key, self._deliver = key, deliver
        # All the mutable state that outlives a message:
        self._tasks: set[asyncio.Task[None]] = set()
        self._before = asyncio.Event()  # set once everything that came earlier is on its way to being recorded
        self._before.set()
        self._closing = False

    def put(self, line: Line, request: SocketModeRequest, make: Make) -> None:
        """Make a message of an envelope, deliver it and acknowledge.

        Messages are made side by side, for each may have to ask Slack for a name, and delivered in the order they came.
        """
        if self._closing:
            return  # not acknowledged: it comes again, to whoever connects next
        before, self._before = self._before, asyncio.Event()
        taken = self._taken(line, request, make, before, self._before)
        task = asyncio.create_task(taken, name=f"{self.key} envelope")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pass_over(self, line: Line, request: SocketModeRequest) -> None:
        """Acknowledge an envelope that nobody here asked for."""

        async def nothing() -> None:
            return None

        self.put(line, request, nothing)

    async def idle(self) -> None:
        """Wait until everything that came in is acknowledged or given back, for a moment at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)

    async def aclose(self) -> None:
        """Let what is just being recorded finish."""
        self._closing = True
        await self.idle()
        late = set(self._tasks)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _taken(
        self, line: Line, request: SocketModeRequest, make: Make, before: asyncio.Event, done: asyncio.Event
    ) -> None:
        try:
            try:
                message = await make()
            finally:
                await before.wait()
                done.set()
            # Nothing was awaited since: whoever comes next cannot overtake.
            if message is not None:
                await self._deliver(message)
        except NotReady as error:
            logger.bind(adapter=self.key, reason=error.reason, attempt=request.retry_attempt or 0).warning(
                "A Slack message could not be recorded; it is not acknowledged and comes again"
            )
        except Exception as error:  # noqa: BLE001 - one message that cannot be recorded must not cost the next
            logger.bind(adapter=self.key, error=type(error).__name__).opt(exception=error).error(
                "A Slack message could not be recorded; it is not acknowledged and comes again"
            )
        else:
            await line.acknowledge(request.envelope_id)
