"""How well memories find: the same questions to each backend, and to qmd's own search by keywords."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from homunculus.interfaces import Namespace
from homunculus.memory import qmd, sqlite
from homunculus.memory.program import COLLECTION, Qmd
from homunculus.memory.qmd_namespace import keywords
from homunculus.model import MemorySpec, Note, QmdSpec
from tests.bench.report import Figure, say
from tests.bench.stage import Run
from tests.quality import DEPTH, Ask, Found, Pair, amid, asked, by_model, pairs, split

Engine = Callable[[Path, tuple[Pair, ...]], AbstractAsyncContextManager[Ask]]

SETS: Mapping[str, str] = {
    "questions": "the first set",
    "more": "the second set",
    "held_out": "the held-out set",
}
SECONDS = 60.0


@asynccontextmanager
async def _namespace(memory: Namespace, wanted: tuple[Pair, ...]) -> AsyncIterator[Ask]:
    async def ask(question: str) -> list[str]:
        return [fact.text for fact in await memory.search(question, None, DEPTH)]

    await memory.open()
    try:
        await memory.add(*(Note(pair.fact) for pair in wanted))
        await memory.settled()
        yield ask
    finally:
        await memory.aclose()


def _by_meaning(folder: Path, wanted: tuple[Pair, ...]) -> AbstractAsyncContextManager[Ask]:
    return _namespace(sqlite.build(folder / "npc", folder / "archive", MemorySpec()), wanted)


def _by_words(folder: Path, wanted: tuple[Pair, ...]) -> AbstractAsyncContextManager[Ask]:
    return _namespace(sqlite.build(folder / "npc", folder / "archive", MemorySpec(embeddings="off")), wanted)


@asynccontextmanager
async def _model_alone(folder: Path, wanted: tuple[Pair, ...]) -> AsyncIterator[Ask]:
    yield by_model([pair.fact for pair in wanted])


def _backend(folder: Path, wanted: tuple[Pair, ...]) -> AbstractAsyncContextManager[Ask]:
    """The backend `qmd` as a deployment uses it: by keyword, fused with our full text; its models are not there."""
    settings = QmdSpec(daemon=True, query_timeout_seconds=SECONDS)
    return _namespace(qmd.build(folder / "npc", folder / "archive", MemorySpec(backend="qmd", qmd=settings)), wanted)


@asynccontextmanager
async def _indexed(folder: Path, wanted: tuple[Pair, ...]) -> AsyncIterator[tuple[Qmd, dict[str, str]]]:
    """Let qmd index one file a fact; yields the program, and each fact by its file's name."""
    program = Qmd(folder, QmdSpec(daemon=True, query_timeout_seconds=SECONDS, update_timeout_seconds=SECONDS))
    program.prepare()
    facts = {f"fact-{number}": pair.fact for number, pair in enumerate(wanted)}
    for name, fact in facts.items():
        (program.facts / f"{name}.md").write_text(f"{fact}\n", "utf-8")
    await program.update()
    try:
        yield program, facts
    finally:
        await program.aclose()


@asynccontextmanager
async def _search(folder: Path, wanted: tuple[Pair, ...]) -> AsyncIterator[Ask]:
    """`qmd search QUESTION`: the question as it was typed, nothing of ours between."""
    async with _indexed(folder, wanted) as (program, facts):

        async def ask(question: str) -> list[str]:
            words = ("search", "--json", "-n", str(DEPTH), "-c", COLLECTION, "--", question)
            found = json.loads(await program.run(*words, seconds=SECONDS) or "[]")
            return [facts[item["file"].rpartition("/")[2].removesuffix(".md")] for item in found]

        yield ask


@asynccontextmanager
async def _keywords(folder: Path, wanted: tuple[Pair, ...]) -> AsyncIterator[Ask]:
    """The same index asked for each telling word of the question alone: qmd's words at their best."""
    async with _indexed(folder, wanted) as (program, facts):

        async def ask(question: str) -> list[str]:
            lines = keywords(question, by_meaning=False)
            return [facts[name] for name in await program.query(lines, DEPTH)] if lines else []

        yield ask


ENGINES: Mapping[str, Engine] = {
    "sqlite": _by_meaning,
    "sqlite, embeddings off": _by_words,
    "model alone": _model_alone,
}
OF_QMD: Mapping[str, Engine] = {"qmd search": _search, "qmd by keyword": _keywords, "backend qmd": _backend}


def _figures(name: str, engine: str, wanted: tuple[Pair, ...], found: Found) -> list[Figure]:
    return [
        Figure(
            "quality",
            f"{name}, {engine}, {part}: hit@3",
            places.hit(3),
            "",
            0.9 if (name, engine, part) == (SETS["questions"], "sqlite", "overall") else None,
            more_is_better=True,
            how=f"hit@1 {places.hit(1):.2f}, MRR {places.reciprocal:.2f}; {len(places.places)} questions",
        )
        for part, places in split(wanted, found).items()
    ]


async def quality(run: Run) -> list[Figure]:
    """Ask both sets of everything that can search; qmd only where it is installed."""
    engines = {**ENGINES, **(OF_QMD if shutil.which("qmd") else {})}
    if len(engines) == len(ENGINES):
        say("  qmd is not on the PATH: its rows are left out")
    figures: list[Figure] = []
    for name, title in SETS.items():
        wanted = pairs(name)[:: run.times(1, 4)]
        for engine, opened in engines.items():
            folder = await asyncio.to_thread(run.fresh, "quality")
            async with opened(folder, wanted) as ask:
                if wanted[0].fact not in await ask(wanted[0].fact):
                    raise RuntimeError(
                        f"{engine} does not find a fact by its own words: the figures would mean nothing"
                    )
                figures += _figures(title, engine, wanted, await asked(wanted, ask))
                if engine in ENGINES:
                    amidst = amid(wanted)
                    overall = _figures(title, f"{engine}, amid other talk", amidst, await asked(amidst, ask))[:1]
                    figures += overall
    return figures
