"""What was learned in one session, chosen and worded from the facts themselves: no model writes it, nothing is invented. Pure.

Whom it is told to is decided before, by `heard_by_all` or `heard_by_game_master`; never knows a command, a place or a memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from homunculus.model import Fact, Session

NOTHING: Final = "Nothing has been learned yet."


@dataclass(frozen=True, slots=True)
class Recap:
    """The facts of one session in the order they were learned.

    `session` is None where only facts name that number. `number` is None where no session was ever started: then `day` is
    the last one on which something was learned (UTC), and empty where nothing ever was.
    """

    facts: tuple[Fact, ...]
    number: int | None = None
    session: Session | None = None
    day: str = ""


def heard_by_all(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """Return what players may be shown: what was said at the table."""
    return tuple(fact for fact in facts if fact.open)


def heard_by_game_master(facts: Iterable[Fact], conversation: str | None) -> tuple[Fact, ...]:
    """Return what a game master may be shown in a conversation, None for the owner: no direct message of another."""
    return tuple(fact for fact in facts if conversation is None or fact.private in ("", conversation))


def withheld(fact: Fact) -> str:
    """Say why players are not shown a fact; nothing where they are."""
    if fact.open:
        return ""
    if fact.gm:
        return "told by the game master"
    if fact.private:
        return "said in a direct message"
    return "written by hand"


def recap(sessions: Sequence[Session], facts: Sequence[Fact], number: int | None = None) -> Recap | None:
    """Return what was learned in a session: the one of that number, else the last that ended, else the one that runs.

    None where there never was a session of that number. Where none was ever started, it is a day instead.
    """
    known = {session.number: session for session in sessions}
    if number is None:
        over = [session for session in sessions if session.ended]
        if not sessions:
            return _last_day(facts)
        number = (over or list(sessions))[-1].number
    learned = _in_order(fact for fact in facts if fact.session == str(number))
    if number not in known and not learned:
        return None
    return Recap(learned, number, known.get(number))


def worded(told: Recap, *, secrets: bool) -> str:
    """Write a recap, one fact a line; with `secrets` those are marked that players are not shown."""
    if told.number is None and not told.day:
        return NOTHING
    if not told.facts:
        return f"{_title(told)}: nothing was learned{'' if secrets else ' that all could hear'}."
    return "\n".join((f"{_title(told)}:", *(_line(fact, secrets=secrets) for fact in told.facts)))


def _last_day(facts: Sequence[Fact]) -> Recap:
    days = sorted({_day(fact.time) for fact in facts if fact.time})
    if not days:
        return Recap(())
    return Recap(_in_order(fact for fact in facts if fact.time and _day(fact.time) == days[-1]), day=days[-1])


def _in_order(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    return tuple(sorted(facts, key=lambda fact: fact.time))


def _line(fact: Fact, *, secrets: bool) -> str:
    why = withheld(fact) if secrets else ""
    return f"- {fact.text}" + (f" (secret: {why})" if why else "")


def _title(told: Recap) -> str:
    if told.number is None:
        return f"No session was ever started here; the last day on which something was learned is {told.day}"
    if told.session is None:
        return f"Session {told.number}"
    return f"Session {told.number}{_in_game(told.session)}, {_in_life(told.session)}"


def _in_game(session: Session) -> str:
    if session.date and session.until and session.date != session.until:
        return f" ({session.date} to {session.until})"
    date = session.date or session.until
    return f" ({date})" if date else ""


def _in_life(session: Session) -> str:
    began = f"{_day(session.began)} {_hour(session.began)}"
    if not session.ended:
        return f"running since {began} UTC"
    same = _day(session.began) == _day(session.ended)
    return f"played {began} to {'' if same else f'{_day(session.ended)} '}{_hour(session.ended)} UTC"


def _day(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")


def _hour(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M")
