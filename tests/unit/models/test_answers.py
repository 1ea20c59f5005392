"""Whatever an endpoint answers, reading it raises nothing and leaks no key."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.errors import NotReady, Refused
from homunculus.models import answers
from homunculus.models.answers import Fault, Piece

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
KEYS = st.sampled_from(
    ["choices", "delta", "message", "content", "error", "usage", "finish_reason", "prompt_tokens", "code", "text", "x"]
)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)


@given(ANY_JSON)
def test_any_json_is_read_without_a_surprise(data: object) -> None:
    read = answers.read_piece(data)
    assert isinstance(read, Piece | Fault)
    if isinstance(read, Piece):
        assert isinstance(read.text, str)
        assert read.tokens_in >= 0
        assert read.tokens_out >= 0
    fault = answers.read_fault(data)
    assert all(isinstance(value, str) for value in (fault.message, fault.code, fault.param))


@given(st.binary(max_size=40))
def test_bytes_that_are_no_json_are_none(raw: bytes) -> None:
    try:
        expected = json.loads(raw)
    except ValueError:
        expected = None
    assert repr(answers.loads(raw)) == repr(expected)


def test_json_nested_too_deep_is_none() -> None:
    assert answers.loads("[" * 100_000) is None


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        ({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}, Piece("a")),
        ({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}, Piece("a", "stop")),
        ({"choices": [{"message": {"content": [{"type": "text", "text": "a"}, {"type": "image"}]}}]}, Piece("a")),
        ({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}, Piece("", "", 5, 2)),
        ({"choices": [{"delta": {"role": "assistant", "content": None}}]}, Piece()),
        ({"error": {"message": "no", "code": 503}}, Fault("no", "", "", 503)),
        ({"error": "no"}, Fault("no")),
    ],
)
def test_the_shapes_of_the_protocol_are_read(data: object, piece: object) -> None:
    assert answers.read_piece(data) == piece


@given(st.text(max_size=300), st.text("abcdef0123456789", min_size=8, max_size=40), st.text(max_size=300))
def test_what_is_shown_is_one_short_line_without_the_key(before: str, key: str, after: str) -> None:
    shown = answers.shown(f"{before}{key}{after}", key)
    assert key not in shown
    assert len(shown) <= answers.LONGEST_REASON
    assert "\n" not in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_a_busy_endpoint_may_be_asked_again(status: int) -> None:
    assert isinstance(answers.raised(Fault("later", status=status), "host", None), NotReady)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422])
def test_an_endpoint_that_refuses_is_not_asked_again(status: int) -> None:
    error = answers.raised(Fault("wrong", status=status), "host", None)
    assert isinstance(error, Refused)
    assert error.reason == f"host answered {status}: wrong"


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("999999999", 3600.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1e9", None),
        ("nan", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(header: str, seconds: float | None) -> None:
    assert answers.seconds_of(header, NOW) == seconds


@given(st.text(max_size=40))
def test_retry_after_of_any_text_is_seconds_or_nothing(header: str) -> None:
    seconds = answers.seconds_of(header, NOW)
    assert seconds is None or 0 <= seconds <= 3600
