"""How several orders become one: reciprocal ranks, with time as a weak voice. Pure."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

_FLAT = 60  # the usual constant: the first ten of an order count for nearly the same
LEXICAL, SEMANTIC, RECENT, IN_WORLD = 1.0, 2.0, 0.15, 0.15

_NAMES = "january february march april may june july august september october november december"
_MONTHS = {
    short: place for place, name in enumerate(re.findall(r"\w+", _NAMES), 1) for short in (name, name[:3], name[:4])
}
_PART = re.compile(r"\d+|[a-z]+")


def fused(orders: Iterable[tuple[float, Sequence[K]]]) -> dict[K, float]:
    """Return a score for whatever stands in one of the orders: the sum of weight / (60 + rank), best first."""
    scores: dict[K, float] = {}
    for weight, order in orders:
        for rank, item in enumerate(order, 1):
            scores[item] = scores.get(item, 0.0) + weight / (_FLAT + rank)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def by_time(times: Mapping[K, float]) -> list[K]:
    """Order by when it was learned, the newest first; what has no time is left out."""
    return sorted((item for item, time in times.items() if time), key=lambda item: -times[item])


def by_world(dates: Mapping[K, tuple[str, str]]) -> list[K]:
    """Order by (date, session) of the game's world, the latest first; what has neither is left out."""
    known = {item: moment for item, (date, session) in dates.items() if (moment := world_moment(date, session))}
    return sorted(known, key=lambda item: known[item], reverse=True)


def world_moment(date: str, session: str) -> tuple[int, int, int, int] | None:
    """Return year, month, day and session of a written date (`12 Oct 1925`, `1925-10-12`, `1925年10月12日`), or None."""
    number = int(found.group()) if (found := re.search(r"\d{1,9}", session)) else 0
    parts = _PART.findall(date.casefold())
    numbers = [int(part) for part in parts if part.isdigit() and len(part) < 6]
    month = next((_MONTHS[part] for part in parts if part in _MONTHS), 0)
    year = next((n for n in numbers if n > 31), 0)
    rest = [n for n in numbers if n != year]
    if not month and rest:
        month = rest.pop(0)
    day = rest[0] if rest else 0
    return (year, month, day, number) if year or month or number else None
