"""Turns what the model said into posts and hands them to the outbox. Never talks to a platform itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.errors import Refused
from homunculus.interfaces import Outbox, Turn
from homunculus.pipelines.replies import replies


@dataclass(frozen=True, slots=True)
class DeliverReply:
    """Fill `turn.replies` and `turn.sent`. The turn is durably ended before anything is sent."""

    outbox: Outbox
    name: ClassVar[str] = "delivery"

    async def run(self, turn: Turn) -> None:
        if turn.completion is None:
            raise Refused("there is nothing to deliver: the model stage must run before this one")
        turn.replies = replies(turn, turn.completion.text)
        turn.sent = await self.outbox.post(turn, turn.replies)
        turn.notes[self.name] = f"{len(turn.sent)} posts"
