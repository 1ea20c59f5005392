"""Reads YAML: ordinary texts fast, all others with the reference reader. The only importer of yaml_rs.

The fast reader works beside the interpreter and builds no positions: those are looked for when somebody asks. It is given
ordinary texts alone, and what it says of a text that it does not like is never shown: the reference reader words that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from homunculus.config import source
from homunculus.config.ordinary import is_ordinary
from homunculus.config.places import Places
from homunculus.config.source import Source

_loads: Callable[..., Any] | None
try:
    from yaml_rs import loads as _loads
except ImportError:  # there is no wheel for every machine: everything is read by the reference reader then
    _loads = None

_BLOCK_SCALAR = re.compile(r"[|>]-? *(?:#[^\n]*)?\n")


def read(content: bytes, file: str) -> Source:
    """Parse one YAML document. Raise ConfigErrors when it cannot be read at all or passes a limit."""
    found = read_fast(content, file)
    return source.read(content, file) if found is None else found


def read_fast(content: bytes, file: str) -> Source | None:
    """Parse an ordinary document that is a mapping; None when it is anything else, or wrong."""
    if _loads is None or len(content) > source.MAX_BYTES:
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    ordinary = _ordinary(text)
    if ordinary is None:
        return None
    try:
        data = _loads(ordinary, parse_datetime=False)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    return Source(file, text, data, Places(ordinary, data, lambda: source.read(content, file)))


def _ordinary(text: str) -> str | None:
    """Return the text with \\n alone and at its end, if that is ordinary and says the same."""
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if not text.endswith("\n"):
        text += "\n"
        if _BLOCK_SCALAR.search(text):
            return None  # the last newline would become a part of the value
    return text if is_ordinary(text) else None
