"""What anybody may ask about themselves."""

from __future__ import annotations

from homunculus.commands.registry import Arguments, Command
from homunculus.interfaces import Desk, Order


async def whoami(order: Order, _: Arguments, __: Desk) -> str:
    """Say by which id the deployment file knows the author."""
    author = order.message.author
    may = "You may run control commands here." if order.authority else "You may not run control commands here."
    return f"You are {author.name}, id {author.id}, in {order.message.address.label}. {may}"


COMMANDS = (Command(("whoami",), "your id, and what you may do here", whoami),)
