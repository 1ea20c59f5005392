"""Commands given in Discord's own way: acknowledged at once, answered with the token that came along, forgotten in time.

Owns the tokens of one session's interactions, which are secrets, and how long they are kept; never decides who is answered
and never reads a command.
Source: Discord's "Receiving and Responding to Interactions".
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import discord
from discord.http import Route
from loguru import logger

from homunculus.adapters.discord import faults, posting
from homunculus.adapters.discord.answers import EPHEMERAL, Answers, Over, Pending
from homunculus.adapters.discord.session import Session
from homunculus.errors import HomunculusError, NotReady, Refused
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
_ALREADY = 40060


class Interactions:
    """Acknowledge, remember and answer the commands of one session."""

    def __init__(self, session: Session, key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._key, self._clock = session, key, clock
        self._answers = Answers(session)
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
                await asyncio.gather(*map(self._answers.vacate, waiting), return_exceptions=True)
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
        data = {"flags": EPHEMERAL} if private else {}
        if await self._first(interaction, {"type": _DEFER, "data": data}):
            now = self._clock()
            self._forget(now)
            self._pending[message.id] = Pending(
                message.id, interaction.application_id, interaction.token, private, since=now
            )
            hand_over(message)

    async def _turned_away(self, interaction: discord.Interaction) -> None:
        data = {"content": NOBODY, "flags": EPHEMERAL, "allowed_mentions": {"parse": []}}
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
                posted = one.posts.get(reply.id) or await self._answers.say(
                    one, reply.id, text, private=one.private, retried=reply.retried
                )
        except Over:
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
                await self._answers.say(one, ("whisper", text), text, private=True, retried=False)
        except Over:
            self._pending.pop(one.id, None)
            return False
        return True

    async def edit(self, post_id: str, reply: Reply) -> bool:
        """Change the text of an answer; False where the post is none, or its command is over."""
        one = next((one for one in self._pending.values() if post_id in one.posts.values()), None)
        if one is None or self._alive(one.id) is None:
            return False
        try:
            await self._answers.change(one, post_id, posting.shown(posting.plain(reply)))
        except Over:
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


def _turn(reply: Reply) -> str:
    """Return what the ids of a turn's replies have in common; only the first of them quotes."""
    return reply.id.rpartition(".")[0]


def _callback(interaction: discord.Interaction) -> Route:
    # discord.py counts limits by these two names, and has no others for a token in a path.
    path = "/interactions/{webhook_id}/{webhook_token}/callback"
    return Route("POST", path, webhook_id=interaction.id, webhook_token=interaction.token)
