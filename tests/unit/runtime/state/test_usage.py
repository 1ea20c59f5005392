"""What models used is added up in the state database, survives the process, and is let go after more than a year."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from homunculus.errors import Refused
from homunculus.model import Usage
from homunculus.runtime.state import State
from homunculus.runtime.state import state as module
from homunculus.runtime.state.tables import LADDER, connect
from homunculus.runtime.state.usage import Spend, of_day, spend

ONE = Usage("2026-11-26", "haiku", "kovach", "local/x", "local:x", 1, 0, 100, 20, 50, 10, 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keeper.sqlite"


async def test_calls_of_a_day_are_added_and_survive_the_process(path: Path) -> None:
    state = await State.open(path)
    state.spend(ONE)
    state.spend(replace(ONE, label="local:renamed", cost=0.25))
    state.spend(replace(ONE, conversation="local/y"))
    state.spend(replace(ONE, day="2026-11-27"))
    await state.aclose()
    state = await State.open(path)
    first, second = await state.usage("2026-11-26")
    assert first == Usage("2026-11-26", "haiku", "kovach", "local/x", "", 2, 0, 200, 40, 100, 20, 0.75)
    assert (first.label, first.tokens) == ("local:renamed", 240)
    assert second == replace(ONE, conversation="local/y")
    assert await state.usage("2026-11-25") == ()
    await state.aclose()


async def test_names_of_any_letters_are_kept(path: Path) -> None:
    state = await State.open(path)
    state.spend(replace(ONE, conversation="twitch/雪\ud83d'; DROP TABLE usage", label="\x00"))
    await state.aclose()
    state = await State.open(path)
    (kept,) = await state.usage("2026-11-26")
    assert kept.conversation == "twitch/雪?'; DROP TABLE usage"
    await state.aclose()


async def test_a_question_waits_for_what_was_spent_before_it(path: Path) -> None:
    state = await State.open(path)
    state.spend(ONE)
    assert await state.usage("2026-11-26") == (ONE,)
    await state.aclose()


async def test_what_was_spent_is_written_soon_by_itself(path: Path) -> None:
    state = await State.open(path)
    state.spend(ONE)
    await asyncio.to_thread(_until_written, path)
    await state.aclose()


async def test_what_cannot_be_kept_is_logged_and_raises_nothing(path: Path) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING")
    state = await State.open(path)
    await state.aclose()
    state.spend(ONE)
    with pytest.raises(Refused, match="is closed"):
        await state.usage("2026-11-26")
    logger.remove(sink)
    assert "What a model used could not be kept" in "".join(lines)


async def test_days_that_are_too_old_are_let_go(path: Path) -> None:
    state = await State.open(path)
    state.spend(replace(ONE, day="2025-01-01"))
    state.spend(ONE)
    await state.aclose()
    state = await State.open(path, clock=lambda: 1_795_651_200.0)  # 2026-11-26
    await state.aclose()  # opening prunes, closing waits for it
    assert _days(path) == ["2026-11-26"]


def test_an_older_file_gets_the_table(path: Path) -> None:
    connect(path, LADDER[:1]).close()
    connect(path).close()
    assert _days(path) == []


usages = st.builds(
    Usage,
    st.sampled_from(["2026-11-25", "2026-11-26"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "y"]),
    st.sampled_from(["1", "2"]),
    calls=st.just(1),
    tokens_in=st.integers(0, 9),
    tokens_out=st.integers(0, 9),
)


@settings(max_examples=60)
@given(st.lists(st.lists(usages, max_size=5), max_size=4))
def test_however_calls_are_grouped_their_sum_is_the_same(groups: list[list[Usage]]) -> None:
    connection = apsw.Connection(":memory:")
    for step in LADDER:
        step(connection)
    expected: Counter[tuple[str, str, str, str]] = Counter()
    for group in groups:
        spend(connection, [Spend.of(group[:2]), Spend.of(group[2:])])
        for used in group:
            expected[used.day, used.model, used.agent_id, used.conversation] += used.tokens_in + used.tokens_out
    kept = [used for day in ("2026-11-25", "2026-11-26") for used in of_day(connection, day)]
    assert {(u.day, u.model, u.agent_id, u.conversation): u.tokens for u in kept} == dict(expected)
    assert sum(used.calls for used in kept) == sum(map(len, groups))


def _until_written(path: Path) -> None:
    """Look from another connection, which nobody tells of a commit: nothing here may hurry the writing."""
    deadline = time.monotonic() + 20
    while not _days(path):
        assert time.monotonic() < deadline
        time.sleep(module.SPEND_SECONDS)


def _days(path: Path) -> list[str]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return [day for (day,) in connection.execute("SELECT day FROM usage ORDER BY day")]
    finally:
        connection.close()
