"""Run one long test from the command line and print what it found; exit 1 when anything was wrong."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path

from loguru import logger

from tests.e2e import eight, lives, outages, test_leaks
from tests.e2e.cycles import WARM_UP, growth
from tests.e2e.mortal import POINTS
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


async def kill(folder: Path, points: int, seed: int) -> bool:
    """Die by SIGKILL at so many seeded points under load; then hold what Discord shows against what people said."""
    async with lives.world(folder, seed) as world:
        await lives.first_words(world)
        for number, death in enumerate(lives.deaths(list(POINTS), points, seed), start=1):
            await lives.one_life(world, death)
            print(f"{number}/{points}: died {death}; {lives.judge(world)}", flush=True)
        await lives.live_on(world)
        verdict = lives.judge(world)
        print(f"at the end: {verdict}", flush=True)
        return verdict.good


async def discord(folder: Path, faults: int, seed: int, minutes: float = 5.0) -> bool:
    """Lose the connection at so many seeded moments under bad weather; then hold what Discord shows against what was said."""
    print(f"seed {seed}, {minutes:g} minutes, {faults} connection faults", flush=True)
    world, verdict = await outages.run(folder, 60 * minutes, faults, seed, silent=round(minutes / 4))
    for name, times in Counter(fault.name for fault in world.struck).most_common():
        print(f"  {times:3} × {name}")
    print(f"beside them: {', '.join(f'{times} × {name}' for name, times in world.weather.most_common())}")
    fetched = sum(request.method == "GET" and request.path.endswith("/messages") for request in world.discord.requests)
    print(f"{fetched} requests for what was said meanwhile")
    print(verdict)
    for name, found in (("lost", verdict.lost), ("doubled", verdict.doubled), ("unhappy", verdict.unhappy)):
        if found:
            print(f"  {name}: {found[:10]}")
    if not verdict.good:
        print("\n".join(world.log[-200:]), file=sys.stderr)
    return verdict.good


async def cycles(folder: Path, times: int, _: int) -> bool:
    """Let an instance come and go so many times in one process, on each platform, and see what it leaves behind."""
    good = True
    for platform in eight.PLATFORMS:
        found = await test_leaks.cycles(folder / platform, times, platform)
        for one in found:
            print(one, flush=True)
        each = growth(found)
        print(f"{platform}: growth after {WARM_UP} cycles: {each:.0f} bytes a cycle", flush=True)
        flat = all(
            (one.tasks, one.threads, one.descriptors) == (found[-1].tasks, found[-1].threads, found[-1].descriptors)
            for one in found[WARM_UP:]
        )
        print(f"{platform}: tasks, threads, descriptors flat: {flat}", flush=True)
        good = good and flat and each < test_leaks.MOST_GROWTH
    return good


RUNS = {
    "reload": (reload, 100_000),
    "saves": (saves, 3_000),
    "kill": (kill, 40),
    "discord": (discord, 40),
    "cycles": (cycles, 50),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("run", choices=RUNS)
    parser.add_argument(
        *("--edits", "--points", "--faults"),
        dest="count",
        type=int,
        default=0,
        help="how many edits, saves, deaths or faults",
    )
    parser.add_argument("--minutes", type=float, help="how long people talk (discord)")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    call, usual = RUNS[asked.run]
    if asked.minutes is not None and asked.run != "discord":
        parser.error("--minutes is for discord")
    more = {} if asked.minutes is None else {"minutes": asked.minutes}
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        return 0 if asyncio.run(call(Path(folder), asked.count or usual, asked.seed, **more)) else 1


if __name__ == "__main__":
    sys.exit(main())
