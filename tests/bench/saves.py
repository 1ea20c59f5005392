"""Save → live: three ways to save, four sizes of file, and how long the event loop stands still meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.children import Child
from tests.bench.files import Deployment
from tests.bench.report import Figure, median, quantile, say
from tests.bench.stage import Run, bot, stage

MS = 1000.0
TARGETS = {10: 60.0, 100: 60.0, 1_000: 100.0, 10_000: 500.0}
HOW = "from the end of the save to the switch of the routes, {n} saves"


def in_place(file: Path, text: str) -> None:
    """Save as `echo >` and some editors do."""
    file.write_text(text)


def rename(file: Path, text: str) -> None:
    """Save as most editors do: beside it, then over it."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text)
    fresh.replace(file)


def delete_and_create(file: Path, text: str) -> None:
    """Save as a few tools do: away with it, then anew."""
    file.unlink()
    file.write_text(text)


STYLES: dict[str, Callable[[Path, str], None]] = {
    "in place": in_place,
    "rename": rename,
    "delete+create": delete_and_create,
}


@dataclass(slots=True)
class Seen:
    """What saves of one style led to, in seconds."""

    live: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    stall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Editor:
    """A person with one file and one running bot, who saves and looks when it is live."""

    def __init__(self, one: Child, file: Path, deployment: Deployment) -> None:
        self._one, self._file, self._deployment, self._turn = one, file, deployment, 0

    async def save(self, style: str, seen: Seen, *, ticking: bool = False) -> None:
        """Change the file once and note how long it took to be live, and to be told."""
        text = self._deployment.with_turn(self._turn).text()
        self._turn += 1
        await asyncio.sleep(random.uniform(0.15, 0.35))  # not in step with anything that looks at intervals
        if ticking:
            await self._one.ask("worst")
        cpu = await self._one.ask("cpu")
        await asyncio.to_thread(STYLES[style], self._file, text)
        saved = time.monotonic()
        live = await self._news("live")
        told = await self._news("reloaded")
        seen.live.append(live - saved)
        seen.told.append(told - saved)
        seen.cpu.append(await self._one.ask("cpu") - cpu)
        if ticking:
            seen.stall.append(await self._one.ask("worst"))

    async def idle(self, seconds: float) -> float:
        """Return the worst delay of the loop while nobody saves."""
        await self._one.ask("worst")
        await asyncio.sleep(seconds)
        return float(await self._one.ask("worst"))

    async def _news(self, kind: str) -> float:
        async with asyncio.timeout(180):
            while True:
                news = await self._one.news.get()
                if news["news"] == kind:
                    if news.get("result", "applied") != "applied":
                        raise RuntimeError(f"a save was not applied: {news}")
                    return float(news["at"])
                if news["news"] == "ended":
                    raise RuntimeError("the bot ended")


@asynccontextmanager
async def editing(run: Run, channels: int) -> AsyncIterator[Editor]:
    """Run a bot with that many Discord channels and as many bindings."""
    async with stage(run, f"saves-{channels}", channels) as place:
        deployment = place.deployment(channels, bindings=channels)
        file = deployment.written(place.folder)
        async with bot(file) as one:
            yield Editor(one, file, deployment)


async def save_to_live(run: Run) -> list[Figure]:
    figures = []
    for channels in (10, 100, 1_000, 10_000) if not run.quick else (10, 100):
        async with editing(run, channels) as editor:
            for style in STYLES:
                seen = await _series(editor, style, run.times(40, 4), 30.0 if not run.quick else 5.0)
                figures += _shown(channels, style, seen)
    return figures


async def _series(editor: Editor, style: str, times: int, seconds: float) -> Seen:
    """Save again and again; the first is a rehearsal, and slow ones are cut short, but for three."""
    await editor.save(style, Seen())
    seen, began = Seen(), time.monotonic()
    while len(seen.live) < times and (len(seen.live) < 3 or time.monotonic() - began < seconds):
        await editor.save(style, seen)
    return seen


def _shown(channels: int, style: str, seen: Seen) -> list[Figure]:
    what = f"save → live, {channels:,} channels, {style}"
    p50, p95 = quantile(seen.live, 0.5) * MS, quantile(seen.live, 0.95) * MS
    say(f"{what}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, told p50 {quantile(seen.told, 0.5) * MS:.0f} ms")
    how = HOW.format(n=len(seen.live))
    return [
        Figure("saves", f"{what}, p50", p50, "ms", None, how=how),
        Figure("saves", f"{what}, p95", p95, "ms", TARGETS[channels]),
        Figure("saves", f"{what}, told (Reloaded), p50", quantile(seen.told, 0.5) * MS, "ms"),
        Figure("saves", f"{what}, CPU", median(seen.cpu) * MS, "ms", how="of the whole process, median"),
    ]


async def stall(run: Run) -> list[Figure]:
    channels = 1_000 if not run.quick else 50
    async with editing(run, channels) as editor:
        await editor._one.ask("tick")
        seen = Seen()
        for _ in range(run.times(15, 3)):
            for style in STYLES:
                await editor.save(style, seen, ticking=True)
        quiet = [await editor.idle(1.0) for _ in range(run.times(15, 2))]
    how = f"a task that ticks each ms; worst gap of a reload, {len(seen.stall)} reloads"
    what = f"loop stall during a reload, {channels:,} channels"
    return [
        Figure("stall", f"{what}, median", median(seen.stall) * MS, "ms", 10.0, how=how),
        Figure("stall", f"{what}, p95", quantile(seen.stall, 0.95) * MS, "ms"),
        Figure(
            "stall",
            "the same in a second without a reload, median",
            median(quiet) * MS,
            "ms",
            how="what the machine adds",
        ),
    ]
