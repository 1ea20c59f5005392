"""`kill -9` in the middle of a stream of records and turns: what was acknowledged is there, and nothing is torn."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path
from typing import Any

import apsw

from homunculus.runtime.state import State
from homunculus.runtime.state.state import CRASHED
from tests.unit.runtime.state.said import address

VICTIM = """
import asyncio, json, sys
from pathlib import Path
from homunculus.runtime.state import State
from tests.unit.runtime.state.said import address, message, reply

def acknowledge(*what):
    sys.stdout.write(json.dumps(what) + "\\n")
    sys.stdout.flush()

async def live(state, place):
    for n in range(10**6):
        name = f"{place}-{n}"
        said = message(name, "a question", place)
        await state.record(said, "kovach")
        acknowledge("record", name)
        if n % 3 == 0:
            continue
        parts = [reply(f"{name}/{part}", "an answer") for part in range(2)]
        await state.finish(name, "kovach", [said], parts, address(place))
        acknowledge("finish", name)
        if n % 3 == 1:
            await state.sent(f"{name}/0", "platform-id")
            acknowledge("sent", f"{name}/0")

async def main():
    state = await State.open(Path(sys.argv[1]))
    await asyncio.gather(*(live(state, str(place)) for place in range(8)))

asyncio.run(main())
"""


async def killed_after(path: Path, lines: int) -> set[tuple[str, str]]:
    """Let the victim live until it acknowledged so many writes, kill it, and return all that it acknowledged."""
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", VICTIM, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[4]
    )
    assert victim.stdout is not None
    acknowledged = [await victim.stdout.readline() for _ in range(lines)]
    victim.kill()
    acknowledged += (await victim.stdout.read()).splitlines(keepends=True)
    assert await victim.wait() == -signal.SIGKILL
    return {tuple(json.loads(line)) for line in acknowledged if line.endswith(b"\n")}


def rows(path: Path, sql: str) -> list[Any]:
    plain = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(plain.execute(sql))
    finally:
        plain.close()


async def test_kill_in_mid_stream_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for life in range(3):
        path = tmp_path / str(life) / "keeper.sqlite"
        acknowledged = await killed_after(path, random.randint(200, 1_500))
        state = await State.open(path)
        try:
            check_nothing_is_lost_or_torn(path, acknowledged)
            for place in range(8):
                await check_history(path, state, str(place))
            reasons = {unsure.reason for unsure in await state.uncertain()}
            assert reasons == {CRASHED}
        finally:
            await state.aclose()


def check_nothing_is_lost_or_torn(path: Path, acknowledged: set[tuple[str, str]]) -> None:
    inbox = dict(rows(path, "SELECT id, outcome FROM inbox"))
    outbox = dict(rows(path, "SELECT reply_id, state FROM outbox"))
    for kind, *named in acknowledged:
        name = named[0]
        if kind == "record":
            assert name in inbox
        elif kind == "finish":
            assert inbox[name] == "answered"
        else:
            assert outbox[name] == "sent"
    assert set(outbox.values()) <= {"sent", "uncertain"}
    answered = {name for name, outcome in inbox.items() if outcome == "answered"}
    assert set(outbox) == {f"{name}/{part}" for name in answered for part in range(2)}
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


async def check_history(path: Path, state: State, place: str) -> None:
    """Each message has its line, each answered one the lines of both parts, in order."""
    found = [line.id for line in await state.recent(address(place).conversation, "kovach", 10_000)]
    inbox = rows(path, f"SELECT id, outcome FROM inbox WHERE id LIKE '{place}-%' ORDER BY seq")
    expected = [[name] if outcome is None else [name, f"{name}/0", f"{name}/1"] for name, outcome in inbox]
    assert found == [id_ for turn in expected for id_ in turn]
