"""Another character for an agent: written into the file, its memory archived, its history begun anew; all or nothing.

Owns the order of these steps and their undoing, also after a crash. The swap is done once the file says so: until then every
step can be taken back, and what was begun is noted in the state before anything is touched.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from loguru import logger

from homunculus.config import save
from homunculus.config.edit import with_character, written_character
from homunculus.errors import ConfigError, HomunculusError, NotReady, Refused
from homunculus.interfaces import Namespace, Swapped
from homunculus.model import Agent, Character
from homunculus.runtime.examine import Load
from homunculus.runtime.holds import Holds
from homunculus.runtime.outcome import Outcome
from homunculus.runtime.store import PendingSwap, SwapStore

PATIENCE_SECONDS = 30.0  # for what the agent is saying, and for what it learns from that
_NAME = re.compile(r"[\w-]{1,100}\Z")  # a path would lead out of the characters folder


class Look(Protocol):
    """A look at the deployment file: what became of the text that lies in it."""

    async def request(self, digest: str = "") -> Outcome: ...


@dataclass(frozen=True, slots=True)
class _Recast:
    """The file's text before and after, and who the agent is then."""

    before: bytes
    after: bytes
    written: str
    character: Character


class Swaps:
    """Give agents other characters, one at a time."""

    def __init__(
        self,
        file: Path,
        *,
        load: Load,
        look: Look,
        store: SwapStore,
        holds: Holds,
        memory: Callable[[str], Namespace | None],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.file = file
        self._load, self._look, self._store, self._holds, self._memory = load, look, store, holds, memory
        self._patience = patience
        self._one = asyncio.Lock()

    async def swap(self, agent: Agent, character: str) -> Swapped:
        """Give an agent another character of the characters folder, everywhere it speaks.

        Its memory is archived and begins blank, and so does its history. Raise Refused or NotReady; then all is as it was.
        """
        async with self._one:
            recast = await self._recast(agent, character)
            memory = self._memory(agent.id)
            if memory is None:
                raise Refused(f"{agent.id} does not run any more")
            async with self._holds.held(agent.id, self._patience):
                archive = await self._carry_out(agent, recast, memory)
        return Swapped(agent.character.name, recast.character.name, archive)

    async def recover(self, open_memory: Callable[[str], Namespace]) -> None:
        """End what a crash left half done: finish the swaps that the file knows of, and take the others back.

        `open_memory` builds the namespace of a name. What cannot be ended now is logged, and tried again at the next start.
        """
        pending = await self._store.pending_swaps()
        if not pending:
            return
        for swap in pending:
            try:
                content = await asyncio.to_thread(self.file.read_bytes)
                done = written_character(content, swap.agent_id) == swap.character
                if not done:
                    await self._give_back_to(open_memory(swap.namespace), swap)
                await self._store.end_swap(swap.agent_id, kept=done)
            except (HomunculusError, OSError) as error:
                logger.bind(agent=swap.agent_id, reason=str(error)).error(
                    "A swap that a crash interrupted could not be ended; the next start tries again"
                )

    # -- the steps

    async def _recast(self, agent: Agent, character: str) -> _Recast:
        """Make the new text and prove that it loads; nothing is touched."""
        if not _NAME.match(character):
            raise Refused("a character is named as its file in the characters folder, without .yaml")
        outcome = await self._look.request()
        if outcome.errors:
            raise Refused(f"the deployment file has errors, which come first: {outcome.errors[0]}")
        try:
            recast = await asyncio.to_thread(self._recasting, agent, character)
        except ConfigError as error:
            raise Refused(f"{error.message}; {error.hint}" if error.hint else error.message) from error
        except OSError as error:
            raise Refused(f"{self.file} cannot be read: {error.strerror}; see to it") from error
        if recast.before == recast.after or recast.character.path == agent.character.path:
            raise Refused(f"{agent.character.name} speaks here already")
        return recast

    def _recasting(self, agent: Agent, character: str) -> _Recast:
        file = self.file.absolute()
        before = file.read_bytes()
        after = with_character(before, str(self.file), agent.id, character)
        wanted = self._load(self.file, lambda path: after if path.absolute() == file else path.read_bytes()).deployment
        spec = next(spec for spec in wanted.agents if spec.id == agent.id)
        return _Recast(before, after, character, spec.character)

    async def _carry_out(self, agent: Agent, recast: _Recast, memory: Namespace) -> str:
        swap = PendingSwap(agent.id, agent.spec.namespace, recast.written, await memory.archives())
        try:
            await self._store.begin_swap(swap)
            archive = await memory.archive()
            await asyncio.to_thread(save.replace, self.file, recast.before, recast.after)
            await self._live(agent, recast)
        except (HomunculusError, OSError) as error:
            await self._undo(swap, recast, memory)
            if isinstance(error, NotReady | Refused):
                raise
            raise Refused(f"it could not be done, and all is as it was: {error}") from error
        await self._store.end_swap(agent.id, kept=True)
        return archive

    async def _live(self, agent: Agent, recast: _Recast) -> None:
        """Wait until the new text runs; raise Refused when it does not, or is not the file's any more."""
        outcome = await self._look.request(hashlib.sha256(recast.after).hexdigest())
        content = await asyncio.to_thread(self.file.read_bytes)
        if outcome.errors and content == recast.after:
            raise Refused(f"the new text was refused: {outcome.errors[0]}")
        if written_character(content, agent.id) != recast.written:
            raise Refused("the deployment file was saved by somebody else at the same moment; swap again")

    async def _undo(self, swap: PendingSwap, recast: _Recast, memory: Namespace) -> None:
        """Take everything back. What fails here stays noted, and the next start tries again."""
        try:
            await asyncio.to_thread(self._rewrite, recast)
            await self._give_back(memory, swap)
            await self._store.end_swap(swap.agent_id, kept=False)
        except (HomunculusError, OSError) as error:
            logger.bind(agent=swap.agent_id, reason=str(error)).error(
                "A swap that failed could not be taken back whole; the next start tries again"
            )
            raise Refused(f"the swap failed, and so did taking it back: {error}; see to that and restart") from error
        await self._look.request()

    def _rewrite(self, recast: _Recast) -> None:
        if self.file.read_bytes() == recast.after:
            save.replace(self.file, recast.after, recast.before)

    async def _give_back_to(self, memory: Namespace, swap: PendingSwap) -> None:
        try:
            await self._give_back(memory, swap)
        finally:
            await memory.aclose()

    @staticmethod
    async def _give_back(memory: Namespace, swap: PendingSwap) -> None:
        new = [name for name in await memory.archives() if name not in swap.archives]
        if new:
            await memory.restore(new[-1])
