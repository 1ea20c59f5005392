"""After a month of play every NPC knows what it was told, each thing once, in files that a game master likes to read."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from difflib import unified_diff
from pathlib import Path

import pytest

from homunculus.memory import lines
from tests.e2e.month import EACH, SCRIPT, Ids, Known, Month, Table, campaigns, table
from tests.e2e.serving import ROOT
from tests.e2e.test_memory import told

GOLDEN = ROOT / "tests/golden/memory"
KEPT = ("kovach-eod", "chen-inn")
CURATED = """\
# Kovach, as he is in Edge of Darkness

Kovach sells lamp oil, rope and tinned peaches on Water Street in Arkham, and has a limp from the war.

- He never speaks about the cellar.
- He trusts nobody who does not pay.
"""
ALWAYS = [
    "Kovach sells lamp oil, rope and tinned peaches on Water Street in Arkham, and has a limp from the war.",
    "He never speaks about the cellar.",
    "He trusts nobody who does not pay.",
]
DAY = re.compile(r"\d{4}-\d\d-\d\d\.md")
HEADING = re.compile(r"## (\S+)")
LINE = re.compile(r"- (?P<id>(?:[a-z]\d){3}): (?P<text>.+) <!-- (?P<about>[^<>]*) -->")


def read(path: Path) -> tuple[list[str], list[Known]]:
    """Read a day's file by the rules of docs/memory.md alone: its ids, and what it says."""
    ids, known, time = [], [], ""
    title, *rest = path.read_text("utf-8").splitlines()
    assert title == f"# {path.stem}"
    for line in filter(None, rest):
        if heading := HEADING.fullmatch(line):
            assert time < heading[1], f"{path.name}: {heading[1]} stands under {time}"
            time = heading[1]
            continue
        found = LINE.fullmatch(line)
        assert found, f"{path.name}: {line}"
        about = dict(part.strip().split(": ", 1) for part in found["about"].split(";"))
        session, date = about.get("session", ""), about.get("date", "")
        known.append(Known(path.stem, time, found["text"], about["src"], session, date, "dm" in about))
        ids.append(found["id"])
    return ids, known


def days(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if DAY.fullmatch(path.name))


def shown(folder: Path) -> str:
    """Show a whole memory, one file after the other."""
    names = ["MEMORY.md", *(["SESSIONS.md"] if (folder / "SESSIONS.md").exists() else ())]
    every = [*(folder / name for name in names), *days(folder)]
    assert sorted(every) == sorted(folder.iterdir())
    return "\n".join(f"=== {path.name} ===\n\n{path.read_text('utf-8')}" for path in every)


def check_script(tables: list[Table]) -> None:
    """See that the month is one: twelve NPCs, some the same character, and mostly talk that teaches nothing new."""
    said = [one for table in tables for turns in table.said.values() for one in turns.values()]
    assert len(said) == 12 * EACH == len(tables) * EACH == 3_000
    assert len({table.campaign.character for table in tables}) < len(tables)
    teaching = [one for one in said if one.facts]
    assert 3_000 - len({one.text for one in teaching if one.new}) > 2_000
    assert len(teaching) > 4 * len({one.text for one in teaching})


def check_memory(one: Table, folder: Path, others: list[str]) -> None:
    """See that a memory holds what the script marks as new, in order, once, and nothing of anybody else."""
    assert [path.stem for path in days(folder)] == sorted({known.day for known in one.known})
    read_days = [read(path) for path in days(folder)]
    assert [known for _, facts in read_days for known in facts] == list(one.known)
    ids = Counter(ident for found, _ in read_days for ident in found)
    assert max(ids.values()) == 1
    text = shown(folder)
    assert not [other for other in others if other in text]
    assert one.campaign.canary in text
    assert all(path.stat().st_size < 4_000 for path in days(folder))
    assert len(text.encode()) < 400 * len(one.known) + 1_500


def check_listed(file: Path, one: Table, curated: list[str]) -> None:
    """See that the program reads its files as they were meant."""
    listed = told("list", file, one.campaign.agent)
    assert [fact["text"] for fact in listed] == [*curated, *(known.text for known in one.known)]
    assert [fact["source"] for fact in listed][len(curated) :] == [known.source for known in one.known]


def check_golden(agent: str, text: str, folder: Path) -> None:
    golden, written = GOLDEN / f"{agent}.md", folder / f"{agent}.md"
    wanted = golden.read_text("utf-8") if golden.exists() else ""
    written.write_text(text, "utf-8")
    if difference := "\n".join(
        unified_diff(wanted.splitlines(), text.splitlines(), str(golden), str(written), lineterm="")
    ):
        pytest.fail(
            f"a memory reads otherwise now. If it reads as well or better to a game master, copy {written} to {golden}:\n"
            + difference,
            pytrace=False,
        )


def test_a_month_of_play_leaves_memories_that_read_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "secrets", Ids)
    tables = [table(campaign) for campaign in campaigns(SCRIPT.read_text("utf-8"))]
    check_script(tables)
    month = Month(tables, tmp_path)
    curated = month.memory("kovach-eod") / "MEMORY.md"
    curated.parent.mkdir(parents=True)
    curated.write_text(CURATED, "utf-8")
    asyncio.run(month.play())
    assert month.said == 3_000
    assert curated.read_text("utf-8") == CURATED
    for one in tables:
        agent = one.campaign.agent
        others = [other.campaign.canary for other in tables if other is not one]
        check_memory(one, month.memory(agent), others)
        check_listed(month.file, one, ALWAYS if agent == "kovach-eod" else [])
    for agent in KEPT:
        check_golden(agent, shown(month.memory(agent)), tmp_path)
