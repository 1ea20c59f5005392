"""One namespace's folder, as a game master finds it. Makes what is missing; never touches what is there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from homunculus.errors import Refused
from homunculus.model import MemorySpec

_MEMORY = """\
# {name}

What {name} always knows. This file is yours: the program reads it and never writes to it again.
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """`<namespace>/memory/MEMORY.md` and the folders around it."""

    path: Path
    spec: MemorySpec

    async def open(self) -> None:
        """Make the folder and MEMORY.md, idempotently. Raise Refused when the disk does not allow it."""
        try:
            await asyncio.to_thread(self._make)
        except OSError as error:
            raise Refused(f"the memory folder {self.path} cannot be made: {error.strerror}") from error

    async def aclose(self) -> None:
        """Free nothing: a folder holds nothing open."""

    def _make(self) -> None:
        memory = self.path / "memory"
        memory.mkdir(parents=True, exist_ok=True)
        try:
            with (memory / "MEMORY.md").open("x", encoding="utf-8") as file:
                file.write(_MEMORY.format(name=self.path.name))
        except FileExistsError:
            return
