"""What is kept in memory of a history is what the database would say, or is not used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from homunculus.errors import NotReady
from homunculus.model import HistoryLine
from homunculus.runtime.state import State, reads
from homunculus.runtime.state.tails import CONVERSATIONS, Row, Tails
from homunculus.runtime.store import PendingSwap
from tests.unit.runtime.state.said import address, message, reply

TAVERN = address().conversation


def line(number: int, agent: str | None = None) -> tuple[int, HistoryLine]:
    return number, HistoryLine(f"m{number}", "Ana", f"text {number}", float(number), agent)


def texts(found: tuple[HistoryLine, ...] | None) -> list[str] | None:
    return None if found is None else [one.text.removeprefix("text ") for one in found]


def filled(tails: Tails, depth: int, *numbers: int) -> None:
    tail = tails.begin(TAVERN, "kovach", depth)
    assert tail is not None
    tail.fill([line(number) for number in numbers])


def newest(tails: Tails, limit: int, before: str | None = None, *, pending: bool = False) -> list[str] | None:
    return texts(tails.newest(TAVERN, "kovach", limit, before, pending=pending))


def test_lines_that_are_written_while_a_tail_is_filled_are_kept_once_and_in_order() -> None:
    tails = Tails()
    tail = tails.begin(TAVERN, "kovach", 8)
    assert tail is not None
    assert tails.begin(TAVERN, "kovach", 8) is None  # one fills it
    tails.heard(TAVERN, "kovach", line(5))
    tails.heard(TAVERN, "kovach", line(3))
    assert newest(tails, 8) is None
    tail.fill([line(1), line(3)])
    tails.heard(TAVERN, "kovach", line(5))
    assert newest(tails, 8) == ["1", "3", "5"]


def test_a_tail_that_was_dropped_while_it_was_filled_is_nobodys() -> None:
    tails = Tails()
    tail = tails.begin(TAVERN, "kovach", 8)
    assert tail is not None
    tails.drop(TAVERN)
    tail.fill([line(1)])
    assert newest(tails, 8) is None


def test_the_database_is_asked_for_more_than_is_kept() -> None:
    tails = Tails()
    filled(tails, 3, 1, 2, 3)  # there may be more
    assert newest(tails, 3) == ["1", "2", "3"]
    assert newest(tails, 4) is None
    filled(tails, 3, 1, 2)  # there are no more
    assert newest(tails, 4) == ["1", "2"]
    tails.heard(TAVERN, "kovach", line(3))
    tails.heard(TAVERN, "kovach", line(4))
    assert newest(tails, 3) == ["2", "3", "4"]
    assert newest(tails, 4) is None


def test_what_came_before_a_message_is_known_where_the_message_is() -> None:
    tails = Tails()
    filled(tails, 9, 1, 2, 3)
    assert newest(tails, 9, "m3") == ["1", "2"]
    assert newest(tails, 9, "m1") == []
    assert newest(tails, 9, "m7") is None
    assert newest(tails, 9, "m7", pending=True) == ["1", "2", "3"]


def test_a_turn_that_answers_what_another_agent_heard_is_not_followed() -> None:
    tails = Tails()
    filled(tails, 9, 1, 2)
    tails.said(TAVERN, "kovach", ["m2"], [line(3, "kovach")])
    assert newest(tails, 9) == ["1", "2", "3"]
    tails.said(TAVERN, "kovach", ["m2", "m9"], [line(5, "kovach")])
    assert newest(tails, 9) is None


def test_the_conversation_that_was_silent_longest_goes_first() -> None:
    tails = Tails()
    filled(tails, 9, 1)
    for number in range(CONVERSATIONS - 1):
        assert tails.begin(f"place {number}", "kovach", 9) is not None
    assert newest(tails, 9) == ["1"]
    assert tails.begin("one more", "kovach", 9) is not None
    assert newest(tails, 9) == ["1"]
    assert tails.begin("place 0", "kovach", 9) is not None  # had gone, so nobody was filling it


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    opened = await State.open(tmp_path / "state.sqlite")
    yield opened
    await opened.aclose()


async def test_a_conversation_that_is_talked_in_asks_the_database_once(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = reads.recent

    def recent(connection: apsw.Connection, conversation: str, *given: Any) -> tuple[Row, ...]:
        asked.append(conversation)
        return real(connection, conversation, *given)

    monkeypatch.setattr(reads, "recent", recent)
    for number in range(40):
        said = message(f"m{number}", f"text {number}", time=float(number + 1))
        await state.record(said, "kovach")
        found = await state.recent(TAVERN, "kovach", 9, said)
        expected = [f"{n}" for n in range(number)] + [f"{n} back" for n in range(number)]
        assert len(found) == min(9, len(expected))
        await state.finish(f"t{number}", "kovach", [said], [reply(f"r{number}", f"text {number} back")], address())
    assert asked == [TAVERN]
    found = await state.recent(TAVERN, "kovach", 4)
    assert texts(found) == ["38", "38 back", "39", "39 back"]


async def test_a_question_that_failed_keeps_nobody_from_filling_the_tail(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    await state.record(message("m1", "text 1"), "kovach")
    real, asked = reads.recent, list[str]()

    def failing(connection: apsw.Connection, conversation: str, *given: Any) -> tuple[Row, ...]:
        asked.append(conversation)
        if len(asked) == 1:
            raise apsw.BusyError("a backup holds the file")
        return real(connection, conversation, *given)

    monkeypatch.setattr(reads, "recent", failing)
    with pytest.raises(NotReady):
        await state.recent(TAVERN, "kovach", 9)
    for _ in range(3):
        assert texts(await state.recent(TAVERN, "kovach", 9)) == ["1"]
    assert len(asked) == 2


async def test_a_turn_that_was_ended_before_adds_nothing(state: State) -> None:
    said = message("m1", "text 1")
    await state.record(said, "kovach")
    assert texts(await state.recent(TAVERN, "kovach", 9)) == ["1"]
    for _ in range(2):
        await state.finish("t1", "kovach", [said], [reply("r1", "text 2")], address())
    assert texts(await state.recent(TAVERN, "kovach", 9)) == ["1", "2"]


async def test_an_edit_a_deletion_and_a_swap_are_seen_at_once(state: State) -> None:
    for number in (1, 2, 3):
        await state.record(message(f"m{number}", f"text {number}", time=float(number)), "kovach")
    assert texts(await state.recent(TAVERN, "kovach", 9)) == ["1", "2", "3"]
    await state.amend(message("m1", "text one", kind="edited"))
    assert texts(await state.recent(TAVERN, "kovach", 9)) == ["one", "2", "3"]
    await state.amend(message("m2", kind="deleted"))
    assert texts(await state.recent(TAVERN, "kovach", 9)) == ["one", "3"]
    await state.begin_swap(PendingSwap("kovach", "long-winter", "john"))
    assert texts(await state.recent(TAVERN, "kovach", 9)) == []
    await state.end_swap("kovach", kept=False)
    assert texts(await state.recent(TAVERN, "kovach", 9)) == ["one", "3"]
