"""What the running agents remember, for a command or the API that tends it. Owns one lock for each namespace.

Never reads or writes a fact. What is lent is closed by no reload, and what is changed is not swapped away meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from homunculus.errors import Refused
from homunculus.interfaces import Namespace
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds


class Memories:
    """The namespaces of the generation that runs, by their names. Raises Refused for one that no agent has."""

    def __init__(self, current: Callable[[], Generation], holds: Holds) -> None:
        self._current, self._holds = current, holds
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @contextmanager
    def lent(self, namespace: str) -> Iterator[Namespace]:
        """Lend a memory for the length of the context."""
        generation = self._current()
        with generation.in_use():
            yield generation.namespaces[_agent(generation, namespace)]

    @asynccontextmanager
    async def changing(self, namespace: str) -> AsyncIterator[None]:
        """Let one at a time change a memory, and nobody while its agent gets another character."""
        agent = _agent(self._current(), namespace)
        async with self._locks[namespace]:
            await self._holds.passed(agent)
            with self._holds.taken(agent):
                yield


def _agent(generation: Generation, namespace: str) -> str:
    agents = generation.deployment.agents
    found = next((agent.id for agent in agents if agent.namespace == namespace), None)
    if found is None:
        raise Refused(f"no running agent has the memory namespace {namespace!r} any more")
    return found
