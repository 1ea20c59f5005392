"""`State`: what the rest of the program calls. Owns the two threads and what is kept in memory; never a statement.

No method touches SQLite on the event loop. Writes go to the writer's thread and return after their commit. Questions go to
a thread and a connection of their own, so that they never wait for a disk sync that does not concern them: only writes to
the same conversation that were asked for earlier are waited for.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

import apsw
from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Clock
from homunculus.model import Address, HistoryLine, Message, Reply, Usage
from homunculus.runtime.state import reads, swaps, writes
from homunculus.runtime.state.commit import Commit, answer
from homunculus.runtime.state.rows import GenerationRow, UnsureReply, clean, dumps, shown_text, sparse
from homunculus.runtime.state.tables import Damaged, connect, connect_reader, told_as
from homunculus.runtime.state.tails import SPARE, Tail, Tails
from homunculus.runtime.state.usage import Spend, of_day
from homunculus.runtime.state.worker import Worker
from homunculus.runtime.store import UNHEARD, Mark, OverrideKey, Overrides, PendingSwap

P = ParamSpec("P")
T = TypeVar("T")

SEEN = 50_000  # keys of recent messages kept in memory
PRUNE_EVERY = 500  # recorded messages and ended turns between two prunings
PRUNE_LINES = 100  # lines a conversation may have over its share before it is looked at
SPEND_SECONDS = 0.05  # that what models used waits for company: a crash may lose so much of it
PROBE_SECONDS = 5.0  # between tries to write anything at all while the disk fails
CRASHED = "the program ended while it was being sent"


class State:
    """The inbox, outbox, history, overrides and generations of one bot. Make it with `open`; one process at a time.

    A method that writes raises NotReady when the disk is full or failing (the same call may succeed later) and Refused when
    a person must see to the file; then nothing of that call was kept.
    """

    def __init__(self, connection: apsw.Connection, reader: apsw.Connection, clock: Clock) -> None:
        # All the mutable state that outlives a call:
        self._connection, self._reader, self._clock = connection, reader, clock
        self._writes = Worker("state-writer", Commit(connection, writes.apply), writes.patient)
        self._reads = Worker("state-reader", answer)
        self._seen: dict[writes.Key, None] = {}  # oldest first
        self._seq = count(1)
        self._tails = Tails()
        self._pending: dict[str, dict[asyncio.Future[Any], str | None]] = {}  # writes to a history → message recorded
        self._grown: Counter[str] = Counter()  # lines added to each conversation since it was pruned
        self._since_prune = 0
        self._probing: asyncio.TimerHandle | None = None
        self._spends: list[Usage] = []  # not written yet
        self._spending: asyncio.TimerHandle | None = None
        self.fault = ""  # why the last write failed; empty when it did not
        self.opened_at = clock()

    @classmethod
    async def open(cls, path: Path, *, clock: Clock = time.time) -> State:
        """Open or make the file. Posts that were leaving when the last process ended become uncertain.

        Raise Refused when the file was written by a newer program or is none of ours, NotReady when it cannot be used now.
        """
        state = cls(*await asyncio.to_thread(_open, path), clock)
        try:
            await state._begin()
        except BaseException:
            await state.aclose()
            raise
        return state

    async def _begin(self) -> None:
        await self._write(writes.Call(partial(writes.doubt, reason=CRASHED, now=self.opened_at)))
        self._seq = count(await self._read(reads.last_seq) + 1)
        for conversation, id_ in await self._read(reads.newest_keys, SEEN):
            self._seen[sys.intern(conversation), id_] = None
        self._prune(None)

    async def aclose(self) -> None:
        """Commit what was asked for, then close the file. Safe twice."""
        if self._probing is not None:
            self._probing.cancel()
        self._spend()
        self._writes.close()
        self._reads.close()
        await asyncio.to_thread(self._shut)

    def _shut(self) -> None:
        self._writes.join()
        self._reads.join()
        self._reader.close()
        self._connection.close()  # the last one folds the log into the file

    # --- the inbox --------------------------------------------------------------------------------------------------

    def seen(self, message: Message) -> bool:
        """Claim a message: False the first time, True ever after. Looks at the newest keys in memory and never blocks."""
        key = _key(message)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > SEEN:
            del self._seen[next(iter(self._seen))]
        return False

    async def record(self, message: Message, agent_id: str) -> bool:
        """Write the inbox row and the agent's history line (none of UNHEARD); False when the database already had it.

        When it raises, nothing was written and the claim of `seen` is given back: the platform will deliver it again.
        """
        seq, now, (conversation, id_) = next(self._seq), self._clock(), _key(message)
        author, text = message.author.name, shown_text(message)
        stored = sparse(message)
        row = dumps([seq, conversation, id_, agent_id, message.time or now, now, stored, author, text])
        line = HistoryLine(id_, clean(author), clean(text), float(message.time or now))

        def written(fresh: bool) -> None:
            if fresh and agent_id != UNHEARD:
                self._tails.heard(conversation, agent_id, (seq, line))

        fresh: bool = await self._write(
            writes.Record(seq, row),
            conversation,
            id_,
            written=written,
            failed=partial(self._seen.pop, (conversation, id_), None),
        )
        self._count(conversation, 1)
        return fresh

    async def amend(self, message: Message) -> None:
        """Update (kind `edited`) or remove (kind `deleted`) the stored message and its history line, if there is one."""
        key = _key(message)
        if message.kind == "deleted":
            job: object = writes.Delete(key, dumps([*key, self._clock()]))
        else:
            job = writes.Edit(key, dumps([*key, message.text, message.attachments, shown_text(message)]))
        await self._write(job, key[0], written=lambda _: self._tails.drop(key[0]))

    async def settle(self, messages: Sequence[Message], outcome: str, reason: str = "") -> None:
        """End the inbox rows of messages that get no reply; one that was answered stays answered."""
        now = self._clock()
        keys = [_key(message) for message in messages]
        await self._write(writes.Settle(tuple((key, dumps([*key, outcome, reason, now])) for key in keys)))

    async def unanswered(self, since: float) -> tuple[tuple[Message, str], ...]:
        """Return the messages of `since` or later that were recorded and never ended, oldest first, with their agent's id."""
        return await self._read(reads.unanswered, since)

    async def last_recorded(self, platform: str, account: str) -> tuple[Mark, ...]:
        """Return a mark for each conversation of an account that was ever recorded, for as long as it is kept."""
        return await self._read(reads.marks, clean(platform), clean(account))

    # --- a turn and its replies -------------------------------------------------------------------------------------

    async def finish(
        self, turn_id: str, agent_id: str, messages: Sequence[Message], replies: Sequence[Reply], address: Address
    ) -> None:
        """End a turn in one transaction: inbox rows done, history lines of the replies, outbox rows already SENDING.

        A turn that has ended with replies is not ended again: the call then changes nothing.
        """
        now, conversation, target = self._clock(), address.conversation, sparse(address)
        reply_id = replies[0].id if replies else None
        outcome = "answered" if replies else "silent"
        keys = [_key(message) for message in messages]
        done = tuple((key, dumps([*key, outcome, reply_id, now, agent_id, next(self._seq)])) for key in keys)
        heard = replies if agent_id != UNHEARD else ()
        rows = [(next(self._seq), _line(reply, agent_id, now)) for reply in heard]
        job = writes.Finish(
            turn_id=clean(turn_id),
            done=done,
            lines=tuple(dumps([seq, conversation, agent_id, r.id, r.author, r.text, now]) for seq, r in rows),
            posts=tuple(dumps([reply.id, turn_id, target, sparse(reply), now]) for reply in replies),
        )
        place = clean(conversation)

        def written(new: bool) -> None:
            if new and agent_id != UNHEARD:
                self._tails.said(place, agent_id, [id_ for _, id_ in keys], rows)

        await self._write(job, conversation, written=written)
        self._count(conversation, len(job.lines))

    async def extend(self, turn_id: str, agent_id: str, replies: Sequence[Reply], address: Address) -> None:
        """Bring a turn that ended with the beginning of its first reply to all of its replies, in one transaction."""
        now, conversation, target = self._clock(), address.conversation, sparse(address)
        first, *rest = replies
        final: dict[str, object] = {
            "conversation": clean(conversation),
            "agent": agent_id,
            "reply": first.id,
            "text": clean(first.text),
            "post": dumps(sparse(first)),
        }
        lines = [dumps([next(self._seq), conversation, agent_id, r.id, r.author, r.text, now]) for r in rest]
        posts = [dumps([r.id, turn_id, target, sparse(r), now]) for r in rest]
        extend = writes.Call(partial(writes.extend, final=final, lines=lines, posts=posts))
        await self._write(extend, conversation, written=lambda _: self._tails.drop(clean(conversation)))
        self._count(conversation, len(rest))

    async def sent(self, reply_id: str, message_id: str) -> None:
        """Note that a reply arrived as `message_id`."""
        await self._write(writes.Sent(reply_id, dumps([reply_id, message_id, self._clock()])))

    async def unsent(self, reply_id: str, outcome: Literal["failed", "uncertain"], reason: str) -> None:
        """Note that a reply did not arrive, or that nobody can tell; one that arrived stays sent."""
        await self._write(writes.Unsent(reply_id, dumps([reply_id, outcome, reason, self._clock()])))

    async def uncertain(self) -> tuple[UnsureReply, ...]:
        """Return the posts of the last days that may or may not have arrived, oldest first."""
        return await self._read(reads.uncertain)

    # --- history ----------------------------------------------------------------------------------------------------

    async def recent(
        self, conversation: str, agent_id: str, limit: int, before: Message | None = None
    ) -> tuple[HistoryLine, ...]:
        """Return the newest `limit` lines, oldest first; only those before `before` was recorded, when given."""
        place, key = clean(conversation), _key(before) if before is not None else None
        await self._caught_up(place, key[1] if key else None)
        if key is None or key[0] == place:
            newest = partial(self._newest, place, agent_id, limit, key[1] if key else None)
            if (found := newest()) is not None:
                return found
            if (tail := self._tails.begin(place, agent_id, limit + SPARE)) is not None:
                await self._fill(tail, place, agent_id)
                if (found := newest()) is not None:
                    return found
        return tuple(line for _, line in await self._read(reads.recent, place, agent_id, limit, key))

    async def _fill(self, tail: Tail, place: str, agent_id: str) -> None:
        try:
            tail.fill(await self._read(reads.recent, place, agent_id, tail.depth, None))
        except BaseException:
            self._tails.drop(place)  # or nobody would ever fill it
            raise

    def _newest(self, place: str, agent_id: str, limit: int, before_id: str | None) -> tuple[HistoryLine, ...] | None:
        pending = before_id is not None and before_id in self._pending.get(place, {}).values()
        return self._tails.newest(place, agent_id, limit, before_id, pending=pending)

    async def transcript(self, platform: str, place_conversation: str, limit: int) -> tuple[HistoryLine, ...]:
        """Return the newest `limit` lines said in a conversation, oldest first, each once, whichever agent heard it.

        `place_conversation` is Address.conversation; one of another platform has no lines.
        """
        if not place_conversation.startswith(f"{platform}/"):
            return ()
        await self._caught_up(place_conversation, None)
        return await self._read(reads.transcript, clean(place_conversation), limit)

    # --- overrides and generations ----------------------------------------------------------------------------------

    async def overrides(self) -> Overrides:
        """Return every override of a conversation."""
        return await self._read(reads.overrides)

    async def set_override(self, conversation: str, agent_id: str, key: OverrideKey, value: str | None) -> None:
        """Set an override, or remove it with None."""
        call = partial(writes.set_override, conversation=clean(conversation), agent_id=agent_id, key=key, value=value)
        await self._write(writes.Call(call))

    async def add_generation(self, text: str, digest: str, at: float) -> int:
        """Keep an applied file and return its number. `text` holds no secret any more: the caller replaced them."""
        call = partial(writes.add_generation, text=clean(text), digest=digest, at=at)
        number: int = await self._write(writes.Call(call))
        return number

    async def generations(self) -> tuple[GenerationRow, ...]:
        """Return the kept generations, oldest first."""
        return await self._read(reads.generations)

    async def generation(self, number: int) -> GenerationRow | None:
        """Return the generation of that number; None when it is not kept."""
        found = await self._read(reads.generations, number)
        return found[0] if found else None

    # --- swaps ------------------------------------------------------------------------------------------------------

    async def begin_swap(self, swap: PendingSwap) -> None:
        """Let an agent's history begin here, and note the swap until it is ended, in one transaction."""
        begin = writes.Call(partial(swaps.begin, swap=swap, seq=next(self._seq)))
        await self._write(begin, written=lambda _: self._tails.drop_agent(swap.agent_id))

    async def end_swap(self, agent_id: str, *, kept: bool) -> None:
        """End a swap; one that is not `kept` gives the agent its history back."""
        end = writes.Call(partial(swaps.end, agent_id=agent_id, kept=kept))
        await self._write(end, written=lambda _: self._tails.drop_agent(agent_id))

    async def pending_swaps(self) -> tuple[PendingSwap, ...]:
        """Return the swaps that were begun and not ended."""
        return await self._read(swaps.pending)

    # --- usage ------------------------------------------------------------------------------------------------------

    def spend(self, used: Usage) -> None:
        """Add what one call used to its day, within SPEND_SECONDS: nobody waits for it, and a failure is logged."""
        self._spends.append(used)
        if self._spending is None:
            self._spending = asyncio.get_running_loop().call_later(SPEND_SECONDS, self._spend)

    async def usage(self, day: str) -> tuple[Usage, ...]:
        """Return what models were used for on a day (UTC, `2026-11-26`)."""
        if (written := self._spend()) is not None:
            await asyncio.wait([written])
        return await self._read(of_day, day)

    def _spend(self) -> asyncio.Future[Any] | None:
        """Write what calls used since the last time; None when that is nothing, or cannot be."""
        if self._spending is not None:
            self._spending.cancel()
            self._spending = None
        used, self._spends = self._spends, []
        if not used:
            return None
        try:
            future = self._writes.submit(Spend.of(used))
        except Refused as error:
            _unspent(error)
            return None
        future.add_done_callback(self._judged)
        future.add_done_callback(_spent)
        return future

    # --- the threads ------------------------------------------------------------------------------------------------

    async def _read(
        self, question: Callable[Concatenate[apsw.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        answered: T = await self._reads.submit(partial(question, self._reader, *args, **kwargs))
        return answered

    async def _write(
        self,
        job: object,
        conversation: str | None = None,
        recorded: str | None = None,
        written: Callable[[Any], None] | None = None,
        failed: Callable[[], object] | None = None,
    ) -> Any:
        """Queue a job at once and wait for its commit; a caller that gives up takes nothing back.

        `written` hears the job's result before anybody who waited for the commit goes on.
        """
        try:
            future = self._writes.submit(job)
        except Refused:
            if failed is not None:
                failed()
            raise
        future.add_done_callback(self._judged)
        if written is not None:
            future.add_done_callback(partial(_follow, written))
        if conversation is not None:
            self._pending.setdefault(conversation, {})[future] = recorded
            future.add_done_callback(partial(self._written, conversation, failed))
        return await asyncio.shield(future)

    def _judged(self, future: asyncio.Future[Any]) -> None:
        """Keep what the last write tells about the disk, and look again by ourselves while it tells nothing good."""
        error = None if future.cancelled() else future.exception()
        if isinstance(error, NotReady | Damaged):
            if not self.fault:
                logger.bind(reason=error.reason).error(
                    "The state cannot be written: nothing new is answered until it can"
                )
            self.fault = error.reason
            if self._probing is None:
                self._probing = asyncio.get_running_loop().call_later(PROBE_SECONDS, self._probe)
        elif error is None and self.fault:
            self.fault = ""
            logger.info("The state can be written again")

    def _probe(self) -> None:
        self._probing = None
        if self.fault:
            with suppress(Refused):  # closed meanwhile
                self._writes.submit(writes.Call(writes.touch)).add_done_callback(self._judged)

    def _written(self, conversation: str, failed: Callable[[], object] | None, future: asyncio.Future[Any]) -> None:
        waiting = self._pending[conversation]
        del waiting[future]
        if not waiting:
            del self._pending[conversation]
        if failed is not None and (future.cancelled() or future.exception() is not None):
            failed()

    async def _caught_up(self, conversation: str, before_id: str | None) -> None:
        """Wait for the writes to a conversation that were asked for before the message was; their failure is not ours."""
        last = None
        for future, recorded in self._pending.get(conversation, {}).items():
            if before_id is not None and recorded == before_id:
                break
            last = future
        if last is not None:
            await asyncio.wait([last])

    def _count(self, conversation: str, lines: int) -> None:
        self._grown[conversation] += lines
        self._since_prune += 1
        if self._since_prune >= PRUNE_EVERY:
            grown = [name for name, lines in self._grown.items() if lines >= PRUNE_LINES]
            self._since_prune = 0
            for name in grown:
                del self._grown[name]
            self._prune(grown)

    def _prune(self, conversations: Sequence[str] | None) -> None:
        try:
            future = self._writes.submit(
                writes.Call(partial(writes.prune, now=self._clock(), conversations=conversations))
            )
        except Refused:  # closed meanwhile: the next start prunes
            return
        future.add_done_callback(_pruned)


def _follow(written: Callable[[Any], None], future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and future.exception() is None:
        written(future.result())


def _line(reply: Reply, agent_id: str, now: float) -> HistoryLine:
    return HistoryLine(clean(reply.id), clean(reply.author), clean(reply.text), now, agent_id)


def _pruned(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        logger.bind(error=str(error)).warning(
            "Old rows could not be removed from the state database; the next try follows"
        )


def _spent(future: asyncio.Future[Any]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        _unspent(error)


def _unspent(error: BaseException) -> None:
    logger.bind(error=str(error)).warning("What a model used could not be kept; it counts until the program ends")


def _open(path: Path) -> tuple[apsw.Connection, apsw.Connection]:
    connection = connect(path)
    try:
        return connection, connect_reader(path)
    except apsw.Error as error:
        connection.close()
        raise told_as(error) from error


def _key(message: Message) -> writes.Key:
    return sys.intern(clean(message.address.conversation)), clean(message.id)
