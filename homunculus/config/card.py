"""One card file, read and checked. Owns what is kept between loads; never knows the folder or who uses a card.

Parsed cards are kept by content, so a save of the deployment file parses none of them again. Cards of other formats are
turned into native data by a reader that is passed in, and checked like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from homunculus.config import source
from homunculus.config.reader import read_fast
from homunculus.config.schema import Check, character_schema, check, checker
from homunculus.config.source import Marks, Source
from homunculus.config.verdict import Verdict, verdict
from homunculus.errors import ConfigError, ConfigErrors, Where

NATIVE = (".yaml", ".yml")
FOREIGN = (".json", ".png", ".charx")
_KEPT = 4096  # parsed cards


@dataclass(frozen=True, slots=True)
class Card:
    """One card file as read: its data where the shape is right, and what is wrong with it."""

    errors: tuple[ConfigError, ...]
    source: Source | None = None
    data: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[ConfigError, ...] = ()


ReadForeign = Callable[[bytes, str], tuple[dict[str, Any], tuple[ConfigError, ...]]]
"""Turns a card of another format into native data and warnings; raises ConfigErrors. Takes content and shown name."""


def no_foreign_cards(content: bytes, file: str) -> tuple[dict[str, Any], tuple[ConfigError, ...]]:
    """Refuse every card of another format: for a loader that was given no reader."""
    fault = f"cards in {Path(file).suffix} files cannot be read here"
    raise ConfigErrors((ConfigError(Where(file), fault, "write a native .yaml card"),))


@dataclass(slots=True)
class CardCache:
    """Parse cards; keep each by its file's shown name and content. Safe between threads: entries never change."""

    fast: bool = True  # False: the reference readers alone
    foreign: ReadForeign = no_foreign_cards
    _kept: dict[tuple[str, bytes], Card] = field(default_factory=dict)
    _check: Check | None = None
    _verdict: Verdict | None = None

    def parse(self, content: bytes, file: str) -> Card:
        """Return the card that this content is."""
        key = (file, content)
        if (known := self._kept.get(key)) is not None:
            return known
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        if Path(file).suffix.casefold() in FOREIGN:
            card = self._parse_foreign(content, file)
        else:
            card = (self._parse_fast(content, file) if self.fast else None) or self._parse(content, file)
        self._kept[key] = card
        return card

    def _parse_foreign(self, content: bytes, file: str) -> Card:
        """Parse a card of another format; where something stands in it is known only to its reader."""
        try:
            data, warnings = self.foreign(content, file)
        except ConfigErrors as errors:
            return Card(errors.errors)
        read = Source(file, "", data, lambda path: Marks((1, 1), (1, 1)))
        checked = check(read, self._shape())
        return Card(checked.errors, read, data, warnings)

    def _shape(self) -> Check:
        if self._check is None:
            self._check = checker(character_schema())
        return self._check

    def _parse_fast(self, content: bytes, file: str) -> Card | None:
        """Parse an ordinary card without a fault; None when it is anything else."""
        if self._verdict is None:
            self._verdict = verdict(character_schema())
        read = read_fast(content, file)
        return Card((), read, read.data) if read is not None and self._verdict(read.data) else None

    def _parse(self, content: bytes, file: str) -> Card:
        return _parse(content, file, self._shape())


def _parse(content: bytes, file: str, shape: Check) -> Card:
    try:
        read = source.read(content, file)
    except ConfigErrors as errors:
        return Card(errors.errors)
    if read.data is None:
        return Card((ConfigError(Where(file), "the card is empty", "write name: and description:"),), read)
    checked = check(read, shape)
    data = checked.data if isinstance(checked.data, dict) else {}
    return Card((*read.faults, *checked.errors), read, data)
