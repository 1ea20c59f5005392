"""What an NPC keeps: Markdown files, and the means to find a fact again. The entry points of `homunculus.memory` are here.

No module here may be called like a backend: importing it would put the module in the backend's place.
Importing this imports no database and no model: each is imported when a namespace of its backend is built.
"""

from __future__ import annotations

import time
from pathlib import Path

from homunculus.interfaces import Backend, Clock, Namespace
from homunculus.model import MemorySpec


def _none(folder: Path, archive: Path, spec: MemorySpec, *, clock: Clock = time.time) -> Namespace:
    from homunculus.memory.keeping import Forgetful

    return Forgetful(folder, archive, spec, clock)


def _sqlite(folder: Path, archive: Path, spec: MemorySpec, *, clock: Clock = time.time) -> Namespace:
    from homunculus.memory.sqlite_namespace import SqliteNamespace

    return SqliteNamespace(folder, archive, spec, clock)


def _qmd(folder: Path, archive: Path, spec: MemorySpec, *, clock: Clock = time.time) -> Namespace:
    from homunculus.memory.qmd_namespace import QmdNamespace

    return QmdNamespace(folder, archive, spec, clock)


none = Backend("none", _none)
sqlite = Backend("sqlite", _sqlite)
qmd = Backend("qmd", _qmd)
