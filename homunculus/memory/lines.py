"""The grammar of a memory file: which lines are facts, and how a fact is written. Pure: never opens a file.

A line that the program wrote: `- d4k2t9: Ana owes Kovach three dollars. <!-- src: ana @ discord:1:2; session: 4 -->`.
What a person types needs none of that: every line that is no heading, comment or rule is a fact, with or without a bullet.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from urllib.parse import unquote

from homunculus.errors import Refused
from homunculus.model import Fact, Note

CURATED = "MEMORY.md"
LONGEST = 4_000  # characters of one fact

_LETTERS, _DIGITS = "abcdefghjkmnpqrstuvwxyz", "0123456789"
_ID = re.compile(r"((?:[a-z][0-9]){3,4}): +")  # no word of a language looks like this, so a typed line is never misread
_HALF_BEGUN = re.compile(r"#+|-|- (?:[a-z][0-9]){0,3}[a-z]?:?|- (?:[a-z][0-9]){3,4}: .*")
_BULLET = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
_HEADING = re.compile(r"#{1,6}\s+(.*)")
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,}|```.*)\s*")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_BREAKS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x1f\x7f]")
_HALF = re.compile(r"[\ud800-\udfff]")  # a byte that is no UTF-8, or half a character of another program's
_RESERVED = re.compile(r"[%;<>]")
# Chinese and Japanese part no words: a comma more or less between two characters says nothing.
_UNSPACED = re.compile(r"(?<=[\u3040-\u30ff\u3400-\u9fff]) (?=[\u3040-\u30ff\u3400-\u9fff])")
_TORN = "torn"
_PLAIN = "noted"


@dataclass(frozen=True, slots=True)
class Line:
    """One fact of a file and the lines it stands on: `first` to `last`, counted from 0."""

    fact: Fact
    first: int
    last: int
    more: tuple[tuple[str, str], ...] = ()  # what else its comment says


@dataclass(slots=True)
class Place:
    """How far a file was read: the time of the heading above, the line number, whether inside a comment."""

    time: float = 0.0
    line: int = 0
    comment: bool = False


def one_line(text: str) -> str:
    """Return a text as one line that any file can hold: breaks become spaces, what cannot be seen goes."""
    return _HALF.sub("\ufffd", _UNSEEN.sub("", _BREAKS.sub(" ", text))).strip()


def worth(note: Note) -> Note:
    """Return a note that can be written. Raise Refused when it is empty or too long."""
    text = one_line(note.text)
    if not text:
        raise Refused("there is nothing to remember: the text is empty")
    if len(text) > LONGEST:
        raise Refused(
            f"one fact is at most {LONGEST:,} characters long, and this has {len(text):,}; make several of it"
        )
    return replace(note, text=text)


def learned(ident: str, note: Note, time: float, file: str) -> Fact:
    """Return the fact that a note becomes."""
    source, session, date, private = map(one_line, (note.source, note.session, note.date, note.private))
    return Fact(ident, note.text, time, source, session, date, private, gm=note.gm, file=file)


def likeness(text: str) -> str:
    """Return what two texts have in common that say the same in the same words."""
    return _UNSPACED.sub("", " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())))


def new_id(taken: Container[str]) -> str:
    """Return a short id that nothing has yet."""
    while (made := "".join(secrets.choice(_LETTERS) + secrets.choice(_DIGITS) for _ in range(3))) in taken:
        continue
    return made


def derived_id(*parts: object) -> str:
    """Return the id of a line that was typed without one: the same for as long as the line is."""
    number = int.from_bytes(blake2b("\0".join(map(str, parts)).encode("utf-8", "replace"), digest_size=8).digest())
    made = ""
    for _ in range(4):
        number, letter = divmod(number, len(_LETTERS))
        number, digit = divmod(number, len(_DIGITS))
        made += _LETTERS[letter] + _DIGITS[digit]
    return made


def written(fact: Fact, more: tuple[tuple[str, str], ...] = ()) -> str:
    """Return the line of a fact, without its line break. `parsed` gives the same fact back."""
    said = (("src", fact.source), ("session", fact.session), ("date", fact.date), ("dm", fact.private), *more)
    marks = [mark for mark, is_so in (("gm", fact.gm), ("pinned", fact.pinned)) if is_so]
    about = [f"{key}: {_safe(value)}" for key, value in said if value] + marks
    return f"- {fact.id}: {fact.text} <!-- {'; '.join(about) or _PLAIN} -->"


def heading(time: float) -> str:
    """Return the heading that facts learned at that moment stand under."""
    return f"## {stamp(time)}"


def stamp(time: float) -> str:
    """Return a moment in ISO form, UTC, to the second."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> float | None:
    """Return the moment that an ISO text names (UTC unless it says otherwise), or None."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def torn(last: str) -> bool:
    """Tell whether a file's last line, which has no line break, is half of a line of ours: it was never acknowledged."""
    return _HALF_BEGUN.fullmatch(last) is not None and not last.endswith("-->")


def mended(last: str) -> str:
    """Return what closes a file's last line so that the next may follow: half a line of ours is marked, never removed."""
    if not last:
        return ""
    return f" <!-- {_TORN} -->\n" if torn(last) else "\n"


def beginning(file: str) -> Place:
    """Return the place before a file's first line: facts of a day file are of that day until a heading says more."""
    day = _DAY.match(file)
    return Place(time=(moment(day.group()) or 0.0) if day else 0.0)


def parsed(file: str, text: str, place: Place | None = None, before: Container[str] = ()) -> Iterator[Line]:
    """Yield the facts of a file, or of its rest when `place` says where reading goes on; `place` is moved to the end.

    `before` are the ids of the file's facts that were read already.
    """
    place = place if place is not None else beginning(file)
    met: set[str] = set()
    *whole, half = text.split("\n")
    if half and not torn(half):
        whole.append(half)
    for first, last, raw, time in _joined(whole, place, curated=file == CURATED):
        found = _fact(file, raw, time, met, before)
        if found is not None:
            met.add(found[0].id)
            yield Line(found[0], first, last, found[1])


def _joined(lines: list[str], place: Place, *, curated: bool) -> Iterator[tuple[int, int, str, float]]:
    """Yield what may be facts; in MEMORY.md a paragraph is one, however its lines are broken."""
    open_at, open_to, gathered = 0, 0, ""
    for raw in lines:
        number, line = place.line, raw.rstrip("\r").lstrip("\ufeff")
        place.line += 1
        content = _content(line, place)
        joins = curated and gathered and content and not _BULLET.match(line)
        if joins:
            open_to, gathered = number, f"{gathered} {content.strip()}"
            continue
        if gathered:
            yield open_at, open_to, gathered, place.time
        open_at, open_to, gathered = number, number, content
        if title := _HEADING.fullmatch(line):
            place.time = moment(title.group(1)) or place.time
    if gathered:
        yield open_at, open_to, gathered, place.time


def _content(line: str, place: Place) -> str:
    """Return the line if it may be a fact, else nothing."""
    if place.comment:
        place.comment = "-->" not in line
        return ""
    if line.lstrip().startswith("<!--"):
        place.comment = "-->" not in line
        return ""
    return "" if _HEADING.fullmatch(line) or _RULE.fullmatch(line) or not line.strip() else line


def _fact(
    file: str, raw: str, time: float, met: Container[str], before: Container[str]
) -> tuple[Fact, tuple[tuple[str, str], ...]] | None:
    text, about = _about(_BULLET.sub("", raw, count=1).strip())
    named = _ID.match(text)
    text = one_line(text[named.end() :] if named else text)
    if not text or _TORN in about:
        return None
    ident = named.group(1) if named else derived_id(file, text)
    again = 1
    while ident in met or ident in before:  # a line that was copied by hand is a fact of its own
        again += 1
        ident = derived_id(file, text, again)
    fact = Fact(
        id=ident,
        text=text,
        time=time,
        source=about.pop("src", ""),
        session=about.pop("session", ""),
        date=about.pop("date", ""),
        private=about.pop("dm", ""),
        gm=about.pop("gm", None) is not None,
        pinned=about.pop("pinned", None) is not None,
        curated=file == CURATED,
        file=file,
    )
    return fact, tuple(about.items())


def _about(text: str) -> tuple[str, dict[str, str]]:
    """Part a line from the comment at its end."""
    begin = text.rfind("<!--")
    if begin < 0 or not text.endswith("-->"):
        return text, {}
    about: dict[str, str] = {}
    for part in text[begin + 4 : -3].split(";"):
        key, _, value = part.partition(":")
        about[key.strip().casefold()] = unquote(value.strip())
    return text[:begin].rstrip(), about


def _safe(value: str) -> str:
    return _RESERVED.sub(lambda found: f"%{ord(found.group()):02X}", one_line(value))
