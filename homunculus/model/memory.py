"""What an NPC remembers: facts, what is written when one is learned, and the sessions in which. Plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to remember. `text` is one line; line breaks become spaces.

    `source` says who said it and where, for people; `session` and `date` (in the game's world) when, as the table counts.
    `private` is the conversation key of the direct message it was learned in: it is recalled there and nowhere else.
    `gm` says that the game master told it: the NPC knows it, and no player is shown it. `said` is when it was said, in
    seconds since the epoch, 0 for now: a note without `session` belongs to the session that ran then.
    """

    text: str
    source: str = ""
    session: str = ""
    date: str = ""
    private: str = ""
    gm: bool = False
    said: float = 0.0


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact of a namespace. `time` is when it was learned (seconds since the epoch), 0 when nobody wrote it down.

    `file` is the Markdown file that holds it. `curated` facts stand in MEMORY.md, which only a person changes; `pinned` and
    `curated` ones are recalled before all others. `gm` facts were told by the game master. `score` says how well it fits a
    search; higher is better.
    """

    id: str
    text: str
    time: float = 0.0
    source: str = ""
    session: str = ""
    date: str = ""
    private: str = ""
    gm: bool = False
    pinned: bool = False
    curated: bool = False
    file: str = ""
    score: float = 0.0

    @property
    def open(self) -> bool:
        """Tell whether players may be shown it: it was said at the table, where all could hear."""
        return bool(self.source) and not (self.curated or self.gm or self.private)


@dataclass(frozen=True, slots=True)
class Session:
    """One evening at the table. `began` and `ended` in seconds since the epoch; `ended` is 0 while it runs.

    `date` is when it began in the game's world, `until` when it ended there, in the game master's words.
    """

    number: int
    began: float
    ended: float = 0.0
    date: str = ""
    until: str = ""
