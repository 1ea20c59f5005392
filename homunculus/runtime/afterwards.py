"""What a turn leaves to be done aside once it is over. Owns those tasks and how many may wait; nobody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack

from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Stage, Turn
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds
from homunculus.runtime.tasks import Tasks

MOST = 64  # turns; what a slow model cannot keep up with is left out, not piled up
GRACE_SECONDS = 2.0  # for what is under way when the program stops


class Afterwards:
    """Run stages after a turn, on the generation the turn ran on. Counts what failed and what was left out."""

    def __init__(self, stages: Sequence[Stage], holds: Holds) -> None:
        self._stages, self._holds, self._tasks = stages, holds, Tasks()
        self._running: set[asyncio.Task[None]] = set()
        self.failed = 0
        self.left_out = 0

    def begin(self, generation: Generation, turn: Turn) -> None:
        """Start the stages; the generation stays in use until they have ended."""
        if not self._stages:
            return
        if len(self._running) >= MOST:
            self.left_out += 1
            logger.bind(agent=turn.agent.id, turn=turn.id, left_out=self.left_out).warning(
                "What was said is not remembered: too many turns wait for the extracting model"
            )
            return
        use = ExitStack()
        use.enter_context(generation.in_use())
        use.enter_context(self._holds.taken(turn.agent.id))
        task = self._tasks.start(self._run(turn), f"after {turn.id}")
        self._running.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            use.close()

        task.add_done_callback(ended)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._running:
            await asyncio.wait(set(self._running))

    @property
    def unremembered(self) -> dict[str, int]:
        """Return the counts since the start, as the status shows them."""
        return {"failed": self.failed, "left_out": self.left_out}

    async def aclose(self) -> None:
        """Let what is under way end, no longer than the grace; cancel the rest."""
        if self._running:
            await asyncio.wait(set(self._running), timeout=GRACE_SECONDS)
        await self._tasks.cancel()

    async def _run(self, turn: Turn) -> None:
        for stage in self._stages:
            try:
                await stage.run(turn)
            except (NotReady, Refused) as error:
                self.failed += 1
                log = logger.bind(agent=turn.agent.id, turn=turn.id, stage=stage.name, failed=self.failed)
                log.bind(reason=error.reason).warning("Something after a turn failed")
            except Exception as error:  # noqa: BLE001 - what comes after a turn takes nothing with it
                self.failed += 1
                log = logger.bind(agent=turn.agent.id, turn=turn.id, stage=stage.name, failed=self.failed)
                log.opt(exception=error).error("Something after a turn failed unexpectedly")
