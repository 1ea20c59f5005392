"""The decorators of a V3 lorebook entry: `@@name value` lines at its start, `@@@` fallbacks. Owns which of them work.

Source: chara_card_v3, "Decorators". One that is unknown or whose value is wrong is ignored; then its first fallback that
is known counts. Of several with one name the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

from homunculus.model import Placement, Role

_LINE = re.compile(r"(@@@?)([A-Za-z_]+)(?:[ \t]+(.*))?\Z")
_WHOLE = re.compile(r"-?[0-9]{1,9}\Z")
_POSITIONS: dict[str, Placement] = {
    "before_desc": "before_char",
    "after_desc": "after_char",
    **{place: place for place in get_args(Placement)},
}


@dataclass(frozen=True, slots=True)
class Decorators:
    """What the decorators of one entry ask for; None and empty are not asked."""

    activate: bool = False
    dont_activate: bool = False
    depth: int | None = None
    role: Role | None = None
    scan_depth: int | None = None
    position: Placement | None = None
    additional_keys: tuple[str, ...] = ()
    exclude_keys: tuple[str, ...] = ()
    activate_only_after: int | None = None
    activate_only_every: int | None = None


def _nothing(value: str) -> bool | None:
    return None if value else True


def _whole(value: str) -> int | None:
    return int(value) if _WHOLE.match(value) else None


def _from_0(value: str) -> int | None:
    number = _whole(value)
    return max(0, number) if number is not None else None


def _from_1(value: str) -> int | None:
    number = _whole(value)
    return number if number is not None and number > 0 else None


def _listed(value: str) -> tuple[str, ...] | None:
    return tuple(key for part in value.split(",") if (key := part.strip())) or None


_KNOWN: dict[str, Callable[[str], Any]] = {
    "activate": _nothing,
    "dont_activate": _nothing,
    "depth": _from_0,
    "role": lambda value: value if value in get_args(Role) else None,
    "scan_depth": _from_0,
    "position": _POSITIONS.get,
    "additional_keys": _listed,
    "exclude_keys": _listed,
    "activate_only_after": _from_0,
    "activate_only_every": _from_1,
}


@lru_cache(maxsize=4096)  # an entry is looked at for every turn and changes with a save
def split_decorators(content: str) -> tuple[Decorators, str]:
    """Return what the decorators at the start ask for, and the text after them, without the empty lines between."""
    lines = content.lstrip().splitlines(keepends=True)
    if not lines or not lines[0].startswith("@@"):
        return Decorators(), content
    asked: dict[str, Any] = {}
    waiting = False  # for a fallback of one that did not count
    at = 0
    for at, line in enumerate([*lines, ""]):
        found = _LINE.match(line.strip())
        if found is None and (line.strip() or at == len(lines)):
            break
        if found is not None and (found[1] == "@@" or waiting):
            waiting = not _counts(asked, found[2], (found[3] or "").strip())
    return Decorators(**asked), "".join(lines[at:]).strip("\r\n")


def _counts(asked: dict[str, Any], name: str, value: str) -> bool:
    """Note one decorator; tell whether it is one of ours with a value that fits."""
    read = _KNOWN.get(name)
    found = read(value) if read else None
    if found is None:
        return False
    asked.setdefault(name, found)
    return True
