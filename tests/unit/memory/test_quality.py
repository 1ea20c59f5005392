"""Facts are found by questions in other words and in other languages, judged on a checked-in set.

The constants of the fusion (homunculus/memory/ranking.py, index.py) were chosen on this set: it guards them, no more.
"""

from __future__ import annotations

import json
from pathlib import Path

from homunculus.interfaces import Namespace
from homunculus.memory import sqlite
from homunculus.model import MemorySpec, Note

SET = json.loads((Path(__file__).parents[2] / "data/memory/questions.json").read_text("utf-8"))


def chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


async def hits(memory: Namespace, first: int) -> float:
    """Return the share of questions whose fact is among the first so many."""
    found = 0
    for pair in SET:
        found += pair["fact"] in [fact.text for fact in await memory.search(pair["question"], None, first)]
    return found / len(SET)


async def test_nine_of_ten_paraphrases_find_their_fact_among_the_first_three(tmp_path: Path) -> None:
    asked = [pair["question"] for pair in SET]
    across = [pair for pair in SET if chinese(pair["fact"]) != chinese(pair["question"])]
    assert len(SET) >= 60
    assert sum(map(chinese, asked)) >= len(SET) / 3
    assert len(across) >= 6
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot", MemorySpec())
    await memory.open()
    try:
        await memory.add(*(Note(pair["fact"]) for pair in SET))
        await memory.settled()
        assert await hits(memory, 3) >= 0.9
        assert await hits(memory, 1) >= 0.65
    finally:
        await memory.aclose()


async def test_small_talk_brings_little_to_mind(tmp_path: Path) -> None:
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot", MemorySpec())
    await memory.open()
    try:
        await memory.add(*(Note(pair["fact"]) for pair in SET))
        await memory.settled()
        small = ("hello", "How are you today?", "zzzz", "ok thanks", "你好", "good evening everyone", "lol")
        assert sum([len(await memory.search(text, None, 10)) for text in small]) <= 4
    finally:
        await memory.aclose()
