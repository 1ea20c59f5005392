"""`kill -9` while facts are appended, forgotten and indexed by two processes: nothing acknowledged is lost, nothing torn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from homunculus.memory.index import Index
from homunculus.memory.markdown import Markdown
from tests.unit.memory.test_index import content, rebuilt

KILLS = 200

# One process forks a victim after the other: an interpreter each would take minutes.
DRIVER = """
import json, os, random, select, signal, sys, time
from pathlib import Path
from homunculus.errors import Refused
from homunculus.memory.index import Index
from homunculus.memory.markdown import Markdown
from homunculus.model import Note

folder, archive, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def live(life, told):
    files = Markdown(folder, archive)
    index = Index(folder / "index.sqlite", files, None)
    for n in range(10**6):
        facts = files.append([Note(f"life {life} fact {n} {part} " + "x" * (n % 5 * 900), "kill") for part in "ab"], index)
        os.write(told, "".join(f"+{fact.id}\\n" for fact in facts).encode())
        index.sync()
        if n % 4 == 3:
            os.write(told, f"?{facts[0].id}\\n".encode())
            files.forget(facts[0].id)
            os.write(told, f"-{facts[0].id}\\n".encode())
        if n % 6 == 5:
            files.bring_back(facts[0].id)

def begun(life):
    hear, told = os.pipe()
    victim = os.fork()
    if victim == 0:
        os.close(hear)
        live(life, told)
    os.close(told)
    return victim, hear

chance = random.Random(1926)
heard = []
for life in range(kills // 2):
    pair = [begun(f"{life}.{n}") for n in range(2)]
    for victim, hear in pair:
        os.read(hear, 7)  # it lives, and its first acknowledgement has begun
    time.sleep(chance.random() * 0.02)
    for victim, hear in pair:
        os.kill(victim, signal.SIGKILL)
    for victim, hear in pair:
        os.waitpid(victim, 0)
        text = b""
        while more := os.read(hear, 1 << 20):
            text += more
        os.close(hear)
        heard.append(text.decode())
print(json.dumps(heard))
"""


def test_200_kills_lose_nothing_and_tear_nothing(tmp_path: Path) -> None:
    folder, archive = tmp_path / "agents/bot/kovach", tmp_path / "archive/bot"
    command = [sys.executable, "-c", DRIVER, str(folder), str(archive), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    lives = json.loads(done.stdout)
    assert len(lives) == KILLS
    acknowledged, leaving = acknowledgements(lives)
    assert len(acknowledged) > KILLS
    text = "".join(path.read_text("utf-8") for path in sorted((folder / "memory").glob("2*.md")))
    journal = archive / "kovach-forgotten.md"
    gone = journal.read_text("utf-8") if journal.exists() else ""
    for ident in acknowledged:
        where = text.count(f"- {ident}: "), gone.count(f"- {ident}: ")
        assert where == (1, 0) or (ident in leaving and sum(where) >= 1), (ident, where)
    for line in text.splitlines():
        assert re.fullmatch(r"|# .*|## \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|- (\w\d){3}: .* <!-- (src: kill|torn) -->", line)
    files = Markdown(folder, archive)
    index = Index(folder / "index.sqlite", files, None)
    index.sync()
    index.close()
    assert content(folder / "index.sqlite") == rebuilt(files, tmp_path / "fresh.sqlite")


def acknowledgements(lives: list[str]) -> tuple[set[str], set[str]]:
    """Return the ids whose append was acknowledged, and those that were being taken out or brought back."""
    added, leaving = set[str](), set[str]()
    for told in lives:
        for line in told.split("\n")[:-1]:  # what is cut off was not acknowledged
            # The first seven bytes were read to see that it lives: the first id is not looked for.
            if re.fullmatch(r"\+(\w\d){3}", line):
                added.add(line[1:])
            elif re.fullmatch(r"[?-](\w\d){3}", line):
                leaving.add(line[1:])
    return added, leaving
