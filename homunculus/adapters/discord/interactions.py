"""Commands given in Discord's own way: acknowledged at once, answered with the token that came along, forgotten in time.

Owns the tokens of one session's interactions, which are secrets, and what was answered with each; never decides who is
answered and never reads a command.
Source: Discord's "Receiving and Responding to Interactions".
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import discord
from discord.http import Route
from loguru import logger

from homunculus.adapters.discord import faults, posting
from homunculus.adapters.discord.session import Session
from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain
from homunculus.interfaces import Deliver
from homunculus.model import Message, Receipt, Reply

LIFE = 15 * 60.0 - 10  # seconds for which a token is used; Discord takes it for fifteen minutes
MOST = 1000  # commands remembered at a time
ACKNOWLEDGE_PATIENCE = 5.0  # seconds; after three of them Discord tells the person that nobody answered
ACKNOWLEDGE_EVERY = 0.25  # seconds between two tries; a second one does no harm
CLOSE_PATIENCE = 2.0  # seconds for acknowledgements on their way when we close
NOBODY = "No NPC answers here at the moment."
FAILED = "That command could not be taken; please try it again later."

_ANSWER, _DEFER = 4, 5
_EPHEMERAL, _NO_EMBEDS = 1 << 6, 1 << 2
_ALREADY = 40060
_UNKNOWN_MESSAGE = 10008
_OVER = {10015, faults.BAD_WEBHOOK_TOKEN}  # the token is no longer good


class _Over(Exception):
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


class Interactions:
    """Acknowledge, remember and answer the commands of one session."""

    def __init__(self, session: Session, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._key, self._clock = session, key, clock
        # All the mutable state that outlives a command:
        self._pending: OrderedDict[str, Pending] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    # -- in

    def receive(
        self,
        interaction: discord.Interaction,
        message: Message | None,
        hand_over: Callable[[Message], None],
        *,
        private: bool,
    ) -> None:
        """Acknowledge a command and hand its message over, from soon on; without a message say that nobody answers."""
        name = f"{self._key} command {interaction.id}"
        if str(interaction.id) in self._pending or any(task.get_name() == name for task in self._tasks):
            return
        work = self._taken(interaction, message, hand_over, private) if message else self._turned_away(interaction)
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def watched(self, deliver: Deliver) -> Deliver:
        """Return a delivery that tells who gave a command when nobody takes it."""

        async def delivered(message: Message) -> Receipt:
            if not message.command:
                return await deliver(message)
            try:
                receipt = await deliver(message)
            except NotReady:
                raise  # it is delivered again
            except Exception:
                await self._told(message, FAILED)
                raise
            if receipt is Receipt.IGNORED:
                await self._told(message, NOBODY)
            return receipt

        return delivered

    async def let_go(self) -> None:
        """Take back every `… is thinking` that this session will not answer any more, as far as there is time."""
        waiting = [
            one for one in self._pending.values() if one.claimed is None and self._alive(one.id) and not one.filled
        ]
        if not waiting:
            return
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await asyncio.gather(*map(self._vacate, waiting), return_exceptions=True)
        except TimeoutError:
            logger.bind(adapter=self._key, commands=len(waiting)).info(
                "Some commands seem to be thought about for ever"
            )

    async def aclose(self) -> None:
        """Give what is just being acknowledged a moment, and forget every token."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_PATIENCE)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        self._pending.clear()

    async def _taken(
        self, interaction: discord.Interaction, message: Message, hand_over: Callable[[Message], None], private: bool
    ) -> None:
        data = {"flags": _EPHEMERAL} if private else {}
        if await self._first(interaction, {"type": _DEFER, "data": data}):
            now = self._clock()
            self._forget(now)
            self._pending[message.id] = Pending(
                message.id, interaction.application_id, interaction.token, private, since=now
            )
            hand_over(message)

    async def _turned_away(self, interaction: discord.Interaction) -> None:
        data = {"content": NOBODY, "flags": _EPHEMERAL, "allowed_mentions": {"parse": []}}
        await self._first(interaction, {"type": _ANSWER, "data": data})

    async def _first(self, interaction: discord.Interaction, body: dict[str, Any]) -> bool:
        """Make the first answer; False where none arrived in time, and the person reads already that there is none."""
        try:
            async with asyncio.timeout(ACKNOWLEDGE_PATIENCE):
                await self._acknowledge(interaction, body)
        except (HomunculusError, TimeoutError) as error:
            reason = str(error) or f"not done after {ACKNOWLEDGE_PATIENCE:g} s"
            logger.bind(adapter=self._key, command=interaction.id, reason=reason).warning(
                "A command could not be acknowledged; it is left, for its author was told that nobody answered"
            )
            return False
        return True

    async def _acknowledge(self, interaction: discord.Interaction, body: dict[str, Any]) -> None:
        while True:
            try:
                await self._session.once(_callback(interaction), json=body)
            except Exception as error:
                if isinstance(error, discord.HTTPException) and error.code == _ALREADY:
                    return  # an earlier try arrived, and only its answer was lost
                fault = faults.of_request(error, "the first answer to a command")
                if isinstance(fault, Refused):
                    raise fault from error
                await asyncio.sleep(ACKNOWLEDGE_EVERY)
            else:
                return

    async def _told(self, message: Message, text: str) -> None:
        try:
            await self.whisper(message.id, text)
        except HomunculusError as fault:
            logger.bind(adapter=self._key, command=message.id, reason=str(fault)).info(
                "Who gave a command could not be told that nobody took it"
            )

    def _forget(self, now: float) -> None:
        """Drop what is over, and the oldest where there are too many."""
        while self._pending:
            oldest = next(iter(self._pending.values()))
            if oldest.since + LIFE > now and len(self._pending) < MOST:
                return
            self._pending.popitem(last=False)

    # -- out

    async def answer(self, reply: Reply) -> str | None:
        """Say a reply that answers a command, or goes on with such an answer; None where it is none, or none any more."""
        one = self._asked(reply)
        if one is None:
            return None
        text = posting.shown(posting.plain(reply))
        try:
            async with one.lock:
                posted = one.posts.get(reply.id) or await self._say(
                    one, reply.id, text, private=one.private, retried=reply.retried
                )
        except _Over:
            self._pending.pop(one.id, None)
            return None
        one.posts[reply.id], one.turn = posted, _turn(reply)
        return posted

    async def whisper(self, message_id: str, text: str) -> bool:
        """Show a text to who gave a command, and to nobody else; False where that is no command, or none any more."""
        one = self._alive(message_id)
        if one is None:
            return False
        try:
            async with one.lock:
                await self._say(one, ("whisper", text), text, private=True, retried=False)
        except _Over:
            self._pending.pop(one.id, None)
            return False
        return True

    async def edit(self, post_id: str, reply: Reply) -> bool:
        """Change the text of an answer; False where the post is none, or its command is over."""
        one = next((one for one in self._pending.values() if post_id in one.posts.values()), None)
        if one is None or self._alive(one.id) is None:
            return False
        try:
            await self._change(one, post_id, posting.shown(posting.plain(reply)))
        except _Over:
            return False
        return True

    def _asked(self, reply: Reply) -> Pending | None:
        """Find the command that a reply is about: it quotes it, or its turn began to answer it."""
        if reply.quotes is not None:
            return self._alive(reply.quotes)
        turn = _turn(reply)
        one = next((one for one in self._pending.values() if turn and one.turn == turn), None)
        return one and self._alive(one.id)

    def _alive(self, command_id: str) -> Pending | None:
        one = self._pending.get(command_id)
        return one if one is not None and one.since + LIFE > self._clock() else None

    async def _say(self, one: Pending, key: Hashable, text: str, *, private: bool, retried: bool) -> str:
        """Take the place of `… is thinking` where it is still free and seen by the right people; else say it after that."""
        if not one.filled and private and not one.private:
            await self._vacate(one)
        if not one.filled and one.claimed in (None, key):
            one.claimed = key
            posted = await self._fill(one, text)
            if posted is not None:
                return posted
        elif retried:
            raise Uncertain("its first try may have arrived, and Discord does not tell a second one apart", final=True)
        return await self._follow(one, text, private=private)

    async def _vacate(self, one: Pending) -> None:
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
            posted = await self._change(one, "@original", text)
        except discord.NotFound:
            one.filled = True
            return None
        one.filled = True
        return posted

    async def _change(self, one: Pending, post_id: str, text: str) -> str:
        body = {"content": text, "allowed_mentions": {"parse": []}, "flags": _NO_EMBEDS}
        try:
            answer = await self._session.http.request(_route("PATCH", one, f"/messages/{post_id}"), json=body)
        except Exception as error:
            if post_id == "@original" and isinstance(error, discord.HTTPException) and error.code == _UNKNOWN_MESSAGE:
                raise
            raise _fault(error) from error
        return str(answer["id"])

    async def _follow(self, one: Pending, text: str, *, private: bool) -> str:
        flags = _NO_EMBEDS | (_EPHEMERAL if private else 0)
        body = {"content": text, "allowed_mentions": {"parse": []}, "flags": flags}
        try:
            answer = await self._session.once(_route("POST", one, ""), json=body, params={"wait": "true"})
        except Exception as error:
            raise _fault(error) from error
        return str(answer["id"])


def _turn(reply: Reply) -> str:
    """Return what the ids of a turn's replies have in common; only the first of them quotes."""
    return reply.id.rpartition(".")[0]


def _callback(interaction: discord.Interaction) -> Route:
    # discord.py counts limits by these two names, and has no others for a token in a path.
    path = "/interactions/{webhook_id}/{webhook_token}/callback"
    return Route("POST", path, webhook_id=interaction.id, webhook_token=interaction.token)


def _route(method: str, one: Pending, rest: str) -> Route:
    path = "/webhooks/{webhook_id}/{webhook_token}" + rest
    return Route(method, path, webhook_id=one.application, webhook_token=one.token)


def _fault(error: Exception) -> Exception:
    """Say what a failed answer means. In doubt it is final: another session would not know where the first try went."""
    if isinstance(error, discord.HTTPException) and error.code in _OVER:
        return _Over()
    fault = faults.of_request(error, "an answer to a command")
    return Uncertain(fault.reason, final=True) if isinstance(fault, Uncertain) else fault
