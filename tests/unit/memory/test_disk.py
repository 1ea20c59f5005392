"""A disk that is full or read-only: an error and nothing half written, and no restart once there is room again."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from homunculus.errors import Refused
from homunculus.memory import sqlite
from homunculus.memory.markdown import Markdown
from homunculus.model import MemorySpec, Note
from tests.e2e.hardship import fill, small_disk


async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        memory = sqlite.build(disk / "agents/bot/kovach", disk / "archive/bot", MemorySpec(embeddings="off"))
        await memory.open()
        kept = [*(await memory.add(Note("Ana owes Kovach three dollars.")))]
        filler = fill(disk)
        notes = [Note(f"fact {number} " + "x" * 3_000) for number in range(20)]
        results = [await asyncio.gather(memory.add(note), return_exceptions=True) for note in notes]
        kept += [fact for [result] in results if isinstance(result, tuple) for fact in result]
        refused = [result for [result] in results if isinstance(result, Refused)]
        assert len(refused) >= 18  # a page may have been left in the file
        assert len(refused) + len(kept) == 21
        assert all("free some space" in error.reason for error in refused)
        assert await memory.facts() == tuple(kept)
        assert [fact.id for fact in await memory.search("dollars")] == [kept[0].id]
        with pytest.raises(Refused, match="free some space"):
            await memory.forget(kept[0].id)
        assert await memory.facts() == tuple(kept)
        filler.unlink()
        kept += await memory.add(Note("There is room again."))
        assert await memory.facts() == tuple(kept)
        assert [fact.text for fact in await memory.search("room")] == ["There is room again."]
        await memory.aclose()


def test_a_disk_that_takes_half_a_line_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    files.append([Note("first")])
    day = next(files.memory.glob("2*.md"))
    before = day.read_bytes()

    def half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("homunculus.whole.write", half)
        with pytest.raises(Refused, match="free some space"):
            files.append([Note("second")])
    assert day.read_bytes() == before
