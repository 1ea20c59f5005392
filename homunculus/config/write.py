"""Writes plain data as YAML: block style, in the ordinary form that the fast reader takes. Never edits a text that is there.

Text of several lines becomes a literal block where that says the same, else one line in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from homunculus.config.scalars import plain_value
from homunculus.config.source import MAX_BYTES, MAX_DEPTH
from homunculus.errors import ConfigError, Where

_PLAIN_KEY = re.compile(r"[A-Za-z_][\w-]{0,60}\Z", re.ASCII)
_PLAIN_TEXT = re.compile(r"[^\W\d_](?:[\w'(),./%!?;-]| (?=[^\s#])){0,100}\Z")
_LITERAL = re.compile(r"(?=[^ \n])(?:[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]|\n)+\Z")
_BLANKS = re.compile(r"^ +$|\n\n\Z", re.MULTILINE)  # lines a literal block would lose
_ESCAPED = re.compile(r"[\"\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_DEEPEST_INDENT = 32  # columns: past it everything stands in one line, which costs no columns


def dump(data: dict[str, Any]) -> str:
    """Write a mapping. Raise ConfigError when it could not be read again: too large, or nested too deep."""
    text = "".join(f"{line}\n" for line in _mapping(data, 0, 1))
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(Where("the new card"), "more than 4 MiB of YAML", "take out what is not about the character")
    return text


def _mapping(data: dict[str, Any], indent: int, depth: int) -> Iterator[str]:
    for key, value in data.items():
        yield from _entry(f"{word(key)}:", value, indent, depth)


def _entry(head: str, value: Any, indent: int, depth: int) -> Iterator[str]:
    """Write one entry of a mapping after its key."""
    pad = " " * indent
    if isinstance(value, dict) and value and indent < _DEEPEST_INDENT:
        _check(depth + 1)
        yield pad + head
        yield from _mapping(value, indent + 2, depth + 1)
    elif isinstance(value, list) and value and indent < _DEEPEST_INDENT:
        _check(depth + 1)
        yield pad + head
        for item in value:
            yield from _item(item, indent + 2, depth + 1)
    else:
        yield from _last(f"{pad}{head} ", value, indent + 2, depth)


def _item(value: Any, indent: int, depth: int) -> Iterator[str]:
    """Write one item of a list; the first key of a mapping stands beside the dash."""
    if isinstance(value, dict) and value and indent < _DEEPEST_INDENT:
        _check(depth + 1)
        lines = _mapping(value, indent + 2, depth + 1)
        yield f"{' ' * indent}- {next(lines)[indent + 2 :]}"
        yield from lines
    else:
        yield from _last(f"{' ' * indent}- ", value, indent + 2, depth)


def _last(head: str, value: Any, indent: int, depth: int) -> Iterator[str]:
    """Write a value that begins on the line of its key or dash."""
    if isinstance(value, str) and "\n" in value and _LITERAL.match(value) and not _BLANKS.search(value):
        yield head + ("|" if value.endswith("\n") else "|-")
        yield from (" " * indent + line if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield head + _inline(value, depth)


def word(text: str) -> str:
    """Write a text that may stand anywhere on a line, also between braces and as a key."""
    return text if _PLAIN_KEY.match(text) and plain_value(text) == text else _quoted(text)


def line(text: str) -> str:
    """Write a text that takes the rest of its line."""
    return text if _PLAIN_TEXT.match(text) and plain_value(text) == text else _quoted(text)


def _inline(value: Any, depth: int, *, nested: bool = False) -> str:
    """Write a value on one line."""
    match value:
        case str():
            return _quoted(value) if nested else line(value)
        case dict():
            _check(depth + 1)
            entries = (f"{_quoted(key)}: {_inline(item, depth + 1, nested=True)}" for key, item in value.items())
            return f"{{{', '.join(entries)}}}"
        case list():
            _check(depth + 1)
            return f"[{', '.join(_inline(item, depth + 1, nested=True) for item in value)}]"
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case _:
            return repr(value)


def _check(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ConfigError(Where("the new card"), f"nested more than {MAX_DEPTH} levels deep", "flatten it")


def _quoted(text: str) -> str:
    return f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _SHORT.get(character) or f"\\u{ord(character):04x}"
