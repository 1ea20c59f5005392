"""Finds where an entry stands in an ordinary text, only once somebody asks. Owns counting lines; never reads values.

An ordinary text (see `ordinary`) has one entry a line, so the entries of a block collection are the lines that begin in its
column. What stands within brackets or braces is asked of the reference reader, which gets that line alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from homunculus.config.source import Mark, Marks, Source, read
from homunculus.config.words import Path

_CONTENT = re.compile(r"(?: *(?:#[^\n]*)?\n)*( *)")
_KEY = re.compile(r"(?:\"[^\"\n]*\"|'[^'\n]*'|[^:\n]*): *+(?:#[^\n]*)?")


@dataclass(slots=True)
class Places:
    """Find entries of one text. Safe between threads: what is kept never changes."""

    text: str  # ordinary, with \n alone
    data: dict[str, Any]
    full: Callable[[], Source]  # reads the whole text with the reference reader, should the lines not be as expected
    _begun: dict[Path, list[int]] = field(default_factory=dict)  # where each entry of a collection begins
    _inline: dict[int, Source] = field(default_factory=dict)
    _reference: Source | None = None

    def __call__(self, path: Path) -> Marks:
        """Return the place of an entry, or of the last one on the way that was written."""
        here: Any = self.data
        at = self._content(0)  # where the value of `here` begins
        end = len(self.text)
        found = Marks(self._mark(at), self._mark(at))
        for depth, part in enumerate(path):
            if not _holds(here, part):
                break
            if self.text[at] in "[{":
                return self._within(at, path[depth:])
            begun = self._entries(path[:depth], here, at, end)
            if begun is None:
                return self._by_reference(path)
            index = part if isinstance(part, int) else list(here).index(part)
            key, end = begun[index], begun[index + 1] if index + 1 < len(begun) else end
            here = here[part]
            key, at = (key + 2, key + 2) if isinstance(part, int) else (key, self._value(key, here))
            found = Marks(self._mark(key), self._mark(at))
        return found

    def _entries(self, path: Path, here: Any, at: int, end: int) -> list[int] | None:
        """List where the entries of a block collection begin; None when their number is not right."""
        if path not in self._begun:
            column = at - self.text.rfind("\n", 0, at) - 1
            sign = "-" if isinstance(here, list) else "[^ #\n-]"
            further = re.compile(rf"\n {{{column}}}(?={sign})")
            self._begun[path] = [at, *(match.end() for match in further.finditer(self.text, at, end))]
        begun = self._begun[path]
        return begun if len(begun) == len(here) else None

    def _value(self, key: int, value: Any) -> int:
        """Return where the value of a key begins; what was left out is at its key."""
        match = _KEY.match(self.text, key)
        assert match is not None
        if self.text[match.end()] != "\n":
            return match.end()
        return key if value is None else self._content(match.end() + 1)

    def _content(self, at: int) -> int:
        """Return the next place, from the beginning of a line on, that is no blank and no comment."""
        match = _CONTENT.match(self.text, at)
        assert match is not None
        return match.end()

    def _within(self, at: int, path: Path) -> Marks:
        if at not in self._inline:
            self._inline[at] = read(self.text[at : self.text.index("\n", at)].encode(), "")
        line, column = self._mark(at)
        key, value = self._inline[at].find(path)
        return Marks((line, column + key[1] - 1), (line, column + value[1] - 1))

    def _mark(self, at: int) -> Mark:
        return self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)

    def _by_reference(self, path: Path) -> Marks:
        if self._reference is None:
            self._reference = self.full()
        return self._reference.find(path)


def _holds(here: Any, part: str | int) -> bool:
    if isinstance(part, int):
        return isinstance(here, list) and part < len(here)
    return isinstance(here, dict) and part in here
