"""What remembering costs: recall, append and rebuild with 10,000 facts, and what an idle memory holds."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import sys
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from homunculus.interfaces import Namespace
from homunculus.memory import sqlite
from homunculus.model import MemorySpec, Note
from homunculus.program import started
from tests.bench.bot import SWITCH_SECONDS
from tests.bench.files import Deployment
from tests.bench.report import Figure, quantile
from tests.bench.stage import Run

MS, KIB = 1e3, 1024
CHANNELS = 100

WHO = ["Ana", "Boris", "Doctor Armitage", "Sister Agnes", "the captain", "Lady Ashcroft", "Old Marsh", "李四", "王小姐"]
DOES = [
    "owes money to",
    "promised to help",
    "was seen with",
    "is afraid of",
    "sold a map to",
    "hides a letter from",
    "欠",
]
WHERE = [
    "at the docks",
    "in the lighthouse",
    "behind the chapel",
    "on the night ferry",
    "in Arkham",
    "在码头",
    "在灯塔里",
]


def sentence(chance: random.Random, number: int) -> str:
    """Return one of very many facts that resemble one another as those of a long campaign do."""
    one, other = chance.sample(WHO, 2)
    return f"{one} {chance.choice(DOES)} {other} {chance.choice(WHERE)} since day {number}."


async def _learned(folder: Path, count: int, embeddings: str) -> Namespace:
    spec = MemorySpec(embeddings="auto" if embeddings == "auto" else "off")
    memory = sqlite.build(folder / "agents/bench/kovach", folder / "archive/bench", spec)
    await memory.open()
    chance = random.Random(count)
    for begin in range(0, count, 500):
        await memory.add(*(Note(sentence(chance, number), "bench") for number in range(begin, min(begin + 500, count))))
    return memory


# What a player says before the question, in some 300 characters.
TALK = {
    "English": (
        "We came back from the lighthouse an hour ago, wet to the bone, and nobody had lit a fire. The boy at the pier says "
        "that he heard bells under the water again. I gave him a coin to keep quiet, and he laughed at me! Put your lamp down "
        "and listen, for once. I have to know it before the ferry leaves."
    ),
    "Chinese": (
        "我们一个时辰前才从灯塔回来，浑身湿透，屋里连火都没人生。栈桥上的孩子说他又听见水底下有钟声，我给了他一个铜板叫他别说出去，"
        "他却冲着我笑。掌柜的，把灯放下，好好听我说一回。昨天夜里有人敲了三次后门，等我们开门出去，雪地上一个脚印也没有，"
        "只留下半张烧过的地图。老船夫说那是他父亲画的，可他父亲淹死已经二十年了。我们凑了钱想再雇一条船，可是没有人肯去，"
        "都说那座岛夜里会自己动。今天早上教堂的门是开着的，烛台少了一个，牧师不肯报官，也不肯让我们进去看。"
        "我怀疑这里面有人在撒谎，你在这里住得最久，什么人你都认得。渡船开走以前我必须弄清楚这件事，请你仔细想一想再回答我。"
    ),
}


async def _asked(memory: Namespace, chance: random.Random, asks: int, before: str = "") -> list[float]:
    """Ask so many questions, one after the other, with `before` before each; return how long each took, in seconds."""
    took = []
    for _ in range(asks):
        question = f"{before}Who {chance.choice(DOES)} {chance.choice(WHO)} {chance.choice(WHERE)}?"
        began = time.perf_counter()
        found = await memory.recall(question, "bench/tavern")
        took.append(time.perf_counter() - began)
        if not found:
            raise RuntimeError("nothing was recalled: the figure would mean nothing")
    return took


@asynccontextmanager
async def _reloading(run: Run, pause: float) -> AsyncIterator[list[int]]:
    """Run a deployment in this process that is saved again and again, `pause` seconds after each; yields what went live."""
    folder = run.fresh("reloading")
    made = Deployment(folder / "home", {"api_base": "", "gateway": ""}, CHANNELS, discord=False)
    file, live = made.written(folder), list[int]()
    sys.setswitchinterval(SWITCH_SECONDS)
    async with started(file, only=("local",)) as program:

        async def save() -> None:
            for turn in itertools.count(1):
                file.write_text(made.with_turn(turn).text())
                outcome = await program.reloader.request()
                if outcome.result == "applied":
                    live.append(outcome.generation)
                await asyncio.sleep(pause)

        saving = asyncio.create_task(save(), name="save again and again")
        try:
            yield live
        finally:
            saving.cancel()
            await asyncio.wait({saving})


async def recall(run: Run) -> list[Figure]:
    """Measure recall, append and rebuild with embeddings; the model is loaded before the first sample."""
    count, asks = run.times(10_000, 300), run.times(500, 20)
    folder = run.fresh("recall")
    memory = await _learned(folder, count, "auto")
    await memory.settled()
    chance = random.Random(1)
    await memory.recall("warm", None)
    added = []
    cpu = time.process_time()
    took = await _asked(memory, chance, asks)
    asking = (time.process_time() - cpu) / asks
    amid = {name: await _asked(memory, chance, asks, talk) for name, talk in TALK.items()}
    beside = {}
    for pause in (1.0, 0.0):
        async with _reloading(run, pause) as live:
            beside[pause] = (await _asked(memory, chance, asks), len(live))
    for number in range(run.times(200, 10)):
        note = Note(sentence(chance, count + number), "bench")
        began = time.perf_counter()
        await memory.add(note)
        added.append(time.perf_counter() - began)
    await memory.aclose()
    (folder / "agents/bench/kovach/index.sqlite").unlink()
    began, cpu = time.perf_counter(), time.process_time()
    await memory.settled()
    seconds, burnt = time.perf_counter() - began, time.process_time() - cpu
    await memory.aclose()
    how = f"{count:,} facts, {asks} questions, with embeddings"
    return [
        Figure("recall", "recall, p95", quantile(took, 0.95) * MS, "ms", 15.0, how=how),
        *(
            Figure(
                "recall",
                f"recall, p95, beside {'a save a second' if pause else 'one reload after the other'}",
                quantile(seconds, 0.95) * MS,
                "ms",
                15.0 if pause else None,
                how=f"{reloads} saves of {CHANNELS:,} channels went live meanwhile",
            )
            for pause, (seconds, reloads) in beside.items()
        ),
        *(
            Figure(
                "recall",
                f"recall, p95, for a long message in {name}",
                quantile(seconds, 0.95) * MS,
                "ms",
                how=f"{len(TALK[name])} characters before each question; p50 {quantile(seconds, 0.5) * MS:.1f} ms",
            )
            for name, seconds in amid.items()
        ),
        Figure("recall", "recall, CPU", asking * MS, "ms"),
        Figure("recall", "recall, p50", quantile(took, 0.5) * MS, "ms"),
        Figure("recall", "append until durable, p95", quantile(added, 0.95) * MS, "ms", 10.0),
        Figure("recall", "index built anew", seconds, "s", 60.0, how=f"{burnt:.1f} s of CPU"),
    ]


async def idle(run: Run) -> list[Figure]:
    """Measure what an open namespace holds that nobody asks; its folder has facts."""
    count = run.times(200, 20)
    folder = run.fresh("idle")
    spec = MemorySpec(embeddings="off")
    spare = sqlite.build(folder / "agents/bench/spare", folder / "archive/bench", spec)
    await spare.open()  # imports and threads belong to the first one
    await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.01) for _ in range(32)))
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    opened = []
    for number in range(count):
        memory = sqlite.build(folder / f"agents/bench/npc{number}", folder / "archive/bench", spec)
        await memory.open()
        await memory.add(Note("Ana owes Kovach three dollars."))
        opened.append(memory)
        await memory.aclose()  # as after two minutes of silence: it opens again when it is asked
    gc.collect()
    held = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    for memory in (*opened, spare):
        await memory.aclose()
    return [Figure("recall", "memory of an idle namespace", held / KIB, "KiB", 40.0, how=f"{count} of them")]


async def memories(run: Run) -> list[Figure]:
    return [*await recall(run), *await idle(run)]
