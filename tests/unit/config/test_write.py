"""What is written as YAML is read again as it was, by both readers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from homunculus.config import source
from homunculus.config.reader import read_fast
from homunculus.config.write import dump
from homunculus.errors import ConfigError

LINES = st.text(st.sampled_from("ab 　:#-\"'\\\n\t\r{}[]é地\x85\u2028\ufeff😀\x00\x1b"), max_size=30)
TEXTS = st.one_of(
    LINES,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["null", "true", "~", "1e3", "<<", ".inf"]),
)
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
KEYS = st.one_of(TEXTS, st.sampled_from(["a", "b", "x-note", "nein"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=150)
@given(data=st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
@example(data={"a": [[], {}, [[1]], {"b": ["x\ny"]}], "b": "x\n", "c": "x\n\n", "d": " x\ny", "e": "x\n \ny"})
@example(
    data={
        "a": {
            "b": {
                "c": {
                    "d": {
                        "e": {
                            "f": {"g": {"h": {"i": {"j": {"k": {"l": {"m": {"n": {"o": {"p": {"q": {"r": "x"}}}}}}}}}}}}
                        }
                    }
                }
            }
        }
    }
)
def test_what_is_written_is_read_again_as_it_was(data: dict[str, Any]) -> None:
    text = dump(data)
    read = source.read(text.encode(), "f")
    assert read.faults == ()
    assert read.data == data
    fast = read_fast(text.encode(), "f")
    assert fast is None or fast.data == data


def test_an_ordinary_card_is_written_for_the_fast_reader_and_for_people() -> None:
    card = {
        "name": "Seraphina",
        "description": "A guardian: of the forest.\nOld.",
        "examples": ["{{user}}: Who?\n{{char}}: Me.", "One line."],
        "knowledge": [{"keys": ["glade", "地窖"], "content": "Warded.", "enabled": False, "insertion_order": 100}],
        "stats": {"STR": 65, "Spot Hidden": 4.5},
        "tags": [],
    }
    text = dump(card)
    assert read_fast(text.encode(), "f") is not None
    assert text.splitlines() == [
        "name: Seraphina",
        "description: |-",
        "  A guardian: of the forest.",
        "  Old.",
        "examples:",
        "  - |-",
        "    {{user}}: Who?",
        "    {{char}}: Me.",
        "  - One line.",
        "knowledge:",
        "  - keys:",
        "      - glade",
        "      - 地窖",
        "    content: Warded.",
        "    enabled: false",
        "    insertion_order: 100",
        "stats:",
        "  STR: 65",
        '  "Spot Hidden": 4.5',
        "tags: []",
    ]


def test_what_could_not_be_read_again_is_not_written() -> None:
    deep: Any = "x"
    for _ in range(41):
        deep = [deep]
    with pytest.raises(ConfigError, match="nested more than 40 levels"):
        dump({"a": deep})
    with pytest.raises(ConfigError, match="more than 4 MiB"):
        dump({"a": "\x00" * 1_000_000, "b": "x"})
