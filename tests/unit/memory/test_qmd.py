"""The real qmd from its command line, and programs that hang, crash or babble in its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from loguru import logger

from homunculus.interfaces import Namespace
from homunculus.memory import qmd
from homunculus.memory.qmd_namespace import keywords
from homunculus.model import MemorySpec, Note, QmdSpec

PATIENT = QmdSpec(query_timeout_seconds=30, fallback_timeout_seconds=30)


@asynccontextmanager
async def opened(home: Path, settings: QmdSpec, *, registered: bool = True) -> AsyncIterator[Namespace]:
    memory = qmd.build(home / "agents/bot/kovach", home / "archive/bot", MemorySpec(backend="qmd", qmd=settings))
    try:
        await memory.open()
        await memory.add(Note("Ana owes Kovach three dollars."), Note("The lighthouse lamp is broken."))
        if registered:
            known = home / "agents/bot/kovach/qmd/xdg-config/qmd/index.yml"
            known.parent.mkdir(parents=True, exist_ok=True)
            known.write_text("collections:\n  mem:\n    path: facts\n", "utf-8")
        yield memory
    finally:
        await memory.aclose()


def program(path: Path, body: str) -> str:
    """Write an executable script and return its path; it notes every call beside itself."""
    path.write_text(f'#!/bin/sh\necho "$@" | tr "\\n" " " >> {path}.calls; echo >> {path}.calls\n{body}\n', "utf-8")
    path.chmod(0o755)
    return str(path)


def calls(path: Path) -> list[str]:
    return [line.split()[0] for line in Path(f"{path}.calls").read_text("utf-8").splitlines() if line.strip()]


@pytest.mark.needs("qmd")
async def test_the_program_finds_what_it_indexed_and_has_a_world_of_its_own(tmp_path: Path) -> None:
    async with opened(tmp_path, PATIENT, registered=False) as memory:
        await memory.settled()
        found = await memory.search("who repairs the lamp?")
        assert [fact.text for fact in found] == ["The lighthouse lamp is broken."]
        assert found[0].score > 0.4  # more than words alone can give: the program ranked it as well
    own = tmp_path / "agents/bot/kovach/qmd"
    assert (own / "xdg-config/qmd/index.yml").read_text("utf-8").count("mem:") == 1
    assert (own / "xdg-cache/qmd/index.sqlite").is_file()
    assert (own / "xdg-cache/qmd/models").is_symlink()


async def test_a_program_that_hangs_leaves_nobody_behind_and_words_answer(tmp_path: Path) -> None:
    script = tmp_path / "qmd"
    binary = program(script, f"sleep 600 & echo $! >> {script}.children; wait")
    settings = QmdSpec(
        binary=binary, query_timeout_seconds=0.5, fallback_timeout_seconds=0.5, update_timeout_seconds=0.5
    )
    async with opened(tmp_path, settings) as memory:
        assert [fact.text for fact in await memory.search("lamp")] == ["The lighthouse lamp is broken."]
        await memory.settled()
    assert calls(script) == ["query", "search", "update"]
    for child in Path(f"{script}.children").read_text().split():
        await gone(int(child))


async def gone(pid: int) -> None:
    """Wait until a process is no more, or only waits to be reaped by whoever inherited it."""
    async with asyncio.timeout(10):
        while _lives(pid):  # noqa: ASYNC110 - nobody tells of the end of a process that is not ours
            await asyncio.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("body", ["echo no json", "exit 3", 'echo "{}"', "echo '[1]'", "kill -9 $$"])
async def test_a_query_that_fails_is_searched_instead(body: str, tmp_path: Path) -> None:
    script = tmp_path / "qmd"
    found = '[{"file": "qmd://mem/z9z9z9-00.md"}]'
    binary = program(script, f"if [ \"$1\" = search ]; then echo '{found}'; else {body}; fi")
    async with opened(tmp_path, QmdSpec(binary=binary)) as memory:
        # What the program found is no fact of this memory: it is not shown, and words answer.
        assert [fact.text for fact in await memory.search("lamp")] == ["The lighthouse lamp is broken."]
    assert calls(script) == ["query", "search"]


async def test_a_missing_program_is_told_once_with_how_to_get_it(tmp_path: Path) -> None:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message.record["extra"].get("reason", ""))), level="WARNING")
    try:
        async with opened(tmp_path, QmdSpec(binary=str(tmp_path / "nowhere"))) as memory:
            for _ in range(3):
                assert len(await memory.search("lamp")) == 1
    finally:
        logger.remove(sink)
    assert len(told) == 1
    assert "npm install -g @tobilu/qmd" in told[0]


async def test_no_secret_of_this_process_reaches_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_BOT_TOKEN", "canary-token")
    binary = program(tmp_path / "qmd", f"env >> {tmp_path}/environment; echo '[]'")
    async with opened(tmp_path, QmdSpec(binary=binary)) as memory:
        await memory.search("lamp")
    seen = (tmp_path / "environment").read_text("utf-8")
    assert "canary-token" not in seen
    assert f"XDG_CACHE_HOME={tmp_path}/agents/bot/kovach/qmd/xdg-cache" in seen


async def test_two_updates_never_run_at_once(tmp_path: Path) -> None:
    script = tmp_path / "qmd"
    once = f"mkdir {script}.busy || touch {script}.twice; sleep 0.1; rmdir {script}.busy; echo mem"
    binary = program(script, once)
    async with opened(tmp_path, QmdSpec(binary=binary)) as memory, opened(tmp_path, QmdSpec(binary=binary)) as other:
        await asyncio.gather(*(one.settled() for one in (memory, other) * 3))
    assert not Path(f"{script}.twice").exists()
    assert "update" in calls(script)


def test_a_question_becomes_keywords_a_line_each() -> None:
    question = 'Who is --help "the" Lamp?'
    assert keywords(question, by_meaning=False) == [("lex", "help"), ("lex", "lamp")]
    assert keywords(question, by_meaning=True) == [("lex", "help"), ("lex", "lamp"), ("vec", question)]


def test_a_question_without_spaces_is_asked_by_pairs() -> None:
    asked = keywords("灯塔看守人去哪里了, Ana?", by_meaning=False)
    assert asked == [("lex", part) for part in ("塔看", "看守", "守人", "人去", "去哪", "哪里", "里了", "ana")]
