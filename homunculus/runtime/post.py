"""The way out of a turn: end it durably, then send its parts in order through the instance that heard it.

Owns the order of these steps and nothing else: the state keeps the rows, the runner waits and retries.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count

from loguru import logger

from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain
from homunculus.interfaces import Emit, Turn
from homunculus.model import Reply, ReplySent
from homunculus.runtime.lanes import Waiting
from homunculus.runtime.preview import Preview
from homunculus.runtime.store import Store
from homunculus.runtime.tasks import Tasks

Sleep = Callable[[float], Awaitable[None]]
Note = Callable[[], Awaitable[None]]

LONGEST_WAIT = 15.0  # seconds between two tries to write on a disk that is full or fails
END_TRIES = 40  # of a turn: about ten minutes, after which nobody waits for the answer any more


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

    def __init__(self, store: Store, emit: Emit, sleep: Sleep) -> None:
        self._store, self._emit, self._sleep = store, emit, sleep
        self._open: dict[str, Batch] = {}  # by turn id, for as long as the turn runs
        self._notes = Tasks()

    def begin(self, turn: Turn, batch: Batch) -> None:
        """Expect the replies of a turn."""
        self._open[turn.id] = batch

    def end(self, turn: Turn) -> None:
        """Expect nothing of it any more."""
        self._open.pop(turn.id, None)

    async def cancel(self) -> None:
        """Write no more notes; a reply whose note is missing reads as uncertain at the next start."""
        await self._notes.cancel()

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
            await self._unsent(turn, (reply,), error)
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
                await self._noted(partial(self._store.sent, preview.last.id, preview.message_id))

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
        await self._written(turn, partial(self._store.extend, turn.id, turn.agent.id, replies, turn.address))
        first, *rest = replies
        try:
            if first.text != preview.shown:
                await self.edit(turn, preview.message_id, first)
        except Refused as error:
            await self._unsent(turn, replies, error)
            raise
        await self._noted(partial(self._store.sent, first.id, preview.message_id))
        self._emit(ReplySent(turn.address, first, preview.message_id))
        return (preview.message_id, *await self._send(turn, batch, tuple(rest)))

    async def _finish(self, turn: Turn, batch: Batch, replies: tuple[Reply, ...]) -> None:
        messages = tuple(waiting.message for waiting in batch.waiting)
        await self._written(turn, partial(self._store.finish, turn.id, turn.agent.id, messages, replies, turn.address))
        batch.ended = True

    async def _written(self, turn: Turn, write: Note) -> None:
        """Write what must be durable before it is said; while the state cannot be written, what was thought waits."""
        for tries in count(1):
            if self._open[turn.id].last.runner.gone:
                # Nothing is written as said that nobody can say any more.
                raise Refused(f"{turn.address.adapter} has gone, and no other instance may speak for it")
            try:
                return await write()
            except NotReady as error:
                if tries == END_TRIES:
                    raise
                if tries == 1:
                    logger.bind(place=turn.address.label, turn=turn.id, reason=error.reason).error(
                        "An answer waits: it cannot be recorded, and is not said before it is"
                    )
                await self._sleep(_delay(tries))
        return None

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
            await self._noted(partial(self._store.sent, reply.id, message_id))
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
                await self._noted(partial(self._store.unsent, reply.id, "uncertain", error.reason))
            else:
                log.error("A reply could not be delivered")
                await self._noted(partial(self._store.unsent, reply.id, "failed", error.reason))

    async def _noted(self, note: Note) -> None:
        """Write what became of a reply; what cannot be written now is tried again beside, and holds up nobody.

        A note that never succeeds leaves the row SENDING, which the next start reads as uncertain.
        """
        try:
            await note()
        except NotReady:
            self._notes.start(self._noted_later(note), "note what became of a reply")
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
