"""How much Twitch bears: Helix points, and messages in a chat. Owns the counting; never sleeps and never answers.

Source: Twitch's "Twitch API Concepts: Twitch rate limits" and "Chat: Rate limits".
"""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass

Rate = tuple[int, float]
"""How many in how many seconds."""

POINTS: Rate = (800, 60.0)
MODERATED = 5  # a moderator may say so many times as much: 100 messages where others may say 20


@dataclass(slots=True)
class _Bucket:
    points: float
    filled: float


class Points:
    """A bucket of points for each account and application that fills up steadily."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, client_id: str, user_id: str) -> tuple[dict[str, str], bool]:
        """Spend one point; return the headers of the answer, and whether there was one left."""
        most, seconds = self._rate
        now = time.monotonic()
        bucket = self._buckets.setdefault((client_id, user_id), _Bucket(float(most), now))
        bucket.points = min(float(most), bucket.points + (now - bucket.filled) * most / seconds)
        bucket.filled = now
        enough = bucket.points >= 1
        bucket.points -= 1 if enough else 0
        full_in = (most - bucket.points) * seconds / most if enough else seconds / most
        headers = {
            "Ratelimit-Limit": str(most),
            "Ratelimit-Remaining": str(int(bucket.points)),
            "Ratelimit-Reset": str(math.ceil(time.time() + full_in)),
        }
        return headers, enough


class ChatRate:
    """A sliding window of messages for each account, wider where it moderates."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._sent: dict[str, deque[float]] = defaultdict(deque)

    def take(self, user_id: str, *, moderates: bool) -> bool:
        """Count one message; tell whether it may be said."""
        if self._rate is None:
            return True
        most, seconds = self._rate
        sent, now = self._sent[user_id], time.monotonic()
        while sent and now - sent[0] >= seconds:
            sent.popleft()
        if len(sent) >= most * (MODERATED if moderates else 1):
            return False
        sent.append(now)
        return True
