"""Replaces the macros of a card: `{{char}}`, `<USER>`, `{{random:a,b}}` and their kin, ignoring case.

One pass over the card's own text: what a macro is replaced by is never looked at again, so a player called `{{char}}`
stays called that. Never sees a player's message; takes the random source and the clock as arguments.
"""

from __future__ import annotations

import hashlib
import random as randomness
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import islice

_PIECES = re.compile(r"\{\{|\}\}|<bot>|<char>|<user>", re.IGNORECASE)
_NAME = re.compile(r"\s*(//|[a-z_]+)\s*(:?)", re.IGNORECASE)
_COMMAS = re.compile(r"\\,|,")
_COLONS = re.compile("::")
_DEEPEST = 16  # macros within macros; past it a macro stays as it was written
_MOST_DICE, _MOST_SIDES = 100, 1000


@dataclass(slots=True)
class _Macro:
    """One `{{…}}` of the text, from `start` to `end`, with the macros inside it."""

    start: int
    parts: list[str | _Macro] = field(default_factory=list)
    end: int = 0


@dataclass(frozen=True, slots=True)
class _Expansion:
    """Everything one pass stands on; `whole` is the text as it was written."""

    whole: str
    char: str
    user: str
    original: str | None
    random: randomness.Random
    now: Callable[[], datetime]

    def text(self, parts: Iterable[str | _Macro], depth: int = 0) -> str:
        return "".join(self._part(part, depth) for part in parts)

    def _part(self, part: str | _Macro, depth: int) -> str:
        if isinstance(part, _Macro):
            value = self._value(part, depth) if depth < _DEEPEST else None
            return self.whole[part.start : part.end] if value is None else value
        return {"<bot>": self.char, "<char>": self.char, "<user>": self.user}.get(part.lower(), part)

    def _value(self, macro: _Macro, depth: int) -> str | None:
        """Return what a macro stands for; None when it is not one of ours."""
        head = macro.parts[0] if macro.parts and isinstance(macro.parts[0], str) else ""
        found = _NAME.match(head)
        if found is None:
            return None
        name, rest = found[1].lower(), [head[found.end() :], *macro.parts[1:]]
        if name == "//":
            return ""
        if found[2]:
            return self._with_argument(name, rest, macro, depth)
        return self._plain(name) if rest == [""] else None

    def _plain(self, name: str) -> str | None:
        match name:
            case "char":
                return self.char
            case "user":
                return self.user
            case "original":
                return self.original
            case "time":
                return self.now().strftime("%H:%M")
            case "date":
                return self.now().strftime("%Y-%m-%d")
            case _:
                return None

    def _with_argument(self, name: str, rest: list[str | _Macro], macro: _Macro, depth: int) -> str | None:
        match name:
            case "comment" | "hidden_key":
                return ""
            case "reverse":
                return self.text(rest, depth + 1).strip()[::-1]
            case "random":
                return self._choice(rest, self.random.randrange, depth)
            case "pick":
                written = self.whole[macro.start : macro.end]
                digest = hashlib.sha256(f"{self.char}\0{written}".encode("utf-8", "replace")).digest()
                return self._choice(rest, lambda count: int.from_bytes(digest[:8], "big") % count, depth)
            case "roll":
                return self._roll(self.text(rest, depth + 1))
            case _:
                return None

    def _choice(self, rest: list[str | _Macro], index: Callable[[int], int], depth: int) -> str:
        options = _split(*_options(rest))
        return self.text(options[index(len(options))], depth + 1).strip()

    def _roll(self, dice: str) -> str | None:
        count, sides = _dice(dice)
        if not (1 <= count <= _MOST_DICE and 1 <= sides <= _MOST_SIDES):
            return None
        return str(sum(self.random.randint(1, sides) for _ in range(count)))


def expand(
    text: str,
    *,
    char: str,
    user: str,
    original: str | None = None,
    random: randomness.Random | None = None,
    now: Callable[[], datetime] | None = None,
) -> str:
    """Replace the macros of a card's text once; unknown ones stay as written.

    `char` and `user` are shown names, inserted as they are. `{{original}}` is replaced only where `original` is given.
    `{{pick:…}}` makes the same choice wherever the same character meets the same macro.
    """
    expansion = _Expansion(text, char, user, original, random or randomness.SystemRandom(), now or _local_now)
    return expansion.text(_parsed(text))


def hidden_keys(text: str) -> str:
    """Return what the `{{hidden_key:…}}` of a lorebook entry say, a line each: looked at for keys, never shown."""
    found = (_hidden(part, text) for part in _parsed(text) if isinstance(part, _Macro))
    return "\n".join(key for key in found if key)


def _hidden(macro: _Macro, whole: str) -> str:
    name, _, key = whole[macro.start + 2 : macro.end - 2].partition(":")
    return key.strip() if name.strip().lower() == "hidden_key" else ""


def _local_now() -> datetime:
    return datetime.now().astimezone()


@lru_cache(maxsize=256)  # a card's text is expanded for every turn and changes with a save
def _parsed(text: str) -> tuple[str | _Macro, ...]:
    """Cut a text into plain pieces and macros, nested as written; braces without a partner are plain."""
    frames = [_Macro(0)]
    end = 0
    for piece in _PIECES.finditer(text):
        if piece.start() > end:
            frames[-1].parts.append(text[end : piece.start()])
        end = piece.end()
        if piece[0] == "{{":
            frames.append(_Macro(piece.start()))
        elif piece[0] != "}}" or len(frames) == 1:
            frames[-1].parts.append(piece[0])
        else:
            macro = frames.pop()
            macro.end = end
            frames[-1].parts.append(macro)
    frames[-1].parts.append(text[end:])
    flat: list[str | _Macro] = list(frames[0].parts)
    for unclosed in islice(frames, 1, None):
        flat += ["{{", *unclosed.parts]
    return tuple(flat)


def _options(rest: list[str | _Macro]) -> tuple[list[str | _Macro], re.Pattern[str]]:
    """Return an argument and what parts its options: commas, or `::` where it is written `{{random::a::b}}`."""
    first = rest[0]
    if not (isinstance(first, str) and first.startswith(":")):
        return rest, _COMMAS
    rest = [first[1:], *rest[1:]]
    return rest, _COLONS if any("::" in part for part in rest if isinstance(part, str)) else _COMMAS


def _split(parts: list[str | _Macro], separator: re.Pattern[str]) -> list[list[str | _Macro]]:
    """Split an argument at its own separators: not the escaped ones, nor those of a macro inside it."""
    options: list[list[str | _Macro]] = [[]]
    for part in parts:
        if isinstance(part, _Macro):
            options[-1].append(part)
            continue
        end = 0
        for found in separator.finditer(part):
            options[-1].append(part[end : found.start()])
            end = found.end()
            if found[0].startswith("\\"):
                options[-1].append(",")
            else:
                options.append([])
        options[-1].append(part[end:])
    return options


def _dice(written: str) -> tuple[int, int]:
    """Return how many dice of how many sides `2d6`, `d6` or `6` are; (0, 0) for anything else."""
    found = re.fullmatch(r"\s*(?:(\d{0,3})d)?(\d{1,4})\s*", written, re.IGNORECASE | re.ASCII)
    return (int(found[1] or 1), int(found[2])) if found else (0, 0)
