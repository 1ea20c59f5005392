"""When the index is open, what a missing extra means, and what becomes of vectors of another model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from homunculus.memory import embed, sqlite_namespace
from homunculus.memory.embed import Embedder
from homunculus.memory.index import Index
from homunculus.memory.markdown import Markdown
from homunculus.memory.sqlite_namespace import SqliteNamespace
from homunculus.model import MemorySpec, Note


def namespace(home: Path, spec: MemorySpec) -> SqliteNamespace:
    return SqliteNamespace(home / "agents/bot/kovach", home / "archive/bot", spec)


async def test_a_memory_that_nobody_asks_gives_its_index_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_namespace, "IDLE_SECONDS", 0.05)
    closed, close = asyncio.Event(), Index.close
    loop = asyncio.get_running_loop()

    def told(index: Index) -> None:
        close(index)
        loop.call_soon_threadsafe(closed.set)

    monkeypatch.setattr(Index, "close", told)
    memory = namespace(tmp_path, MemorySpec(embeddings="off"))
    await memory.open()
    await memory.add(Note("Ana owes Kovach three dollars."))
    closed.clear()
    assert len(await memory.search("dollars")) == 1
    await asyncio.wait_for(closed.wait(), 10)
    assert len(await memory.search("dollars")) == 1
    await memory.aclose()


async def test_without_the_extra_words_alone_find_and_the_install_line_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "find_spec", lambda name: None)
    monkeypatch.setattr(embed, "embedder", Embedder())
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message)), level="WARNING")
    try:
        for _ in range(3):
            memory = namespace(tmp_path, MemorySpec())
            await memory.open()
            await memory.add(Note("Ana owes Kovach three dollars."))
            assert len(await memory.search("dollars")) == 1
            await memory.aclose()
    finally:
        logger.remove(sink)
    assert ['pip install "homunculus[semantic]"' in line for line in told] == [True]


class Counting(Embedder):
    """The real model under another name, which counts what it is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.asked = name, list[str]()

    @property
    def model(self) -> str:
        return self.name

    def __call__(self, texts: Sequence[str]) -> Any:
        self.asked += texts
        return embed.embedder(texts)


def test_a_text_is_embedded_once_and_again_only_by_another_model(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    facts = files.append([Note("Ana owes Kovach three dollars."), Note("The lamp is broken.")])
    for name, wanted in (("one", 2), ("one", 0), ("two", 2)):
        model = Counting(name)
        index = Index(files.folder / "index.sqlite", files, model)
        while index.embed():
            continue
        assert len(model.asked) == wanted
        files.rewrite(facts[0].id, lambda fact: fact)  # the file is read anew, and says the same
        assert index.embed() == 0
        assert len(model.asked) == wanted
        index.close()
