"""What an agent says, as posts: cut to what the platform takes, each under an id that is derived from its turn. Pure."""

from __future__ import annotations

from homunculus.interfaces import Turn
from homunculus.model import Agent, Persona, Reply
from homunculus.pipelines.split import split

_PREFIX_MARKS = 8  # the bold marks, colon and space that a platform puts around a name, two to spare


def replies(turn: Turn, text: str) -> tuple[Reply, ...]:
    """Cut a text into the replies of a turn: the first quotes the last message."""
    return posts(turn.id, turn.agent, turn.persona, turn.limit, text, quotes=turn.messages[-1].id)


def posts(
    ident: str, agent: Agent, persona: Persona, limit: int, text: str, quotes: str | None = None
) -> tuple[Reply, ...]:
    """Cut what an agent says into posts of at most `limit` characters, its name included where that stands before the text.

    Each id is derived from `ident`, the turn's or another; the first post quotes `quotes`.
    """
    card = agent.character
    # A platform escapes what would be formatting in a name, so a mark may take two characters.
    name = sum(1 if char.isalnum() or char.isspace() else 2 for char in card.name) + _PREFIX_MARKS
    # A platform that may not show a name of its own there puts it before the text after all.
    room = limit - (name if persona in ("prefix", "webhook") else 0)
    return tuple(
        Reply(
            id=f"{ident}.{ordinal}",
            agent_id=agent.id,
            author=card.name,
            text=part,
            quotes=quotes if ordinal == 0 else None,
            avatar=card.avatar,
            persona=persona,
        )
        for ordinal, part in enumerate(split(text, max(room, 1)))
    )
