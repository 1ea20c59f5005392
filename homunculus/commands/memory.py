"""What the NPC of this conversation remembers: looked up by anybody, tended by the game master.

Owns who is shown what. Players are shown what was said at the table, and in a direct message what was said in it; the rest
(MEMORY.md, what the game master told) is secret, and what was said in another direct message is not there at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from homunculus.commands.arguments import Misuse, Rest, Word, quoted
from homunculus.commands.chronicle import withheld
from homunculus.commands.registry import Arguments, Command
from homunculus.interfaces import Desk, Namespace, Order, Response
from homunculus.model import Fact, Note

_FACTS = 8  # that are shown
_ASKED = 1_000  # that are looked at: what players are not shown must not take the place of what they are
_NOTHING = "Nothing about that is remembered here."
_REST = (
    "What players are not shown: ask in a direct message, with / where that answers you alone, or homunculus memory."
)


async def search(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Show what fits a query: to players what they may know, to the game master alone everything this place may know."""
    conversation = order.message.address.conversation
    found = await desk.memory(order).search(arguments["query"], conversation, _ASKED)
    text = _listed(fact for fact in found if _told(order, fact))
    if not order.authority:
        return text
    # Always, and in the same words: whether there is more must not be told by how the answer looks.
    return Response(f"{text}\n{_REST}", secret=_listed(found))


async def remember(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Add a fact that the game master tells. What is told in a direct message is remembered there alone."""
    message = order.message
    address = message.address
    private = address.conversation if address.direct else ""
    source = f"{message.author.name} @ {address.label or address.conversation}"
    note = Note(arguments["text"], source, private=private, gm=True, said=message.time)
    async with desk.tended(order) as memory:
        (fact,) = await memory.add(note)
    return _done(order, "Remembered", fact)


async def forget(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Take a fact out; it can be brought back."""
    async with desk.tended(order) as memory:
        fact = await memory.forget((await _meant(order, arguments, memory)).id)
    return _done(order, "Forgotten", fact, hint=f"!npc restore {fact.id} brings it back.")


async def restore(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Bring a forgotten fact back. Whole archives are the command line's."""
    async with desk.tended(order) as memory:
        # Of two of one id the last one comes back.
        fact = _found(order, arguments, reversed(await memory.forgotten()), "was forgotten here")
        await memory.restore(fact.id)
    return _done(order, "Remembered again", fact)


async def pin(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Have a fact in mind always."""
    async with desk.tended(order) as memory:
        return _done(order, "Pinned", await memory.pin((await _meant(order, arguments, memory)).id))


async def unpin(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Have a fact in mind only where it fits, as any other."""
    async with desk.tended(order) as memory:
        return _done(order, "Unpinned", await memory.pin((await _meant(order, arguments, memory)).id, pinned=False))


async def edit(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Put other words in a fact's place; who may be shown it stays as it was."""
    async with desk.tended(order) as memory:
        before = await _meant(order, arguments, memory)
        return _done(order, "Edited", await memory.amend(before.id, arguments["text"]), before=before.text)


async def _meant(order: Order, arguments: Arguments, memory: Namespace) -> Fact:
    """Return the fact that an order is about. Raise Misuse when this place knows none of that id, or it is a person's."""
    fact = _found(order, arguments, await memory.facts(), "is remembered here")
    if fact.curated:
        raise Misuse(f"{fact.id} stands in MEMORY.md, which only a person changes: edit it there.")
    return fact


def _found(order: Order, arguments: Arguments, facts: Iterable[Fact], what: str) -> Fact:
    """Return the first fact of an id, if its direct message, should it have one, is this conversation. Raise Misuse."""
    ident = arguments["fact"].casefold()
    fact = next((fact for fact in facts if fact.id == ident), None)
    if fact is None or fact.private not in ("", order.message.address.conversation):
        raise Misuse(f"No fact {quoted(ident)} {what}; !npc memory shows the ids.")
    return fact


def _told(order: Order, fact: Fact) -> bool:
    """Tell whether whoever is in the order's conversation may be shown a fact."""
    return fact.open or (not fact.curated and fact.private == order.message.address.conversation)


def _done(order: Order, done: str, fact: Fact, *, before: str = "", hint: str = "") -> Response:
    """Say what was done to a fact; where players are not shown it, its words to the game master alone."""
    was = f"Before: {before}" if before else ""
    whole = "\n".join(filter(None, (f"{done} {_shown(fact)}", was, hint)))
    if _told(order, fact):
        return Response(whole, private=True)
    return Response("\n".join(filter(None, (f"{done} {fact.id}.", hint))), private=True, secret=whole)


def _listed(facts: Iterable[Fact]) -> str:
    return "\n".join(_shown(fact) for fact, _ in zip(facts, range(_FACTS), strict=False)) or _NOTHING


def _shown(fact: Fact) -> str:
    why = withheld(fact)
    return f"{fact.id}: {fact.text}" + (f" (secret: {why})" if why else "")


_FACT = Word("fact", "its id, as !npc memory shows it")

COMMANDS = (
    Command(("npc", "memory"), "what the NPC remembers about something", search, (Rest("query", "what to look for"),)),
    Command(
        ("npc", "remember"), "add a fact to what the NPC remembers", remember, (Rest("text", "the fact"),), control=True
    ),
    Command(("npc", "forget"), "take a fact out of what the NPC remembers", forget, (_FACT,), control=True),
    Command(("npc", "restore"), "bring back a forgotten fact", restore, (_FACT,), control=True),
    Command(("npc", "pin"), "have the NPC think of a fact always", pin, (_FACT,), control=True),
    Command(("npc", "unpin"), "have the NPC think of a fact only where it fits", unpin, (_FACT,), control=True),
    Command(
        ("npc", "edit"),
        "put other words in a fact's place",
        edit,
        (_FACT, Rest("text", "what it says from now on")),
        control=True,
    ),
)
