"""What an NPC remembers: facts, and what is written when one is learned. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to remember. `text` is one line; line breaks become spaces.

    `source` says who said it and where, for people; `session` and `date` (in the game's world) when, as the table counts.
    `private` is the conversation key of the direct message it was learned in: it is recalled there and nowhere else.
    """

    text: str
    source: str = ""
    session: str = ""
    date: str = ""
    private: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a namespace. `time` is when it was learned (seconds since the epoch), 0 when nobody wrote it down.

    `file` is the Markdown file that holds it. `curated` facts stand in MEMORY.md, which only a person changes; `pinned` and
    `curated` ones are recalled before all others. `score` says how well it fits a search; higher is better.
    """

    id: str
    text: str
    time: float = 0.0
    source: str = ""
    session: str = ""
    date: str = ""
    private: str = ""
    pinned: bool = False
    curated: bool = False
    file: str = ""
    score: float = 0.0
