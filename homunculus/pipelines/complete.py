"""Asks the agent's model, then its fallbacks in order, and cleans what comes back. Never retries one model itself.

A model that fails is logged when it begins to fail, or fails otherwise than before, not with every message. When nothing
answered, the turn ends with every reason; when that is only because budgets are used up, it ends in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

from loguru import logger

from homunculus.errors import NotReady, Refused, Spent
from homunculus.interfaces import ChatModel, Turn
from homunculus.model import Attempt, Completion, Prompt, Reply
from homunculus.pipelines.budget import Account, Meter
from homunculus.pipelines.clean import Cleaner
from homunculus.pipelines.replies import replies


@dataclass(frozen=True, slots=True)
class Complete:
    """Fill `turn.completion`; every model that failed is kept in `turn.attempts`."""

    meter: Meter
    name: ClassVar[str] = "model"
    _failing: dict[str, str] = field(default_factory=dict)  # model → the reason that was logged last

    async def run(self, turn: Turn) -> None:
        if turn.prompt is None:
            raise Refused("there is no prompt: the prompt stage must run before this one")
        account = Account.of(turn)
        cleaner, spent = Cleaner.of(turn.prompt), 0
        for model in turn.models:
            try:
                turn.completion = await self._ask(self.meter.metered(model, account), turn, turn.prompt, cleaner)
            except Spent as error:
                turn.attempts.append(Attempt(model.spec.id, error.reason))
                spent += 1
            if turn.completion is not None:
                turn.notes[self.name] = f"{turn.completion.model} ({turn.completion.provider})"
                return
        reason = "; ".join(f"{a.model}: {a.reason}" for a in turn.attempts) or "the agent has no model"
        raise Spent(reason) if spent and spent == len(turn.models) else Refused(reason)

    async def _ask(self, model: ChatModel, turn: Turn, prompt: Prompt, cleaner: Cleaner) -> Completion | None:
        try:
            completion = await model.complete(prompt, _shown_early(turn, cleaner))
        except Spent:
            raise
        except (NotReady, Refused) as error:
            self._failed(model, turn, error.reason)
            return None
        except Exception as error:  # noqa: BLE001 - a provider's bug must not keep the fallbacks from answering
            logger.bind(model=model.spec.id).opt(exception=error).error("A model failed unexpectedly")
            self._failed(model, turn, f"it failed unexpectedly: {type(error).__name__}")
            return None
        text = cleaner.whole(completion.text)
        if not text:
            self._failed(model, turn, "the model answered nothing")
            return None
        if self._failing.pop(model.spec.id, None) is not None:
            logger.bind(model=model.spec.id).info("A model answers again")
        return replace(completion, text=text)

    def _failed(self, model: ChatModel, turn: Turn, reason: str) -> None:
        """Keep a failure in the turn, and log it when it is news."""
        name = model.spec.id
        turn.attempts.append(Attempt(name, reason))
        if self._failing.get(name) != reason:
            self._failing[name] = reason
            logger.bind(model=name, agent=turn.agent.id, reason=reason).warning("A model failed; the next one is asked")


def _shown_early(turn: Turn, cleaner: Cleaner) -> Callable[[str], None] | None:
    """Return what hears the pieces of an answer and shows them as the beginning of the reply."""
    preview = turn.preview
    if preview is None:
        return None
    heard: list[str] = []

    def make() -> Reply | None:
        return next(iter(replies(turn, cleaner.beginning("".join(heard)))), None)

    def hear(piece: str) -> None:
        heard.append(piece)
        preview.show(make)

    return hear
