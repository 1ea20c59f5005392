"""What is said with the token of one command: in the place of `… is thinking`, after it, to all or to one person.

Owns which of these an answer becomes, and that none is said twice; never remembers a command and never acknowledges one.
Source: Discord's "Receiving and Responding to Interactions", "Followup Messages".
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass, field

import discord
from discord.http import Route

from homunculus.adapters.discord import faults
from homunculus.adapters.discord.session import Session
from homunculus.errors import Uncertain

EPHEMERAL, NO_EMBEDS = 1 << 6, 1 << 2
_UNKNOWN_MESSAGE = 10008
_OVER = {10015, faults.BAD_WEBHOOK_TOKEN}  # the token is no longer good


class Over(Exception):
    """Say that an interaction can be answered no more; nothing was said."""


@dataclass(slots=True)
class Pending:
    """One acknowledged command: what people see of it is `… is thinking` until `claimed` has a first answer.

    `claimed` is what that place was given to, `posts` what was said: replies by their ids → the ids of the posts.
    """

    id: str
    application: int
    token: str = field(repr=False)
    private: bool
    since: float
    claimed: Hashable | None = None
    filled: bool = False
    turn: str = ""
    posts: dict[Hashable, str] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Answers:
    """Say, change and take back the answers of one session's commands. Whoever says something holds the command's lock."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def say(self, one: Pending, key: Hashable, text: str, *, private: bool, retried: bool) -> str:
        """Take the place of `… is thinking` where it is still free and seen by the right people; else say it after that."""
        if not one.filled and private and not one.private:
            await self.vacate(one)
        if not one.filled and one.claimed in (None, key):
            one.claimed = key
            posted = await self._fill(one, text)
            if posted is not None:
                return posted
        elif retried:
            raise Uncertain("its first try may have arrived, and Discord does not tell a second one apart", final=True)
        return await self._follow(one, text, private=private)

    async def vacate(self, one: Pending) -> None:
        """Take back a `… is thinking` that everybody sees: what follows is for one person alone."""
        try:
            await self._session.http.request(_route("DELETE", one, "/messages/@original"))
        except Exception as error:
            if not (isinstance(error, discord.HTTPException) and error.code == _UNKNOWN_MESSAGE):
                raise _fault(error) from error
        one.filled = True

    async def _fill(self, one: Pending, text: str) -> str | None:
        """Let the first answer be seen and return its id; None where it was deleted. To try again does no harm."""
        try:
            posted = await self.change(one, "@original", text)
        except discord.NotFound:
            one.filled = True
            return None
        one.filled = True
        return posted

    async def change(self, one: Pending, post_id: str, text: str) -> str:
        body = {"content": text, "allowed_mentions": {"parse": []}, "flags": NO_EMBEDS}
        try:
            answer = await self._session.http.request(_route("PATCH", one, f"/messages/{post_id}"), json=body)
        except Exception as error:
            if post_id == "@original" and isinstance(error, discord.HTTPException) and error.code == _UNKNOWN_MESSAGE:
                raise
            raise _fault(error) from error
        return str(answer["id"])

    async def _follow(self, one: Pending, text: str, *, private: bool) -> str:
        flags = NO_EMBEDS | (EPHEMERAL if private else 0)
        body = {"content": text, "allowed_mentions": {"parse": []}, "flags": flags}
        try:
            answer = await self._session.once(_route("POST", one, ""), json=body, params={"wait": "true"})
        except Exception as error:
            raise _fault(error) from error
        return str(answer["id"])


def _route(method: str, one: Pending, rest: str) -> Route:
    path = "/webhooks/{webhook_id}/{webhook_token}" + rest
    return Route(method, path, webhook_id=one.application, webhook_token=one.token)


def _fault(error: Exception) -> Exception:
    """Say what a failed answer means. In doubt it is final: another session would not know where the first try went."""
    if isinstance(error, discord.HTTPException) and error.code in _OVER:
        return Over()
    fault = faults.of_request(error, "an answer to a command")
    return Uncertain(fault.reason, final=True) if isinstance(fault, Uncertain) else fault
