"""A reply that is shown while it is being thought: posted once there is something to read, then edited at a measured pace.

Owns the pace and what is shown; the turn is durably over before anything of it is visible, so a crash repeats nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from loguru import logger

from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.model import Reply

Make = Callable[[], Reply | None]
Publish = Callable[[Reply], Awaitable[str]]
Change = Callable[[str, Reply], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]

FIRST_SECONDS = 1.5  # a quicker answer is simply posted
PACE_SECONDS = 1.5  # nobody reads faster; a platform may want it slower


class Preview:
    """The one growing post of a turn. `message_id` and `shown` say what a reader sees; `fault` why nothing more came."""

    def __init__(self, publish: Publish, change: Change, sleep: Sleep, pace: float = PACE_SECONDS) -> None:
        self._publish, self._change, self._sleep, self._pace = publish, change, sleep, max(pace, PACE_SECONDS)
        self._make: Make = _nothing
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.opened = False  # the turn has ended with this post, whether or not it arrived
        self.message_id = ""
        self.shown = ""
        self.last: Reply | None = None
        self.fault: HomunculusError | None = None

    def show(self, make: Make) -> None:
        """Show from now on what `make` says when its time has come; None is nothing yet."""
        self._make = make
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="preview of a reply")

    async def stop(self) -> None:
        """Change nothing any more; what is under way is finished first. Safe twice."""
        self._over.set()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        try:
            await self._pause(FIRST_SECONDS)
            while not self._over.is_set():
                await self._step()
                await self._pause(self._pace)
        except HomunculusError as fault:
            self.fault = fault
        except Exception as error:  # noqa: BLE001 - whoever posts the rest is told, and nothing is said twice
            logger.opt(exception=error).error("Showing a reply early failed unexpectedly")
            self.fault = Refused(f"it failed unexpectedly: {type(error).__name__}")

    async def _step(self) -> None:
        reply = self._make()
        if reply is None or reply.text == self.shown:
            return
        if not self.opened:
            self.opened = True
            self.message_id = await self._publish(reply)
        else:
            await self._edit(reply)
        self.last, self.shown = reply, reply.text

    async def _edit(self, reply: Reply) -> None:
        try:
            await self._change(self.message_id, reply)
        except (NotReady, Refused) as error:
            # The last edit matters and is tried again; one in between is worth no failure.
            logger.bind(reply=reply.id, reason=error.reason).debug("An early edit was not made")

    async def _pause(self, seconds: float) -> None:
        if self._over.is_set():  # a model that answered in one piece
            return
        pause = asyncio.ensure_future(self._sleep(seconds))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({pause, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pause.cancel()
            over.cancel()
            await asyncio.wait({pause, over})


def _nothing() -> Reply | None:
    return None
