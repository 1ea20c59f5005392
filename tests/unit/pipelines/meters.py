"""A ledger in memory, for tests of what is counted."""

from __future__ import annotations

from homunculus.model import Usage
from homunculus.pipelines.budget import Meter

NOON = 1_795_694_400.0  # 2026-11-26 12:00 UTC


class Ledger:
    """Keeps every call as it came."""

    def __init__(self, *kept: Usage) -> None:
        self.kept = list(kept)

    def spend(self, used: Usage) -> None:
        self.kept.append(used)

    async def usage(self, day: str) -> tuple[Usage, ...]:
        return tuple(used for used in self.kept if used.day == day)


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def meter(ledger: Ledger | None = None, clock: Clock | None = None) -> Meter:
    return Meter(ledger or Ledger(), clock or Clock())
