"""The way out of a turn: end it durably, then send its parts in order through the instance that heard it.

Owns the order of these steps and nothing else: the state keeps the rows, the runner waits and retries.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from loguru import logger

from homunculus.errors import HomunculusError, Refused, Uncertain
from homunculus.interfaces import Emit, Turn
from homunculus.model import Reply, ReplySent
from homunculus.runtime.lanes import Waiting
from homunculus.runtime.store import Store


class Void(HomunculusError):
    """Say that a message of the turn is not ours to answer after all: it was answered before, or never written."""


@dataclass(slots=True)
class Batch:
    """The messages of one turn on their way: `ended` once it is durably over, whatever then becomes of its replies."""

    waiting: list[Waiting]
    ended: bool = False
    sent: int = 0

    @property
    def last(self) -> Waiting:
        return self.waiting[-1]

    async def recorded(self) -> None:
        """Wait until every message is durable; raise Void when one will not be ours."""
        stand = [await waiting.stands() for waiting in self.waiting]
        if not all(stand):
            raise Void(f"{stand.count(False)} of {len(stand)} messages are not ours to answer")


class Post:
    """The outbox that the pipeline's last stage is given."""

    def __init__(self, store: Store, emit: Emit) -> None:
        self._store, self._emit = store, emit
        self._open: dict[str, Batch] = {}  # by turn id, for as long as the turn runs

    def begin(self, turn: Turn, batch: Batch) -> None:
        """Expect the replies of a turn."""
        self._open[turn.id] = batch

    def end(self, turn: Turn) -> None:
        """Expect nothing of it any more."""
        self._open.pop(turn.id, None)

    async def post(self, turn: Turn, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        """End the turn in one transaction, then send. Raises Void, Refused or Uncertain; returns platform ids."""
        batch = self._open[turn.id]
        await batch.recorded()
        if batch.last.runner.gone:
            # Nothing is written as said that nobody can say any more.
            raise Refused(f"{turn.address.adapter} has gone, and no other instance may speak for it")
        messages = tuple(waiting.message for waiting in batch.waiting)
        await self._store.finish(turn.id, turn.agent.id, messages, replies, turn.address)
        batch.ended = True
        return await self._send(turn, batch, replies)

    async def _send(self, turn: Turn, batch: Batch, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        ids: list[str] = []
        uncertain: Uncertain | None = None
        for ordinal, reply in enumerate(replies):
            try:
                message_id = await batch.last.runner.send(turn.address, reply)
            except Refused as error:
                await self._unsent(turn, replies[ordinal:], error)
                raise
            except Uncertain as error:
                # It has most likely arrived, so the rest of what was said follows it.
                await self._unsent(turn, (reply,), error)
                uncertain = error
                continue
            batch.sent += 1
            ids.append(message_id)
            self._emit(ReplySent(turn.address, reply, message_id))
            await _noted(self._store.sent(reply.id, message_id))
        if uncertain is not None:
            raise uncertain
        return tuple(ids)

    async def _unsent(self, turn: Turn, replies: tuple[Reply, ...], error: Refused | Uncertain) -> None:
        for reply in replies:
            log = logger.bind(
                adapter=turn.address.adapter, place=turn.address.label, reply=reply.id, reason=error.reason
            )
            if isinstance(error, Uncertain):
                log.warning("A reply may or may not have arrived; it is not sent again")
                await _noted(self._store.unsent(reply.id, "uncertain", error.reason))
            else:
                log.error("A reply could not be delivered")
                await _noted(self._store.unsent(reply.id, "failed", error.reason))


async def _noted(note: Awaitable[None]) -> None:
    """Write what became of a reply; when that fails the row stays SENDING, which the next start reads as uncertain."""
    try:
        await note
    except Exception as error:  # noqa: BLE001 - the reply is out, and nothing may send it again
        logger.opt(exception=error).error("Noting what became of a reply failed")
