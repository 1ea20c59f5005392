"""Messages: how many a core answers, what is added to the model's own time, and whether size or age changes that.

Both bots hear the same loopback, call the same model client, and answer with the same request; they run at the same time
only as processes, never as load: rounds of one and of the other alternate.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from tests.bench.children import Child
from tests.bench.report import Figure, median, quantile, say, spread
from tests.bench.stage import Run, Stage, bare, bot, stage

OURS, BARE = 0, 1
CONVERSATIONS = 100
US, MS = 1e6, 1e3


@dataclass(slots=True)
class Rounds:
    """CPU seconds for one message, round by round; and how many turns answered how many messages."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    messages: int = 0
    turns: int = 0

    @property
    def a_core(self) -> float:
        return 1 / median(self.cpu)


async def _round(place: Stage, who: int, one: Child, messages: int, conversations: int, rounds: Rounds) -> None:
    before = await one.ask("cpu")
    answer = await place.loopback.ask("talk", bot=who, messages=messages, conversations=conversations)
    rounds.cpu.append((await one.ask("cpu") - before) / messages)
    rounds.wall.append(answer["seconds"] / messages)
    rounds.messages += messages
    rounds.turns += answer["replies"]


async def throughput(run: Run) -> list[Figure]:
    return await _side_by_side(run, "scripted", "off", target=700.0)


async def throughput_http(run: Run) -> list[Figure]:
    return await _side_by_side(run, "openai", "off")


async def throughput_signs(run: Run) -> list[Figure]:
    return await _side_by_side(run, "scripted", "auto")


_VARIANTS = {
    ("scripted", "off"): "",
    ("openai", "off"): " (model over HTTP)",
    ("scripted", "auto"): " (with typing and ✅)",
}


async def _side_by_side(run: Run, model: str, acknowledge: str, target: float | None = None) -> list[Figure]:
    conversations, messages = run.times(CONVERSATIONS, 10), run.times(3_000, 50)
    rounds = {OURS: Rounds(), BARE: Rounds()}
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(stage(run, "talk", conversations))
        file = place.deployment(conversations, model=model, acknowledge=acknowledge).written(place.folder)
        bots = {OURS: await stack.enter_async_context(bot(file))}
        bots[BARE] = await stack.enter_async_context(bare(place.where, model, acknowledge))
        for who in (OURS, BARE):  # warm up: caches, connections, history of full length
            await _round(place, who, bots[who], messages, conversations, Rounds())
        for number in range(run.times(5, 1)):
            for who in (OURS, BARE):
                await _round(place, who, bots[who], messages, conversations, rounds[who])
            say(f"round {number + 1}: ours {1 / rounds[OURS].cpu[-1]:.0f}, bare {1 / rounds[BARE].cpu[-1]:.0f} a core")
    ours, plain = rounds[OURS], rounds[BARE]
    variant = _VARIANTS[model, acknowledge]
    row = {"": "throughput", " (model over HTTP)": "throughput-http"}.get(variant, "throughput-signs")
    how = f"{conversations} conversations, turns ÷ messages {ours.turns / ours.messages:.3f}; "
    how += f"rounds {spread([1 / cpu for cpu in ours.cpu])}"
    return [
        Figure(row, f"messages/s/core{variant}", ours.a_core, "/s", target, more_is_better=True, how=how),
        Figure(
            row,
            f"the same, bare discord.py{variant}",
            plain.a_core,
            "/s",
            how=f"rounds {spread([1 / c for c in plain.cpu])}",
        ),
        Figure(row, f"ours ÷ bare{variant}", ours.a_core / plain.a_core, "×"),
        Figure(
            row, f"CPU that a message costs more than bare{variant}", (median(ours.cpu) - median(plain.cpu)) * US, "µs"
        ),
        Figure(
            row,
            f"messages/s by the clock{variant}",
            1 / median(ours.wall),
            "/s",
            how="shares the machine with the loopback",
        ),
    ]


async def latency(run: Run) -> list[Figure]:
    took: dict[int, list[float]] = {OURS: [], BARE: []}
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(stage(run, "latency", 10))
        file = place.deployment(10).written(place.folder)
        one = await stack.enter_async_context(bot(file))
        other = await stack.enter_async_context(bare(place.where, "scripted", "off"))
        bots = {OURS: one, BARE: other}
        for who in bots:
            await place.loopback.ask("talk", bot=who, messages=run.times(300, 5), conversations=1)
        for _ in range(run.times(10, 1)):
            for who in bots:
                answer: dict[str, Any] = await place.loopback.ask(
                    "talk", bot=who, messages=run.times(100, 5), conversations=1
                )
                took[who] += answer["took"]
    ours, plain = quantile(took[OURS], 0.5), quantile(took[BARE], 0.5)
    how = f"one at a time, {len(took[OURS])} messages; posted → reply's request arrives"
    return [
        Figure("latency", "latency, p50", ours * MS, "ms", how=how),
        Figure("latency", "the same, bare discord.py, p50", plain * MS, "ms"),
        Figure("latency", "added, p50", (ours - plain) * MS, "ms", 3.0),
        Figure("latency", "latency, p95", quantile(took[OURS], 0.95) * MS, "ms"),
        Figure("latency", "the same, bare discord.py, p95", quantile(took[BARE], 0.95) * MS, "ms"),
    ]


async def size(run: Run) -> list[Figure]:
    """CPU a message at 10,000 channels over that at 10, ten conversations each, alternating."""
    large = run.times(10_000, 100)
    rounds = {10: Rounds(), large: Rounds()}
    async with AsyncExitStack() as stack:
        pairs = {}
        for channels in rounds:
            place = await stack.enter_async_context(stage(run, f"size-{channels}", channels))
            file = place.deployment(channels).written(place.folder)
            pairs[channels] = place, await stack.enter_async_context(bot(file))
        for channels, (place, one) in pairs.items():
            await _round(place, OURS, one, run.times(2_000, 20), 10, Rounds())
            say(f"{channels} channels are up")
        for _ in range(run.times(7, 1)):
            for channels, (place, one) in pairs.items():
                await _round(place, OURS, one, run.times(1_500, 20), 10, rounds[channels])
    ratio = median(rounds[large].cpu) / median(rounds[10].cpu)
    how = f"{median(rounds[large].cpu) * US:.0f} µs over {median(rounds[10].cpu) * US:.0f} µs, 10 conversations"
    return [Figure("size", f"CPU per message, {large:,} channels over 10", ratio, "×", 1.05, how=how)]


async def growth(run: Run) -> list[Figure]:
    """Memory before and after many messages, once warm."""
    warm, messages = run.times(60_000, 100), run.times(40_000, 100)
    async with stage(run, "growth", CONVERSATIONS) as place:
        file = place.deployment(CONVERSATIONS).written(place.folder)
        async with bot(file) as one:
            await place.loopback.ask("talk", bot=OURS, messages=warm, conversations=CONVERSATIONS, patience=1800.0)
            before = await one.ask("resident")
            await place.loopback.ask("talk", bot=OURS, messages=messages, conversations=CONVERSATIONS, patience=1800.0)
            after = await one.ask("resident")
    grown = (after - before) / (1 << 20) / messages * 10_000
    how = f"resident, {messages:,} messages after {warm:,}"
    return [Figure("growth", "memory growth per 10,000 messages", grown, "MiB", 1.0, how=how)]
