"""How several orders become one: reciprocal ranks, with time as a weak voice. Pure."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)

_FLAT = 5  # small, so that the first of an order counts for much more than the fifth; measured with tests/data/memory
LEXICAL, SEMANTIC, RECENT, IN_WORLD = 0.5, 2.0, 0.1, 0.1

_NAMES = "january february march april may june july august september october november december"
_MONTHS = {
    short: place for place, name in enumerate(re.findall(r"\w+", _NAMES), 1) for short in (name, name[:3], name[:4])
}
_PART = re.compile(r"\d+|[a-z]+")


def fused(orders: Iterable[tuple[float, Mapping[K, int]]]) -> dict[K, float]:
    """Return a score for whatever has a rank in one of the orders: the sum of weight / (5 + rank), best first."""
    scores: dict[K, float] = {}
    for weight, ranks in orders:
        for item, rank in ranks.items():
            scores[item] = scores.get(item, 0.0) + weight / (_FLAT + rank)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))


def in_order(items: Sequence[K]) -> dict[K, int]:
    """Return each item's rank, the first is 1."""
    return {item: rank for rank, item in enumerate(items, 1)}


def by_time(times: Mapping[K, float]) -> dict[K, int]:
    """Rank by when it was learned, the newest first, equals alike; what has no time is left out."""
    return _latest({item: time for item, time in times.items() if time})


def by_world(dates: Mapping[K, tuple[str, str]]) -> dict[K, int]:
    """Rank by (date, session) of the game's world, the latest first, equals alike; what has neither is left out."""
    return _latest({item: moment for item, (date, session) in dates.items() if (moment := world_moment(date, session))})


def _latest(moments: Mapping[K, Any]) -> dict[K, int]:
    places = in_order(sorted(set(moments.values()), reverse=True))
    return {item: places[moment] for item, moment in moments.items()}


def world_moment(date: str, session: str) -> tuple[int, int, int, int] | None:
    """Return year, month, day and session of a written date (`12 Oct 1925`, `1925-10-12`, `1925年10月12日`), or None."""
    if not date and not session:
        return None
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
