"""Turns what the model said into posts and hands them to the outbox. Never talks to a platform itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from homunculus.errors import Refused
from homunculus.interfaces import Outbox, Turn
from homunculus.model import Reply
from homunculus.pipelines.split import split

_PREFIX_MARKS = 8  # the bold marks, colon and space that a platform puts around a name, two to spare


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


def replies(turn: Turn, text: str) -> tuple[Reply, ...]:
    """Cut a text into the replies of a turn: the first quotes the last message, each id is derived from the turn."""
    card = turn.agent.character
    # A platform escapes what would be formatting in a name, so a mark may take two characters.
    name = sum(1 if char.isalnum() or char.isspace() else 2 for char in card.name) + _PREFIX_MARKS
    room = turn.limit - (name if turn.persona == "prefix" else 0)
    return tuple(
        Reply(
            id=f"{turn.id}.{ordinal}",
            agent_id=turn.agent.id,
            author=card.name,
            text=part,
            quotes=turn.messages[-1].id if ordinal == 0 else None,
            avatar=card.avatar,
            persona=turn.persona,
        )
        for ordinal, part in enumerate(split(text, max(room, 1)))
    )
