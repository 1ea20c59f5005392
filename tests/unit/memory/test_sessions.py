"""SESSIONS.md: what is written is read again, what a person wrote stays, and each fact is of the session in which it was said."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus.errors import Refused
from homunculus.memory import disk, lines, sessions
from homunculus.memory.markdown import Markdown
from homunculus.model import Fact, Note, Session
from tests.unit.memory.test_lines import TEXT
from tests.unit.memory.test_power import Recorder, disk_after_a_cut
from tests.unit.memory.test_power import recorder as recorder

SEVEN, EIGHT, TEN = 1_795_806_000.0, 1_795_809_600.0, 1_795_816_800.0  # 2026-11-27T19:00:00Z …
SECONDS = st.integers(1, 4_000_000_000).map(float)
DATE = st.one_of(TEXT, st.sampled_from(["12 Oct 1925 to 13", "a | b", "\\", "\\|", "|", "<!-- x", "-->", "1: 2026"]))

BY_HAND = """\
# When we met

<!-- - Session 90: 2026-01-01 -->
- Session 1: 2026-11-13 19:00 to 2026-11-13 22:30 | 10 Oct 1925
* session 2: 2026-11-20T20:00:00+01:00 – 2026-11-20T23:00:00+01:00 | | 12 Oct
We skipped a week.
4: 2026-11-27T19:00:00Z
- Session 3: the one at Ana's, when was that?
"""


# --- the grammar ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 999_999), SECONDS, st.one_of(st.just(0.0), SECONDS), DATE, DATE)
def test_a_written_session_is_read_again(number: int, began: float, ended: float, date: str, until: str) -> None:
    session = Session(number, began, ended, lines.one_line(date), lines.one_line(until))
    line = sessions.written(session)
    assert "\n" not in line
    assert [row.session for row in sessions.rows(f"# Sessions\n\n{line}\n")] == [session]


def test_its_line_is_written_for_people() -> None:
    line = sessions.written(Session(4, SEVEN, TEN, "12 Oct 1925", "13 Oct 1925"))
    assert line == "- Session 4: 2026-11-27T19:00:00Z to 2026-11-27T22:00:00Z | 12 Oct 1925 | 13 Oct 1925"
    assert sessions.written(Session(5, SEVEN)) == "- Session 5: 2026-11-27T19:00:00Z"


def test_what_a_person_typed_is_read_as_it_is_meant() -> None:
    assert sessions.played(BY_HAND) == (
        Session(1, 1_794_596_400.0, 1_794_609_000.0, "10 Oct 1925"),
        Session(2, 1_795_201_200.0, 1_795_212_000.0, "", "12 Oct"),
        Session(4, SEVEN),
    )


def test_one_that_nobody_ended_ended_when_the_next_began() -> None:
    text = "- Session 2: 2026-11-27T20:00:00Z\n- Session 1: 2026-11-27T19:00:00Z\n"
    assert sessions.played(text) == (Session(1, SEVEN, EIGHT), Session(2, EIGHT))


def test_of_two_lines_with_one_number_the_later_holds() -> None:
    text = "- Session 1: 2026-11-27T19:00:00Z\n- Session 1: 2026-11-27T20:00:00Z to 2026-11-27T22:00:00Z\n"
    assert sessions.played(text) == (Session(1, EIGHT, TEN),)


@given(st.lists(st.one_of(TEXT, st.sampled_from(BY_HAND.split("\n"))), max_size=8).map("\n".join), DATE)
def test_any_file_can_be_read_and_none_of_its_lines_is_lost(text: str, date: str) -> None:
    known = sessions.played(text)
    assert [one.number for one in known] == sorted({one.number for one in known})
    assert all(one.ended for one in known[:-1])
    before = text.split("\n")
    if known and not known[-1].ended:
        after, session = sessions.over(text, TEN, date[:50])
        changed = [(old, new) for old, new in zip(before, after.split("\n"), strict=True) if old != new]
        assert len(changed) == 1
        assert sessions.played(after)[-1] == session
        text = after
    after, session = sessions.begun(text, TEN, date[:50], ())
    assert after.startswith(text)
    assert sessions.played(after)[-1] == session
    assert session.number > max([0, *(row.number for row in sessions.rows(text))])


@pytest.mark.parametrize(
    "began", ["0925-10-12", "1925-10-12", "9999-12-31T23:59:59-12:00", "1970-01-01", "yesterday", ""]
)
def test_a_time_at_which_nobody_played_is_no_session(began: str) -> None:
    assert sessions.played(f"- Session 1: {began} | 12 Oct 1925\n") == ()


def test_bytes_that_are_no_text_are_kept_and_told_as_a_sign(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    files.make()
    log = files.memory / "SESSIONS.md"
    log.write_bytes(b"caf\xe9\n- Session 1: 2026-11-27T19:00:00Z | caf\xe9\n")
    assert files.sessions() == (Session(1, SEVEN, date="caf\ufffd"),)
    files.end_session(TEN, "")
    assert log.read_bytes().startswith(b"caf\xe9\n- Session 1: 2026-11-27T19:00:00Z to ")


def test_a_file_that_cannot_be_read_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    files.begin_session(SEVEN, "")
    log = files.memory / "SESSIONS.md"
    written, read = log.read_bytes(), disk.read

    def refused(path: Path) -> bytes:
        if path == log:
            raise FileNotFoundError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(disk, "read", refused)
    again = Markdown(tmp_path / "kovach", tmp_path / "archive")
    with pytest.raises(Refused, match=r"SESSIONS\.md cannot be read"):
        again.begin_session(TEN, "")
    assert log.read_bytes() == written
    assert again.append([Note("Ana limps.")])[0].session == ""


def test_a_line_keeps_the_line_break_of_its_file() -> None:
    text, _ = sessions.over("- Session 1: 2026-11-27T19:00:00Z\r\nour last one\r\n", TEN, "")
    assert text == "- Session 1: 2026-11-27T19:00:00Z to 2026-11-27T22:00:00Z\r\nour last one\r\n"


def test_an_end_never_lies_before_its_beginning() -> None:
    _, session = sessions.over("- Session 1: 2026-11-27T22:00:00Z\n", SEVEN, "")
    assert (session.began, session.ended) == (TEN, TEN)


def test_the_next_number_follows_the_highest_that_is_known() -> None:
    facts = [Fact("a1b1c1", "x", session=named) for named in ("7", "the pilot", "", "²", "-9")]
    assert sessions.begun(BY_HAND.replace("\n4:", "\n-"), TEN, "", ())[1].number == 4  # 3 is named, though not dated
    assert sessions.begun("", TEN, "", facts)[1].number == 8
    assert sessions.begun("- Session 9: 2026-11-27 to 2026-11-28\n", TEN, "", facts)[1].number == 10


def test_a_date_that_is_a_novel_is_refused() -> None:
    with pytest.raises(Refused, match="at most 200"):
        sessions.begun("", TEN, "x" * 201, ())


# --- facts ----------------------------------------------------------------------------------------------------------

BASE = 1_795_806_000
MOMENT = st.integers(0, 160).map(lambda quarters: BASE + quarters / 4)
STEP = st.tuples(st.sampled_from(["begin", "end", "add", "add"]), MOMENT)


def owner(history: list[list[float]], said: float) -> str:
    """Paint every second with the session that ran then, those that began later over the others; ask for one."""
    seconds: dict[int, int] = {}
    for began, number, ended in sorted(history):
        for second in range(int(began), int(ended or BASE + 41) + 1):
            seconds[second] = int(number)
    return str(seconds.get(int(said), ""))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=14), st.booleans())
def test_each_fact_is_of_the_session_in_which_it_was_said(steps: list[tuple[str, float]], late: bool) -> None:
    """`late`: what was said is understood after everything is over; else at once, as the clock tells."""
    with TemporaryDirectory() as home:
        now = float(BASE)
        files = Markdown(Path(home, "agents/bot/kovach"), Path(home, "archive"), clock=lambda: now)
        history: list[list[float]] = []  # [began, number, ended]
        wanted: dict[str, str] = {}
        said: list[tuple[str, float]] = []
        for index, (kind, at) in enumerate(steps):
            running = [one for one in history if not one[2]]
            now = at
            if kind == "begin" and not running:
                history.append([int(at), len(history) + 1, 0])
                files.begin_session(at, f"day {len(history)}")
            elif kind == "end" and running:
                running[0][2] = max(int(at), running[0][0])
                files.end_session(at, "")
            elif kind == "add" and late:
                said.append((f"fact {index}", at))
            elif kind == "add":
                wanted[f"fact {index}"] = owner(history, at)
                files.append([Note(f"fact {index}")])
        now = BASE + 40.0
        for text, at in said:
            wanted[text] = owner(history, at)
            files.append([Note(text, said=at)])
        read = {fact.text: (fact.session, fact.date) for fact in files.facts()}
        assert read == {text: (number, f"day {number}" if number else "") for text, number in wanted.items()}


def test_what_a_note_says_of_its_time_is_left_to_it(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive", clock=lambda: EIGHT)
    files.begin_session(SEVEN, "12 Oct 1925")
    facts = files.append(
        [Note("a"), Note("b", date="the same night"), Note("c", session="2"), Note("d", said=SEVEN - 1)]
    )
    assert [(fact.session, fact.date) for fact in facts] == [
        ("1", "12 Oct 1925"), ("1", "the same night"), ("2", ""), ("", ""),
    ]  # fmt: skip


def test_a_session_corrected_by_hand_holds_for_what_is_learned_after(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive", clock=lambda: EIGHT)
    files.begin_session(SEVEN, "12 Oct 1295")
    log = files.memory / "SESSIONS.md"
    log.write_text(log.read_text("utf-8").replace("1295", "1925") + "Boris was late.\n", "utf-8")
    assert files.append([Note("a")])[0].date == "12 Oct 1925"
    files.end_session(TEN, "13 Oct 1925")
    assert files.sessions() == (Session(1, SEVEN, TEN, "12 Oct 1925", "13 Oct 1925"),)
    assert log.read_text("utf-8").endswith("| 12 Oct 1925 | 13 Oct 1925\nBoris was late.\n")


# --- the file -------------------------------------------------------------------------------------------------------


def test_it_holds_no_facts_and_gets_none(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    [fact] = files.append([Note("Ana limps.")])
    files.begin_session(SEVEN, "")
    assert [one.text for one in files.facts()] == ["Ana limps."]
    assert "SESSIONS.md" not in files.signatures()
    files.forget(fact.id)
    journal = tmp_path / "archive/kovach-forgotten.md"
    journal.write_text(journal.read_text("utf-8").replace(fact.file, "SESSIONS.md"), "utf-8")
    brought = files.bring_back(fact.id)
    assert brought is not None
    assert "Ana limps." not in (files.memory / "SESSIONS.md").read_text("utf-8")
    assert [one.text for one in files.facts()] == ["Ana limps."]


def test_a_memory_of_sessions_alone_is_not_blank(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    files.append([Note("Ana limps.")])
    name = files.archive()
    files.begin_session(SEVEN, "")
    kept = files.exchange(name)
    assert kept
    assert files.sessions() == ()
    files.exchange(kept)
    assert files.sessions() == (Session(1, SEVEN),)


def test_notes_that_a_person_put_there_are_not_blank_either(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    files.append([Note("Ana limps.")])
    name = files.archive()
    (files.memory / "SESSIONS.md").write_text("We begin in spring.\n", "utf-8")
    kept = files.exchange(name)
    assert (tmp_path / "archive" / kept / "memory/SESSIONS.md").read_text("utf-8") == "We begin in spring.\n"


def test_a_door_into_another_memory_is_refused(tmp_path: Path) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    files.make()
    other = tmp_path / "other.md"
    other.write_text("- Session 8: 2026-11-27\n", "utf-8")
    (files.memory / "SESSIONS.md").symlink_to(other)
    assert files.sessions() == ()
    with pytest.raises(Refused, match="symbolic link"):
        files.begin_session(SEVEN, "")
    assert other.read_text("utf-8") == "- Session 8: 2026-11-27\n"


def test_what_a_person_saves_at_that_moment_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Markdown(tmp_path / "kovach", tmp_path / "archive")
    files.begin_session(SEVEN, "")
    log, over = files.memory / "SESSIONS.md", sessions.over

    def meanwhile(text: str, at: float, date: str) -> tuple[str, Session]:
        monkeypatch.undo()
        with log.open("a", encoding="utf-8") as file:
            file.write("Boris was late.\n")
        return over(text, at, date)

    monkeypatch.setattr(sessions, "over", meanwhile)
    files.end_session(TEN, "")
    assert log.read_text("utf-8").endswith(" to 2026-11-27T22:00:00Z\nBoris was late.\n")


def test_a_power_cut_leaves_what_was_there_or_all_of_the_change(recorder: Recorder, tmp_path: Path) -> None:
    files = Markdown(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot")
    files.begin_session(SEVEN, "12 Oct 1925")
    log = files.memory / "SESSIONS.md"
    before, old = {path: path.read_bytes() for path in files.memory.glob("*.md")}, log.read_bytes()
    recorder.steps.clear()
    files.end_session(TEN, "")
    new = log.read_bytes()
    for cut in range(len(recorder.steps) + 1):
        for lucky in (False, True):
            assert disk_after_a_cut(recorder.steps[:cut], before, lucky=lucky)[log] in (old, new)
    assert disk_after_a_cut(recorder.steps, before, lucky=False)[log] == new
