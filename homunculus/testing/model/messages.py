"""What Anthropic's Messages API refuses in a request, and in which words. Pure.

Checked as in https://platform.claude.com/docs/en/api/messages, and as strict as the strictest model: sampling parameters
are refused, roles must alternate, and a conversation ends with a user.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from aiohttp import web

from homunculus.testing.model.loopback import Body, Rejected, dumps

MOST_MARKS = 4  # blocks of a request that may end a cached prefix

KINDS: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Refusal(Rejected):
    """One error answer of the Messages API."""

    def __init__(self, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message, self.status, self.headers = message, status, dict(headers or {})

    def response(self) -> web.Response:
        request_id = f"req_{secrets.token_hex(12)}"
        body = {"type": "error", "error": self.error(), "request_id": request_id}
        return web.json_response(body, status=self.status, headers={"request-id": request_id, **self.headers})

    def error(self) -> dict[str, str]:
        return {"type": KINDS.get(self.status, "api_error"), "message": self.message}


def check_body(body: Body) -> None:
    """Raise Refusal for a request that is not well formed."""
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise Refusal(f"{name}: Field required")
    for name, value in body.items():
        if name not in _FIELDS:
            raise Refusal(f"{name}: Extra inputs are not permitted")
        _FIELDS[name](value)
    marks = dumps(body).count('"cache_control":')
    if marks > MOST_MARKS:
        raise Refusal(f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {marks}.")


def _check_text(value: object, place: str) -> None:
    if not isinstance(value, str):
        raise Refusal(f"{place}: Input should be a valid string")
    if not value:
        raise Refusal(f"{place}: text content blocks must be non-empty")
    if not value.strip():
        raise Refusal(f"{place}: text content blocks must contain non-whitespace text")


def _check_content(value: object, place: str) -> None:
    """Check a text, or a list of text blocks."""
    if isinstance(value, str):
        return _check_text(value, place)
    if not isinstance(value, list):
        raise Refusal(f"{place}: Input should be a valid list")
    if not value:
        raise Refusal(f"{place}: all messages must have non-empty content")
    for i, block in enumerate(value):
        _check_block(block, f"{place}.{i}")
    return None


def _check_block(block: object, place: str) -> None:
    if not isinstance(block, dict) or block.get("type") != "text":
        raise Refusal(f"{place}: Input tag does not match any of the expected tags: 'text'")
    _check_text(block.get("text"), f"{place}.text")
    for name in block:
        if name not in {"type", "text", "cache_control"}:
            raise Refusal(f"{place}.{name}: Extra inputs are not permitted")
    mark = block.get("cache_control", {"type": "ephemeral"})
    if not isinstance(mark, dict) or mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in {"5m", "1h"}:
        raise Refusal(f"{place}.cache_control: Input tag does not match any of the expected tags: 'ephemeral'")


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list):
        raise Refusal("messages: Input should be a valid list")
    if not messages:
        raise Refusal("messages: at least one message is required")
    roles = [_checked_role(message, f"messages.{i}") for i, message in enumerate(messages)]
    if roles[0] != "user":
        raise Refusal('messages: first message must use the "user" role')
    for before, after in pairwise(roles):
        if before == after:
            raise Refusal(
                'messages: roles must alternate between "user" and "assistant", '
                f'but found multiple "{after}" roles in a row'
            )
    if roles[-1] != "user":
        raise Refusal("This model does not support assistant message prefill. It must end with a user message.")


def _checked_role(message: object, place: str) -> str:
    if not isinstance(message, dict):
        raise Refusal(f"{place}: Input should be a valid dictionary")
    role = message.get("role")
    if role not in {"user", "assistant"}:
        raise Refusal(f'messages: Unexpected role "{role}". Allowed roles are "user" or "assistant".')
    if "content" not in message:
        raise Refusal(f"{place}.content: Field required")
    _check_content(message["content"], f"{place}.content")
    for name in message:
        if name not in {"role", "content"}:
            raise Refusal(f"{place}.{name}: Extra inputs are not permitted")
    return str(role)


def _check_stops(value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(stop, str) for stop in value):
        raise Refusal("stop_sequences: Input should be a valid list")
    if not all(stop.strip() for stop in value):
        raise Refusal("stop_sequences: each stop sequence must contain non-whitespace")


def _check_model(value: object) -> None:
    if not isinstance(value, str) or not value:
        raise Refusal("model: Input should be a valid string")


def _check_max_tokens(value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal("max_tokens: Input should be a valid integer")
    if value < 1:
        raise Refusal("max_tokens: must be greater than or equal to 1")


def _check_stream(value: object) -> None:
    if not isinstance(value, bool):
        raise Refusal("stream: Input should be a valid boolean")


def _deprecated(name: str, only: float | None = None) -> Callable[[object], None]:
    def check(value: object) -> None:
        if only is None or value != only:
            raise Refusal(f"`{name}` is deprecated for this model.")

    return check


_FIELDS: Mapping[str, Callable[[Any], None]] = {
    "model": _check_model,
    "max_tokens": _check_max_tokens,
    "messages": _check_messages,
    "system": lambda value: _check_content(value, "system"),
    "stop_sequences": _check_stops,
    "stream": _check_stream,
    "temperature": _deprecated("temperature", only=1.0),
    "top_p": _deprecated("top_p"),
    "top_k": _deprecated("top_k"),
}
