"""Gets models ready for what they will be asked: after each apply, one prefix after another, aside.

Owns one task; a newer deployment ends the older one's warming. Never delays a turn: models put answers first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from loguru import logger

from homunculus.interfaces import ChatModel
from homunculus.model import Event, Prompt, Reloaded
from homunculus.runtime.tasks import Tasks

Wanted = Callable[[], Iterable[tuple[ChatModel, Prompt]]]  # what runs now, and what each model should be ready for


class Warmer:
    """Warm every model that the running deployment uses."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._tasks = Tasks()
        self._current: asyncio.Task[None] | None = None

    def observe(self, event: Event) -> None:
        """Begin anew when a deployment was applied."""
        if isinstance(event, Reloaded) and event.result == "applied":
            self.begin()

    def begin(self) -> None:
        """Warm what runs now."""
        if self._current is not None:
            self._current.cancel()
        self._current = self._tasks.start(self._warm(), "warm models")

    async def aclose(self) -> None:
        """Stop warming. Safe twice."""
        await self._tasks.cancel()

    async def _warm(self) -> None:
        for model, prompt in self._wanted():
            try:
                await model.warm(prompt)
            except Exception as error:  # noqa: BLE001 - a provider's bug must not leave the other models cold
                logger.bind(model=model.spec.id).opt(exception=error).error("Warming a model failed unexpectedly")
