"""What leaves, durable before it is said: rows first, then the posts in order, then a note of what became of each.

Owns these steps for turns and for what is said unasked; never decides what is said. The runner waits and retries.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

from loguru import logger

from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain
from homunculus.interfaces import Emit
from homunculus.model import Address, Agent, Persona, Reply, ReplySent
from homunculus.pipelines.replies import posts
from homunculus.runtime.runner import Runner
from homunculus.runtime.store import Store
from homunculus.runtime.tasks import Tasks

Sleep = Callable[[float], Awaitable[None]]
Note = Callable[[], Awaitable[None]]

LONGEST_WAIT = 15.0  # seconds between two tries to write on a disk that is full or fails
END_TRIES = 40  # of a turn: about ten minutes, after which nobody waits for the answer any more


@dataclass(frozen=True, slots=True)
class Way:
    """By which instance something goes where; `id` names the turn, or what is said unasked."""

    id: str
    address: Address
    runner: Runner


class Sending:
    """Write, send, note."""

    def __init__(self, store: Store, emit: Emit, sleep: Sleep) -> None:
        self._store, self._emit, self._sleep = store, emit, sleep
        self._notes = Tasks()
        self._unwritten: dict[asyncio.Task[None], Note] = {}  # notes that are tried again

    async def cancel(self) -> None:
        """Try the notes that are missing once more, and then no more: what has none reads as uncertain at the next start."""
        missing = [*self._unwritten.values()]
        await self._notes.cancel()
        for note in missing:
            try:
                await note()
            except HomunculusError as error:
                logger.bind(reason=str(error)).warning("What became of a reply could not be noted before the end")

    async def unasked(self, way: Way, agent_id: str, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        """Say something that answers nobody; an agent's own history keeps it. Raises NotReady, Refused or Uncertain."""
        await self._store.finish(way.id, agent_id, (), replies, way.address)
        return await self.send(way, replies)

    async def voiced(self, runner: Runner, address: Address, agent: Agent, persona: Persona, text: str) -> None:
        """Say a text unasked as an agent, under its name; nothing for a blank one. Raises like `unasked`."""
        ident = secrets.token_hex(12)
        if replies := posts(ident, agent, persona, runner.limit, text):
            await self.unasked(Way(ident, address, runner), agent.id, replies)

    async def written(self, way: Way, write: Note) -> None:
        """Write what must be durable before it is said; while the state cannot be written, what was thought waits."""
        for tries in count(1):
            if way.runner.gone:
                # Nothing is written as said that nobody can say any more.
                raise Refused(f"{way.address.adapter} has gone, and no other instance may speak for it")
            try:
                return await write()
            except NotReady as error:
                if tries == END_TRIES:
                    raise
                if tries == 1:
                    logger.bind(place=way.address.label, turn=way.id, reason=error.reason).error(
                        "An answer waits: it cannot be recorded, and is not said before it is"
                    )
                await self._sleep(_delay(tries))
        return None

    async def send(
        self, way: Way, replies: tuple[Reply, ...], arrived: Callable[[], None] | None = None
    ) -> tuple[str, ...]:
        """Send the parts in order; call `arrived` for each. Raises Refused or Uncertain; returns the platform's ids."""
        ids: list[str] = []
        uncertain: Uncertain | None = None
        for ordinal, reply in enumerate(replies):
            try:
                message_id = await way.runner.send(way.address, reply)
            except Refused as error:
                await self.unsent(way, replies[ordinal:], error)
                raise
            except Uncertain as error:
                # It has most likely arrived, so the rest of what was said follows it.
                await self.unsent(way, (reply,), error)
                uncertain = error
                continue
            if arrived is not None:
                arrived()
            ids.append(message_id)
            self._emit(ReplySent(way.address, reply, message_id))
            await self.noted(partial(self._store.sent, reply.id, message_id))
        if uncertain is not None:
            raise uncertain
        return tuple(ids)

    async def unsent(self, way: Way, replies: tuple[Reply, ...], error: Refused | Uncertain) -> None:
        """Note that replies did not arrive, or that nobody can tell."""
        for reply in replies:
            log = logger.bind(adapter=way.address.adapter, place=way.address.label, reply=reply.id, reason=error.reason)
            if isinstance(error, Uncertain):
                log.warning("A reply may or may not have arrived; it is not sent again")
                await self.noted(partial(self._store.unsent, reply.id, "uncertain", error.reason))
            else:
                log.error("A reply could not be delivered")
                await self.noted(partial(self._store.unsent, reply.id, "failed", error.reason))

    async def noted(self, note: Note) -> None:
        """Write what became of a reply; what cannot be written now is tried again beside, and holds up nobody.

        A note that never succeeds leaves the row SENDING, which the next start reads as uncertain.
        """
        try:
            await note()
        except NotReady:
            later = self._notes.start(self._noted_later(note), "note what became of a reply")
            self._unwritten[later] = note
            later.add_done_callback(self._unwritten.pop)
        except Exception as error:  # noqa: BLE001 - the reply is out, and nothing may send it again
            logger.opt(exception=error).error("Noting what became of a reply failed")

    async def _noted_later(self, note: Note) -> None:
        for tries in count(1):
            await self._sleep(_delay(tries))
            with suppress(NotReady):  # not yet
                await note()
                return


def _delay(tries: int) -> float:
    return min(2.0 ** min(tries - 1, 8), LONGEST_WAIT)
