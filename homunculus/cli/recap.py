"""`homunculus memory recap` and `memory sessions`: what was played and what was learned, from the files themselves."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from homunculus.cli import output
from homunculus.cli.memory import AsJson, File, Name, deployed, shown
from homunculus.cli.memory import _with as with_namespace
from homunculus.commands import chronicle
from homunculus.commands.chronicle import Recap
from homunculus.errors import ConfigError, Where
from homunculus.interfaces import Namespace
from homunculus.memory.lines import stamp
from homunculus.model import Fact, Session


def recap(
    file: File,
    namespace: Name,
    session: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Which one; default: the last that ended.", show_default=False),
    ] = None,
    gm: Annotated[
        bool, typer.Option("--gm", help="The game master's version, with everything that is secret.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what was learned in a session: as players may know it, or with --gm all of it."""
    played, facts = with_namespace(deployed(file), namespace, _read)
    told = chronicle.recap(played, facts if gm else chronicle.heard_by_all(facts), session)
    if told is None:
        fix = f"memory sessions {file} {namespace} lists what was played"
        raise ConfigError(Where(str(file)), f"{namespace} has no session {session}", fix)
    if as_json:
        output.show_json(_plain(told, secrets=gm))
    else:
        output.say(chronicle.worded(told, secrets=gm))


def sessions(file: File, namespace: Name, as_json: AsJson = False) -> None:
    """List the sessions that were played."""
    played, facts = with_namespace(deployed(file), namespace, _read)
    if as_json:
        output.show_json([{**_dated(one), "facts": _learned(one, facts)} for one in played])
        return
    rows = [
        (str(one.number), stamp(one.began), _ended(one) or "", one.date, one.until, str(_learned(one, facts)))
        for one in played
    ]
    output.show_table("Sessions", ("number", "began", "ended", "date", "until", "facts"), rows)


async def _read(opened: Namespace) -> tuple[tuple[Session, ...], tuple[Fact, ...]]:
    return await opened.sessions(), await opened.facts()


def _plain(told: Recap, *, secrets: bool) -> dict[str, Any]:
    why = {fact: chronicle.withheld(fact) for fact in told.facts} if secrets else {}
    number = None if told.number is None else {"number": told.number}
    return {
        "session": _dated(told.session) if told.session else number,
        "day": told.day or None,
        "facts": [{**shown(fact), **({"secret": why[fact]} if why.get(fact) else {})} for fact in told.facts],
    }


def _dated(session: Session) -> dict[str, Any]:
    return {
        "number": session.number,
        "began": stamp(session.began),
        "ended": _ended(session),
        "date": session.date,
        "until": session.until,
    }


def _ended(session: Session) -> str | None:
    return stamp(session.ended) if session.ended else None


def _learned(session: Session, facts: tuple[Fact, ...]) -> int:
    return sum(fact.session == str(session.number) for fact in facts)
