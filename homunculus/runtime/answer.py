"""One turn from its start to its end: the stages in order, signs of life beside them, and one event that tells it all.

Owns the trace; never picks messages, agents or generations: it runs on what it was given and reads nothing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from hashlib import blake2b
from typing import Literal

from loguru import logger

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.interfaces import Clock, Emit, Stage, Turn
from homunculus.model import Message, Span, Trace, TurnEnded
from homunculus.runtime.generation import Generation
from homunculus.runtime.post import Batch, Post, Void
from homunculus.runtime.preview import Preview
from homunculus.runtime.sending import Sleep
from homunculus.runtime.store import Store

Outcome = Literal["answered", "silent", "ignored", "failed", "uncertain"]


class Answer:
    """Take batches through the stages."""

    def __init__(
        self, stages: Sequence[Stage], store: Store, post: Post, emit: Emit, clock: Clock, sleep: Sleep
    ) -> None:
        self._stages, self._store, self._post, self._emit = stages, store, post, emit
        self._clock, self._sleep = clock, sleep

    async def run(self, generation: Generation, batch: Batch) -> None:
        """Answer a batch on one generation. Raises Void when a message of it is not ours; every other end is an event."""
        turn = self._turn(generation, batch)
        self._post.begin(turn, batch)
        runner = batch.last.runner
        if turn.agent.spec.stream and "edit" in runner.abilities:
            publish, change = partial(self._post.open, turn), partial(self._post.edit, turn)
            turn.preview = Preview(publish, change, self._sleep, runner.edit_every)
        acknowledged = batch.last.runner.acknowledge(turn.messages)
        try:
            outcome, reason = await self._through(turn, batch)
        finally:
            await self._post.break_off(turn)
            self._post.end(turn)
            acknowledged()
        if outcome == "failed":
            log = logger.bind(place=turn.address.label, agent=turn.agent.id, turn=turn.id, reason=reason)
            log.error("A turn failed")
        if not batch.ended:
            await batch.recorded()
            await self.settle(turn.messages, outcome, reason)
        self._emit(TurnEnded(turn.address, _trace(turn, outcome, reason)))

    async def settle(self, messages: Sequence[Message], outcome: Outcome, reason: str) -> None:
        """End messages without a reply. A state that cannot be written is logged: they are found again at the next start."""
        try:
            await self._store.settle(messages, outcome, reason)
        except Exception as error:  # noqa: BLE001 - the conversation goes on
            logger.bind(place=messages[-1].address.label).opt(exception=error).error("Ending a message failed")

    def tell(
        self, message: Message, outcome: Outcome, reason: str, agent_id: str | None, rule: str, *spans: Span
    ) -> None:
        """Emit the end of a message that led to no turn."""
        address = message.address
        ident = turn_id(address.conversation, agent_id or "", message.id)
        trace = Trace(ident, (message.id,), address.label, agent_id, rule, outcome, reason, spans=spans)
        self._emit(TurnEnded(address, trace))

    def _turn(self, generation: Generation, batch: Batch) -> Turn:
        last, agent = batch.last, generation.agents[batch.last.agent_id]
        begun = Span("wait", last.spans[-1].ended, self._clock()) if last.spans else None
        return Turn(
            id=turn_id(last.message.address.conversation, agent.id, last.message.id),
            agent=agent,
            messages=tuple(waiting.message for waiting in batch.waiting),
            models=generation.models_of(agent),
            persona=generation.persona(last.runner.spec, last.runner.abilities),
            limit=last.runner.limit,
            rule=last.rule,
            spans=[*last.spans, begun] if begun else [],
        )

    async def _through(self, turn: Turn, batch: Batch) -> tuple[Outcome, str]:
        try:
            for stage in self._stages:
                await self._stage(stage, turn)
        except Void:
            raise
        except Uncertain as error:
            return "uncertain", error.reason
        except (NotReady, Refused) as error:
            return "failed", error.reason
        except Exception as error:  # noqa: BLE001 - a stage's bug ends its turn, visibly, and nothing else
            logger.bind(turn=turn.id, agent=turn.agent.id).opt(exception=error).error("A stage failed unexpectedly")
            return "failed", f"it failed unexpectedly: {type(error).__name__}"
        return ("answered", "") if batch.sent else ("silent", "it had nothing to say")

    async def _stage(self, stage: Stage, turn: Turn) -> None:
        started = self._clock()
        try:
            await stage.run(turn)
        finally:
            turn.spans.append(Span(stage.name, started, self._clock(), turn.notes.get(stage.name, "")))


def turn_id(conversation: str, agent_id: str, message_id: str) -> str:
    """Name a turn by what it answers, so that a retry after a crash carries the same name."""
    text = "\0".join((conversation, agent_id, message_id))
    return blake2b(text.encode(), digest_size=12).hexdigest()


def _trace(turn: Turn, outcome: Outcome, reason: str) -> Trace:
    done = turn.completion
    return Trace(
        turn_id=turn.id,
        message_ids=tuple(message.id for message in turn.messages),
        conversation=turn.address.label,
        agent_id=turn.agent.id,
        rule=turn.rule,
        outcome=outcome,
        reason=reason,
        model=done.model if done else "",
        provider=done.provider if done else "",
        spans=tuple(turn.spans),
        attempts=tuple(turn.attempts),
    )
