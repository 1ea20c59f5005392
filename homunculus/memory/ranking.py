"""How what was found by meaning, by words and in time becomes one order. Pure."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

K = TypeVar("K", bound=Hashable)

_FLAT = 5  # small, so that the first of an order counts for much more than the fifth

# Of likeness (cosine) and of weight by words (bm25); chosen on tests/data/memory, where each has wide room to either side.
GATE = 0.14  # where no fact is as like a question as this, none has to do with it by meaning
LEAST = 0.10  # what is less like it has nothing to do with it,
SHARE = 0.5  # nor what is so much less like it than the best
WORDS = 0.006  # what a point of bm25 adds to a likeness: rare words in common tell two facts of one meaning apart
UNKNOWN = 0.2  # the likeness of a fact that has words in common and no vector yet
RECENT, IN_WORLD = 0.03, 0.03  # weights of weak voices, over 5 + rank


def meant(likeness: Mapping[K, float]) -> dict[K, float]:
    """Return what has to do with a question by meaning, of facts in the order of their likeness to it."""
    best = next(iter(likeness.values()), 0.0)
    floor = max(LEAST, SHARE * best)
    return {item: value for item, value in likeness.items() if value >= floor} if best >= GATE else {}


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
