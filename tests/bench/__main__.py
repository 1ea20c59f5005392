"""`python -m tests.bench [--only ROW]... [--json] [--quick]`: measure, and print a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from tests.bench import footing, memory, quality, routing, saves, talk
from tests.bench.report import Figure, machine, say
from tests.bench.stage import Run

ROWS: dict[str, Callable[[Run], Awaitable[list[Figure]]]] = {
    "routes": routing.routes,
    "memory": footing.memory,
    "start": footing.start,
    "idle": footing.idle,
    "latency": talk.latency,
    "throughput": talk.throughput,
    "throughput-signs": talk.throughput_signs,
    "throughput-http": talk.throughput_http,
    "size": talk.size,
    "stall": saves.stall,
    "saves": saves.save_to_live,
    "growth": talk.growth,
    "recall": memory.memories,
    "quality": quality.quality,
}


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="see that it works; the figures mean nothing")
    parser.add_argument(
        "--folder", type=Path, help="where databases lie (default: a temporary folder); its disk counts"
    )
    return parser.parse_args(given)


async def measure(run: Run, rows: Sequence[str]) -> list[Figure]:
    """Measure the rows one after the other."""
    figures: list[Figure] = []
    for row in rows:
        say(f"measuring {row} …")
        found = await ROWS[row](run)
        for figure in found:
            say("  " + figure.shown())
        figures += found
    return figures


def show(about: dict[str, str], figures: Sequence[Figure]) -> None:
    for name, what in about.items():
        print(f"{name:<20} {what}")
    print()
    for figure in figures:
        print(figure.shown())


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        run = Run(Path(folder), options.quick)
        about = machine(run.folder)
        figures = asyncio.run(measure(run, options.only or list(ROWS)))
    if options.quick:
        about["note"] = "a quick run: these figures mean nothing"
    if options.json:
        print(json.dumps({"about": about, "figures": [figure.plain() for figure in figures]}, indent=1))
    else:
        show(about, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
