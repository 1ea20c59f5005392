"""Who is speaking now, by agent, and a way to hold an agent back until nobody speaks for it any more.

Owns counts alone; never what is said. While an agent is held its next turns wait where they are, and lose nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from homunculus.errors import NotReady


class Holds:
    """Count the turns of each agent, and keep the next ones waiting on demand. Used on one loop."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()
        self._held: dict[str, asyncio.Event] = {}  # agent → set when it is let go
        self._idle: dict[str, asyncio.Event] = {}  # agent that is held → set when nobody speaks for it

    def is_held(self, agent_id: str) -> bool:
        """Tell whether the next turns of an agent have to wait."""
        return agent_id in self._held

    async def passed(self, agent_id: str) -> None:
        """Wait until an agent is not held."""
        while (let_go := self._held.get(agent_id)) is not None:
            await let_go.wait()

    @contextmanager
    def taken(self, agent_id: str) -> Iterator[None]:
        """Speak for an agent for as long as the context lasts."""
        self._taken[agent_id] += 1
        try:
            yield
        finally:
            self._taken[agent_id] -= 1
            if not self._taken[agent_id]:
                del self._taken[agent_id]
                if (idle := self._idle.get(agent_id)) is not None:
                    idle.set()

    @asynccontextmanager
    async def held(self, agent_id: str, patience: float) -> AsyncIterator[None]:
        """Hold an agent once nobody speaks for it; raise NotReady when that takes longer than `patience` seconds."""
        if agent_id in self._held:
            raise NotReady(f"something is being done with {agent_id} already; try again in a moment")
        self._held[agent_id] = let_go = asyncio.Event()
        try:
            await self._silent(agent_id, patience)
            yield
        finally:
            del self._held[agent_id]
            let_go.set()

    async def _silent(self, agent_id: str, patience: float) -> None:
        if not self._taken[agent_id]:
            return
        self._idle[agent_id] = idle = asyncio.Event()
        try:
            async with asyncio.timeout(patience):
                await idle.wait()
        except TimeoutError as error:
            raise NotReady(f"{agent_id} is still answering, or remembering what was said; try again later") from error
        finally:
            del self._idle[agent_id]
