"""Rate-limit buckets with Discord's headers: a fixed window that opens with its first request.

Owns the counting. Never sleeps and never answers a request itself.
Source: Discord's "Rate Limits".
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

Rate = tuple[int, float]
"""How many requests a window of how many seconds holds."""

UNLIMITED: Rate = (10_000, 1.0)


@dataclass(slots=True)
class _Window:
    opened: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the bucket says of one request: its headers, and for how long to stay away where it is full."""

    headers: dict[str, str]
    retry_after: float | None = None


class Buckets:
    """Count requests by (bot, route, major parameter)."""

    def __init__(self) -> None:
        self._windows: dict[tuple[int, str, str], _Window] = {}

    def take(self, bot: int, route: str, major: str, rate: Rate) -> Verdict:
        limit, seconds = rate
        now = time.monotonic()
        window = self._windows.get((bot, route, major))
        if window is None or now - window.opened >= seconds:
            window = self._windows[bot, route, major] = _Window(now)
        window.used += 1
        reset_after = window.opened + seconds - now
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - window.used)),
            "X-RateLimit-Reset": f"{time.time() + reset_after:.3f}",
            "X-RateLimit-Reset-After": f"{reset_after:.3f}",
            "X-RateLimit-Bucket": hashlib.blake2s(route.encode(), digest_size=16).hexdigest(),
        }
        return Verdict(headers, reset_after if window.used > limit else None)


def limited(retry_after: float, *, scope: str = "user") -> tuple[dict[str, object], dict[str, str]]:
    """Word a 429: its JSON body and the headers that belong to it alone."""
    wait = math.ceil(retry_after * 1000) / 1000
    body: dict[str, object] = {
        "message": "You are being rate limited.",
        "retry_after": wait,
        "global": scope == "global",
    }
    headers = {"Retry-After": str(math.ceil(wait)), "X-RateLimit-Scope": scope, "Via": "1.1 google"}
    return body, headers | ({"X-RateLimit-Global": "true"} if scope == "global" else {})
