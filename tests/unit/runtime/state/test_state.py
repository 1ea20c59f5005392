"""What the state database promises to the rest of the program, one promise a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from homunculus.errors import Refused
from homunculus.model import HistoryLine
from homunculus.private import write_private
from homunculus.runtime.state import GenerationRow, State
from homunculus.runtime.state import state as module
from homunculus.runtime.state.tables import LADDER, connect, run
from homunculus.runtime.store import UNHEARD
from tests.unit.runtime.state.said import DAY, address, message, reply

TAVERN = address().conversation


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def put(path: Path, sql: str) -> bytes:
    """Make a database that is not ours; return what the file holds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = apsw.Connection(str(path))
    run(connection, sql)
    connection.close()
    return path.read_bytes()


def ask(path: Path, sql: str) -> list[Any]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return list(connection.execute(sql))
    finally:
        connection.close()


class Clock:
    def __init__(self) -> None:
        self.now = 10_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "state" / "keeper.sqlite"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def state(path: Path, clock: Clock) -> AsyncIterator[State]:
    state = await State.open(path, clock=clock)
    yield state
    await state.aclose()


async def test_a_command_is_recorded_once_and_enters_no_history(state: State, path: Path) -> None:
    assert await state.record(message("1"), UNHEARD)
    assert not await state.record(message("1"), UNHEARD)
    assert await state.recent(TAVERN, UNHEARD, 10) == ()
    assert [held.id for held, agent_id in await state.unanswered(0) if agent_id == UNHEARD] == ["1"]
    assert ask(path, "SELECT count(*) FROM history") == [(0,)]


async def test_what_the_bot_says_unasked_is_sent_and_enters_no_history(state: State, path: Path) -> None:
    await state.finish("t", UNHEARD, (), (reply("t.0"),), address())
    assert ask(path, "SELECT state FROM outbox") == [("sending",)]
    await state.sent("t.0", "7")
    assert ask(path, "SELECT state FROM outbox") == [("sent",)]
    assert ask(path, "SELECT count(*) FROM history") == [(0,)]


async def test_what_an_npc_is_made_to_say_is_remembered_by_it(state: State) -> None:
    await state.finish("t", "kovach", (), (reply("t.0", "Good evening."),), address())
    assert [line.text for line in await state.recent(TAVERN, "kovach", 10)] == ["Good evening."]


async def test_files_are_the_owners_alone(state: State, path: Path) -> None:
    await state.record(message("1"), "kovach")
    assert {mode(path.with_name(path.name + end)) for end in ("", "-wal", "-shm")} == {0o600}
    assert mode(path.parent) == 0o700


async def test_a_file_left_open_to_others_is_closed_to_them(path: Path) -> None:
    put(path, "PRAGMA user_version=0")
    for opened, bits in ((path, 0o644), (path.parent, 0o755)):
        opened.chmod(bits)
    await (await State.open(path)).aclose()
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700


async def test_a_message_comes_back_after_a_restart_exactly_as_it_came(path: Path, clock: Clock) -> None:
    whole = message("1", "a\0b\nĳ 你好 🎲", time=1.1 + 2.2, mentioned=True, reply_to="0", attachments=("map.png",))
    whole = replace(whole, address=replace(whole.address, direct=True, parent="p", thread="t"))
    first = await State.open(path, clock=clock)
    await first.record(whole, "kovach")
    await first.aclose()
    again = await State.open(path, clock=clock)
    assert await again.unanswered(0) == ((whole, "kovach"),)
    assert await again.recent(whole.address.conversation, "kovach", 5) == (
        HistoryLine("1", "Zoë", "a\0b\nĳ 你好 🎲\n[image: map.png]", whole.time),
    )
    await again.aclose()


async def test_half_a_character_does_not_stop_a_message(state: State) -> None:
    assert await state.record(message("\ud800", "cut \ud83d off"), "kovach")
    ((stored, _),) = await state.unanswered(0)
    assert (stored.id, stored.text) == ("?", "cut ? off")
    assert not await state.record(message("\ud800"), "kovach")


async def test_a_message_is_claimed_once_and_remembered_across_restarts(path: Path) -> None:
    first = await State.open(path)
    assert not first.seen(message("1"))
    assert first.seen(message("1"))
    await first.record(message("1"), "kovach")
    await first.aclose()
    again = await State.open(path)
    assert again.seen(message("1"))
    assert not again.seen(message("1", place="crypt"))
    await again.aclose()


async def test_a_renamed_instance_still_knows_its_messages(state: State) -> None:
    await state.record(message("1"), "kovach")
    renamed = replace(message("1"), address=replace(address(), adapter="discord:other"))
    assert not await state.record(renamed, "kovach")


async def test_the_set_of_recent_keys_is_bounded_and_the_database_still_knows(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEEN", 3)
    for id_ in "12345":
        assert not state.seen(message(id_))
        await state.record(message(id_), "kovach")
    assert state.seen(message("5"))
    assert not state.seen(message("1"))
    assert not await state.record(message("1"), "kovach")


async def test_a_question_sees_every_write_asked_for_before_its_message(state: State) -> None:
    earlier = asyncio.ensure_future(state.record(message("1"), "kovach"))
    reply_ = asyncio.ensure_future(state.finish("t", "kovach", [message("1")], [reply("r")], address()))
    now = asyncio.ensure_future(state.record(message("2"), "kovach"))
    later = asyncio.ensure_future(state.record(message("3"), "kovach"))
    await asyncio.sleep(0)
    lines = await state.recent(TAVERN, "kovach", 9, before=message("2"))
    await asyncio.gather(earlier, reply_, now, later)
    assert [line.id for line in lines] == ["1", "r"]


async def test_a_question_does_not_wait_for_the_commit_of_its_own_message(state: State, path: Path) -> None:
    other = apsw.Connection(str(path))
    other.set_busy_timeout(5000)  # opening may still be tidying up
    run(other, "BEGIN IMMEDIATE")  # no commit gets through
    recording = asyncio.ensure_future(state.record(message("1"), "kovach"))
    await asyncio.sleep(0)
    assert await state.recent(TAVERN, "kovach", 9, before=message("1")) == ()
    assert not recording.done()
    run(other, "ROLLBACK")
    other.close()
    assert await recording


async def test_a_turn_that_ended_does_not_end_twice(state: State) -> None:
    await state.record(message("1"), "kovach")
    await state.finish("t", "kovach", [message("1")], [reply("t-0", "first")], address())
    await state.finish("t", "kovach", [message("1")], [reply("t-0", "second"), reply("t-1", "more")], address())
    assert [line.text for line in await state.recent(TAVERN, "kovach", 9)] == ["Who is there?", "first"]


async def test_a_reply_id_of_another_turn_is_refused_and_changes_nothing(state: State) -> None:
    await state.record(message("1"), "kovach")
    await state.finish("t1", "kovach", [], [reply("r")], address())
    with pytest.raises(Refused):
        await state.finish("t2", "kovach", [message("1")], [reply("r")], address())
    assert len(await state.unanswered(0)) == 1


async def test_a_post_keeps_the_platforms_id(state: State, path: Path) -> None:
    await state.finish("t", "kovach", [], [reply("r")], address())
    await state.sent("r", "platform-9")
    assert ask(path, "SELECT state, message_id FROM outbox") == [("sent", "platform-9")]


async def test_an_unsure_post_says_where_and_why(state: State, clock: Clock) -> None:
    await state.finish("t", "kovach", [], [reply("r")], address())
    await state.unsent("r", "uncertain", "the connection broke after the request")
    (unsure,) = await state.uncertain()
    assert (unsure.reply, unsure.address) == (reply("r"), address())
    assert (unsure.reason, unsure.since) == ("the connection broke after the request", clock.now)


async def test_a_message_without_a_time_counts_from_its_recording(state: State, clock: Clock) -> None:
    await state.record(message("1", time=0.0), "kovach")
    assert len(await state.unanswered(clock.now)) == 1


async def test_an_edit_keeps_who_said_it_and_when(state: State) -> None:
    await state.record(message("1", "gold", time=1000.0, mentioned=True), "kovach")
    bare = replace(message("1", "silver", kind="edited", attachments=("coin.png",)), time=0.0)
    await state.amend(replace(bare, author=replace(bare.author, name="")))
    ((stored, _),) = await state.unanswered(0)
    assert stored == message("1", "silver", time=1000.0, mentioned=True, attachments=("coin.png",))
    (line,) = await state.recent(TAVERN, "kovach", 9)
    assert (line.author, line.text, line.time) == ("Zoë", "silver\n[image: coin.png]", 1000.0)


async def test_a_deleted_message_leaves_no_word_behind_and_stays_a_duplicate(state: State, path: Path) -> None:
    await state.record(message("1", "my password is swordfish"), "kovach")
    await state.amend(message("1", kind="deleted"))
    assert "swordfish" not in repr([ask(path, f"SELECT * FROM {table}") for table in ("inbox", "history")])
    assert await state.unanswered(0) == ()
    assert not await state.record(message("1"), "kovach")


async def test_overrides_survive_a_restart_until_they_are_removed(path: Path) -> None:
    first = await State.open(path)
    await first.set_override(TAVERN, "kovach", "mode", "always")
    await first.set_override(TAVERN, "kovach", "mode", "observe")
    await first.set_override(TAVERN, "kovach", "paused", "yes")
    await first.set_override(TAVERN, "kovach", "paused", None)
    await first.aclose()
    again = await State.open(path)
    assert await again.overrides() == {(TAVERN, "kovach", "mode"): "observe"}
    await again.aclose()


async def test_the_last_fifty_generations_are_kept_under_their_numbers(state: State) -> None:
    numbers = [await state.add_generation(f"version: {n}", f"digest-{n}", float(n)) for n in range(1, 54)]
    assert numbers == list(range(1, 54))
    assert [row.number for row in await state.generations()] == list(range(4, 54))
    assert await state.generation(53) == GenerationRow(53, 53.0, "digest-53", "version: 53")
    assert await state.generation(3) is None


async def test_two_thousand_lines_a_conversation_are_kept(path: Path) -> None:
    first = await State.open(path)
    both = [
        message(str(n), place=place)
        for n in range(2_150)
        for place in ("tavern", "crypt")
        if place == "tavern" or n < 9
    ]
    await asyncio.gather(*(first.record(one, "kovach") for one in both))
    await first.aclose()
    again = await State.open(path)
    await again.sent("nothing", "")  # what was asked for at the start is done before this
    kept = await again.recent(TAVERN, "kovach", 9_999)
    assert [line.id for line in kept] == [str(n) for n in range(150, 2_150)]
    assert len(await again.recent(address("crypt").conversation, "kovach", 9_999)) == 9
    await again.aclose()


async def test_a_long_run_prunes_without_a_restart(state: State) -> None:
    for start in range(0, 3_000, 500):
        await asyncio.gather(*(state.record(message(str(n)), "kovach") for n in range(start, start + 500)))
    await state.sent("nothing", "")
    assert [line.id for line in await state.recent(TAVERN, "kovach", 9_999)] == [str(n) for n in range(1_000, 3_000)]


async def test_inbox_and_outbox_are_kept_seven_days_and_history_longer(path: Path, clock: Clock) -> None:
    first = await State.open(path, clock=clock)
    await first.record(message("1"), "kovach")
    await first.finish("t1", "kovach", [], [reply("r1")], address())
    clock.now += 3 * DAY
    await first.record(message("2"), "kovach")
    await first.finish("t2", "kovach", [], [reply("r2")], address())
    await first.aclose()
    clock.now += 5 * DAY
    again = await State.open(path, clock=clock)
    await again.sent("nothing", "")
    assert [waiting.id for waiting, _ in await again.unanswered(0)] == ["2"]
    assert [unsure.reply.id for unsure in await again.uncertain()] == ["r2"]
    assert [line.id for line in await again.recent(TAVERN, "kovach", 9)] == ["1", "r1", "2", "r2"]
    await again.aclose()


async def test_closing_is_safe_twice_keeps_what_was_asked_for_and_refuses_the_rest(path: Path) -> None:
    state = await State.open(path)
    asked = [asyncio.ensure_future(state.record(message(str(n)), "kovach")) for n in range(50)]
    await asyncio.sleep(0)
    await asyncio.gather(state.aclose(), state.aclose())
    assert all(await asyncio.gather(*asked))
    assert not state.seen(message("late"))
    with pytest.raises(Refused):
        await state.record(message("late"), "kovach")
    assert not state.seen(message("late"))
    with pytest.raises(Refused):
        await state.recent(TAVERN, "kovach", 1)
    again = await State.open(path)
    assert len(await again.unanswered(0)) == 50
    await again.aclose()


async def test_a_caller_that_gives_up_takes_nothing_back(state: State) -> None:
    asked = asyncio.ensure_future(state.record(message("1"), "kovach"))
    await asyncio.sleep(0)
    asked.cancel()
    await asyncio.wait([asked])
    await state.record(message("2"), "kovach")
    assert [waiting.id for waiting, _ in await state.unanswered(0)] == ["1", "2"]


async def test_a_newer_file_is_refused_and_left_as_it_is(path: Path) -> None:
    before = put(path, "CREATE TABLE later (x); PRAGMA user_version=9")
    with pytest.raises(Refused, match=r"keeper\.sqlite: a newer homunculus wrote it \(schema 9, this one knows 1\)"):
        await State.open(path)
    assert put(path, "") == before


async def test_a_foreign_database_is_refused_and_left_as_it_is(path: Path) -> None:
    before = put(path, "CREATE TABLE songs (x)")
    with pytest.raises(Refused, match="tables of another program"):
        await State.open(path)
    assert put(path, "") == before


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    put(path, "")
    write_private(path, "my shopping notes, not a database; please keep them\n" * 30)
    with pytest.raises(Refused, match=r"keeper\.sqlite"):
        await State.open(path)


def test_an_older_file_climbs_every_step_or_none(path: Path) -> None:
    connect(path).close()

    def broken(connection: apsw.Connection) -> None:
        run(connection, "CREATE TABLE half (x)")
        raise Refused("the step broke")

    def whole(connection: apsw.Connection) -> None:
        run(connection, "ALTER TABLE overrides ADD COLUMN since REAL")

    with pytest.raises(Refused):
        connect(path, (*LADDER, whole, broken))
    climbed = connect(path, (*LADDER, whole))
    assert climbed.pragma("user_version") == 2
    assert climbed.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").get == 0
    assert "since" in [column[1] for column in climbed.execute("PRAGMA table_info(overrides)")]
    climbed.close()


async def test_a_mark_lies_a_little_before_the_newest_message_of_each_conversation(state: State) -> None:
    for number in range(30):
        await state.record(message(f"slow {number}", time=1000.0 + 60 * number), "kovach")
        await state.record(message(f"fast {number}", place="crypt", time=1000.0 + number), "kovach")
        await state.record(message(f"burst {number}", place="hall", time=1000.0 + number / 10), "kovach")
    await state.record(message("late", place="crypt", time=1024.5), "kovach")  # came after younger ones
    found = {mark.address.place: mark for mark in await state.last_recorded("discord", "bot-1")}
    assert {place: (mark.after, mark.time, mark.known) for place, mark in found.items()} == {
        "tavern": ("slow 29", 2740.0, 0),
        "crypt": ("fast 21", 1021.0, 9),
        "hall": ("burst 20", 1002.0, 9),
    }
    assert found["crypt"].address == address("crypt")
    assert found["crypt"].address.label == address("crypt").label


async def test_marks_are_those_of_one_account(state: State) -> None:
    others = (("slack", "bot-1"), ("discord", "bot-2"), ("discord", "bot-10"), ("discord", "bot-1/x"), ("discord", ""))
    for platform, account in others:
        there = replace(address(), platform=platform, account=account)
        await state.record(replace(message("1"), address=there), "kovach")
    assert await state.last_recorded("discord", "bot-1") == ()
    await state.record(message("1"), "kovach")
    assert [mark.address for mark in await state.last_recorded("discord", "bot-1")] == [address()]


async def test_a_deleted_message_marks_nothing_and_a_reply_neither(state: State) -> None:
    await state.record(message("1", time=1000.0), "kovach")
    await state.record(message("2", time=1001.0), "kovach")
    await state.finish("t", "kovach", [message("1")], [reply("r")], address())
    await state.amend(message("2", kind="deleted"))
    assert [(mark.after, mark.known) for mark in await state.last_recorded("discord", "bot-1")] == [("1", 0)]


async def test_a_turn_that_ended_with_the_beginning_of_its_reply_is_brought_to_the_whole(
    state: State, path: Path
) -> None:
    said = message("1")
    await state.record(said, "kovach")
    await state.finish("t", "kovach", [said], [reply("t.0", "The cellar")], address())
    await state.sent("t.0", "post-1")
    whole = [reply("t.0", "The cellar is shut."), reply("t.1", "Go home.")]
    await state.extend("t", "kovach", whole, address())
    lines = await state.recent(TAVERN, "kovach", 10)
    assert [line.text for line in lines if line.agent_id] == ["The cellar is shut.", "Go home."]
    rows = ask(path, "SELECT reply_id, turn_id, state, message_id, reply ->> '$.text' FROM outbox ORDER BY reply_id")
    assert rows == [
        ("t.0", "t", "sent", "post-1", "The cellar is shut."),
        ("t.1", "t", "sending", None, "Go home."),
    ]
