"""A namespace's folder is made at start and what a person wrote there is never touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.errors import Refused
from homunculus.memory.folder import Folder
from homunculus.model import MemorySpec


async def test_the_folder_and_its_memory_file_are_made(tmp_path: Path) -> None:
    await Folder(tmp_path / "campaigns" / "kovach-eod", MemorySpec()).open()
    assert "kovach-eod" in (tmp_path / "campaigns/kovach-eod/memory/MEMORY.md").read_text("utf-8")


async def test_opening_again_leaves_a_persons_text_alone(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "kovach-eod", MemorySpec())
    await folder.open()
    (tmp_path / "kovach-eod/memory/MEMORY.md").write_text("Ana is a friend.", "utf-8")
    await folder.open()
    assert (tmp_path / "kovach-eod/memory/MEMORY.md").read_text("utf-8") == "Ana is a friend."


async def test_a_disk_that_refuses_says_which_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file", "utf-8")
    with pytest.raises(Refused, match=r"the memory folder .*taken/npc cannot be made"):
        await Folder(tmp_path / "taken" / "npc", MemorySpec()).open()
