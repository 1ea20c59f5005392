"""`npc recap`: what happened last session, for all to read, and with its secrets for the game master alone."""

from __future__ import annotations

import re
from typing import Final

from homunculus.commands import chronicle
from homunculus.commands.arguments import Choice, Misuse, Rest, listed, quoted
from homunculus.commands.registry import SIGN, Arguments, Command, unauthorized
from homunculus.interfaces import Desk, Namespace, Order, Response

_PLAYERS, _GAME_MASTER = "players", "gm"
_SHOWN: Final = 12  # numbers of sessions in a slip's answer
ELSEWHERE: Final = (
    f"This would tell the secrets to everybody here. Type {SIGN}npc recap gm in a direct message with the bot, or as a native "
    "command where the platform shows the answer to you alone; homunculus memory recap --gm prints it too."
)


async def recap(order: Order, arguments: Arguments, desk: Desk) -> str | Response:
    """Tell what was learned in the last session, or in another one."""
    number = _number(arguments["number"])
    if arguments["version"] != _GAME_MASTER:
        return await _told(desk.memory(order), number, None)
    if not order.authority:
        raise Misuse(unauthorized("npc recap gm", order))
    secret = await _told(desk.memory(order), number, order.message.address.conversation)
    return Response(ELSEWHERE, private=True, secret=secret)


async def _told(memory: Namespace, number: int | None, conversation: str | None) -> str:
    """Word a recap: the game master's, as it may be known in a conversation, or without one the players'."""
    sessions, facts = await memory.sessions(), await memory.facts()
    heard = chronicle.heard_by_all(facts)
    if conversation is not None:
        heard = chronicle.heard_by_game_master(facts, conversation)
    found = chronicle.recap(sessions, heard, number)
    if found is None:
        raise Misuse(_unknown(number, [session.number for session in sessions]))
    return chronicle.worded(found, secrets=conversation is not None)


def _number(typed: str) -> int | None:
    if typed and not re.fullmatch(r"\d{1,18}", typed, re.ASCII):
        raise Misuse(f"{quoted(typed)} is no session; its number is, such as {SIGN}npc recap 3")
    return int(typed) if typed else None


def _unknown(number: int | None, known: list[int]) -> str:
    there = f"there is {listed([str(one) for one in known[-_SHOWN:]])}" if known else "none was ever started here"
    return f"There is no session {number}; {there}."


COMMANDS = (
    Command(
        ("npc", "recap"),
        "what the NPC learned in the last session, or in that of a number",
        recap,
        (
            Choice(
                "version",
                "for whom: gm is the game master's, with all secrets",
                (_PLAYERS, _GAME_MASTER),
                required=False,
            ),
            Rest("number", "which session; without it the last one that ended", required=False),
        ),
    ),
)
