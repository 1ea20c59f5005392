"""The way out of a turn: end it durably, then send its parts in order through the instance that heard it.

Owns the order of these steps and nothing else: the state keeps the rows, the runner waits and retries, `sending` does both
for whatever leaves.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from homunculus.errors import HomunculusError, Refused, Uncertain
from homunculus.interfaces import Emit, Turn
from homunculus.model import Reply, ReplySent
from homunculus.runtime.lanes import Waiting
from homunculus.runtime.preview import Preview
from homunculus.runtime.sending import Sending, Way
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

    def __init__(self, store: Store, sending: Sending, emit: Emit) -> None:
        self._store, self._sending, self._emit = store, sending, emit
        self._open: dict[str, Batch] = {}  # by turn id, for as long as the turn runs

    def begin(self, turn: Turn, batch: Batch) -> None:
        """Expect the replies of a turn."""
        self._open[turn.id] = batch

    def end(self, turn: Turn) -> None:
        """Expect nothing of it any more."""
        self._open.pop(turn.id, None)

    async def open(self, turn: Turn, reply: Reply) -> str:
        """End the turn with the beginning of its first reply and post it; return its id. Raises like `post`.

        The row stays SENDING until the post has its last text: what a crash leaves half said is uncertain.
        """
        batch = self._open[turn.id]
        await batch.recorded()
        await self._finish(turn, batch, (reply,))
        try:
            message_id = await batch.last.runner.send(turn.address, reply)
        except (Refused, Uncertain) as error:
            await self._sending.unsent(self._way(turn), (reply,), error)
            raise
        batch.sent += 1
        return message_id

    async def edit(self, turn: Turn, message_id: str, reply: Reply) -> None:
        """Change a post of this turn. Raises Refused."""
        await self._open[turn.id].last.runner.edit(turn.address, message_id, reply)

    async def break_off(self, turn: Turn) -> None:
        """Mark a reply that was shown early and will not be finished."""
        preview = turn.preview
        if not isinstance(preview, Preview):
            return
        await preview.stop()
        if preview.message_id and turn.completion is None and preview.last is not None:
            with suppress(HomunculusError):  # what is there was said; the turn's own failure is told
                await self.edit(turn, preview.message_id, replace(preview.last, text=f"{preview.shown} […]"))
                await self._sending.noted(partial(self._store.sent, preview.last.id, preview.message_id))

    async def post(self, turn: Turn, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        """End the turn in one transaction, then send. Raises Void, Refused or Uncertain; returns platform ids."""
        batch, preview = self._open[turn.id], turn.preview
        if isinstance(preview, Preview):
            await preview.stop()
            if preview.opened:
                return await self._complete(turn, batch, preview, replies)
        await batch.recorded()
        await self._finish(turn, batch, replies)
        return await self._send(turn, batch, replies)

    async def _complete(
        self, turn: Turn, batch: Batch, preview: Preview, replies: tuple[Reply, ...]
    ) -> tuple[str, ...]:
        """Bring what was shown early to its final text, then send the rest."""
        if preview.fault is not None:
            raise preview.fault
        write = partial(self._store.extend, turn.id, turn.agent.id, replies, turn.address)
        await self._sending.written(self._way(turn), write)
        first, *rest = replies
        try:
            if first.text != preview.shown:
                await self.edit(turn, preview.message_id, first)
        except Refused as error:
            await self._sending.unsent(self._way(turn), replies, error)
            raise
        await self._sending.noted(partial(self._store.sent, first.id, preview.message_id))
        self._emit(ReplySent(turn.address, first, preview.message_id))
        return (preview.message_id, *await self._send(turn, batch, tuple(rest)))

    async def _finish(self, turn: Turn, batch: Batch, replies: tuple[Reply, ...]) -> None:
        messages = tuple(waiting.message for waiting in batch.waiting)
        write = partial(self._store.finish, turn.id, turn.agent.id, messages, replies, turn.address)
        await self._sending.written(self._way(turn), write)
        batch.ended = True

    def _way(self, turn: Turn) -> Way:
        return Way(turn.id, turn.address, self._open[turn.id].last.runner)

    async def _send(self, turn: Turn, batch: Batch, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        def arrived() -> None:
            batch.sent += 1

        return await self._sending.send(self._way(turn), replies, arrived)
