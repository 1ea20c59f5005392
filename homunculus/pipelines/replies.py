"""What a turn says, as posts: cut to what the platform takes, each under an id that is derived from the turn. Pure."""

from __future__ import annotations

from homunculus.interfaces import Turn
from homunculus.model import Reply
from homunculus.pipelines.split import split

_PREFIX_MARKS = 8  # the bold marks, colon and space that a platform puts around a name, two to spare


def replies(turn: Turn, text: str) -> tuple[Reply, ...]:
    """Cut a text into the replies of a turn: the first quotes the last message, each id is derived from the turn."""
    card = turn.agent.character
    # A platform escapes what would be formatting in a name, so a mark may take two characters.
    name = sum(1 if char.isalnum() or char.isspace() else 2 for char in card.name) + _PREFIX_MARKS
    # A platform that may not show a name of its own there puts it before the text after all.
    room = turn.limit - (name if turn.persona in ("prefix", "webhook") else 0)
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
