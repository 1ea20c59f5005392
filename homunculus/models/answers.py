"""Reads what an OpenAI-compatible endpoint answers: pieces of text, usage, errors. Pure, and trusts no shape.

Every function takes decoded JSON of any shape and returns something usable; none raises for a surprise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from homunculus.errors import NotReady, Refused

LONGEST_REASON = 200  # characters of an endpoint's own message that are worth showing
_RETRY = frozenset({408, 409, 425, 429})
_UNSEEMLY = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of an answer: some text, perhaps the reason it ended, perhaps what it cost so far.

    `tokens_in` counts the whole prompt, with what a prefix cache served (`cache_read`) and kept (`cache_written`). `alive`
    is False for a keep-alive, `last` True for the event after which nothing comes.
    """

    text: str = ""
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_written: int = 0
    alive: bool = True
    last: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What an endpoint said went wrong; `code` and `param` are its own fields, empty where it has none; `status` 0 is unknown."""

    message: str = ""
    code: str = ""
    param: str = ""
    status: int = 0


def read_piece(data: object) -> Piece | Fault:
    """Read one chunk, or one whole answer: both carry `choices`, as `delta` or as `message`."""
    body = mapping(data)
    if body.get("error"):
        return read_fault(body)
    choices = body.get("choices")
    choice = mapping(choices[0]) if isinstance(choices, list) and choices else {}
    said = mapping(choice.get("delta")) or mapping(choice.get("message"))
    usage = mapping(body.get("usage"))
    return Piece(
        _text(said.get("content")),
        string(choice.get("finish_reason")),
        count(usage.get("prompt_tokens")),
        count(usage.get("completion_tokens")),
        count(mapping(usage.get("prompt_tokens_details")).get("cached_tokens")),
    )


def read_fault(data: object) -> Fault:
    """Read an error body: OpenAI's `{"error": {…}}`, or `{"error": "…"}`, `{"message"}`, `{"detail"}` of others."""
    body = mapping(data)
    error = body.get("error")
    inner = mapping(error)
    message = (
        inner.get("message") or (error if isinstance(error, str) else "") or body.get("message") or body.get("detail")
    )
    code, status = inner.get("code"), inner.get("status")
    number = next((n for n in (code, status) if isinstance(n, int) and not isinstance(n, bool)), 0)
    return Fault(string(message), string(code), string(inner.get("param")), number)


def loads(text: str | bytes) -> object:
    """Parse JSON; None when it is none, too deep, or absurd."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def raised(fault: Fault, host: str, secret: str | None, retry_after: str = "", fix: str = "") -> NotReady | Refused:
    """Make the error that says what to do next from a status and the endpoint's own words, without the key."""
    said = shown(fault.message, secret)
    reason = f"{host} answered {fault.status}" + (f": {said}" if said else "") + (f"; {fix}" if fix else "")
    if fault.status in _RETRY or fault.status >= 500 or fault.status < 400:
        return NotReady(reason, seconds_of(retry_after))
    return Refused(reason)


def shown(text: str, secret: str | None) -> str:
    """Return a stranger's text fit for one line: without the key, control characters or length."""
    if secret:
        text = text.replace(secret, "<secret>")
    text = _UNSEEMLY.sub(" ", text[: 8 * LONGEST_REASON]).strip()
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def seconds_of(retry_after: str, now: datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds or a date; None when absent or unreadable. At most an hour is believed."""
    value = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return min(float(value), 3600.0)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - (now or datetime.now(UTC))).total_seconds()), 3600.0)


def mapping(value: object) -> Mapping[str, Any]:
    """Return an object's fields; none of anything else."""
    return value if isinstance(value, dict) else {}


def string(value: object) -> str:
    """Return a text; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """Return a positive whole number; 0 for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _text(content: object) -> str:
    """Return the text of a content field: a string, or the text parts of a list."""
    if isinstance(content, list):
        return "".join(string(mapping(part).get("text")) for part in content)
    return string(content)
