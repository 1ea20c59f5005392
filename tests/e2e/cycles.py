"""Add and remove an adapter instance again and again in one process, and measure that process from the inside.

    python -m tests.e2e.cycles 50 FILE WITH WITHOUT discord:keeper     # runs FILE; WITH and WITHOUT are the texts to save over it

Prints one line of JSON a cycle. The loopback platform is somebody else's process, so that only the bot is measured. Memory
is what `tracemalloc` counts after a collection: unlike the resident set it is not rounded to the allocator's arenas, and
30 cycles already show a growth of a kilobyte. What C libraries allocate it does not see: the resident set is printed beside.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from homunculus.logs import set_up
from homunculus.model import AdapterChanged, Event, TurnEnded
from homunculus.program import Program, started
from tests.e2e.serving import ROOT, write

READY = "ready"
EVENTS, EVENT_BYTES = 1_000, 600  # as many as are kept, and about as large as those of a cycle
WARM_UP = 20  # cycles: caches and arenas are what they will be


@dataclass(frozen=True, slots=True)
class Measure:
    """One process after one cycle; bytes, but for the counts."""

    cycle: int
    tasks: int
    threads: int
    descriptors: int
    memory: int
    resident: int


def measure(cycle: int) -> Measure:
    for _ in range(3):
        gc.collect()
    return Measure(
        cycle,
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        descriptors=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names are enough
        memory=tracemalloc.get_traced_memory()[0],
        resident=int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize(),
    )


class Watch:
    """Tells when an instance is ready, when it has answered, and when it has gone."""

    def __init__(self, program: Program) -> None:
        self.program, self.changed, self.answered = program, asyncio.Event(), asyncio.Queue[str]()
        program.container.bus().subscribe(self.observe)

    def observe(self, event: Event) -> None:
        match event:
            case AdapterChanged():
                self.changed.set()
            case TurnEnded(trace=trace) if trace.outcome == "answered":
                self.answered.put_nowait(trace.turn_id)

    async def until(self, found: Callable[[dict[str, str]], bool]) -> None:
        async with asyncio.timeout(30):
            while not found({a.runtime_key: a.state for a in self.program.supervisor.adapters()}):
                self.changed.clear()
                # A retired runner is forgotten a moment after its last change was told.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.05)


def fill(program: Program) -> None:
    """Fill what is kept of the last events: it is bounded, and would look like growth until it is full."""
    for number in range(EVENTS):
        reason = f"{number} is not there".ljust(EVENT_BYTES, ".")
        program.container.events().observe(AdapterChanged("discord:nobody", "retrying", reason, float(number)))


async def cycle(file: Path, times: int, texts: tuple[str, str], key: str) -> None:
    tracemalloc.start()
    async with started(file) as program:
        watch, watching = Watch(program), asyncio.create_task(program.watch())
        fill(program)
        await watch.until(lambda states: states[key.partition(":")[0]] == "ready")
        for number in range(1, times + 1):
            write(file, f"# with, {number}\n{texts[0]}")
            await watch.until(lambda states: states.get(key) == "ready")
            print(READY, flush=True)
            await asyncio.wait_for(watch.answered.get(), 20)
            write(file, f"# without, {number}\n{texts[1]}")
            await watch.until(lambda states: key not in states)
            print(json.dumps(asdict(measure(number))), flush=True)
        watching.cancel()
        await asyncio.wait({watching})


@asynccontextmanager
async def measured(
    times: int, file: Path, texts: tuple[str, str], key: str, ready: Callable[[], object]
) -> AsyncIterator[AsyncIterator[Measure]]:
    """Run the cycles in a process of their own; yields what it measures, cycle by cycle.

    `ready` is called when the instance listens, and must let somebody say something to it.
    """
    log = file.with_suffix(".log")
    paths = [file.with_suffix(suffix) for suffix in (".with", ".without")]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text, "utf-8")
    errors = log.open("wb")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.e2e.cycles", str(times), str(file), *map(str, paths), key),
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        cwd=ROOT,
    )

    async def lines() -> AsyncIterator[Measure]:
        assert process.stdout is not None
        async for line in process.stdout:
            if line.strip().decode() == READY:
                ready()
            else:
                yield Measure(**json.loads(line))
        assert await process.wait() == 0, log.read_text()[-4000:]

    errors.close()
    try:
        yield lines()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def growth(measures: list[Measure]) -> float:
    """Return bytes a cycle after the warm-up: the slope of the least squares."""
    steady = measures[WARM_UP:]
    middle = sum(m.cycle for m in steady) / len(steady), sum(m.memory for m in steady) / len(steady)
    over = sum((m.cycle - middle[0]) * (m.memory - middle[1]) for m in steady)
    return over / sum((m.cycle - middle[0]) ** 2 for m in steady)


if __name__ == "__main__":
    set_up("ERROR")
    with_keeper, without = (Path(name).read_text("utf-8") for name in sys.argv[3:5])
    asyncio.run(cycle(Path(sys.argv[2]), int(sys.argv[1]), (with_keeper, without), sys.argv[5]))
