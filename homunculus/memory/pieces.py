"""What of a message is looked for by meaning: its sentences, each for itself. Pure; knows no model.

The vector of a text that speaks of three things is their mean, and like none of them.
"""

from __future__ import annotations

import re

MOST = 3  # pieces: each is compared with every fact
LENGTH = 80.0  # of about a token each: what embedding a question takes is bounded so
_LEAST = 4.0  # what is shorter, the end of an abbreviation perhaps, means nothing by itself
_WIDE = "\u2e80"  # from here on a character is a syllable or a word; before it four of them are one
_END = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？；])|\n")


def pieces(text: str) -> list[str]:
    """Return the sentences of a text, three at most, at least one; of a long text what stands at its end, the newest.

    Neighbours that are short together are one piece.
    """
    found = [piece for sentence in _END.split(_ending(text)) if (piece := sentence.strip())]
    sizes = [sum(map(_size, piece)) for piece in found]
    while len(found) > MOST or (len(found) > 1 and min(sizes) < _LEAST):
        first = min(range(len(found) - 1), key=lambda place: sizes[place] + sizes[place + 1])
        found[first : first + 2] = [f"{found[first]} {found[first + 1]}"]
        sizes[first : first + 2] = [sizes[first] + sizes[first + 1]]
    return found or [" "]


def _size(letter: str) -> float:
    """Return about what part of a token a letter is."""
    return 1.0 if letter >= _WIDE else 0.25


def _ending(text: str) -> str:
    left = LENGTH
    for place in range(len(text) - 1, -1, -1):
        left -= _size(text[place])
        if left < 0:
            return text[place + 1 :]
    return text
