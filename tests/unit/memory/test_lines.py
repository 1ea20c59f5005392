"""What is written is read again, whatever it says; what a person types needs no form."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.errors import Refused
from homunculus.memory import lines
from homunculus.memory.lines import CURATED
from homunculus.model import Note

ANYTHING = st.text(max_size=60)
NASTY = st.sampled_from(
    ["<!--", "-->", "; pinned", "; gm", "torn", "- ", "## ", "%3B", "\u2028", "\r\n", "a1b2c3: ", "\ufeff", "dm: x"]
)
TEXT = st.lists(st.one_of(ANYTHING, NASTY), max_size=5).map("".join)


@given(TEXT, TEXT, TEXT, TEXT, st.booleans(), st.booleans())
def test_a_written_fact_is_read_again(text: str, source: str, date: str, private: str, gm: bool, pinned: bool) -> None:
    if not lines.one_line(text):
        return
    note = Note(lines.one_line(text), source, "", date, private, gm)
    fact = replace(lines.learned("a1b2c3", note, 60.0, "day.md"), pinned=pinned)
    read = [line.fact for line in lines.parsed("day.md", f"## 1970-01-01T00:01:00Z\n{lines.written(fact)}\n")]
    assert read == [fact]


@given(st.lists(TEXT, max_size=6).map("\n".join))
def test_any_file_can_be_read_and_its_ids_are_its_own(text: str) -> None:
    for file in ("2026-01-01.md", CURATED):
        found = [line.fact for line in lines.parsed(file, text)]
        assert len({fact.id for fact in found}) == len(found)
        assert all(fact.text and "\n" not in fact.text for fact in found)
        assert found == [line.fact for line in lines.parsed(file, text)]


@given(TEXT, TEXT)
def test_reading_on_finds_what_reading_anew_finds(first: str, second: str) -> None:
    """An index that follows a growing file is equal to one built from it."""
    first = "".join(f"{line}\n" for line in first.split("\n"))
    place = lines.beginning("day.md")
    begun = [line.fact for line in lines.parsed("day.md", first, place)]
    going_on = [line.fact for line in lines.parsed("day.md", second, place, {fact.id for fact in begun})]
    assert begun + going_on == [line.fact for line in lines.parsed("day.md", first + second)]


def test_a_hand_written_day_is_read() -> None:
    text = """\
# Session four

- Ana owes Kovach three dollars
* Boris limps. <!-- session: 4; date: 12 Oct 1925 -->
A line without a bullet
1. and a numbered one
---
<!-- a comment
- over two lines -->
## 2026-10-12T20:15:00Z

- note: this is no id
"""
    found = [line.fact for line in lines.parsed("2026-10-12.md", text)]
    assert [fact.text for fact in found] == [
        "Ana owes Kovach three dollars",
        "Boris limps.",
        "A line without a bullet",
        "and a numbered one",
        "note: this is no id",
    ]
    assert (found[1].session, found[1].date) == ("4", "12 Oct 1925")
    assert found[0].time == lines.moment("2026-10-12")
    assert found[4].time == lines.moment("2026-10-12T20:15:00Z")


def test_half_a_line_of_ours_is_no_fact_and_stays_where_it_is() -> None:
    half = "- k2m4p6: Ana owes Kov"
    assert list(lines.parsed("day.md", half)) == []
    mended = half + lines.mended(half) + "- d1d1d1: whole <!-- noted -->\n"
    assert [line.fact.text for line in lines.parsed("day.md", mended)] == ["whole"]
    assert half in mended


def test_a_last_line_typed_without_a_line_break_is_a_fact() -> None:
    assert [line.fact.text for line in lines.parsed("day.md", "- one\n- two")] == ["one", "two"]
    assert lines.mended("- two") == "\n"


def test_a_copied_line_is_a_fact_of_its_own() -> None:
    text = "- k2m4p6: one <!-- noted -->\n- k2m4p6: two <!-- noted -->\n"
    first, second = (line.fact for line in lines.parsed("day.md", text))
    assert first.id == "k2m4p6" != second.id


def test_what_cannot_be_a_fact_is_refused_with_the_remedy() -> None:
    with pytest.raises(Refused, match="empty"):
        lines.worth(Note("\x00 \n"))
    with pytest.raises(Refused, match="make several of it"):
        lines.worth(Note("x" * 4_001))


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("知府十五那天带六十个兵过镇。", "知府十五那天，带六十个兵过镇", True),
        ("知府十五那天带六十个兵过镇。", "知府十五那天带六百个兵过镇。", False),
        ("灯塔、キーパーは消えた", "灯塔キーパーは消えた。", True),
        ("Ana owes him a part.", "Ana owes him apart.", False),
        ("Ana owes Kovach, three dollars", "ana owes Kovach three dollars!", True),
    ],
)
def test_punctuation_makes_no_other_fact_in_any_language(one: str, other: str, alike: bool) -> None:
    assert (lines.likeness(one) == lines.likeness(other)) is alike
