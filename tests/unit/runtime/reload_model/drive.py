"""Drive a rig through random edits and compare; through mixed saves and measure.

A seeded driver instead of hypothesis' state machine: the writer is another process, the clock is real and bursts race the
Reloader, so a failing run cannot be replayed step by step, and shrinking would only find a luckier timing. The seed and the
edits since the last agreement are printed instead.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from homunculus.model import Deployment
from homunculus.runtime.examine import Load
from homunculus.runtime.settle import Pace
from tests.unit.runtime.reload_model import dialect, yaml_dialect
from tests.unit.runtime.reload_model.generator import Edit, World
from tests.unit.runtime.reload_model.grammar import Grammar, Key
from tests.unit.runtime.reload_model.rig import Rig, running, writing


@dataclass
class Report:
    """What a run found. `torn` were applied without ever having been saved; `missed` were saved, settled, and never ran."""

    edits: int = 0
    pauses: int = 0
    applied: int = 0
    torn: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latency: dict[str, list[float]] = field(default_factory=dict)  # seconds from a save's end to live

    def __str__(self) -> str:
        counts = f"{self.edits} edits, {self.pauses} pauses, {self.applied} applied in {self.seconds:.1f} s"
        lines = [f"{counts}: {len(self.torn)} torn, {len(self.missed)} missed"]
        for how, values in sorted(self.latency.items()):
            if len(values) > 1:
                cuts = statistics.quantiles(values, n=100)
                lines.append(
                    f"  {how}: {len(values)} awaited, save to live p50 {cuts[49] * 1000:.0f} ms, "
                    f"p95 {cuts[94] * 1000:.0f} ms, max {max(values) * 1000:.0f} ms"
                )
        return "\n".join([*lines, *self.torn[:5], *self.missed[:5]])


def short(key: Key | None) -> str:
    return "nothing valid" if key is None else f"{key[0][:40]!r}…{key[0][-20:]!r} ({len(key[0])}) {key[1:]!r:.80}"


def names(edits: list[Edit]) -> str:
    return ", ".join(f"{edit['how']} {Path(edit['path']).name} ({len(edit['data'])})" for edit in edits)


@dataclass(frozen=True)
class Language:
    """How deployments are written, loaded and told apart."""

    grammar: Grammar
    load: Load
    seen: Callable[[Deployment], Key]
    name: str = "deployment.txt"


LINES = Language(dialect.LinesGrammar(), dialect.load, dialect.seen)
YAML = Language(yaml_dialect.YamlGrammar(), yaml_dialect.loader(), yaml_dialect.seen, "deployment.yaml")


def ground(folder: Path, seed: int, language: Language, pace: Pace | None = None) -> tuple[World, Rig]:
    """Make a world and a rig for it."""
    (folder / "characters").mkdir(parents=True)
    (folder / "characters" / language.grammar.card_name("plain")).write_text(language.grammar.card("plain"))
    world = World(folder, seed, language.grammar, language.name)
    return world, Rig(world.file, load=language.load, seen=language.seen, pace=pace)


async def model(folder: Path, edits: int, seed: int, burst: int = 12, language: Language = LINES) -> Report:
    """Make random edits in bursts; after each burst what runs must be what the generator says."""
    (world, rig), report, chance = ground(folder, seed, language), Report(), random.Random(seed)
    async with writing() as writer:
        await writer.perform(world.first())
        began, known = time.monotonic(), {world.now()}
        async with running(rig):
            while report.edits < edits:
                batch, possible = [], {rig.running}
                for _ in range(chance.randint(1, burst)):
                    batch.append(world.edit())
                    possible.add(world.now())
                known |= possible
                await writer.perform(batch)
                report.edits, report.pauses = report.edits + len(batch), report.pauses + 1
                if fault := await _disagreement(rig, world.now(), possible):
                    report.missed.append(f"seed {seed}, edit {report.edits}: {fault}\n  after {names(batch)}")
        report.torn = [short(key) for key, _ in rig.applied if key not in known]
        report.applied, report.seconds = len(rig.applied), time.monotonic() - began
    return report


async def _disagreement(rig: Rig, wanted: Key | None, possible: set[Key | None]) -> str:
    """Wait for agreement; return what is wrong when there is none."""
    reloader = rig.reloader
    if wanted is None:
        refused = await rig.until(lambda: bool(reloader.errors))
        right = rig.running in possible
        return "" if refused and right else f"refused {refused}, runs {short(rig.running)}, wanted nothing new"
    agreed = await rig.until(lambda: rig.running == wanted and reloader.running_equals_file)
    state = "" if reloader.running_equals_file else f" with {[str(error) for error in reloader.errors]}"
    return "" if agreed else f"runs {short(rig.running)}{state}, wanted {short(wanted)}"


SAVES = ("in_place", "rename", "recreate")


async def saves(
    folder: Path, count: int, seed: int, awaited: float = 0.7, how: tuple[str, ...] = (), grow: bool = False
) -> Report:
    """Save valid texts, a third slow and held open, some awaited and some overtaken; time those that are awaited.

    With `how` only these kinds; with `grow` no save takes anything away.
    """
    (world, rig), report, chance = ground(folder, seed, LINES), Report(), random.Random(seed)
    async with writing() as writer:
        await writer.perform(world.first())
        began, known = time.monotonic(), {world.now()}
        async with running(rig):
            while report.edits < count:
                kind = chance.choice(how) if how else "slow" if report.edits % 3 == 0 else chance.choice(SAVES)
                edit = world.save(kind, grow)
                known.add(world.now())
                (done,) = await writer.perform([{**edit, "rest": 0.0}])
                report.edits += 1
                if chance.random() < awaited or report.edits == count:
                    report.pauses += 1
                    fault = await _disagreement(rig, world.now(), set())
                    report.missed += [f"seed {seed}, save {report.edits}: {fault}"] if fault else []
                    report.latency.setdefault(kind, []).append(rig.applied[-1][1] - done)
        report.torn = [short(key) for key, _ in rig.applied if key not in known]
        report.applied, report.seconds = len(rig.applied), time.monotonic() - began
    return report


async def hammered(folder: Path, count: int, seed: int, how: str, pause: float, pace: Pace) -> Report:
    """Save in two pieces while reloads are asked for without a break: the reader meets every moment of a save.

    The first piece ends in a newline and is valid; `pause` seconds lie between the two.
    """
    (world, rig), report = ground(folder, seed, LINES, pace), Report()
    async with writing() as writer:
        await writer.perform(world.first())
        known = {world.now()}
        async with running(rig):
            asking = asyncio.create_task(_ask(rig))
            for _ in range(count):
                edit = world.save("in_place", grow=True)
                known.add(world.now())
                cut = len("".join(edit["data"].splitlines(keepends=True)[:2]))
                await writer.perform([{**edit, "how": how, "cuts": [cut], "pauses": [pause], "rest": 0.02}])
            asking.cancel()
            await asyncio.wait({asking})
        report.edits, report.applied = count, len(rig.applied)
        report.torn = [short(key) for key, _ in rig.applied if key not in known]
    return report


async def _ask(rig: Rig) -> None:
    while True:
        await rig.reloader.request()
