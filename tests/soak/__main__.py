"""Run one long test from the command line and print what it found; exit 1 when anything was wrong."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from loguru import logger

from tests.unit.runtime.reload_model import drive

_SLICE = 2000  # edits a world: what was ever saved is kept in memory to tell torn saves from whole ones


async def reload(folder: Path, edits: int, seed: int) -> bool:
    """Random edits of every kind, in a small language and in YAML by turns: what runs is the last settled valid file."""
    good = True
    for turn, begin in enumerate(range(0, edits, _SLICE)):
        language = (drive.LINES, drive.YAML)[turn % 2]
        report = await drive.model(folder / str(begin), min(_SLICE, edits - begin), seed + begin, language=language)
        print(f"{begin + report.edits}/{edits}: {report}", flush=True)
        good = good and not report.torn and not report.missed
    return good


async def saves(folder: Path, edits: int, seed: int) -> bool:
    """Mixed saves, a third slow and held open; then the latency of saves that take nothing away."""
    mixed = await drive.saves(folder / "mixed", edits, seed)
    print(f"mixed: {mixed}", flush=True)
    growing = await drive.saves(folder / "growing", min(300, edits), seed + 1, 1.0, drive.SAVES, grow=True)
    print(f"taking nothing away, each awaited: {growing}", flush=True)
    return not (mixed.torn or mixed.missed or growing.torn or growing.missed)


RUNS = {"reload": (reload, 100_000), "saves": (saves, 3_000)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("run", choices=RUNS)
    parser.add_argument("--edits", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    call, usual = RUNS[asked.run]
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(call(Path(folder), asked.edits or usual, asked.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
