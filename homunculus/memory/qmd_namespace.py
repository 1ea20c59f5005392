"""The backend `qmd`: the real program searches a folder with one file a fact, which follows the Markdown on an interval.

What was learned, changed or taken out since the last update is known from the Markdown itself: an index of words stands
beside the program, finds what it does not know yet, and answers alone when it fails.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from loguru import logger

from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.interfaces import Clock
from homunculus.memory import disk, ranking, words
from homunculus.memory.index import Index, remembered
from homunculus.memory.keeping import Keeper, merged
from homunculus.memory.program import Lines, Qmd
from homunculus.model import Fact, MemorySpec, Note

_KEYWORDS = 8  # of one question; qmd looks for all words of a line at once, so each gets a line of its own
_CANDIDATES = 30
_PROGRAM, _WORDS = 2.0, 1.0  # weights


class QmdNamespace(Keeper):
    """One namespace with its own XDG pair under `qmd/`."""

    def __init__(self, folder: Path, archive: Path, spec: MemorySpec, clock: Clock = time.time) -> None:
        super().__init__(folder, archive, spec, clock)
        self._index = Index(folder / "index.sqlite", self.files, None)
        self._qmd = Qmd(folder / "qmd", spec.qmd)
        # All the mutable state:
        self._updating = asyncio.Lock()
        self._interval: asyncio.Task[None] | None = None
        self._fault = ""

    async def open(self) -> None:
        """Make the folders; the program is called for the first time within one interval, each namespace at its own time."""
        await super().open()
        await asyncio.to_thread(self._qmd.prepare)
        self._interval = asyncio.create_task(self._update_now_and_then(), name=f"qmd updates of {self.files.name}")

    async def aclose(self) -> None:
        """End the updates, the daemon and every call. Safe twice."""
        interval, self._interval = self._interval, None
        if interval is not None:
            interval.cancel()
            await asyncio.wait({interval})
        await self._qmd.aclose()
        await asyncio.to_thread(self._index.close)

    async def settled(self) -> None:
        """Update and embed now. Does without when the program fails; that is logged."""
        try:
            await self._update()
        except (NotReady, Refused) as error:
            self._told(error.reason)

    async def recall(self, query: str, conversation: str | None) -> tuple[Fact, ...]:
        """Return what to have in mind, `top_k` facts at most."""
        always = await asyncio.to_thread(self._index.always, conversation)
        fitting = await self.search(query, conversation, self.spec.top_k + len(always))
        return remembered(always, fitting, self.spec.top_k)

    async def search(self, query: str, conversation: str | None = None, limit: int = 10) -> tuple[Fact, ...]:
        """Return the facts that fit a query, best first."""
        by_words = await asyncio.to_thread(self._index.search, query, conversation, max(limit, _CANDIDATES))
        known = {fact.id: fact for fact in by_words}
        order: list[str] = []
        many = await asyncio.to_thread(self._index.__len__)
        if many and self._qmd.registered:
            order = await self._asked(keywords(query, by_meaning=self._qmd.has_models))
            known |= await asyncio.to_thread(self._index.of, order, conversation)
        ranks = ranking.in_order([ident for ident in order if ident in known])
        scores = ranking.fused(((_PROGRAM, ranks), (_WORDS, ranking.in_order([fact.id for fact in by_words]))))
        return tuple(replace(known[ident], score=score) for ident, score in scores.items())[:limit]

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

    async def _asked(self, lines: Lines) -> list[str]:
        if not lines:
            return []
        try:
            found = await self._qmd.query(lines, _CANDIDATES)
        except (NotReady, Refused) as error:
            self._told(error.reason)
            return []
        self._told("")
        return list(dict.fromkeys(name.partition("-")[0] for name in found))

    async def _update_now_and_then(self) -> None:
        every = self.spec.qmd.update_interval_seconds
        wait = random.uniform(0, every)  # staggered: many namespaces must not start many programs at once
        while True:
            await asyncio.sleep(wait)
            wait = every
            with suppress(HomunculusError):
                await self.settled()

    async def _update(self) -> None:
        """Bring the folder of facts and the program's index up to date; never two at once, in any process."""
        async with self._updating:
            await asyncio.to_thread(self._qmd.prepare)
            lock = self.files.folder / "qmd" / ".lock"
            with disk.tried(lock) as ours:
                if ours:
                    await asyncio.to_thread(self._mirror)
                    await self._qmd.update()

    def _mirror(self) -> None:
        """Write one file a fact, named by its id and its text; take away what is no longer so."""
        wanted = {f"{fact.id}-{_sign(fact.text)}.md": fact.text for fact in self.files.facts()}
        present = {path.name for path in self._qmd.facts.iterdir()}
        for name in present - wanted.keys():
            (self._qmd.facts / name).unlink(missing_ok=True)
        for name in wanted.keys() - present:
            (self._qmd.facts / name).write_text(wanted[name] + "\n", "utf-8")

    def _told(self, fault: str) -> None:
        """Log a fault when it is new, and that it is over."""
        if fault != self._fault:
            log = logger.bind(namespace=self.files.name, reason=fault or self._fault)
            log.warning("qmd fails; facts are found by words alone") if fault else log.info("qmd answers again")
        self._fault = fault


def keywords(query: str, *, by_meaning: bool) -> Lines:
    """Return what the program is asked: the telling words, each alone, and the whole question where it has models."""
    telling = [word for word in dict.fromkeys(words.parts(query)) if word not in words.COMMON]
    lines = [("lex", word) for word in telling[-_KEYWORDS:]]
    if by_meaning and lines:
        lines.append(("vec", " ".join(query.split())))
    return lines


def _sign(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=5).hexdigest()
