"""Homunculus itself, as `homunculus serve` runs it, with ears for the bench: what went live when, and how the loop stalls."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

from homunculus.logs import set_up
from homunculus.model import AdapterChanged, Event, Reloaded
from homunculus.program import Program, started
from homunculus.runtime.supervisor import Applied, Supervisor
from tests.bench.children import obey, tell

SWITCH_SECONDS = 0.0005  # as `homunculus serve` sets it
TICK = 0.001


class Ticking:
    """A task that wants to run every millisecond, and remembers how late it was at worst."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.worst = 0.0
        self._task = self._task or asyncio.create_task(self._run(), name="ticking")

    async def take(self) -> float:
        """Return the worst delay since the last look, in seconds."""
        worst, self.worst = self.worst, 0.0
        return worst

    async def _run(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(TICK)
            now = time.perf_counter()
            self.worst = max(self.worst, now - before - TICK)
            before = now


class Traced:
    """Python's own count of what is allocated, for a growth that resident memory would blur."""

    async def begin(self) -> None:
        tracemalloc.start()

    async def take(self) -> int:
        return tracemalloc.get_traced_memory()[0]


def _tell_switches() -> None:
    """Say when a deployment is live: the moment `apply` has switched the routes, before it is logged or told."""
    apply = Supervisor.apply

    async def told(self: Supervisor, wanted: Any) -> Applied:
        applied = await apply(self, wanted)
        tell("live", at=time.monotonic())
        return applied

    Supervisor.apply = told  # type: ignore[method-assign]


def _tell(event: Event) -> None:
    if isinstance(event, Reloaded):
        tell("reloaded", at=time.monotonic(), result=event.result, errors=list(event.errors))
    elif isinstance(event, AdapterChanged) and event.state in ("ready", "failed"):
        tell(event.state, key=event.runtime_key, reason=event.reason)


async def main(file: Path) -> None:
    """Run a deployment until the parent hangs up."""
    sys.setswitchinterval(SWITCH_SECONDS)
    _tell_switches()
    async with started(file) as program:
        program.container.bus().subscribe(_tell)
        for adapter in program.supervisor.adapters():
            if adapter.state == "ready":
                tell("ready", key=adapter.runtime_key, reason="")
        watching = asyncio.create_task(program.watch(), name="watch the deployment file")
        ticking, traced = Ticking(), Traced()
        deeds = {"tick": ticking.start, "worst": ticking.take, "trace": traced.begin, "traced": traced.take}
        await obey({**deeds, "profile": _profiler(program)})
        watching.cancel()
        await asyncio.wait({watching})


def _profiler(_: Program) -> Any:
    import cProfile

    profile = cProfile.Profile()

    async def switch(on: bool, to: str = "") -> None:
        if on:
            profile.enable()
        else:
            profile.disable()
            profile.dump_stats(to)

    return switch


if __name__ == "__main__":
    set_up("INFO", stream=Path(os.environ.get("BENCH_LOG", os.devnull)).open("w"))  # noqa: SIM115 - lives as long as we do
    asyncio.run(main(Path(sys.argv[1])))
