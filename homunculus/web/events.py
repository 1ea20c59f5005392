"""Events on the wire: server-sent events with increasing ids, a bounded past, and no patience with slow readers.

Owns the subscribers and the last events. `observe` never waits: a reader that cannot keep up is dropped, comes back with
`Last-Event-ID`, and gets what it missed, or a `gap` when that is gone.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

from homunculus.model import (
    AdapterChanged,
    Address,
    Event,
    MessageReceived,
    ModelProgress,
    Reloaded,
    ReplySent,
    TurnEnded,
)

HEARTBEAT_SECONDS = 15.0
_PAST = 1000
_PROGRESS_SECONDS = 0.2
_BEHIND = 256  # how far a reader may fall behind before it is dropped
_READERS = 64


class _Told(NamedTuple):
    """One event that was told; it becomes bytes only for who reads it, and mostly nobody does."""

    number: int
    kind: str
    payload: dict[str, Any]

    def frame(self) -> bytes:
        return _frame(self.kind, self.payload, self.number)


class TooManyReaders(Exception):
    """Say that no further stream can be opened now."""


class Subscription:
    """One reader's place in the stream: its frames end when the hub closes or the reader fell behind."""

    def __init__(self, heartbeat: float, leave: Callable[[Subscription], None]) -> None:
        self._frames: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._heartbeat, self._leave = heartbeat, leave
        self.over = asyncio.Event()  # set once it is dropped or closed; then nothing more is sent
        self.dropped = False

    def push(self, frame: bytes) -> None:
        """Queue a frame; drop the reader instead when it is too far behind."""
        if len(self._frames) >= _BEHIND:
            self.dropped = True
            self.end()
            return
        self._frames.append(frame)
        self._news.set()

    def end(self) -> None:
        """Let the stream end at once."""
        self.over.set()
        self._news.set()

    def leave(self) -> None:
        """Give the place back, and end. Safe twice."""
        self._leave(self)
        self.end()

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield each frame, and a comment now and then while there is none."""
        while not self.over.is_set():
            if self._frames:
                yield self._frames.popleft()
            elif comment := await self._quiet():
                yield comment

    async def _quiet(self) -> bytes:
        """Wait for news; a comment when there was none for a heartbeat's time."""
        self._news.clear()
        try:
            async with asyncio.timeout(self._heartbeat):
                await self._news.wait()
        except TimeoutError:
            return b": still here\n\n"
        return b""


class EventHub:
    """Turn events into frames, keep the last ones, and hand them to every reader."""

    def __init__(
        self, clock: Callable[[], float] = time.time, past: int = _PAST, heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        # Ids go on growing over a restart, so an old Last-Event-ID is recognised as one from before it.
        self._first = int(clock() * 1000) * 1000
        self._ids = itertools.count(self._first + 1)
        self._last = self._first
        self._clock, self._heartbeat = clock, heartbeat
        self._past: deque[_Told] = deque(maxlen=past)
        self._readers: set[Subscription] = set()
        self._progress: dict[str, dict[str, Any]] = {}
        self._told: dict[str, float] = {}

    def observe(self, event: Event) -> None:
        """Send an event to every reader, without waiting for any."""
        payload = shown(event)
        if payload is None:
            return
        if isinstance(event, ModelProgress) and not self._worth_telling(event, payload):
            return
        self._last = next(self._ids)
        told = _Told(self._last, event.kind, {**payload, "at": round(self._clock(), 3)})
        self._past.append(told)
        if not self._readers:
            return
        frame = told.frame()
        for reader in tuple(self._readers):
            reader.push(frame)
            if reader.dropped:
                self._readers.discard(reader)

    def _worth_telling(self, event: ModelProgress, payload: dict[str, Any]) -> bool:
        """Note how far a model is; a download tells of every chunk, and a few words a second are enough for people."""
        before, self._progress[event.model] = self._progress.get(event.model), payload
        told, now = self._told.get(event.model, 0.0), self._clock()
        if before is not None and before["phase"] == event.phase and 0 <= now - told < _PROGRESS_SECONDS:
            return False
        self._told[event.model] = now
        return True

    def progress(self) -> list[dict[str, Any]]:
        """Return the last word of each model that told how it gets ready."""
        return list(self._progress.values())

    def subscribe(self, last_id: str | None = None) -> Subscription:
        """Open a stream that begins after the event of that id; raise TooManyReaders when there are enough."""
        if len(self._readers) >= _READERS:
            raise TooManyReaders
        reader = Subscription(self._heartbeat, self._readers.discard)
        # The buffer may hold more than a reader may be behind; a gap costs the page one fetch and loses nothing.
        missed = self._missed(last_id) if last_id else []
        # Even who hears nothing before the line breaks can say where it stood.
        reader.push(b"retry: 1000\n" + (b"" if last_id else b"id: %d\n" % self._last) + b": welcome\n\n")
        for frame in missed if missed is not None and len(missed) < _BEHIND else [_frame("gap", {}, self._last)]:
            reader.push(frame)
        self._readers.add(reader)
        return reader

    def close(self) -> None:
        """End every stream at once. The hub goes on: a server that moves to another port opens new ones."""
        for reader in tuple(self._readers):
            reader.end()
        self._readers.clear()

    def _missed(self, last_id: str) -> list[bytes] | None:
        """Return the frames after an id; None when some of them are gone, or it is not one of ours."""
        if not (last_id.isascii() and last_id.isdigit() and len(last_id) < 20):
            return None
        seen = int(last_id)
        oldest = self._past[0].number if self._past else self._last + 1
        if not oldest - 1 <= seen <= self._last:
            return None
        return [told.frame() for told in self._past if told.number > seen]


def _frame(kind: str, payload: dict[str, Any], number: int) -> bytes:
    data = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, kind.encode(), data)


def _place(address: Address) -> dict[str, Any]:
    return {
        "conversation": address.label or address.conversation,
        "platform": address.platform,
        "adapter": address.adapter,
        "place": address.place,
        "direct": address.direct,
    }


def shown(event: Event) -> dict[str, Any] | None:
    """Show what the pages show of an event; None for those that they do not."""
    match event:
        case MessageReceived(message=message, receipt=receipt, agent_id=agent_id):
            return {
                **_place(message.address),
                "id": message.id,
                "author": message.author.name,
                "user": message.author.id,
                "text": message.text,
                "what": message.kind,
                "receipt": receipt.value,
                "agent_id": agent_id,
                "time": message.time,
            }
        case ReplySent(address=address, reply=reply, message_id=message_id):
            return {
                **_place(address),
                "id": message_id,
                "agent_id": reply.agent_id or None,
                "author": reply.author,
                "text": reply.text,
                "quotes": reply.quotes,
            }
        case TurnEnded(address=address, trace=trace):
            return {
                **_place(address),
                "turn_id": trace.turn_id,
                "message_ids": list(trace.message_ids),
                "agent_id": trace.agent_id,
                "rule": trace.rule,
                "outcome": trace.outcome,
                "reason": trace.reason,
                "model": trace.model,
                "provider": trace.provider,
            }
        case AdapterChanged():
            return {
                "runtime_key": event.runtime_key,
                "state": event.state,
                "reason": event.reason,
                "since": event.since,
            }
        case Reloaded():
            return {
                "result": event.result,
                "generation": event.generation,
                "changes": list(event.changes),
                "errors": list(event.errors),
                "warnings": list(event.warnings),
                "seconds": event.seconds,
            }
        case ModelProgress():
            return {
                "model": event.model,
                "phase": event.phase,
                "done": event.done,
                "total": event.total,
                "detail": event.detail,
            }
        case _:
            return None
