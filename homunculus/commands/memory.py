"""What the NPC of this conversation remembers: looked up by anybody, changed by the game master."""

from __future__ import annotations

from collections.abc import Sequence

from homunculus.commands.arguments import Rest
from homunculus.commands.registry import Arguments, Command
from homunculus.interfaces import Desk, Order
from homunculus.model import Fact, Note

_FACTS = 8


async def search(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Show what fits a query, as it may be known in this conversation."""
    found = await desk.memory(order).search(arguments["query"], order.message.address.conversation, _FACTS)
    return "\n".join(map(_shown, found)) or "Nothing about that is remembered here."


async def remember(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Add a fact. What is told in a direct message is remembered there alone."""
    message = order.message
    address = message.address
    private = address.conversation if address.direct else ""
    source = f"{message.author.name} @ {address.label or address.conversation}"
    kept: Sequence[Fact] = await desk.memory(order).add(Note(arguments["text"], source, private=private))
    return "\n".join(f"Remembered {_shown(fact)}" for fact in kept)


async def forget(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Take a fact out; it can be brought back."""
    fact = await desk.memory(order).forget(arguments["fact"].casefold())
    return f"Forgotten {_shown(fact)}\nhomunculus memory restore brings it back."


def _shown(fact: Fact) -> str:
    return f"{fact.id}: {fact.text}"


COMMANDS = (
    Command(("npc", "memory"), "what the NPC remembers about something", search, (Rest("query", "what to look for"),)),
    Command(
        ("npc", "remember"), "add a fact to what the NPC remembers", remember, (Rest("text", "the fact"),), control=True
    ),
    Command(
        ("npc", "forget"), "take a fact out of what the NPC remembers", forget, (Rest("fact", "its id"),), control=True
    ),
)
