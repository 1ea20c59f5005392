"""Telegram's limits of posts: so many a second for a bot, so many a minute for a bot in one group.

Owns the counting, in a window that slides. Never sleeps and never answers. Source: "Bots FAQ: my bot is hitting limits".
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Hashable

Rate = tuple[int, float]
"""How many posts in how many seconds."""


class Windows:
    """Count by key; a post beyond the limit is not counted."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, deque[float]] = {}

    def take(self, key: Hashable, rate: Rate | None) -> float | None:
        """Count one post; return how many seconds it is too early, None when there is room."""
        if rate is None:
            return None
        limit, seconds = rate
        seen, now = self._seen.setdefault(key, deque()), time.monotonic()
        while seen and now - seen[0] >= seconds:
            seen.popleft()
        if len(seen) >= limit:
            return seen[0] + seconds - now
        seen.append(now)
        return None
