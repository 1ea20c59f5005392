"""The body of a message as a client sends it, read and checked field by field.

Owns the rules of Create Message and Edit Message. Never stores anything.
Source: Discord's "Create Message", "Edit Message" and "Uploading Files".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import BodyPartReader, web

from homunculus.testing.discord.mentions import Allowed, read_allowed, snowflake
from homunculus.testing.discord.refusals import INVALID_JSON, Json, invalid_form, refuse

MAX_CONTENT: Final = 2_000
MAX_NONCE: Final = 25
# SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS, IS_COMPONENTS_V2: the only flags a sender may set.
SETTABLE_FLAGS: Final = 1 << 2 | 1 << 12 | 1 << 15


@dataclass(frozen=True, slots=True)
class Upload:
    """One `files[n]` part."""

    filename: str
    data: bytes
    content_type: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A message body that passed every check that needs no state; absent fields of an edit are None."""

    sent: Json
    content: str | None
    embeds: list[Json] | None
    components: list[Json] | None
    notes: list[Json]
    allowed: Allowed
    nonce: str | int | None
    enforce_nonce: bool
    tts: bool
    flags: int | None
    reference: int | None
    fail_if_not_exists: bool


async def read_form(request: web.Request) -> tuple[Json, list[Upload]]:
    """Read a JSON body, or a multipart one with `payload_json` and `files[n]`."""
    kind = request.headers.get("Content-Type", "")
    if kind == "application/json":
        return parse_object(await request.read()), []
    if kind.startswith("multipart/form-data;"):
        return await _multipart(request)
    text = "Expected \"Content-Type\" header to be one of {'application/json', 'multipart/form-data'}."
    raise invalid_form("", "CONTENT_TYPE_INVALID", text)


def parse_json(raw: bytes) -> Any:
    """Parse strictly: UTF-8, no NaN, no lone surrogate."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as exc:
        raise refuse(INVALID_JSON) from exc
    return value


def parse_object(raw: bytes) -> Json:
    """Parse strictly, with an object at the top."""
    value = parse_json(raw)
    if not isinstance(value, dict):
        raise invalid_form("", "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


async def _multipart(request: web.Request) -> tuple[Json, list[Upload]]:
    payload: Json = {}
    uploads: list[Upload] = []
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise invalid_form("", "CONTENT_TYPE_INVALID", "Nested multipart bodies are not accepted.")
        data = bytes(await part.read(decode=True))
        if part.name == "payload_json":
            payload = parse_object(data)
        elif part.name and re.fullmatch(r"files\[\d\]", part.name) and part.filename:
            kind = part.headers.get("Content-Type", "application/octet-stream")
            uploads.append(Upload(part.filename, data, kind))
        else:
            raise invalid_form(str(part.name), "UNKNOWN_FIELD", "Expected payload_json or files[0] to files[9].")
    return payload, uploads


def read_draft(body: Json) -> Draft:
    """Check every field of a message body."""
    _refuse_unmodelled(body)
    nonce, enforce = body.get("nonce"), _flag(body, "enforce_nonce", default=False)
    reference, must_exist = _reference(body.get("message_reference"))
    return Draft(
        sent=body,
        content=_content(body.get("content")),
        embeds=_embeds(body.get("embeds")),
        components=_objects(body.get("components"), "components", 40),
        notes=_objects(body.get("attachments"), "attachments", 10) or [],
        allowed=read_allowed(body.get("allowed_mentions")),
        nonce=_nonce(nonce),
        enforce_nonce=enforce and nonce is not None,
        tts=_flag(body, "tts", default=False),
        flags=_flags(body.get("flags")),
        reference=reference,
        fail_if_not_exists=must_exist,
    )


def _refuse_unmodelled(body: Json) -> None:
    """Say plainly what this server does not model, rather than drop it."""
    for key in ("poll", "sticker_ids"):
        if body.get(key):
            raise invalid_form(key, "LOOPBACK_NOT_MODELLED", f"this loopback server does not model {key}")


def _content(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise invalid_form("content", "STRING_TYPE_CONVERT", "Could not interpret value as string.")
    # Discord trims first, then counts code points (not UTF-16 units: an emoji is one).
    text = str(value).strip()
    if len(text) > MAX_CONTENT:
        raise invalid_form("content", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_CONTENT} or fewer in length.")
    return text


def _nonce(value: Any) -> str | int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise invalid_form("nonce", "NONCE_TYPE_INVALID", "Must be an integer or a string.")
    if len(str(value)) > MAX_NONCE:
        raise invalid_form("nonce", "BASE_TYPE_MAX_LENGTH", f"Must be {MAX_NONCE} or fewer in length.")
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        raise invalid_form("nonce", "NUMBER_TYPE_MAX", "int value should be less than or equal to 2^63-1.")
    return value


def _flag(body: Json, key: str, *, default: bool, path: str = "") -> bool:
    value = body.get(key, default)
    if not isinstance(value, bool):
        raise invalid_form(path + key, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
    return value


def _flags(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_form("flags", "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
    if value & ~SETTABLE_FLAGS:
        raise invalid_form("flags", "MESSAGE_FLAGS_INVALID", "Only 4, 4096 and 32768 can be set.")
    return value


def _reference(value: Any) -> tuple[int | None, bool]:
    if value is None:
        return None, True
    if not isinstance(value, dict):
        raise invalid_form("message_reference", "MODEL_TYPE_CONVERT", "Expected an object/dictionary.")
    if value.get("type", 0) != 0:
        text = "this loopback server does not model forwards"
        raise invalid_form("message_reference.type", "LOOPBACK_NOT_MODELLED", text)
    if value.get("message_id") is None:
        raise invalid_form("message_reference.message_id", "BASE_TYPE_REQUIRED", "This field is required")
    must_exist = _flag(value, "fail_if_not_exists", default=True, path="message_reference.")
    return snowflake(value["message_id"], "message_reference.message_id"), must_exist


def _objects(value: Any, path: str, most: int) -> list[Json] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise invalid_form(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
    if len(value) > most:
        raise invalid_form(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
    return value


_EMBED_TEXTS: Final = {"title": 256, "description": 4_096}


def _embeds(value: Any) -> list[Json] | None:
    embeds = _objects(value, "embeds", 10)
    total = 0
    for index, embed in enumerate(embeds or []):
        for key, most in _EMBED_TEXTS.items():
            length = len(str(embed.get(key) or "").strip())
            total += length
            if length > most:
                path = f"embeds.{index}.{key}"
                raise invalid_form(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
    if total > 6_000:
        raise invalid_form("embeds", "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")
    return embeds
