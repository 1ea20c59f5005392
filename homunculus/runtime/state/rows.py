"""How messages and replies are stored: JSON that leaves out what has its default. Owns the form; never a query.

Rows travel to SQLite as one JSON array a group: see `writes`.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, dataclass, fields
from typing import Any

from homunculus.model import Address, Author, Message, Reply


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """One applied deployment file: its number, when it was applied, the digest of what was read, its text."""

    number: int
    at: float
    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class UnsureReply:
    """One post that may or may not have arrived, where it went, why that is unknown, and since when."""

    reply: Reply
    address: Address
    reason: str
    since: float


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def dumps(row: object) -> str:
    """Encode a row; half a surrogate pair, which SQLite could store and never give back, becomes `?`."""
    text = _encode(row)
    return text if text.isascii() else clean(text)


def clean(text: str) -> str:
    """Return `text` as it will be read back."""
    return text.encode("utf-8", "replace").decode("utf-8")


_DEFAULTS = {
    kind: tuple((field.name, field.default) for field in fields(kind)) for kind in (Address, Author, Message, Reply)
}


def sparse(value: Address | Author | Message | Reply) -> dict[str, Any]:
    """Turn one of the nouns into a JSON object without the fields that have their default."""
    found = {}
    for name, default in _DEFAULTS[type(value)]:
        held = getattr(value, name)
        if default is MISSING or held != default:
            found[name] = sparse(held) if isinstance(held, Address | Author) else held
    return found


def message_of(stored: dict[str, Any]) -> Message:
    """Build a message from what `sparse` made of it."""
    return Message(
        **{
            **stored,
            "address": Address(**stored["address"]),
            "author": Author(**stored["author"]),
            "attachments": tuple(stored.get("attachments", ())),
        }
    )


def shown_text(message: Message) -> str:
    """Return the text that history keeps: attachments follow it as `[image: name]`, one a line."""
    images = (f"[image: {name}]" for name in message.attachments)
    return "\n".join(part for part in (message.text, *images) if part)
