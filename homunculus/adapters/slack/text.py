"""Slack's text format, both ways: marks made readable, and ours escaped so that nothing in it is a mark. Pure.

Source: Slack's "Formatting text for app surfaces": `&`, `<` and `>` stand for themselves only when escaped; everything
between `<` and `>` is a link or a mention.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LIMIT = 4000  # characters of one post: what chat.update takes, and what Slack advises for chat.postMessage

_MARK = re.compile(r"<([@#!]?)([^<>|\n]*)(?:\|([^<>\n]*))?>")
_ENTITY = re.compile(r"&(amp|lt|gt);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">"}
_SIGNS = re.compile(r"[*`~\s]+")
_BARE_SCHEMES = ("mailto:", "tel:", "http://", "https://")


def named(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the ids of users and of channels that a text names without saying how they are called."""
    marks = [match for match in _MARK.finditer(text) if not match[3]]
    users = frozenset(match[2] for match in marks if match[1] == "@")
    return users, frozenset(match[2] for match in marks if match[1] == "#")


def mentions(text: str, user_id: str) -> bool:
    """Tell whether a text mentions a user."""
    return any(match[1] == "@" and match[2] == user_id for match in _MARK.finditer(text))


def readable(text: str, own: str, users: Mapping[str, str], channels: Mapping[str, str]) -> str:
    """Turn Slack's text into what people read; mentions of `own` at the start and the end, which only address us, go."""
    if own and f"<@{own}" in text:
        text = _addressing(own).sub("", text)

    def read(match: re.Match[str]) -> str:
        sign, inner, label = match[1], match[2], match[3] or ""
        if sign == "@":
            return "@" + (label or users.get(inner, "someone"))
        if sign == "#":
            return "#" + (label or channels.get(inner, "some-channel"))
        if sign == "!":
            return _special(inner, label)
        return _link(inner, label)

    return _ENTITY.sub(lambda match: _ENTITIES[match[1]], _MARK.sub(read, text))


def escaped(text: str, room: int = LIMIT) -> str:
    """Escape a text of at most `room` characters; nothing in it pings, and what is sent is never longer than `room`.

    Where full escaping would make it too long, only what could be read as a mark or an entity is escaped, and at worst its
    angle brackets become those of mathematics: Slack would cut the text or refuse to change it.
    """
    full = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if len(full) <= room:
        return full
    least = _ENTITY.sub(r"&amp;\1;", text).replace("<", "&lt;")
    if len(least) <= room:
        return least
    return _ENTITY.sub(r"＆\1;", text).replace("<", "⟨").replace(">", "⟩")


def bold(name: str) -> str:
    """Return a name in Slack's bold, which knows no escaping: its signs are left out."""
    plain = _SIGNS.sub(" ", name).strip()
    return f"*{escaped(plain)}:*"


def _addressing(own: str) -> re.Pattern[str]:
    mark = rf"<@{re.escape(own)}(?:\|[^<>]*)?>"
    return re.compile(rf"\A(?:\s*{mark}[\s,:]*)+|(?:\s*{mark})+\s*\Z")


def _special(inner: str, label: str) -> str:
    """Read `<!here>`, `<!subteam^S1|@keepers>`, `<!date^…|yesterday>`."""
    if label:
        return label
    word = inner.partition("^")[0]
    return "@" + ("a-group" if word == "subteam" else word)


def _link(address: str, label: str) -> str:
    bare = address
    for scheme in _BARE_SCHEMES:
        bare = bare.removeprefix(scheme)
    if not label or label in (address, bare):
        return label or address
    return f"{label} ({address})"
