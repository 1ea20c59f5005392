"""How fast an account may speak. Owns the count of what it said; never sleeps: whoever is too fast is told when to come back.

Source: Twitch's "Chat: Rate limits": 20 messages in 30 seconds, 100 where the account moderates or broadcasts. Beyond that
an account is not heard for half an hour.
"""

from __future__ import annotations

from collections import deque

from homunculus.errors import NotReady

WINDOW = 30.0  # seconds
MOST, MOST_MODERATING = 20, 100


class Pace:
    """Count the messages of one account over all of its channels."""

    def __init__(self) -> None:
        self._said: deque[float] = deque()
        self._moderated: set[str] = set()

    def moderates(self, place: str, badges: frozenset[str]) -> None:
        """Learn from the badges beside our own message whether we moderate a channel."""
        if badges & {"broadcaster", "moderator", "lead_moderator", "lead-moderator"}:
            self._moderated.add(place)
        else:
            self._moderated.discard(place)

    def count(self, place: str, now: float) -> None:
        """Count a message that is about to be said; raise NotReady when it is too many."""
        while self._said and now - self._said[0] >= WINDOW:
            self._said.popleft()
        most = MOST_MODERATING if place in self._moderated else MOST
        if len(self._said) >= most:
            wait = WINDOW - (now - self._said[-most])
            raise NotReady("the account would say more than Twitch allows", after=wait)
        self._said.append(now)
