"""What several agents and generations share: namespaces and model clients, by key, with counts.

Owns when a shared thing is built and closed; never knows what it is. One that is still closing is waited for before it is
built again: two owners of one memory folder, or two copies of one model, must never be alive together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from loguru import logger

from homunculus.errors import NotReady
from homunculus.runtime.tasks import Tasks

CLOSE_SECONDS = 10.0


class Closable(Protocol):
    """Anything that is closed once nobody needs it."""

    async def aclose(self) -> None: ...


V = TypeVar("V", bound=Closable)


@dataclass(slots=True)
class _Entry(Generic[V]):
    value: V
    count: int = 1


class Pool(Generic[V]):
    """Lend values by key; close one when its last borrower lets go. `take` is called by one task at a time."""

    def __init__(self, name: str, close_seconds: float = CLOSE_SECONDS) -> None:
        self._name, self._close_seconds = name, close_seconds
        self._tasks = Tasks()
        # All the mutable state: what is lent, and what is on its way out.
        self._lent: dict[Hashable, _Entry[V]] = {}
        self._closing: dict[Hashable, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._lent)

    async def take(self, key: Hashable, build: Callable[[], Awaitable[V]]) -> V:
        """Borrow the value of a key, built if need be. Raises what `build` raises, and NotReady while an old one hangs."""
        if key not in self._lent:
            await self._gone(key)
            self._lent[key] = _Entry(await build(), 0)
        entry = self._lent[key]
        entry.count += 1
        return entry.value

    def release(self, key: Hashable) -> None:
        """Give back one loan; the last one closes the value, aside."""
        entry = self._lent[key]
        entry.count -= 1
        if entry.count == 0:
            del self._lent[key]
            self._closing[key] = self._tasks.start(self._close(key, entry.value), f"close {self._name}")

    async def aclose(self) -> None:
        """Close everything, lent or not, and wait for it, no longer than the limit."""
        for key, entry in list(self._lent.items()):
            entry.count = 1
            self.release(key)
        if self._closing:
            await asyncio.wait(self._closing.values(), timeout=self._close_seconds)
        await self._tasks.cancel()

    async def _gone(self, key: Hashable) -> None:
        closing = self._closing.get(key)
        if closing is None:
            return
        _, hanging = await asyncio.wait({closing}, timeout=self._close_seconds)
        if hanging:
            raise NotReady(f"an old {self._name} is still closing")

    async def _close(self, key: Hashable, value: V) -> None:
        try:
            await value.aclose()
        except Exception as error:  # noqa: BLE001 - a value that cannot close must not keep its successor out
            logger.bind(what=self._name).opt(exception=error).error("Closing failed")
        finally:
            del self._closing[key]
