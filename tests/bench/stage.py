"""Sets the stage of a row: a folder, a loopback, a bot. Owns the settings of a run; measures nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.children import Child, child
from tests.bench.files import Deployment

READY_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Run:
    """How much is measured: `scale` 1.0 is the figure worth quoting, `quick` shows that the bench itself works."""

    folder: Path
    quick: bool = False

    def times(self, whole: int, quick: int) -> int:
        return quick if self.quick else whole

    def fresh(self, name: str) -> Path:
        """Make a folder for one part of a run."""
        for number in range(1_000):
            folder = self.folder / f"{name}-{number}"
            if not folder.exists():
                folder.mkdir(parents=True)
                return folder
        raise RuntimeError("too many folders of one name")


@dataclass(frozen=True, slots=True)
class Stage:
    """A loopback with channels, and where to write a deployment for it."""

    loopback: Child
    where: dict[str, str]
    folder: Path

    def deployment(self, channels: int, **more: object) -> Deployment:
        return Deployment(self.folder / "home", self.where, channels, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def stage(run: Run, name: str, channels: int) -> AsyncIterator[Stage]:
    """Run the loopback Discord in a process of its own."""
    async with child("loopback", str(channels)) as loopback:
        yield Stage(loopback, await loopback.ask("where"), run.fresh(name))


@asynccontextmanager
async def bot(file: Path) -> AsyncIterator[Child]:
    """Run Homunculus on a file, until its Discord instance is ready."""
    async with child("bot", str(file)) as one:
        await ready(one)
        yield one


@asynccontextmanager
async def bare(where: dict[str, str], model: str, acknowledge: str) -> AsyncIterator[Child]:
    """Run the bare discord.py bot."""
    given = (where["api_base"], where["gateway"], where["model"], where["model_key"])
    async with child("bare", *given, model, acknowledge) as one:
        await ready(one)
        yield one


async def ready(one: Child) -> None:
    """Wait until it is connected."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            news = await one.news.get()
            if news["news"] == "ready" and news["key"] in ("discord", "bare"):
                return
            if news["news"] in ("failed", "ended"):
                raise RuntimeError(f"it does not come up: {news}")
