"""A long reply is cut where a reader would cut it, and nothing of it is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homunculus.pipelines.split import split


def bare(text: str) -> str:
    """Return what must survive a split: everything but white space and the marks of code fences."""
    return re.sub(r"\s+|```\w*", "", text)


def test_a_short_text_is_one_post() -> None:
    assert split("Evening.", 2000) == ("Evening.",)


def test_nothing_to_say_is_no_post() -> None:
    assert split(" \n ", 2000) == ()


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("One one.\n\nTwo two. Three.", 16, ("One one.", "Two two. Three.")),
        ("line one\nline two\nline three", 20, ("line one\nline two", "line three")),
        ("A first one. A second one. A third one.", 28, ("A first one. A second one.", "A third one.")),
        ('He said "no." Then he left the shop.', 20, ('He said "no."', "Then he left the", "shop.")),
        ("words without any stop at all", 12, ("words", "without any", "stop at all")),
        ("风起了。“雨也来了。”他关上门。", 11, ("风起了。“雨也来了。”", "他关上门。")),
        ("一二三，四五六七，八九十", 9, ("一二三，四五六七，", "八九十")),
        ("x" * 25, 10, ("x" * 10, "x" * 10, "x" * 5)),
    ],
)
def test_cuts_fall_on_paragraph_line_sentence_then_word(text: str, limit: int, expected: tuple[str, ...]) -> None:
    assert split(text, limit) == expected


def test_a_cut_code_fence_is_closed_and_opened_again() -> None:
    code = "\n".join(f"roll({n})" for n in range(20))
    first, *others = split(f"Look:\n```python\n{code}\n```\nDone.", 100)
    assert first.startswith("Look:\n```python\nroll(0)")
    assert first.endswith("\n```")
    assert all(part.startswith("```python\n") for part in others)
    assert bare("\n".join((first, *others))) == bare(f"Look:\n```python\n{code}\n```\nDone.")


@given(st.text(alphabet=st.sampled_from("ab .!?\n。，“”雨🎲\t"), max_size=400), st.integers(1, 90))
@example("a" * 10 + "。" + "”" * 3, 11)
def test_every_part_fits_and_nothing_but_white_space_is_lost(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(0 < len(part) <= limit and part.strip() for part in parts)
    assert bare("\n".join(parts)) == bare(text)


fenced = st.lists(
    st.one_of(
        st.text(alphabet=st.sampled_from("ab .\n"), min_size=1, max_size=60),
        st.text(alphabet=st.sampled_from("xy ()\n"), min_size=1, max_size=120).map(lambda c: f"\n```py\n{c}\n```\n"),
    ),
    max_size=6,
).map("".join)


@given(fenced, st.integers(64, 160))
@example("a" * 14 + "\n```py\nx\n```\n\n```py\nxxx\n\n```\n\n```py\nxxxxxxxxxx\n\n```\n", 64)
def test_every_part_has_its_fences_closed(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(len(part) <= limit for part in parts)
    assert all(len(re.findall(r"^[ \t]*```", part, re.MULTILINE)) % 2 == 0 for part in parts)
    assert bare("\n".join(parts)) == bare(text)
