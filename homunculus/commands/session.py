"""`session …`: the game master says when an evening at the table begins and ends, and when that is in the game's world."""

from __future__ import annotations

from homunculus.commands.arguments import Rest
from homunculus.commands.registry import Arguments, Command
from homunculus.interfaces import Desk, Order


async def start(order: Order, arguments: Arguments, desk: Desk) -> str:
    """Begin the next session of the NPC that answers here."""
    async with desk.tended(order) as memory:
        session = await memory.begin_session(order.message.time, arguments["date"])
    return (
        f"Session {session.number} has begun{_on(session.date)}. {_name(order)} keeps what it learns under that number."
    )


async def end(order: Order, arguments: Arguments, desk: Desk) -> str:
    """End the session that runs."""
    async with desk.tended(order) as memory:
        session = await memory.end_session(order.message.time, arguments["date"])
    return f"Session {session.number} is over{_on(session.until)}. !npc recap tells what {_name(order)} learned in it."


def _on(date: str) -> str:
    return f" on {date}" if date else ""


def _name(order: Order) -> str:
    return order.agent.character.name if order.agent is not None else "The NPC"


def _date(about: str) -> tuple[Rest]:
    return (Rest("date", about, required=False),)


COMMANDS = (
    Command(
        ("session", "start"),
        "begin a session: what the NPC learns belongs to it",
        start,
        _date("when it begins in the game's world, such as 12 Oct 1925"),
        control=True,
    ),
    Command(
        ("session", "end"),
        "end the session",
        end,
        _date("when it ends in the game's world, such as 13 Oct 1925"),
        control=True,
    ),
)
