"""Reads what an endpoint of Anthropic's Messages API answers: events, whole messages, errors. Pure, and trusts no shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from homunculus.models.answers import Fault, Piece, count, loads, mapping, string

# What an error is called, and the status it has when it does not come inside a stream.
STATUS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}


def read(data: str | bytes) -> Piece | Fault | None:
    """Read one event of a stream, or a whole message; None is neither. Kinds that are not known say nothing."""
    body = loads(data)
    if not isinstance(body, dict) or not isinstance(body.get("type"), str):
        return None
    known = _KINDS.get(body["type"])
    return known(body) if known is not None else Piece()


def _fault(body: Mapping[str, Any]) -> Fault:
    error = mapping(body.get("error"))
    kind = string(error.get("type"))
    return Fault(string(error.get("message")) or kind, kind, status=STATUS.get(kind, 0))


def _start(body: Mapping[str, Any]) -> Piece:
    return _counted(mapping(body.get("message")))


def _text(body: Mapping[str, Any]) -> Piece:
    """Return the text of a delta; thoughts and tools are no text of ours."""
    return Piece(string(mapping(body.get("delta")).get("text")))


def _end(body: Mapping[str, Any]) -> Piece:
    return _counted(body, finish=string(mapping(body.get("delta")).get("stop_reason")))


def _whole(body: Mapping[str, Any]) -> Piece:
    content = body.get("content")
    blocks = [mapping(block) for block in content] if isinstance(content, list) else []
    text = "".join(string(block.get("text")) for block in blocks if block.get("type") == "text")
    return _counted(body, text, string(body.get("stop_reason")))


def _counted(body: Mapping[str, Any], text: str = "", finish: str = "") -> Piece:
    """Return a piece with what it cost so far: `input_tokens` leaves out what went through the cache."""
    usage = mapping(body.get("usage"))
    read = count(usage.get("cache_read_input_tokens"))
    written = count(usage.get("cache_creation_input_tokens"))
    asked = count(usage.get("input_tokens")) + read + written
    return Piece(text, finish, asked, count(usage.get("output_tokens")), read, written)


_KINDS: Mapping[str, Callable[[Mapping[str, Any]], Piece | Fault]] = {
    "message_start": _start,
    "content_block_delta": _text,
    "message_delta": _end,
    "message_stop": lambda body: Piece(last=True),
    "message": _whole,
    "error": _fault,
    "ping": lambda body: Piece(alive=False),
}
