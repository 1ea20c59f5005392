"""What every backend that keeps Markdown does alike: learn, forget, pin, count sessions, archive, restore. Never searches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from homunculus.errors import Refused
from homunculus.interfaces import Clock
from homunculus.memory import lines
from homunculus.memory.markdown import Markdown
from homunculus.model import Fact, MemorySpec, Note, Session

T = TypeVar("T")


class Keeper:
    """A namespace's files behind the loop: each call blocks a thread, never the conversations."""

    def __init__(self, folder: Path, archive: Path, spec: MemorySpec, clock: Clock = time.time) -> None:
        self.spec, self.files = spec, Markdown(folder, archive, clock)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.files.name}>"

    async def open(self) -> None:
        """Make the folder and MEMORY.md, idempotently; never touch what is there."""
        await asyncio.to_thread(self.files.make)

    async def facts(self) -> tuple[Fact, ...]:
        """Return every fact: those of MEMORY.md first, then in the order they were learned."""
        return await asyncio.to_thread(self.files.facts)

    async def add(self, *notes: Note) -> tuple[Fact, ...]:
        """Keep notes; return when they are durable. One that is known already is merged with what is there."""
        return await self._changed(self._add, notes)

    async def forget(self, fact_id: str) -> Fact:
        """Take a fact out, and keep it where `restore` finds it."""
        return await self._changed(self.files.forget, fact_id)

    async def amend(self, fact_id: str, text: str) -> Fact:
        """Put other words in place of a fact's text; its id and source stay."""
        worded = lines.worth(Note(text)).text
        return await self._changed(self.files.rewrite, fact_id, lambda fact: replace(fact, text=worded))

    async def pin(self, fact_id: str, pinned: bool = True) -> Fact:
        """Have a fact recalled always, or no longer."""
        return await self._changed(self.files.rewrite, fact_id, lambda fact: replace(fact, pinned=pinned))

    async def forgotten(self) -> tuple[Fact, ...]:
        """Return what `restore` can bring back, one fact at a time."""
        return await asyncio.to_thread(self.files.forgotten)

    async def sessions(self) -> tuple[Session, ...]:
        """Return the sessions played so far, in order; at most the last one is still running."""
        return await asyncio.to_thread(self.files.sessions)

    async def begin_session(self, at: float, date: str = "") -> Session:
        """Begin the next session at a moment; `date` is when that is in the game's world. Raise Refused while one runs."""
        return await self._changed(self.files.begin_session, at, date)

    async def end_session(self, at: float, date: str = "") -> Session:
        """End the session that runs. Raise Refused when none does."""
        return await self._changed(self.files.end_session, at, date)

    async def archives(self) -> tuple[str, ...]:
        """Return the names of what was archived whole, oldest first."""
        return await asyncio.to_thread(self.files.archives)

    async def archive(self) -> str:
        """Put the whole memory away and begin a blank one, all or nothing; return the archive's name."""
        return await self._changed(self.files.archive)

    async def restore(self, what: str) -> str:
        """Bring back one forgotten fact by its id, or a whole archive by its name."""
        return await self._changed(self._restore, what)

    # -- what a backend adds

    def known(self, facts: tuple[Fact, ...], note: Note) -> Fact | None:
        """Return the fact that says what a note says, for the same ears."""
        like = lines.likeness(note.text)
        ears = ("", note.private)
        return next((f for f in facts if f.private in ears and lines.likeness(f.text) == like), None)

    def touched(self) -> None:
        """Hear, on the loop, that the files were changed from here."""

    def _append(self, notes: list[Note]) -> tuple[Fact, ...]:
        present = self.files.facts()
        return merged(notes, lambda note: self.known(present, note), self.files.append)

    def _add(self, notes: tuple[Note, ...]) -> tuple[Fact, ...]:
        return self._append([lines.worth(note) for note in notes])

    def _restore(self, what: str) -> str:
        if what in self.files.archives():
            kept = self.files.exchange(what)
            return f"{what} is the memory now" + (f"; what was there is archived as {kept}" if kept else "")
        fact = self.files.bring_back(what)
        if fact is None:
            raise Refused(
                f"{self.files.name} has neither an archive nor a forgotten fact {what!r}; "
                "homunculus memory restore without it lists both"
            )
        return f"remembered again: {fact.id}: {fact.text}"

    async def _changed(self, work: Callable[..., T], *given: object) -> T:
        """Change the files to the end, even when the caller gives up waiting."""
        try:
            return await asyncio.shield(asyncio.to_thread(work, *given))
        finally:
            self.touched()


def merged(
    notes: list[Note], known: Callable[[Note], Fact | None], append: Callable[[list[Note]], tuple[Fact, ...]]
) -> tuple[Fact, ...]:
    """Append what is new, each once; return one fact for each note, in order."""
    keys = [(lines.likeness(note.text) or note.text, note.private) for note in notes]
    found = {key: known(note) for key, note in zip(keys, notes, strict=True)}
    fresh = {key: note for key, note in zip(keys, notes, strict=True) if found[key] is None}
    made = dict(zip(fresh, append([*fresh.values()]) if fresh else (), strict=True))
    return tuple(fact for key in keys if (fact := found[key] or made.get(key)) is not None)


class Forgetful(Keeper):
    """The backend `none`: the folder is there for people, and nothing is ever remembered."""

    async def aclose(self) -> None:
        """Free nothing: nothing is held."""

    async def settled(self) -> None:
        """Wait for nothing."""

    async def recall(self, query: str, conversation: str | None) -> tuple[Fact, ...]:
        """Remember nothing."""
        return ()

    async def search(self, query: str, conversation: str | None = None, limit: int = 10) -> tuple[Fact, ...]:
        """Find nothing."""
        return ()

    async def facts(self) -> tuple[Fact, ...]:
        """Know nothing."""
        return ()

    async def add(self, *notes: Note) -> tuple[Fact, ...]:
        """Refuse: what nobody will recall must not look kept."""
        raise Refused("memory.backend is none: nothing is remembered; set it to sqlite")
