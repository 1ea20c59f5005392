"""Server-sent events arrive whole however the network cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.models.sse import LONGEST_LINE, Events

TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20)
EVENTS = st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=6)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(EVENTS, ENDS, st.booleans(), st.booleans(), st.data())
def test_events_survive_every_cut_line_end_and_comment(
    events: list[list[str]], end: str, comments: bool, bom: bool, data: st.DataObject
) -> None:
    stream = "\ufeff" if bom else ""
    for lines in events:
        stream += f": keep-alive{end}{end}event: message{end}id: 7{end}" if comments else ""
        stream += "".join(f"data: {line}{end}" for line in lines) + end
    raw = stream.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    parser, got = Events(), []
    for start, stop in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        got += parser.feed(raw[start:stop])
    assert got + parser.close() == ["\n".join(lines) for lines in events]


def test_an_event_is_handed_out_as_soon_as_it_is_whole() -> None:
    parser = Events()
    assert parser.feed(b"data: one\r") == []
    assert parser.feed(b"\n\r") == ["one"]
    assert parser.feed(b"\ndata:two\n\n") == ["two"]


def test_a_last_event_without_its_empty_line_is_not_lost() -> None:
    parser = Events()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.close() == ["[DONE]"]


def test_a_character_cut_in_two_is_put_together() -> None:
    raw = "data: 雪\n\n".encode()
    parser = Events()
    assert parser.feed(raw[:7]) + parser.feed(raw[7:]) == ["雪"]


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    parser = Events()
    for _ in range(LONGEST_LINE // 65536):
        parser.feed(b"x" * 65536)
    with pytest.raises(ValueError, match="more than"):
        parser.feed(b"x")
