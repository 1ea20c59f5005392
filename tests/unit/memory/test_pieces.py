"""A long message is looked for sentence by sentence, its end first, and never at more length than a recall has time for."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.memory.pieces import LENGTH, MOST, pieces


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Who owes me three dollars?", ["Who owes me three dollars?"]),
        ("", [" "]),
        (" \n ", [" "]),
        (
            "The lamp is broken again. Who owes me three dollars?",
            ["The lamp is broken again.", "Who owes me three dollars?"],
        ),
        ("The lamp is broken again\nWho owes me money?", ["The lamp is broken again", "Who owes me money?"]),
        ("灯塔又坏了，没人去修。是谁欠我三块钱？", ["灯塔又坏了，没人去修。", "是谁欠我三块钱？"]),
        ("Well… Who owes me three dollars? Hm!", ["Well… Who owes me three dollars? Hm!"]),
        ("I paid 3.50 for a map of Arkham.Co to Dr. Lin", ["I paid 3.50 for a map of Arkham.Co to Dr. Lin"]),
    ],
)
def test_sentences_stand_for_themselves_and_fragments_with_their_neighbour(text: str, wanted: list[str]) -> None:
    assert pieces(text) == wanted


def test_of_many_sentences_the_short_neighbours_go_together() -> None:
    long = [
        "The whole harbour has been without a light since Tuesday.",
        "Ask me again when the ferry is back, will you?",
    ]
    short = ["Nobody is to blame.", "Not even Old Marsh.", "Nor am I, sir."]
    assert pieces(" ".join([long[0], *short, long[1]])) == [long[0], " ".join(short), long[1]]


def test_of_a_long_message_the_end_is_taken_in_any_script() -> None:
    assert pieces("x" * 1000) == ["x" * int(4 * LENGTH)]
    assert pieces("字" * 999 + "末") == ["字" * (int(LENGTH) - 1) + "末"]


def tokens(text: str) -> float:
    """Count a letter of an alphabet as a quarter, one of a script without spaces as a whole."""
    narrow = sum(ord(letter) < 0x2E80 for letter in text)
    return narrow / 4 + len(text) - narrow


texts = st.text(st.sampled_from("ab z.!?…\n\t。？；字かé1\u0000🙂"), max_size=400) | st.text(max_size=200)


@given(texts)
def test_pieces_are_few_and_bounded_and_hold_the_end_of_what_was_said(text: str) -> None:
    found = pieces(text)
    assert 1 <= len(found) <= MOST
    assert all(found)
    assert sum(map(tokens, found)) <= LENGTH + MOST * 8  # what joins fragments is a space for each
    squeezed = re.sub(r"\s", "", "".join(found))
    assert re.sub(r"\s", "", text).endswith(squeezed)
    if tokens(text) <= LENGTH:
        assert squeezed == re.sub(r"\s", "", text)
