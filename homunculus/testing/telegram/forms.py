"""What a request asks: parameters from a query, a form or JSON, and the rules of a text with its entities.

Owns reading and checking what stands in the request alone. Never looks at the world.
Source: the Bot API's "Making requests", "MessageEntity" and "sendMessage".
"""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web

from homunculus.testing.telegram.refusals import TEXT_EMPTY, TOO_LONG, bad, refuse

Json = dict[str, Any]
# Telegram says "4096 characters", its MTProto configuration "UTF-8 codepoints", and clients count UTF-16 units: the
# strictest of the three is held here, so that what passes is accepted however it is counted.
LONGEST: Final = 4096
# Telegram cuts these off a text's ends.
_SPACE: Final = " \t\n\r\v\f"
_ENTITIES: Final = {
    *("mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number", "bold", "italic", "underline"),
    *("strikethrough", "spoiler", "blockquote", "expandable_blockquote", "code", "pre", "text_link", "text_mention"),
    "custom_emoji",
}


async def parameters(request: web.Request) -> Json:
    """Read the parameters of a call; values of a form are strings, those of a JSON body what they are."""
    found: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.read())
        except ValueError:
            raise bad("can't parse JSON object") from None
        if not isinstance(body, dict):
            raise bad("can't parse JSON object")
        return found | body
    return found | {key: value for key, value in (await request.post()).items() if isinstance(value, str)}


def integer(form: Json, name: str, default: int = 0) -> int:
    """Read a whole number; Telegram takes what is none for 0."""
    value = form.get(name, default)
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def boolean(value: object) -> bool:
    return value is True or str(value).lower() in ("true", "yes", "1")


def parsed(form: Json, name: str, kind: type) -> Any:
    """Read a parameter that is JSON inside a form; an absent one is None."""
    value = form.get(name)
    if isinstance(value, str) and value:
        try:
            value = json.loads(value)
        except ValueError:
            raise bad(f"can't parse {name} JSON object") from None
    if value in (None, ""):
        return None
    if not isinstance(value, kind):
        raise bad(f"object expected as {name}")
    return value


def text_of(form: Json) -> tuple[str, tuple[Json, ...]]:
    """Read a text with its entities as Telegram keeps them: trimmed, within the limit, within the text."""
    if form.get("parse_mode"):
        raise bad("unsupported parse_mode")  # ours speak in entities; the markup languages are not modelled
    raw = str(form.get("text", ""))
    entities = _entities(raw, parsed(form, "entities", list) or [])
    cut = _units(raw[: len(raw) - len(raw.lstrip(_SPACE))])
    text = raw.strip(_SPACE)
    if not text:
        raise refuse(TEXT_EMPTY)
    if _units(text) > LONGEST:
        raise refuse(TOO_LONG)
    return text, tuple(_shifted(entities, cut, _units(text)))


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _entities(text: str, entities: list[Any]) -> list[Json]:
    for entity in entities:
        if not isinstance(entity, dict) or entity.get("type") not in _ENTITIES:
            raise bad("can't parse MessageEntity: unsupported type specified")
        offset, length = entity.get("offset"), entity.get("length")
        if type(offset) is not int or type(length) is not int:
            raise bad('can\'t parse MessageEntity: Field "offset" and "length" must be of type Number')
        if offset < 0 or length <= 0 or offset + length > _units(text):
            raise bad("can't parse entities: entity lies outside of the text")
        if not _whole(text, offset) or not _whole(text, offset + length):
            raise bad("can't parse entities: entity begins or ends in the middle of a UTF-16 symbol")
    return entities


def _whole(text: str, units: int) -> bool:
    """Tell whether a count of UTF-16 units falls between two characters."""
    head = text.encode("utf-16-le")[: 2 * units]
    return not head or not 0xD8 <= head[-1] <= 0xDB


def _shifted(entities: list[Json], cut: int, length: int) -> list[Json]:
    found = []
    for entity in entities:
        begin, end = max(0, entity["offset"] - cut), min(length, entity["offset"] + entity["length"] - cut)
        if begin < end:
            found.append({**entity, "offset": begin, "length": end - begin})
    return found
