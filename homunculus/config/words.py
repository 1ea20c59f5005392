"""Words that several parts of an error message share. Owns how a value of the file may be shown; never decides what is wrong."""

from __future__ import annotations

import difflib
import functools
import json
import math
import re
from collections.abc import Iterable, Sequence

Path = tuple[str | int, ...]  # keys and indexes that lead to a value: ("bindings", 2, "adapter")

_PLAIN_KEY = re.compile(r"[\w-]+\Z")
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_SHOWN = 60  # longer values are cut: a message is one line


def masked(text: str) -> str:
    """Cut what looks like a token out of text: a long run that mixes letters and digits, or is too long for a word."""

    def cut(match: re.Match[str]) -> str:
        run = match.group()
        mixed = not run.isdigit() and not run.isalpha()
        return run[:3] + "…" if mixed or (len(run) > 24 and not run.isdigit()) else run

    return _RUN.sub(cut, text)


def shown(value: object) -> str:
    """Quote a value of the file for a message: on one line, cut when long, without anything that looks like a token."""
    if not isinstance(value, str):
        return json.dumps(value) if isinstance(value, bool | int | float) or value is None else kind(value)
    text = masked(value)
    return json.dumps(text if len(text) <= _SHOWN else text[:_SHOWN] + "…", ensure_ascii=False)


def kind(value: object) -> str:
    """Name the kind of a value without showing it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a number with a point" if math.isfinite(value) else "no finite number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a mapping"


def render(path: Path) -> str:
    """Write a path as people do: `bindings[2].adapter`; keys that are no plain words are quoted in brackets."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN_KEY.match(part):
            parts.append(f".{part}" if parts else part)
        else:
            parts.append(f"[{json.dumps(part, ensure_ascii=False)}]")
    return "".join(parts)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant, or None. Case is ignored."""
    return _nearest(word.casefold()[:80], tuple(known))


@functools.lru_cache(maxsize=256)  # one renamed agent may be missed by ten thousand channels
def _nearest(word: str, known: tuple[str, ...]) -> str | None:
    folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word, folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Word the fix for a misspelt name: the nearest known one, else `otherwise`."""
    near = nearest(word, known)
    return f"did you mean {shown(near)}?" if near is not None else otherwise


def bare(word: str) -> str:
    """Write a name as it would stand in the file: without quotes where it needs none."""
    return masked(word) if _PLAIN_KEY.match(word) else shown(word)


def listed(words: Sequence[str], last: str = "or") -> str:
    """Join words as a sentence does: `a, b or c`."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)
