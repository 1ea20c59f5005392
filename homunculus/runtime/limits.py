"""How much an NPC says: the guard against bots that answer each other, and what one user may cause in a minute.

Owns counts, kept in memory and forgotten as soon as they cannot matter; never decides what is said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from loguru import logger

from homunculus.interfaces import Clock
from homunculus.model import Message

BOT_TURNS = 6  # answered to bots in one conversation since a human last spoke there
TURNS_A_MINUTE = 20  # answered turns that one user may cause in one conversation
_MINUTE = 60.0
_SWEEP = 4_096  # users counted before the stale ones are swept out


class Limits:
    """Say whether a message may still be answered, and count what was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bot_turns: dict[str, int] = {}  # by conversation
        self._turns: dict[tuple[str, str], deque[float]] = {}  # by conversation and user: when each turn was answered
        self._sweep_at = _SWEEP
        self._told: set[tuple[str, str]] = set()  # who has been logged since it was last let through

    def heard(self, message: Message) -> None:
        """Take notice of a message: a human ends the count of bot turns."""
        if self._bot_turns and not message.author.bot:
            self._bot_turns.pop(message.address.conversation, None)
            self._told.discard((message.address.conversation, ""))

    def objection(self, message: Message) -> str:
        """Return why a message must not be answered now, or ""."""
        conversation = message.address.conversation
        if message.author.bot and self._bot_turns.get(conversation, 0) >= BOT_TURNS:
            self._tell(message, (conversation, ""), "Bots talk to each other: silent until a human speaks")
            return f"{BOT_TURNS} turns were answered to bots since a human last spoke"
        user = (conversation, message.author.id)
        if self._recent(user) >= TURNS_A_MINUTE:
            self._tell(message, user, "A user causes too many turns: silent for a while")
            return f"this user has caused {TURNS_A_MINUTE} turns within a minute"
        self._told.discard(user)
        return ""

    def answered(self, messages: Iterable[Message]) -> None:
        """Count one answered turn for each user who caused it, and for bots if nobody else did."""
        messages = tuple(messages)
        conversation, now = messages[0].address.conversation, self._clock()
        for user in {message.author.id for message in messages}:
            self._turns.setdefault((conversation, user), deque(maxlen=TURNS_A_MINUTE)).append(now)
        if all(message.author.bot for message in messages):
            self._bot_turns[conversation] = self._bot_turns.get(conversation, 0) + 1
        if len(self._turns) > self._sweep_at:
            self._sweep(now)

    def _recent(self, user: tuple[str, str]) -> int:
        times = self._turns.get(user)
        while times and times[0] <= self._clock() - _MINUTE:
            times.popleft()
        return len(times) if times else 0

    def _sweep(self, now: float) -> None:
        stale = [user for user, times in self._turns.items() if not times or times[-1] <= now - _MINUTE]
        for user in stale:
            del self._turns[user]
            self._told.discard(user)
        self._sweep_at = max(_SWEEP, 2 * len(self._turns))

    def _tell(self, message: Message, whom: tuple[str, str], text: str) -> None:
        if whom not in self._told:
            self._told.add(whom)
            logger.bind(place=message.address.label, user=message.author.id).warning(text)
