"""Asks the agent's model, then its fallbacks in order, and cleans what comes back. Never retries one model itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import ChatModel, Turn
from homunculus.model import Attempt, Completion, Prompt

_THOUGHTS = re.compile(r"<(think|thinking|thought)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Complete:
    """Fill `turn.completion`; every model that failed is kept in `turn.attempts`."""

    name: ClassVar[str] = "model"

    async def run(self, turn: Turn) -> None:
        if turn.prompt is None:
            raise Refused("there is no prompt: the prompt stage must run before this one")
        for model in turn.models:
            completion = await self._ask(model, turn, turn.prompt)
            if completion is not None:
                turn.completion = completion
                turn.notes[self.name] = f"{completion.model} ({completion.provider})"
                return
        raise Refused("; ".join(f"{a.model}: {a.reason}" for a in turn.attempts) or "the agent has no model")

    async def _ask(self, model: ChatModel, turn: Turn, prompt: Prompt) -> Completion | None:
        try:
            completion = await model.complete(prompt)
        except (NotReady, Refused) as error:
            turn.attempts.append(Attempt(model.spec.id, error.reason))
            return None
        except Exception as error:  # noqa: BLE001 - a provider's bug must not keep the fallbacks from answering
            logger.bind(model=model.spec.id).opt(exception=error).error("A model failed unexpectedly")
            turn.attempts.append(Attempt(model.spec.id, f"it failed unexpectedly: {type(error).__name__}"))
            return None
        text = cleaned(completion.text, prompt)
        if not text:
            turn.attempts.append(Attempt(model.spec.id, "the model answered nothing"))
            return None
        return replace(completion, text=text)


def cleaned(text: str, prompt: Prompt) -> str:
    """Return what the character itself says: without thoughts, its own name in front, or lines of other speakers."""
    text = _THOUGHTS.sub("", text).strip()
    text = re.sub(rf"^\**{re.escape(prompt.char)}\**\s*[:：]\**\s*", "", text, count=1, flags=re.IGNORECASE)
    for stop in prompt.stop:
        text = f"\n{text}".split(stop, 1)[0].lstrip("\n")
    return text.strip()
