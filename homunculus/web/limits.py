"""How many requests one address may make. Owns the buckets; never waits, only says how long to."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

RATE = 200.0
_ADDRESSES = 1024


class TokenBuckets:
    """One bucket an address: `rate` requests a second, and `burst` (the rate, if not given) at once after a pause."""

    def __init__(
        self, rate: float = RATE, burst: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._burst, self._clock = rate, burst or rate, clock
        # All the mutable state: what is left in each bucket, and when that was true.
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> float:
        """Take a token; return 0, or the seconds until there is one again."""
        now = self._clock()
        left, then = self._buckets.pop(address, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._rate)
        granted = left >= 1
        self._buckets[address] = (left - 1 if granted else left, now)
        while len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        return 0.0 if granted else (1 - left) / self._rate
