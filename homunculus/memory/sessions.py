"""The grammar of SESSIONS.md: which lines are sessions, how one is written, and which one a moment lies in. Pure.

A line that the program wrote: `- Session 4: 2026-11-27T19:00:00Z to 2026-11-27T22:40:00Z | 12 Oct 1925 | 13 Oct 1925`, without
what follows `to` while it runs, and without dates of the game's world where nobody named any. Whatever cannot be read so is a
person's own text: it means nothing here, and stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from homunculus.errors import Refused
from homunculus.memory import lines
from homunculus.model import Fact, Note, Session

FILE = "SESSIONS.md"
TEMPLATE = """\
# Sessions of {name}

<!-- When you played, in real time (UTC) and in the game's world; the commands session start and session end write here.
Correct what is wrong: what the NPC learns belongs to the session that ran when it was said. -->

"""
LONGEST = 200  # characters of a date

_LINE = re.compile(r"\s*(?:[-*+]\s+)?(?:session\s+)?(?P<number>\d{1,18})\s*:(?P<rest>.*)", re.IGNORECASE)
_ESCAPED = re.compile(r"\\([\\|])")
_RESERVED = re.compile(r"[\\|]")
_BAR = re.compile(r"\\[\\|]|\|")
_TO = re.compile(r"\s+(?:to|until|–|—|-)(?:\s+|\Z)", re.IGNORECASE)
_LAST = 250_000_000_000  # a moment in the year 9892
_NUMBER = re.compile(r"\d{1,6}")


@dataclass(frozen=True, slots=True)
class Row:
    """One session as its line says it, and the number of that line, counted from 0. `session` None: only its number."""

    line: int
    number: int
    session: Session | None


def rows(text: str) -> tuple[Row, ...]:
    """Return what the lines of a file say, in their order; what stands in a comment says nothing."""
    return _read(text)[0]


def played(text: str) -> tuple[Session, ...]:
    """Return the sessions of a file by their numbers: of two lines with one number the later holds.

    One that a person left without an end ended when the next one began.
    """
    known = {row.number: row.session for row in rows(text) if row.session is not None}
    ordered = [known[number] for number in sorted(known)]
    closed = [
        one if one.ended else replace(one, ended=max(one.began, following.began))
        for one, following in pairwise(ordered)
    ]
    return (*closed, *ordered[-1:])


def written(session: Session) -> str:
    """Return the line of a session, without its line break. `rows` gives the same session back."""
    times = lines.stamp(session.began) + (f" to {lines.stamp(session.ended)}" if session.ended else "")
    cells = [_safe(session.date), _safe(session.until)]
    while cells and not cells[-1]:
        cells.pop()
    return " | ".join((f"- Session {session.number}: {times}", *cells)).rstrip()


def begun(text: str, at: float, date: str, facts: Sequence[Fact]) -> tuple[str, Session]:
    """Return a file's text with the next session in it, numbered after the highest that the file or a fact names."""
    running = _running(text)
    if running is not None:
        since = lines.stamp(running.began)
        raise Refused(f"session {running.number} has been running since {since}; end it first with session end")
    named = [int(fact.session) for fact in facts if _NUMBER.fullmatch(fact.session)]
    number = max([0, *(row.number for row in rows(text)), *named]) + 1
    session = Session(number, float(int(at)), date=_worth(date))
    above = text if text.endswith("\n") or not text else f"{text}\n"
    if _read(text)[1]:
        above += "-->\n"  # a comment that nobody closed would swallow it
    return f"{above}{written(session)}\n", session


def over(text: str, at: float, date: str) -> tuple[str, Session]:
    """Return a file's text with the running session ended; every other line stays as it is."""
    running = _running(text)
    if running is None:
        raise Refused("no session is running; session start begins one")
    session = replace(running, ended=max(float(int(at)), running.began), until=_worth(date) or running.until)
    whole = text.split("\n")
    line = max(row.line for row in rows(text) if row.session is not None and row.number == running.number)
    whole[line] = written(session) + ("\r" if whole[line].endswith("\r") else "")
    return "\n".join(whole), session


def holding(sessions: Sequence[Session], moment: float) -> Session | None:
    """Return the session that a moment lies in, counting whole seconds, its first and its last included; the latest of two."""
    second = int(moment)
    held = [one for one in sessions if one.began <= second and (not one.ended or second <= one.ended)]
    return max(held, key=lambda one: (one.began, one.number), default=None)


def placed(note: Note, sessions: Sequence[Session], now: float) -> Note:
    """Return a note with the session it belongs to, unless it names one itself."""
    if note.session:
        return note
    session = holding(sessions, note.said or now)
    return replace(note, session=str(session.number), date=note.date or session.date) if session else note


def _read(text: str) -> tuple[tuple[Row, ...], bool]:
    """Return what the lines say, and whether the text ends inside a comment."""
    found: list[Row] = []
    comment = False
    for index, raw in enumerate(text.split("\n")):
        line = raw.rstrip("\r").lstrip("\ufeff")
        comment = comment or line.lstrip().startswith("<!--")
        if comment:
            comment = "-->" not in line
        elif read := _LINE.fullmatch(line):
            number = int(read["number"])
            found.append(Row(index, number, _session(number, read["rest"])))
    return tuple(found), comment


def _running(text: str) -> Session | None:
    known = played(text)
    return known[-1] if known and not known[-1].ended else None


def _worth(date: str) -> str:
    date = lines.one_line(date)
    if len(date) > LONGEST:
        raise Refused(f"a date of the game's world is at most {LONGEST} characters long, and this has {len(date):,}")
    return date


def _session(number: int, rest: str) -> Session | None:
    times, *cells = (lines.one_line(_ESCAPED.sub(r"\1", cell)) for cell in _parted(rest))
    first, last = [*_TO.split(times, maxsplit=1), ""][:2]
    began, ended = _second(first), _second(last) if last else 0.0
    if began is None or ended is None:
        return None
    date, until = (*cells, "", "")[:2]
    return Session(number, began, ended, date, until)


def _second(text: str) -> float | None:
    """Return a moment that people may have played at, in whole seconds; a date of the game's world is often none."""
    moment = lines.moment(text)
    return float(int(moment)) if moment is not None and 1 <= moment < _LAST else None


def _parted(rest: str) -> list[str]:
    """Part a line at its bars, but not at those that a person's date has: they are written `\\|`."""
    cells, begin = [], 0
    for found in _BAR.finditer(rest):
        if found.group() == "|":
            cells.append(rest[begin : found.start()])
            begin = found.end()
    return [*cells, rest[begin:]]


def _safe(date: str) -> str:
    return _RESERVED.sub(r"\\\g<0>", lines.one_line(date))
