"""Cuts a text into posts that a platform takes: on paragraph, line, sentence, then word. Code fences stay closed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"^[ \t]*(?P<marks>```+|~~~+)(?P<language>[^\n`]*)$", re.MULTILINE)
# Where to cut, best first; `gap` is the white space that a cut drops. CJK sentences end without a space.
_CUTS = (
    re.compile(r"(?P<gap>\n[ \t]*\n\s*)"),
    re.compile(r"(?P<gap>\n)"),
    re.compile(r"[.!?…][\"'”’)\]]*(?P<gap>\s+)|[。！？][”’」』）]*(?P<cjk>)"),
    re.compile(r"(?P<gap>\s+)|[，、；：](?P<cjk>)"),
)
_LEAST_FILLED = 0.3  # a better kind of cut that would leave a post emptier than this gives way to the next kind
_NARROW = 64  # below this many characters, closing and opening fences would be most of a post


@dataclass(frozen=True, slots=True)
class _Fence:
    marks: str
    language: str

    @property
    def closing(self) -> str:
        return f"\n{self.marks}"

    @property
    def opening(self) -> str:
        return f"{self.marks}{self.language[:16]}\n"


def split(text: str, limit: int) -> tuple[str, ...]:
    """Return the text as parts of at most `limit` characters (Unicode code points), none of them blank.

    Nothing but white space at the cuts is dropped; a code fence that is cut is closed and opened again.
    """
    parts: list[str] = []
    rest = text.strip()
    while rest:
        part, rest = _first(rest, limit, fences=limit >= _NARROW)
        if part.strip():
            parts.append(part)
    return tuple(parts)


def _first(text: str, limit: int, *, fences: bool) -> tuple[str, str]:
    if len(text) <= limit:
        return text, ""
    end, start = _cut(text, limit)
    fence = _open_fence(text[:end]) if fences else None
    if fence is None:
        return text[:end].rstrip(), text[start:].lstrip()
    end, start = _cut(text, limit - len(fence.closing))
    if _open_fence(text[:end]) != fence:  # the shorter cut falls before the fence opens, or inside an earlier one
        return _first(text, end, fences=fences)
    return text[:end] + fence.closing, fence.opening + text[start:]


def _cut(text: str, room: int) -> tuple[int, int]:
    """Return where the first part ends (at most `room`) and where the rest begins."""
    for pattern in _CUTS:
        best = None
        for match in pattern.finditer(text, 0, room + 1):
            at = match.start(match.lastgroup or 0)
            if 0 < at <= room:
                best = (at, match.end(match.lastgroup or 0))
        if best is not None and best[0] >= room * _LEAST_FILLED:
            return best
    return room, room


def _open_fence(text: str) -> _Fence | None:
    """Return the fence that is still open at the end of a text."""
    fence: _Fence | None = None
    for match in _FENCE.finditer(text):
        marks, language = match["marks"], match["language"].strip()
        if fence is None:
            fence = _Fence(marks, language)
        elif marks.startswith(fence.marks) and not language:
            fence = None
    return fence
