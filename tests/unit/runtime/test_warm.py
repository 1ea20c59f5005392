"""Models get ready for what runs now, and one that breaks leaves the others warm."""

from __future__ import annotations

import asyncio

from homunculus.model import ChatMessage, ModelSpec, Prompt, Reloaded
from homunculus.runtime.warm import Warmer

PROMPT = Prompt((ChatMessage("system", "You are Kovach."),))


class Model:
    """Counts what it is warmed with; holds on, or breaks, when told to."""

    def __init__(self, *, breaks: bool = False, holds: bool = False) -> None:
        self.spec = ModelSpec("default", "scripted")
        self.warmed, self.breaks, self.holds = asyncio.Semaphore(0), breaks, holds
        self.count = 0

    async def warm(self, prompt: Prompt) -> None:
        self.count += 1
        self.warmed.release()
        if self.breaks:
            raise ZeroDivisionError("a bug")
        if self.holds:
            await asyncio.Event().wait()


async def test_every_model_is_warmed_after_an_apply_and_nothing_after_a_refusal() -> None:
    first, broken, last = Model(), Model(breaks=True), Model()
    warmer = Warmer(lambda: [(model, PROMPT) for model in (first, broken, last)])  # type: ignore[misc]
    warmer.observe(Reloaded("refused", 1))
    warmer.observe(Reloaded("applied", 2))
    await asyncio.wait_for(last.warmed.acquire(), 5)
    await warmer.aclose()
    assert [model.count for model in (first, broken, last)] == [1, 1, 1]


async def test_a_newer_deployment_ends_the_older_ones_warming() -> None:
    slow, wanted = Model(holds=True), [Model()]
    now: list[Model] = [slow]
    warmer = Warmer(lambda: [(model, PROMPT) for model in now])  # type: ignore[misc]
    warmer.begin()
    await asyncio.wait_for(slow.warmed.acquire(), 5)
    now[:] = wanted
    warmer.observe(Reloaded("applied", 2))
    await asyncio.wait_for(wanted[0].warmed.acquire(), 5)
    await warmer.aclose()
    await warmer.aclose()
