"""Every memory backend keeps the same promises."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from homunculus.container import BACKENDS
from homunculus.errors import Refused
from homunculus.interfaces import Namespace
from homunculus.memory import none, qmd, sqlite
from homunculus.model import MemorySpec, Note, QmdSpec
from homunculus.testing.namespace_contract import MemoryContract, NamespaceContract


class TestSqlite(MemoryContract):
    def build(self, folder: Path, archive: Path, spec: MemorySpec) -> Namespace:
        return sqlite.build(folder, archive, spec)


class TestSqliteByWordsAlone(MemoryContract):
    spec = MemorySpec(top_k=6, embeddings="off")

    def build(self, folder: Path, archive: Path, spec: MemorySpec) -> Namespace:
        return sqlite.build(folder, archive, spec)


@pytest.mark.needs("qmd")
class TestQmd(MemoryContract):
    """Through its daemon, which answers at once; the command line, a process a question, is in tests/unit/memory."""

    spec = MemorySpec(top_k=6, qmd=QmdSpec(daemon=True, query_timeout_seconds=20, fallback_timeout_seconds=20))

    def build(self, folder: Path, archive: Path, spec: MemorySpec) -> Namespace:
        return qmd.build(folder, archive, spec)


class TestNone(NamespaceContract):
    def build(self, folder: Path, archive: Path, spec: MemorySpec) -> Namespace:
        return none.build(folder, archive, spec)

    async def test_it_never_pretends_to_remember(self, memory: Namespace) -> None:
        with pytest.raises(Refused, match="backend is none"):
            await memory.add(Note("Ana owes Kovach three dollars."))
        assert await memory.facts() == ()


def test_a_backend_stays_what_its_entry_point_names(tmp_path: Path) -> None:
    for name in ("none", "sqlite", "qmd"):
        BACKENDS[name].build(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot", MemorySpec(embeddings="off"))
        [point] = entry_points(group="homunculus.memory", name=name)
        assert (point.load(), BACKENDS[name].name) == (BACKENDS[name], name)
