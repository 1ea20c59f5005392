"""What happened, as frozen data: log, metrics, server-sent events and traces subscribe to these. Never carries a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from homunculus.model.chat import Address, Message, Receipt, Reply, Trace

AdapterState = Literal["disabled", "unconfigured", "connecting", "ready", "retrying", "failed", "stopping"]


@dataclass(frozen=True, slots=True)
class Event:
    """Stand above every event; `kind` is its name on the wire."""

    kind: ClassVar[str] = "event"


@dataclass(frozen=True, slots=True)
class MessageReceived(Event):
    """A message arrived and was recorded, dropped as a duplicate, or ignored."""

    kind: ClassVar[str] = "message"
    message: Message
    receipt: Receipt
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class ReplySent(Event):
    """One part of a reply reached its platform as `message_id`."""

    kind: ClassVar[str] = "reply"
    address: Address
    reply: Reply
    message_id: str


@dataclass(frozen=True, slots=True)
class TurnEnded(Event):
    """A turn ended, or a message was decided upon without one. Emitted exactly once for each recorded message."""

    kind: ClassVar[str] = "turn"
    address: Address
    trace: Trace


@dataclass(frozen=True, slots=True)
class AdapterChanged(Event):
    """An adapter instance entered a state; `since` in seconds since the epoch."""

    kind: ClassVar[str] = "adapter"
    runtime_key: str
    state: AdapterState
    reason: str = ""
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Reloaded(Event):
    """A save was looked at: applied as `generation`, found to change nothing, or refused with `errors`."""

    kind: ClassVar[str] = "reload"
    result: Literal["applied", "unchanged", "refused"]
    generation: int
    changes: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ModelProgress(Event):
    """A model gets ready: `done` of `total` bytes fetched (0 when unknown), or a `phase` without a measure."""

    kind: ClassVar[str] = "model"
    model: str
    phase: Literal["fetching", "loading", "warming", "ready", "failed"]
    done: int = 0
    total: int = 0
    detail: str = ""
