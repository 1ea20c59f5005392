"""Asks the agent's model, then its fallbacks in order, and cleans what comes back. Never retries one model itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import ChatModel, Turn
from homunculus.model import Attempt, Completion, Prompt, Reply
from homunculus.pipelines.replies import replies

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
            completion = await model.complete(prompt, _shown_early(turn, prompt))
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


def _shown_early(turn: Turn, prompt: Prompt) -> Callable[[str], None] | None:
    """Return what hears the pieces of an answer and shows them as the beginning of the reply."""
    preview = turn.preview
    if preview is None:
        return None
    heard: list[str] = []

    def make() -> Reply | None:
        return next(iter(replies(turn, cleaned("".join(heard), prompt))), None)

    def hear(piece: str) -> None:
        heard.append(piece)
        preview.show(make)

    return hear


def cleaned(text: str, prompt: Prompt) -> str:
    """Return what the character itself says: without thoughts, its own name in front, or lines of other speakers."""
    text = _THOUGHTS.sub("", text).strip()
    text = re.sub(rf"^\**{re.escape(prompt.char)}\**\s*[:：]\**\s*", "", text, count=1, flags=re.IGNORECASE)
    for stop in prompt.stop:
        text = f"\n{text}".split(stop, 1)[0].lstrip("\n")
    return text.strip()
