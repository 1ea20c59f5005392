"""The fields of foreign cards: what each is called there and here, and which values fit. Knows no file and no order.

A value that does not fit is never an error: it is kept as it is, out of use, and told. `null` means not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homunculus.characters.json_text import Json, Path, quoted
from homunculus.errors import ConfigError

MAX_KEY = 200  # characters: longer keys are no YAML of one line
MAX_KEPT_DEPTH = 30  # of what is kept without being understood: the native card stays within its own bound
MAX_ENTRIES = 2_000
_MOST_NUMBERS = 500
_MOST_WARNINGS = 50
_LARGEST = 10**9
_RULESET = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_COMMAS = re.compile(r"\s*,\s*")

UNFIT: Any = object()
Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name in a foreign card, its key in a native one, and how its value becomes ours or UNFIT."""

    theirs: str
    ours: str
    convert: Convert
    expects: str


def text(value: Any) -> Any:
    """Take text, with the line breaks of people's editors; a number becomes text."""
    if isinstance(value, str):
        return value.replace("\r\n", "\n")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else UNFIT


def texts(value: Any) -> Any:
    """Take a list of texts, or one text alone; nothing at all and null are left out."""
    found = [text(item) for item in (value if isinstance(value, list) else [value]) if item is not None]
    return UNFIT if any(item is UNFIT for item in found) else found


def keys(value: Any) -> Any:
    """Take a list of keys, or several in one text, apart by commas; empty ones are left out."""
    found = texts(_COMMAS.split(value.strip()) if isinstance(value, str) else value)
    return found if found is UNFIT else [key for key in found if key.strip()]


def flag(value: Any) -> Any:
    """Take true or false, also as 1 or 0."""
    return bool(value) if isinstance(value, bool) or (isinstance(value, int) and value in (0, 1)) else UNFIT


def number(value: Any) -> Any:
    """Take a number."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else UNFIT


def whole(value: Any) -> Any:
    """Take a whole number from 0 on."""
    found = number(value)
    return UNFIT if found is UNFIT or found != int(found) or not 0 <= found <= _LARGEST else int(found)


def numbers(value: Any) -> Any:
    """Take names with numbers; a number in quotes is one."""
    if not isinstance(value, dict) or len(value) > _MOST_NUMBERS or any(len(name) > MAX_KEY for name in value):
        return UNFIT
    found = {name: _numeric(entry) for name, entry in value.items() if entry is not None}
    return UNFIT if UNFIT in found.values() else found


def _numeric(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    return number(value)


def identifier(value: Any) -> Any:
    """Take text or a number as it is."""
    return value if text(value) is not UNFIT else UNFIT


def position(value: Any) -> Any:
    """Take before_char or after_char."""
    return value if value in ("before_char", "after_char") else UNFIT


def ruleset(value: Any) -> Any:
    """Take a plain name."""
    return value if isinstance(value, str) and _RULESET.match(value) else UNFIT


CHARACTER = (
    Field("name", "name", text, "text"),
    Field("nickname", "nickname", text, "text"),
    Field("description", "description", text, "text"),
    Field("personality", "personality", text, "text"),
    Field("scenario", "scenario", text, "text"),
    Field("first_mes", "greeting", text, "text"),
    Field("alternate_greetings", "alternate_greetings", texts, "a list of texts"),
    Field("group_only_greetings", "group_only_greetings", texts, "a list of texts"),
    Field("mes_example", "examples", text, "text"),
    Field("system_prompt", "system_prompt", text, "text"),
    Field("post_history_instructions", "post_history", text, "text"),
    Field("creator", "creator", text, "text"),
    Field("character_version", "character_version", text, "text"),
    Field("tags", "tags", texts, "a list of texts"),
    Field("creator_notes", "creator_notes", text, "text"),
)
OWN = (  # of v0.1 cards, and of our part of `extensions`
    Field("background", "background", text, "text"),
    Field("language", "language", text, "text"),
    Field("ruleset", "ruleset", ruleset, "the name of a ruleset"),
    Field("stats", "stats", numbers, "names with numbers"),
    Field("skills", "skills", numbers, "names with numbers"),
    Field("inventory", "inventory", keys, "a list of things"),
)
BOOK = (
    Field("name", "name", text, "text"),
    Field("description", "description", text, "text"),
    Field("scan_depth", "scan_depth", whole, "a whole number"),
    Field("token_budget", "token_budget", whole, "a whole number"),
    Field("recursive_scanning", "recursive_scanning", flag, "true or false"),
)
ENTRY = (
    Field("name", "name", text, "text"),
    Field("keys", "keys", keys, "a list of words"),
    Field("content", "content", text, "text"),
    Field("enabled", "enabled", flag, "true or false"),
    Field("constant", "constant", flag, "true or false"),
    Field("selective", "selective", flag, "true or false"),
    Field("secondary_keys", "secondary_keys", keys, "a list of words"),
    Field("insertion_order", "insertion_order", number, "a number"),
    Field("priority", "priority", number, "a number"),
    Field("case_sensitive", "case_sensitive", flag, "true or false"),
    Field("use_regex", "use_regex", flag, "true or false"),
    Field("position", "position", position, "before_char or after_char"),
    Field("id", "id", identifier, "text or a number"),
    Field("comment", "comment", text, "text"),
)


class Conversion:
    """One card on its way to being native: its JSON, and everything there is to tell about it."""

    def __init__(self, source: Json) -> None:
        self.source = source
        self._warnings: list[ConfigError] = []
        self._more = 0

    def warn(self, path: Path, fault: str, fix: str = "", *, key: bool = False) -> None:
        """Tell what is not as it should be; past a bound only how many there are."""
        if len(self._warnings) < _MOST_WARNINGS:
            self._warnings.append(ConfigError(self.source.where(path, key=key), fault, fix))
        else:
            self._more += 1

    @property
    def warnings(self) -> tuple[ConfigError, ...]:
        """List what was told."""
        if not self._more:
            return tuple(self._warnings)
        more = ConfigError(self.source.where(), f"{self._more} more of these are not shown")
        return (*self._warnings, more)

    def take(self, level: Any, path: Path, fields: tuple[Field, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what of a mapping fits these fields, by our names, and the rest of it by theirs."""
        taken: dict[str, Any] = {}
        rest = {name: value for name, value in level.items() if value is not None}
        for field in fields:
            if field.theirs not in rest:
                continue
            value = field.convert(rest[field.theirs])
            if value is UNFIT:
                self.warn((*path, field.theirs), f"not used: this is not {field.expects}", "it is kept for exports")
            else:
                taken[field.ours] = value
                del rest[field.theirs]
        return taken, rest

    def mapping(self, rest: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
        """Take a mapping out of the rest; one of another type stays there."""
        value = rest.get(name)
        if isinstance(value, dict):
            del rest[name]
            return value
        if value is not None:
            self.warn((*path, name), "not used: this is not a mapping", "it is kept for exports")
        return {}

    def kept(self, value: Any, path: Path, depth: int = 0) -> Any:
        """Copy what is kept without being understood, without what no native card could hold."""
        if isinstance(value, list):
            if depth >= MAX_KEPT_DEPTH:
                return self._too_deep(path, [])
            return [self.kept(item, (*path, index), depth + 1) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            return value
        if depth >= MAX_KEPT_DEPTH:
            return self._too_deep(path, {})
        copied: dict[str, Any] = {}
        for name, item in value.items():
            if len(name) > MAX_KEY:
                self.warn(path, f"dropped: the key {quoted(name)} is longer than {MAX_KEY} characters")
            else:
                copied[name] = self.kept(item, (*path, name), depth + 1)
        return copied

    def _too_deep(self, path: Path, empty: Any) -> Any:
        self.warn(path[:8], f"dropped: nested more than {MAX_KEPT_DEPTH} levels deep in what is only kept")
        return empty
