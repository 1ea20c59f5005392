"""The backend `sqlite`: words and meaning, in one file beside the Markdown. Owns when the index is open and who fills it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from loguru import logger

from homunculus.errors import HomunculusError
from homunculus.interfaces import Clock
from homunculus.memory import embed
from homunculus.memory.index import Index
from homunculus.memory.keeping import Keeper, merged
from homunculus.model import Fact, MemorySpec, Note

IDLE_SECONDS = 120.0  # until a namespace that nobody asks gives its memory back


class SqliteNamespace(Keeper):
    """One namespace. Nothing is open, and next to nothing held, until it is asked."""

    def __init__(self, folder: Path, archive: Path, spec: MemorySpec, clock: Clock = time.time) -> None:
        super().__init__(folder, archive, spec, clock)
        wanted = spec.embeddings == "auto" and embed.embedder.present
        self._index = Index(folder / "index.sqlite", self.files, embed.embedder if wanted else None)
        # All the mutable state:
        self._filling: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    async def aclose(self) -> None:
        """Stop filling the index and close it. Safe twice."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        filling, self._filling = self._filling, None
        if filling is not None:
            filling.cancel()
            await asyncio.wait({filling})
        await asyncio.to_thread(self._index.close)

    async def settled(self) -> None:
        """Wait until everything that is written can be found, by words and by meaning."""
        while await asyncio.to_thread(self._index.embed):
            continue

    async def recall(self, query: str, conversation: str | None) -> tuple[Fact, ...]:
        """Return what to have in mind, `top_k` facts at most."""
        if self._index.is_empty:
            return ()
        found = await asyncio.to_thread(self._index.recall, query, conversation, self.spec.top_k)
        self._asked(found)
        return found

    async def search(self, query: str, conversation: str | None = None, limit: int = 10) -> tuple[Fact, ...]:
        """Return the facts that fit a query, best first."""
        found = await asyncio.to_thread(self._index.search, query, conversation, limit)
        self._asked(found)
        return found

    def touched(self) -> None:
        """Look again at once: something was changed from here."""
        self._index.look()

    def _append(self, notes: list[Note]) -> tuple[Fact, ...]:
        index = self._index
        return merged(
            notes,
            lambda note: index.known(note.text, note.private),
            lambda fresh: self.files.append(fresh, taken=index),
        )

    def _asked(self, found: tuple[Fact, ...]) -> None:
        """After an answer: fill the index aside if facts wait, and close it once nobody has asked for long."""
        loop = asyncio.get_running_loop()
        if self._idle is not None:
            self._idle.cancel()
        self._idle = loop.call_later(IDLE_SECONDS, self._rest)
        if self._index.unsettled and (self._filling is None or self._filling.done()):
            self._filling = loop.create_task(self._fill(), name=f"memory index of {self.files.name}")

    async def _fill(self) -> None:
        try:
            await self.settled()
        except HomunculusError as error:
            log = logger.bind(namespace=self.files.name, reason=str(error))
            log.warning("A memory index cannot be filled; facts are found by words alone meanwhile")

    def _rest(self) -> None:
        self._idle = None
        if self._filling is None or self._filling.done():
            self._filling = asyncio.get_running_loop().create_task(
                asyncio.to_thread(self._index.close), name=f"close the memory index of {self.files.name}"
            )
