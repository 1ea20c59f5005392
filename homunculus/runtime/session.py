"""One adapter object from open to close: what a runner makes anew after every death. Owns its sends and its signs of life.

Never retries and never decides: it tells certain failures from uncertain ones, and that is all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from loguru import logger

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.interfaces import Adapter, Edit, Private, React, Typing
from homunculus.model import Address, Message, Reply
from homunculus.runtime.catchup import CatchUp
from homunculus.runtime.tasks import Tasks

T = TypeVar("T")
SEND_SECONDS = 60.0  # a platform that has not answered a send by then leaves it uncertain


class Session:
    """Wrap one live adapter."""

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.catch_up: CatchUp | None = None  # of a platform that tells what was said while nobody listened
        self.over = False  # a late delivery of a dead session is refused, so that it comes again
        self._sending: set[asyncio.Timeout] = set()
        self._signs = Tasks()

    async def send(self, address: Address, reply: Reply) -> str:
        """Send once; the platform's message id. Raises NotReady, Refused, or Uncertain for everything else."""
        return await self._bounded(self.adapter.send(address, reply), address)

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change a post once. Raises NotReady, Refused, or Uncertain for everything else."""
        if not isinstance(self.adapter, Edit):
            raise Refused(f"{address.adapter} cannot edit")
        await self._bounded(self.adapter.edit(address, message_id, reply), address)

    async def whisper(self, message: Message, text: str) -> bool:
        """Show a text to a message's author alone, once; False where that cannot be. Raises like `send`."""
        if "private" not in self.adapter.abilities or not isinstance(self.adapter, Private):
            return False
        return await self._bounded(self.adapter.whisper(message, text), message.address)

    async def locate(self, target: str) -> Address:
        """Return where a target is. Raises NotReady or Refused."""
        try:
            async with asyncio.timeout(SEND_SECONDS):
                return await self.adapter.locate(target)
        except TimeoutError as error:
            raise NotReady(f"the platform did not say where {target} is") from error

    async def _bounded(self, work: Coroutine[Any, Any, T], address: Address) -> T:
        try:
            async with asyncio.timeout(SEND_SECONDS) as limit:
                self._sending.add(limit)
                try:
                    return await work
                finally:
                    self._sending.discard(limit)
        except (NotReady, Refused, Uncertain):
            raise
        except TimeoutError as error:
            raise Uncertain("the platform did not say whether it arrived") from error
        except Exception as error:
            logger.bind(adapter=address.adapter).opt(exception=error).error("An adapter failed unexpectedly to send")
            raise Uncertain(f"the adapter failed unexpectedly: {type(error).__name__}") from error

    def acknowledge(self, messages: tuple[Message, ...]) -> Callable[[], None]:
        """Show that the messages are seen and an answer is coming; call what it returns once the reply is out."""
        over = asyncio.Event()
        address = messages[-1].address
        if "react" in self.adapter.abilities and isinstance(self.adapter, React):
            self._signs.start(self._shown(_react(self.adapter, messages), address), f"react in {address.label}")
        if "typing" in self.adapter.abilities and isinstance(self.adapter, Typing):
            self._signs.start(self._shown(_type(self.adapter, address, over), address), f"typing in {address.label}")
        return over.set

    async def aclose(self) -> None:
        """Close the adapter; what is still being sent then is uncertain."""
        self.over = True
        if self.catch_up is not None:
            self.catch_up.abandon()
        await self._signs.cancel()
        try:
            await self.adapter.aclose()
        finally:
            for limit in self._sending:
                if not limit.expired():
                    limit.reschedule(asyncio.get_running_loop().time())

    async def _shown(self, sign: Coroutine[Any, Any, None], address: Address) -> None:
        try:
            await sign
        except Exception as error:  # noqa: BLE001 - a sign that cannot be shown never disturbs the reply
            logger.bind(adapter=address.adapter, place=address.label, error=repr(error)).info("Acknowledging failed")


async def _react(adapter: React, messages: tuple[Message, ...]) -> None:
    for message in messages:
        await adapter.react(message.address, message.id)


async def _type(adapter: Typing, address: Address, over: asyncio.Event) -> None:
    async with adapter.typing(address):
        await over.wait()
