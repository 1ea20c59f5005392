"""The truth of a namespace: its Markdown files. Owns what is in them and the lock; blocks, so it runs in threads.

Appends and changes are made under one lock, whichever process makes them; reading takes no lock. MEMORY.md is read and
never written once it is there.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from homunculus.errors import NotReady, Refused
from homunculus.memory import disk, lines, sessions
from homunculus.memory.lines import CURATED, Line
from homunculus.memory.shelf import Shelf
from homunculus.model import Fact, Note, Session
from homunculus.private import refusal

TEMPLATE = """\
# {name}

<!-- What {name} always knows, one fact a line or a paragraph. This file is yours: the program reads it first and never
writes to it again. -->
"""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_TRIES = 20  # to change a file that somebody else changes at the same moment

T = TypeVar("T")
Signature = tuple[int, int, int, int]  # changed, changed about, size, inode


def is_name(name: str) -> bool:
    """Tell whether a namespace may be called so: nothing else ever becomes part of a path."""
    return _NAME.match(name) is not None


class Markdown:
    """The files of one namespace. Every method raises Refused, with the remedy, when the disk does not allow it."""

    def __init__(self, folder: Path, archive: Path, clock: Callable[[], float] = time.time) -> None:
        if not is_name(folder.name) or ".." in folder.parts:
            raise Refused(f"{folder.name!r} cannot be a memory namespace; lower-case letters, digits, - and _ can")
        self.name, self.folder, self.memory = folder.name, folder, folder / "memory"
        self._archive, self._clock = archive, clock
        self._shelf = Shelf(folder, archive, clock)
        self._forgotten = archive / f"{folder.name}-forgotten.md"
        # All the mutable state:
        self._played: tuple[Signature | None, tuple[Session, ...]] | None = None  # as the file with that signature says

    # -- reading

    def signatures(self) -> dict[str, Signature]:
        """Return each file's name and what changes whenever its content may have; MEMORY.md comes first."""
        with self._told():
            self._real()
            try:
                entries = [e for e in os.scandir(self.memory) if _holds_facts(e.name)]
            except FileNotFoundError:
                return {}
            found: dict[str, Signature] = {}
            for entry in sorted(entries, key=lambda e: (e.name != CURATED, e.name)):
                if signature := _signature(Path(entry.path)):
                    found[entry.name] = signature
            return found

    def content(self, file: str) -> bytes:
        """Return a file's bytes; none when it is gone."""
        with self._told():
            try:
                return disk.read(self.memory / file)
            except FileNotFoundError:
                return b""

    def read(self, file: str) -> tuple[Line, ...]:
        """Return the facts of a file with the lines they stand on."""
        return tuple(lines.parsed(file, self.content(file).decode("utf-8", "surrogateescape")))

    def facts(self) -> tuple[Fact, ...]:
        """Return every fact: MEMORY.md's first, then file by file."""
        return tuple(line.fact for file in self.signatures() for line in self.read(file))

    # -- changing

    def make(self) -> None:
        """Make the folder and MEMORY.md, idempotently; finish what a crash left half done."""
        with self._told(), self._made():
            for draft in self.memory.glob(".*.md.*"):
                draft.unlink(missing_ok=True)

    def append(self, notes: Sequence[Note], taken: Container[str] | None = None) -> tuple[Fact, ...]:
        """Write notes to today's file; return once they are durable. `taken` are the ids in use, if somebody knows them."""
        worthy = [lines.worth(note) for note in notes]
        with self._told(), self._made():
            now = self._clock()
            met = taken if taken is not None else {fact.id for fact in self.facts()}
            played = self.sessions()
            placed = [sessions.placed(note, played, now) for note in worthy]
            return self._append(f"{lines.stamp(now)[:10]}.md", now, placed, met)

    def forget(self, fact_id: str) -> Fact:
        """Take a fact out; its line is in the archive before it is gone from here."""
        with self._told(), self._locked():
            file, line = self._found(fact_id)
            disk.make_folder(self._archive)
            learned = (
                (("file", file), ("learned", lines.stamp(line.fact.time))) if line.fact.time else (("file", file),)
            )
            disk.append(self._forgotten, f"{lines.written(line.fact, learned)}\n".encode())
            self._change(file, fact_id, lambda _: None)
            return line.fact

    def rewrite(self, fact_id: str, change: Callable[[Fact], Fact]) -> Fact:
        """Put a changed fact in the place of its line."""
        with self._told(), self._locked():
            file, _ = self._found(fact_id)
            return self._change(file, fact_id, change) or self._found(fact_id)[1].fact

    def forgotten(self) -> tuple[Fact, ...]:
        """Return what was taken out and is not back, in that order."""
        present = {fact.id for fact in self.facts()}
        return tuple(line.fact for line in self._journal() if line.fact.id not in present)

    def bring_back(self, fact_id: str) -> Fact | None:
        """Put a forgotten fact back into the file it came from; None when no such fact was forgotten."""
        with self._told(), self._made():
            gone = next((line for line in reversed(self._journal()) if line.fact.id == fact_id), None)
            if gone is None:
                return None
            about = dict(gone.more)
            fact = replace(gone.fact, time=lines.moment(about.get("learned", "")) or 0.0)
            if all(fact_id != known.id for known in self.facts()):
                file = about.get("file", "")
                ours = re.fullmatch(r"[^/\\\0]+", file) and _holds_facts(file) and file != CURATED
                safe = file if ours else ""
                self._put(safe or f"{lines.stamp(self._clock())[:10]}.md", fact.time, [fact])
            self._unjournal(fact_id)
            return fact

    # -- sessions

    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions of SESSIONS.md, in order. Every append asks: the file is read again only when it changed."""
        with self._told():
            signature = _signature(self.memory / sessions.FILE)
        known = self._played
        if known is None or known[0] != signature:
            text = self.content(sessions.FILE).decode("utf-8", "surrogateescape")
            known = self._played = signature, sessions.played(text)
        return known[1]

    def begin_session(self, at: float, date: str) -> Session:
        """Write down that the next session began; its number follows the highest that is known."""
        with self._told(), self._made():
            facts = self.facts()
            return self._edited(sessions.FILE, lambda text: sessions.begun(text or self._blank_log, at, date, facts))

    def end_session(self, at: float, date: str) -> Session:
        """Write down that the session that runs is over."""
        with self._told(), self._made():
            return self._edited(sessions.FILE, lambda text: sessions.over(text, at, date))

    # -- the archive

    def archives(self) -> tuple[str, ...]:
        """Return the names of the archives of this namespace, oldest first."""
        with self._told():
            return self._shelf.names()

    def archive(self) -> str:
        """Move the whole memory away and make a blank one; return the archive's name."""
        with self._told(), self._made():
            name = self._shelf.put_away()
            self._make()
            return name

    def exchange(self, name: str) -> str:
        """Put an archive in the memory's place; return the name the memory was archived under, "" when it was blank."""
        with self._told(), self._made():
            return self._shelf.exchange(name, keep=not self._blank())

    # -- inside; the lock is held

    @property
    def _blank_log(self) -> str:
        return sessions.TEMPLATE.format(name=self.name)

    def _make(self) -> None:
        disk.make_folder(self.memory)
        path = self.memory / CURATED
        if not path.exists() and not path.is_symlink():
            disk.append(path, TEMPLATE.format(name=self.name).encode())

    def _append(self, file: str, now: float, notes: Sequence[Note], taken: Container[str]) -> tuple[Fact, ...]:
        facts: dict[str, Fact] = {}
        for note in notes:
            ident = lines.new_id(_Either(facts, taken))
            facts[ident] = lines.learned(ident, note, float(int(now)), file)
        self._put(file, now, [*facts.values()])
        return tuple(facts.values())

    def _put(self, file: str, now: float, facts: Sequence[Fact]) -> None:
        path = self.memory / file
        tail = _tail(path)
        last = tail.rpartition(b"\n")[2].decode("utf-8", "replace")
        title = lines.heading(now) if now else ""
        above = next((line for line in reversed(tail.decode("utf-8", "replace").split("\n")) if line[:1] == "#"), "")
        begin = lines.mended(last) if tail else f"# {file.removesuffix('.md')}\n"
        under = f"\n{title}\n\n" if title and above.strip() != title else ""
        text = begin + under + "".join(f"{lines.written(fact)}\n" for fact in facts)
        disk.append(path, text.encode())

    def _found(self, fact_id: str) -> tuple[str, Line]:
        for file in self.signatures():
            for line in self.read(file):
                if line.fact.id == fact_id:
                    if line.fact.curated:
                        raise Refused(
                            f"{fact_id} stands in {self.memory / CURATED}, which is yours alone: edit it there"
                        )
                    return file, line
        raise Refused(f"{self.name} has no fact {fact_id!r}; a search shows the ids")

    def _change(self, file: str, fact_id: str, change: Callable[[Fact], Fact | None]) -> Fact | None:
        """Rewrite a file with one fact changed or gone."""

        def rewritten(text: str) -> tuple[str, Fact | None]:
            found = next((line for line in lines.parsed(file, text) if line.fact.id == fact_id), None)
            if found is None:
                return text, None
            changed = change(found.fact)
            whole = text.split("\n")
            whole[found.first : found.last + 1] = [lines.written(changed, found.more)] if changed else []
            return "\n".join(whole), changed

        return self._edited(file, rewritten)

    def _edited(self, file: str, edit: Callable[[str], tuple[str, T]]) -> T:
        """Put other text in a file's place; what a person saves at that moment is not written over."""
        path = self.memory / file
        if path.is_symlink():
            raise Refused(f"{path} is a symbolic link; put a real file in its place")
        for _ in range(_TRIES):
            before = _signature(path)
            text = self.content(file).decode("utf-8", "surrogateescape")
            if before is not None and not text and before[2]:
                raise Refused(f"{path} cannot be read, so it is not changed; let the program read it")
            edited, result = edit(text)
            if _signature(path) == before:
                if edited != text:
                    disk.replace(path, edited.encode("utf-8", "surrogateescape"))
                return result
        raise NotReady(f"{path} is being changed all the time; try again")

    def _journal(self) -> list[Line]:
        try:
            text = disk.read(self._forgotten).decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        # Read as a file of no day: each line says itself when it was learned.
        return [_as_forgotten(line) for line in lines.parsed("forgotten.md", text)]

    def _unjournal(self, fact_id: str) -> None:
        left = [line for line in self._journal() if line.fact.id != fact_id]
        text = "".join(f"{lines.written(line.fact, line.more)}\n" for line in left)
        disk.replace(self._forgotten, text.encode())

    def _blank(self) -> bool:
        signatures = self.signatures()
        return (
            not any(self.read(file) for file in signatures)
            and set(signatures) <= {CURATED}
            and not self.content(sessions.FILE)
        )

    def _real(self) -> None:
        """Refuse a namespace that is a door into somewhere else."""
        for path in (self.folder.parent, self.folder, self.memory):
            if path.is_symlink():
                raise Refused(
                    f"{path} is a symbolic link: memory must lie in its own folder; put a real one in its place"
                )

    @contextmanager
    def _made(self) -> Iterator[None]:
        """Hold the lock of a namespace whose folders and MEMORY.md are there."""
        self._real()
        disk.make_folder(self.folder)
        with self._locked():
            self._make()
            yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._real()
        with disk.locked(self.folder / ".lock"):
            self._shelf.finish()
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say what the disk refused, and what would help."""
        try:
            yield
        except FileNotFoundError as error:
            raise Refused(f"{self.name} has no memory yet; it begins with the first fact") from error
        except OSError as error:
            if error.errno == errno.ENOTDIR:
                raise Refused(f"the memory folder {self.folder} cannot be made: {error.strerror}") from error
            raise refusal(Path(error.filename or self.folder), error) from error


class _Either:
    """Two collections asked as one."""

    def __init__(self, *parts: Container[str]) -> None:
        self._parts = parts

    def __contains__(self, item: object) -> bool:
        return any(item in part for part in self._parts)


def _holds_facts(name: str) -> bool:
    return name.endswith(".md") and not name.startswith(".") and name != sessions.FILE


def _signature(path: Path) -> Signature | None:
    """Return what changes whenever a file's content may have; None where there is no regular file."""
    try:
        about = path.lstat()
    except FileNotFoundError:
        return None
    return (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino) if stat.S_ISREG(about.st_mode) else None


def _as_forgotten(line: Line) -> Line:
    about = dict(line.more)
    time_ = lines.moment(about.get("learned", "")) or 0.0
    return replace(line, fact=replace(line.fact, time=time_, file=about.get("file", "")))


def _tail(path: Path, most: int = 65_536) -> bytes:
    """Return the end of a file, enough for its last heading and line."""
    try:
        size = path.lstat().st_size
    except FileNotFoundError:
        return b""
    if path.is_symlink():
        return b""
    with path.open("rb") as file:
        file.seek(max(0, size - most))
        return file.read()
