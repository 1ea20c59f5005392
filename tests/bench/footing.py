"""What it costs before anybody says a word: memory, start-up, and doing nothing. Of `homunculus serve` itself."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.children import ROOT, cpu_of, resident
from tests.bench.report import MIB, Figure, median, spread
from tests.bench.stage import Run, Stage, stage


@dataclass(frozen=True, slots=True)
class Started:
    """One server that is ready: its process, and what its start took in CPU seconds."""

    pid: int
    cpu: float


@asynccontextmanager
async def serving(file: Path) -> AsyncIterator[Started]:
    """Run `homunculus serve` until its table is shown, which it does once the adapters are ready."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "homunculus", "serve", str(file)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "200"},
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        shown: list[str] = []
        async with asyncio.timeout(300):
            while not (line := (await process.stdout.readline()).decode()).startswith("Open "):
                if not line:
                    raise RuntimeError("serve ended: " + "".join(shown))
                shown.append(line)
        if not any("discord" in line and "ready" in line for line in shown):
            raise RuntimeError("Discord was not ready when the table was shown")
        yield Started(process.pid, cpu_of(process.pid))
    finally:
        process.terminate()
        await process.communicate()


async def _settled(file: Path, seconds: float) -> tuple[float, float]:
    """Return CPU of the start and resident bytes some seconds after it."""
    async with serving(file) as server:
        await asyncio.sleep(seconds)
        return server.cpu, float(resident(server.pid))


async def memory(run: Run) -> list[Figure]:
    few, many = 10, run.times(1_000, 50)
    found: dict[int, list[float]] = {few: [], many: []}
    async with stage(run, "memory", many) as place:
        for number in range(run.times(3, 1)):
            for channels in found:
                _, size = await _settled(_file(place, channels, number), 3.0 if not run.quick else 0.2)
                found[channels].append(size)
    each = (median(found[many]) - median(found[few])) / (many - few) / 1024
    base = median(found[few]) / MIB
    how = f"resident, one Discord adapter ready, API and page on; {spread([size / MIB for size in found[few]])}"
    return [
        Figure("memory", f"base memory, {few} channels", base, "MiB", 56.0, how=how),
        Figure(
            "memory", "memory per extra channel", each, "KiB", 12.0, how=f"resident, {many:,} channels against {few}"
        ),
    ]


async def start(run: Run) -> list[Figure]:
    channels = run.times(1_000, 50)
    took = []
    async with stage(run, "start", channels) as place:
        for number in range(run.times(5, 1)):
            cpu, _ = await _settled(_file(place, channels, number), 0.0)
            took.append(cpu)
    how = f"{channels:,} channels, from exec to the table of a ready server; {spread(took)}"
    return [Figure("start", "cold start to ready, CPU", median(took), "s", 0.9, how=how)]


async def idle(run: Run) -> list[Figure]:
    seconds = run.times(60, 1)
    async with stage(run, "idle", 100) as place, serving(_file(place, 100, 0)) as server:
        await asyncio.sleep(run.times(5, 0))
        before = cpu_of(server.pid)
        await asyncio.sleep(seconds)
        spent = (cpu_of(server.pid) - before) / seconds * 100
    return [Figure("idle", "idle CPU", spent, "%", 0.3, how=f"of one core over {seconds} s, 100 channels, connected")]


def _file(place: Stage, channels: int, number: int) -> Path:
    folder = place.folder / f"{channels}-{number}"
    folder.mkdir()
    return Stage(place.loopback, place.where, folder).deployment(channels).written(folder)
