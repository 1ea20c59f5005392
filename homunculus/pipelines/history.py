"""Reads what was said before, from the program's own store. Never asks a platform, never crosses a conversation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.interfaces import History, Turn


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Fill `turn.history` with the lines before the turn's own messages."""

    history: History
    name: ClassVar[str] = "history"

    async def run(self, turn: Turn) -> None:
        first = turn.messages[0]
        turn.history = await self.history.recent(
            first.address.conversation, turn.agent.id, turn.agent.spec.history_size, before=first
        )
        turn.notes[self.name] = f"{len(turn.history)} lines"
