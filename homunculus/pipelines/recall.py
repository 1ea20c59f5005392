"""Brings to mind what fits the conversation. Knows no backend; a memory that fails or is slow never keeps an NPC silent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import ClassVar

from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Turn

SECONDS = 8.0  # the last defence: every backend keeps its own, shorter limits
_LEAST = 40  # characters that say enough by themselves; after less, what was said before is asked about too
_BEFORE = 2  # lines
_MOST = 1_000  # characters of a question


@dataclass(frozen=True, slots=True)
class Recall:
    """Fill `turn.memories` from the agent's own namespace."""

    seconds: float = SECONDS
    name: ClassVar[str] = "recall"

    async def run(self, turn: Turn) -> None:
        if turn.memory is None:
            turn.notes[self.name] = "it has no memory"
            return
        try:
            async with asyncio.timeout(self.seconds):
                turn.memories = await turn.memory.recall(question(turn), turn.address.conversation)
        except TimeoutError:
            turn.notes[self.name] = f"without memory: it took longer than {self.seconds:g} s"
        except (NotReady, Refused) as error:
            turn.notes[self.name] = f"without memory: {error.reason}"
        except Exception as error:  # noqa: BLE001 - a backend's bug must not keep the NPC from answering
            logger.bind(agent=turn.agent.id).opt(exception=error).error("Recalling failed unexpectedly")
            turn.notes[self.name] = f"without memory: it failed unexpectedly: {type(error).__name__}"
        else:
            ids = ", ".join(fact.id for fact in turn.memories)
            turn.notes[self.name] = f"{len(turn.memories)} facts: {ids}" if ids else "no facts"


def question(turn: Turn) -> str:
    """Return what to look for: the messages of the turn, after what was said before them when they are short."""
    asked = "\n".join(message.text for message in turn.messages)
    if len(asked) < _LEAST:
        asked = "\n".join([*(line.text for line in turn.history[-_BEFORE:]), asked])
    return asked[-_MOST:].strip()
