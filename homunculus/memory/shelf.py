"""Where the whole memories of a namespace are put away, and taken back from. Knows folders, never what is in their files.

Whoever calls what changes something holds the namespace's lock.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from homunculus.errors import Refused
from homunculus.memory import disk, lines

_STAMP = re.compile(r"\d{8}T\d{6}Z")


class Shelf:
    """The archives of one namespace."""

    def __init__(self, folder: Path, archive: Path, clock: Callable[[], float]) -> None:
        self._name, self._memory, self._archive, self._clock = folder.name, folder / "memory", archive, clock
        self._intent = folder / ".restoring"

    def names(self) -> tuple[str, ...]:
        """Return the names of what is there, oldest first."""
        if not self._archive.is_dir():
            return ()
        prefix = f"{self._name}-"
        named = (e.name for e in self._archive.iterdir() if e.name.startswith(prefix) and (e / "memory").is_dir())
        return tuple(sorted(name for name in named if _STAMP.fullmatch(name[len(prefix) :])))

    def put_away(self) -> str:
        """Move the memory here; return the archive's name."""
        name = self._free_name()
        self._put_away(name)
        return name

    def exchange(self, name: str, *, keep: bool) -> str:
        """Put an archive in the memory's place; return the name the memory is archived under, "" when it is not to be kept.

        The intent is written down first: after a crash in the middle the next one who takes the lock finishes it.
        """
        if name not in self.names():
            raise Refused(f"{self._name} has no archive {name!r}; it has {', '.join(self.names()) or 'none'}")
        kept = self._free_name() if keep else ""
        disk.replace(self._intent, f"{name}\n{kept}\n".encode())
        self.finish()
        return kept

    def finish(self) -> None:
        """Do what is left of an exchange that somebody began."""
        try:
            name, kept = disk.read(self._intent).decode().split("\n")[:2]
        except FileNotFoundError:
            return
        source = self._archive / name / "memory"
        if source.is_dir():
            if self._memory.is_dir():
                self._step_aside(kept)
            disk.move(source, self._memory)
        with suppress(OSError):  # an empty folder that cannot be removed is no archive
            source.parent.rmdir()
        disk.remove(self._intent)

    def _step_aside(self, kept: str) -> None:
        if kept:
            self._put_away(kept)
        else:
            shutil.rmtree(self._memory)  # blank: nothing but an untouched MEMORY.md

    def _put_away(self, name: str) -> None:
        disk.make_folder(self._archive / name)
        disk.move(self._memory, self._archive / name / "memory")

    def _free_name(self) -> str:
        moment = int(self._clock())
        while (self._archive / (name := f"{self._name}-{_compact(moment)}")).exists():
            moment += 1
        return name


def _compact(moment: int) -> str:
    return lines.stamp(moment).replace("-", "").replace(":", "")
