"""What a generated deployment says, apart from how a language writes it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Protocol

Key = tuple[str, tuple[tuple[str, str], ...], str]  # the text, the content of each card in use, the value from .env


@dataclass
class Text:
    """Agents, some with a card of their own, and perhaps a key from `.env`."""

    agents: list[str] = field(default_factory=list)
    cards: dict[str, str] = field(default_factory=dict)  # agent → card
    key: bool = False
    note: str = ""


class Grammar(Protocol):
    """One language for deployment files. It writes; it never reads."""

    def write(self, said: Text) -> str:
        """Write a valid text."""

    def torn(self, said: Text, chance: random.Random) -> tuple[Text, str]:
        """Write the beginning of a text that is still valid, and what it says."""

    def junk(self, said: Text) -> list[str]:
        """Write texts that are not valid."""

    def card(self, content: str) -> str:
        """Write a card."""

    def card_name(self, card: str) -> str:
        """Name the file of a card."""
