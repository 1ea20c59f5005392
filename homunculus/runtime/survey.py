"""Where to listen so that a change of some paths is heard, and what they look like now.

Owns the walk along folders and symbolic links; never listens, never waits. Synchronous file work: belongs in a thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from homunculus.runtime.snapshot import glance, take

_LINKS = 40  # as many as the kernel follows


@dataclass(slots=True)
class Survey:
    """The folders to listen in, each with its identity (a folder made anew needs a new watch), and the names that matter.

    In a folder of `folders` every entry matters; elsewhere only `names` do.
    """

    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def concerns(self, path: str) -> bool:
        """Tell whether a change at `path` may change what was surveyed. Swapped links (`..data`) always do."""
        folder, name = os.path.split(path)
        return path in self.names or folder in self.folders or name.startswith("..")


def survey(paths: Iterable[Path]) -> Survey:
    """Follow each path to its end, or to where it is missing, and note every folder whose change could lead elsewhere."""
    found = Survey()
    for path in paths:
        _follow(path.absolute(), found)
    return found


def fingerprint(paths: Iterable[Path], hashed: Path | None = None) -> Hashable:
    """Sum up what the paths look like: identity, times and size of each, of each entry of a folder; the hash of one file."""
    looks = tuple((str(path), glance(path), _entries(path)) for path in sorted(paths))
    return (looks, take(hashed)[0].sha256 if hashed else "")


def _entries(path: Path) -> tuple[tuple[str, object], ...]:
    try:
        return tuple(sorted((entry.name, glance(entry)) for entry in path.iterdir()))
    except OSError:  # a file, or nothing
        return ()


def _follow(path: Path, found: Survey) -> None:
    at, links, todo = Path(path.anchor), 0, _parts(path)
    while todo and links <= _LINKS:
        part = todo.pop()
        if part == os.pardir:
            at = at.parent  # `at` holds no link, so its parent is where the kernel would go
            continue
        step = at / part
        try:
            target = step.readlink() if stat.S_ISLNK(step.lstat().st_mode) else None
        except OSError:
            return _note(found, at, step)
        if target is None:
            at = step
            continue
        _note(found, at, step)
        links += 1
        at = Path(target.anchor) if target.is_absolute() else at
        todo += _parts(target)
    return _end(found, at)


def _end(found: Survey, at: Path) -> None:
    if at.is_dir():
        found.folders.add(str(at))
        _note(found, at, at)
    _note(found, at.parent, at)


def _note(found: Survey, place: Path, name: Path) -> None:
    look = glance(place)
    if len(look) > 1:
        found.places[str(place)] = (look[0], look[1])
    found.names |= {str(place), str(name)}


def _parts(path: Path) -> list[str]:
    return [part for part in reversed(path.parts) if part != path.anchor]
