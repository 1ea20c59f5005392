"""A gateway session: the numbered events of one bot, kept so that a dropped connection can resume.

Owns sequence numbers, the replay buffer and what the intents let through. Never touches a socket's bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import time
from collections import deque
from typing import Any, Final, Protocol

from homunculus.testing.discord.world import Bot

Json = dict[str, Any]

GUILDS: Final = 1 << 0
GUILD_MEMBERS: Final = 1 << 1
GUILD_PRESENCES: Final = 1 << 8
GUILD_MESSAGES: Final = 1 << 9
GUILD_REACTIONS: Final = 1 << 10
GUILD_TYPING: Final = 1 << 11
DIRECT_MESSAGES: Final = 1 << 12
DIRECT_REACTIONS: Final = 1 << 13
DIRECT_TYPING: Final = 1 << 14
MESSAGE_CONTENT: Final = 1 << 15
PRIVILEGED: Final = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT
# Bits 0 to 16, 20, 21, 24 and 25 exist.
KNOWN_INTENTS: Final = (1 << 17) - 1 | 1 << 20 | 1 << 21 | 1 << 24 | 1 << 25

REPLAY_LENGTH: Final = 20_000
HELD_SECONDS: Final = 0.25  # an event that nothing follows is late by so much


class Line(Protocol):
    """The open connection a session speaks through."""

    def send(self, text: str) -> None: ...


class Session:
    """One identified session of a bot; it outlives its connection until it expires or is invalidated."""

    def __init__(self, bot: Bot, intents: int, shard: tuple[int, int]) -> None:
        self.id = secrets.token_hex(16)
        self.bot = bot
        self.intents = intents
        self.shard = shard
        self.line: Line | None = None
        self.detached_at: float | None = None
        self._numbers = itertools.count(1)
        self.last = 0
        self.doubling = self.swapping = 0  # of how many events of messages and commands to come
        self._held: tuple[str, Json] | None = None
        self._replay: deque[tuple[int, str]] = deque(maxlen=REPLAY_LENGTH)

    def hears(self, intent: int, guild_id: int | None) -> bool:
        number, count = self.shard
        mine = number == ((guild_id >> 22) % count if guild_id else 0)
        return mine and (not intent or bool(self.intents & intent))

    def reads_content(self) -> bool:
        return bool(self.intents & MESSAGE_CONTENT)

    def push(self, event: str, payload: Json) -> None:
        """Number an event, keep it for a resume, and send it where somebody listens: late or twice where a test asked for it."""
        said = event.startswith(("MESSAGE_", "INTERACTION_"))
        if said and self.swapping and self._held is None:
            self.swapping -= 1
            self._held = (event, payload)
            asyncio.get_running_loop().call_later(HELD_SECONDS, self._release)
            return
        self._number(event, payload)
        if said and self.doubling:
            self.doubling -= 1
            self._number(event, payload)
        self._release()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._number(*held)

    def _number(self, event: str, payload: Json) -> None:
        self.last = next(self._numbers)
        text = json.dumps({"op": 0, "t": event, "s": self.last, "d": payload})
        self._replay.append((self.last, text))
        if self.line is not None:
            self.line.send(text)

    def can_replay_from(self, seq: int) -> bool:
        return not self._replay or self._replay[0][0] <= seq + 1

    def missed_since(self, seq: int) -> list[str]:
        return [text for number, text in self._replay if number > seq]

    def attach(self, line: Line) -> None:
        self.line, self.detached_at = line, None

    def detach(self, line: Line) -> None:
        if self.line is line:
            self.line, self.detached_at = None, time.monotonic()

    def expired(self, window: float) -> bool:
        return self.detached_at is not None and time.monotonic() - self.detached_at > window
