"""The index is derived: missing, damaged, foreign or of another version, it is built anew from the files, and equal."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import apsw
import pytest

from homunculus.memory.database import VERSION
from homunculus.memory.index import Index
from homunculus.memory.markdown import Markdown
from homunculus.model import Note

WORDS = ["ana", "boris", "kovach", "lighthouse", "ferry", "dollars", "revolver", "storm", "灯塔", "码头", "左轮手枪"]


@pytest.fixture
def files(tmp_path: Path) -> Markdown:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    files.make()
    files.append([Note(f"{word} fact {number}") for number, word in enumerate(WORDS)])
    return files


def content(path: Path) -> tuple[Any, ...]:
    """Return everything an index says, without the row numbers that depend on its history."""
    opened = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        columns = "id, file, text, key, time, source, session, date, private, pinned, curated, tail"
        facts = opened.execute(f"SELECT {columns} FROM facts ORDER BY file, id").fetchall()
        opened.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab (main, words, row)")
        words = opened.execute("SELECT term, doc, cnt FROM temp.vocabulary ORDER BY term").fetchall()
        vectors = opened.execute("SELECT key FROM vectors ORDER BY key").fetchall()
        marks = opened.execute("SELECT name, signature, length, digest, time, line, comment FROM files ORDER BY name")
        return facts, words, vectors, marks.fetchall()
    finally:
        opened.close()


def rebuilt(files: Markdown, path: Path) -> tuple[Any, ...]:
    """Return what an index built from nothing says."""
    fresh = Index(path, files, None)
    fresh.sync()
    fresh.close()
    return content(path)


@pytest.mark.parametrize("damage", ["missing", "junk", "empty", "truncated", "version", "table", "flipped"])
def test_a_bad_index_is_built_anew(damage: str, files: Markdown, tmp_path: Path) -> None:
    path = files.folder / "index.sqlite"
    index = Index(path, files, None)
    assert index.search("lighthouse", None, 5)
    index.close()
    spoil(path, damage)
    again = Index(path, files, None)
    assert [fact.text for fact in again.search("lighthouse", None, 5)] == ["lighthouse fact 3"]
    assert [fact.text for fact in again.search("左轮手枪", None, 5)] == ["左轮手枪 fact 10"]
    again.close()
    assert content(path) == rebuilt(files, tmp_path / "fresh.sqlite")


def spoil(path: Path, damage: str) -> None:
    whole = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "flipped":
        path.write_bytes(whole[:4096] + bytes(byte ^ 0xFF for byte in whole[4096:12288]) + whole[12288:])
    elif damage in ("version", "table"):
        opened = apsw.Connection(str(path))
        opened.execute(f"PRAGMA user_version = {VERSION + 1}" if damage == "version" else "DROP TABLE facts")
        opened.close()
    else:
        path.write_bytes(
            {"junk": b"no database at all " * 400, "empty": b"", "truncated": whole[: len(whole) // 2]}[damage]
        )


def test_an_index_that_followed_is_equal_to_one_built_anew(files: Markdown, tmp_path: Path) -> None:
    """Appends, edits, removals and hand-written lines in random order."""
    chance = random.Random(7)
    path = files.folder / "index.sqlite"
    index = Index(path, files, None)
    day = files.memory / next(name for name in files.signatures() if name != "MEMORY.md")
    for step in range(120):
        facts = [fact for fact in files.facts() if not fact.curated]
        known = chance.choice(facts).id
        what = chance.randrange(6)
        if what <= 1:
            files.append([Note(f"{chance.choice(WORDS)} {step}", pinned) for pinned in ("a", "b")[: what + 1]])
        elif what == 2 and len(facts) > 5:
            files.forget(known)
        elif what == 3:
            with day.open("a", encoding="utf-8") as file:
                file.write(chance.choice((f"- by hand {step}", f"by hand {step}\n", "<!-- half", "-->\n", "\n## x\n")))
        elif what == 4:
            lines = day.read_text("utf-8").split("\n")
            chance.shuffle(lines)
            day.write_text("\n".join(lines), "utf-8")
        else:
            (files.memory / "MEMORY.md").write_text(f"He knows\n{chance.choice(WORDS)} {step}\n", "utf-8")
        if chance.random() < 0.7:
            index.sync()
    index.sync()
    index.close()
    assert content(path) == rebuilt(files, tmp_path / "fresh.sqlite")


def test_two_who_follow_the_same_files_agree(files: Markdown, tmp_path: Path) -> None:
    path = files.folder / "index.sqlite"
    one, other = Index(path, files, None), Index(path, files, None)
    for number in range(20):
        files.append([Note(f"harpoon {number}")])
        for index in (one, other) if number % 2 else (other, one):
            index.sync()
            assert len(index.search("harpoon", None, 50)) == number + 1
    one.close()
    other.close()
    assert content(path) == rebuilt(files, tmp_path / "fresh.sqlite")
