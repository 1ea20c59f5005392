"""What each of the last turns went through, found by the id of any of its messages or replies.

Owns a bounded memory of traces; never keeps more than it was told to, and nothing on disk.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from homunculus.model import Event, Message, ReplySent, Trace, TurnEnded
from homunculus.runtime.orders import STAGE

KEPT = 2000


@dataclass(slots=True)
class _Kept:
    trace: Trace | None = None
    ids: list[str] = field(default_factory=list)


class Traces:
    """Keep the newest traces and answer for a message id."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        # All the mutable state: the turns, the newest last, and the turn of each message or reply.
        self._turns: OrderedDict[str, _Kept] = OrderedDict()
        self._turn_of: dict[str, str] = {}
        self._lately: OrderedDict[str, Trace] = OrderedDict()  # by conversation, the last that is no command's

    def observe(self, event: Event) -> None:
        """Take note of replies and of ended turns."""
        match event:
            case ReplySent(reply=reply, message_id=message_id):
                # A reply's id is its turn's and the part's ordinal, so it is found whichever event comes first.
                self._attach(reply.id.rpartition(".")[0], (message_id,))
            case TurnEnded(trace=trace):
                self._attach(trace.turn_id, trace.message_ids).trace = trace
                self._note(trace)

    def find(self, message_id: str) -> Trace | None:
        """Return the newest trace that this message or reply belongs to."""
        kept = self._turns.get(self._turn_of.get(message_id, ""))
        return kept.trace if kept else None

    def told(self, message: Message) -> Trace | None:
        """Return what became of the message that this one replies to, else of the last talk in its conversation."""
        return self.find(message.reply_to or "") or self._lately.get(message.address.label)

    def _note(self, trace: Trace) -> None:
        if any(span.stage == STAGE for span in trace.spans):
            return
        self._lately[trace.conversation] = trace
        self._lately.move_to_end(trace.conversation)
        while len(self._lately) > self._kept:
            self._lately.popitem(last=False)

    def _attach(self, turn: str, ids: tuple[str, ...]) -> _Kept:
        kept = self._turns.setdefault(turn, _Kept())
        kept.ids += ids
        self._turn_of.update(dict.fromkeys(ids, turn))
        while len(self._turns) > self._kept:
            self._forget(*self._turns.popitem(last=False))
        return kept

    def _forget(self, turn: str, kept: _Kept) -> None:
        for message_id in kept.ids:
            if self._turn_of.get(message_id) == turn:
                del self._turn_of[message_id]


def shown(trace: Trace) -> dict[str, Any]:
    """Show a trace as JSON; times in seconds since the epoch."""
    return {
        "turn_id": trace.turn_id,
        "message_ids": list(trace.message_ids),
        "conversation": trace.conversation,
        "agent_id": trace.agent_id,
        "rule": trace.rule,
        "outcome": trace.outcome,
        "reason": trace.reason,
        "model": trace.model,
        "provider": trace.provider,
        "attempts": [{"model": attempt.model, "reason": attempt.reason} for attempt in trace.attempts],
        "stages": [
            {"stage": span.stage, "started": span.started, "ended": span.ended, "detail": span.detail}
            for span in trace.spans
        ],
    }
