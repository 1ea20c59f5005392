"""Reads the JSON of a card that came from a stranger, and remembers where everything stands.

Owns JSON itself and its bounds: size, nesting, number of values, duplicate keys, numbers that are none. Never knows what
a key means. Half surrogate pairs, which no UTF-8 file can hold, become U+FFFD.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from json import decoder
from typing import Any

from homunculus.errors import ConfigError, ConfigErrors, Where

MAX_TEXT = 2 * 1024 * 1024  # bytes of UTF-8
MAX_DEPTH = 40
MAX_VALUES = 100_000  # what a card of 2 MiB could hold besides would take minutes and all the memory
_MAX_DIGITS = 300

_scan: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]  # typeshed does not know it
_STRICT = True  # no raw line breaks within a string
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[-+]?[A-Za-z_]{1,20}")
_WORDS: dict[str, Any] = {"true": True, "false": False, "null": None}
_SHOWN = 60
_PLAIN_KEY = re.compile(r"[\w-]{1,60}\Z")

Path = tuple[str | int, ...]  # keys and indexes that lead to a value


@dataclass(frozen=True, slots=True)
class Json:
    """One text as read. `marks` gives, for each container by its id, where the key and the value of an entry begin."""

    file: str
    text: str
    data: Any
    marks: dict[int, dict[str | int, tuple[int, int]]]
    mended: bool = False  # half surrogate pairs were replaced

    def where(self, path: Path = (), *, key: bool = False) -> Where:
        """Return the place of a value, or of its key; of the last one on the way that is there."""
        here, offset = self.data, 0
        for part in path:
            entry = self.marks.get(id(here), {}).get(part)
            if entry is None:
                break
            offset, here = entry[0 if key else 1], here[part]
        return _place(self.file, self.text, offset, path)


def read_json(content: bytes, file: str) -> Json:
    """Parse one JSON text. Raise ConfigErrors with the place when it is none, or passes a bound."""
    if len(content) > MAX_TEXT:
        size = f"{len(content) / 1048576:.1f} MiB"
        fault = f"the card's text is too large: {size}, at most 2 MiB are read"
        raise ConfigErrors((ConfigError(Where(file), fault, "take pictures out of its assets"),))
    reader = _Reader(file, _decoded(content, file))
    at = reader.space(0)
    data, at = reader.value(at, 1, ())
    if reader.space(at) != len(reader.text):
        raise reader.wrong(reader.space(at), "text after the end of the card", "remove it")
    return Json(file, reader.text, data, reader.marks, reader.mended)


def _decoded(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        where = _place(file, before, len(before), ())
        raise ConfigErrors((ConfigError(where, "not UTF-8 here", "save the file as UTF-8"),)) from None


def _place(file: str, text: str, offset: int, path: Path) -> Where:
    line = text.count("\n", 0, offset) + 1
    return Where(file, line, offset - (text.rfind("\n", 0, offset) + 1) + 1, rendered(path))


def rendered(path: Path) -> str:
    """Write a path as people do: `data.tags[2]`; a key that is no plain word is quoted, and cut when long."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_KEY.match(part):
            parts.append(f".{part}" if parts else part)
        else:
            parts.append(f"[{quoted(part)}]")
    return "".join(parts)


def quoted(text: str) -> str:
    """Quote a stranger's text for a message: on one line, cut when long."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    whole = json.dumps(cut, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in whole)


@dataclass(slots=True)
class _Reader:
    """A recursive descent: at most MAX_DEPTH calls deep, at most MAX_VALUES values."""

    file: str
    text: str
    marks: dict[int, dict[str | int, tuple[int, int]]] = field(default_factory=dict)
    mended: bool = False
    values: int = 0

    def wrong(self, at: int, fault: str, fix: str = "", path: Path = ()) -> ConfigErrors:
        """Word what is wrong at a place."""
        return ConfigErrors((ConfigError(_place(self.file, self.text, at, path), fault, fix),))

    def space(self, at: int) -> int:
        """Return where the next token begins."""
        found = _SPACE.match(self.text, at)
        assert found is not None
        return found.end()

    def value(self, at: int, depth: int, path: Path) -> tuple[Any, int]:
        """Return the value that begins at `at`, and where it ends."""
        self.values += 1
        if self.values > MAX_VALUES:
            raise self.wrong(at, f"more than {MAX_VALUES:,} values", "take out what is not about the character", path)
        match self.text[at : at + 1]:
            case '"':
                return self._string(at, path)
            case "{" | "[" as bracket:
                if depth > MAX_DEPTH:
                    raise self.wrong(at, f"nested more than {MAX_DEPTH} levels deep", "flatten it", path[:8])
                return (self._mapping if bracket == "{" else self._list)(at + 1, depth, path)
            case "":
                raise self.wrong(at, "the text ends in the middle of the card", "get the whole file")
            case _:
                return self._scalar(at, path)

    def _string(self, at: int, path: Path) -> tuple[str, int]:
        try:
            found, end = _scan(self.text, at + 1, _STRICT)
        except json.JSONDecodeError as error:
            raise self.wrong(
                error.pos, f"not valid JSON: {error.msg.lower()}", "close the quotes, double backslashes", path
            ) from None
        if not found.isascii() and any("\ud800" <= c <= "\udfff" for c in found):
            self.mended = True
            found = found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return found, end

    def _scalar(self, at: int, path: Path) -> tuple[Any, int]:
        number = _NUMBER.match(self.text, at)
        if number is not None:
            return self._number(number, path), number.end()
        found = _WORD.match(self.text, at)
        word = found[0] if found else ""
        if word in _WORDS:
            return _WORDS[word], at + len(word)
        if word.lstrip("+-").casefold() in ("nan", "infinity", "inf"):
            raise self.wrong(at, f"{word} is no number of JSON", "write a number or null", path)
        raise self.wrong(at, "not valid JSON: a value must stand here", "check commas, quotes and brackets", path)

    def _number(self, found: re.Match[str], path: Path) -> int | float:
        written = found[0]
        if len(written) > _MAX_DIGITS:
            raise self.wrong(found.start(), f"a number of {len(written)} digits", "write it shorter", path)
        if found[1] is None and found[2] is None:
            return int(written)
        number = float(written)
        if not math.isfinite(number):
            raise self.wrong(found.start(), "a number too large to hold", "write a smaller one", path)
        return number

    def _list(self, at: int, depth: int, path: Path) -> tuple[list[Any], int]:
        data: list[Any] = []
        marks: dict[str | int, tuple[int, int]] = {}
        self.marks[id(data)] = marks
        at = self.space(at)
        if self.text.startswith("]", at):
            return data, at + 1
        while True:
            marks[len(data)] = (at, at)
            item, at = self.value(at, depth + 1, (*path, len(data)))
            data.append(item)
            at, more = self._next(at, "]", path)
            if not more:
                return data, at

    def _mapping(self, at: int, depth: int, path: Path) -> tuple[dict[str, Any], int]:
        data: dict[str, Any] = {}
        marks: dict[str | int, tuple[int, int]] = {}
        self.marks[id(data)] = marks
        at = self.space(at)
        if self.text.startswith("}", at):
            return data, at + 1
        while True:
            key, begun, at = self._key(at, path)
            if key in data:
                first = self.text.count("\n", 0, marks[key][0]) + 1
                raise self.wrong(begun, f"duplicate key {quoted(key)}", f"the first one is on line {first}", path)
            value, end = self.value(at, depth + 1, (*path, key))
            data[key], marks[key] = value, (begun, at)
            at, more = self._next(end, "}", path)
            if not more:
                return data, at

    def _key(self, at: int, path: Path) -> tuple[str, int, int]:
        """Return a key, where it begins, and where its value begins."""
        if not self.text.startswith('"', at):
            raise self.wrong(
                at, "not valid JSON: a key in double quotes must stand here", "check the comma before it", path
            )
        key, end = self._string(at, path)
        end = self.space(end)
        if not self.text.startswith(":", end):
            raise self.wrong(end, "not valid JSON: a colon must follow the key", "write a colon", path)
        return key, at, self.space(end + 1)

    def _next(self, at: int, closing: str, path: Path) -> tuple[int, bool]:
        """Return where to go on, and whether another entry follows."""
        at = self.space(at)
        if self.text.startswith(closing, at):
            return at + 1, False
        if self.text.startswith(",", at):
            return self.space(at + 1), True
        if at >= len(self.text):
            raise self.wrong(at, "the text ends in the middle of the card", "get the whole file")
        raise self.wrong(at, f"not valid JSON: a comma or {closing} must stand here", "check commas and brackets", path)
