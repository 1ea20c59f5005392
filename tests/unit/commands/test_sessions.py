"""Sessions and recaps as they are typed: who may, what one reads, and what nobody else reads. On a real memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from homunculus.commands import COMMANDS, chronicle
from homunculus.errors import Refused
from homunculus.interfaces import Namespace, Order, Response
from homunculus.memory import sqlite
from homunculus.model import Address, Author, Fact, MemorySpec, Message, Note, Session
from tests.unit.commands.test_registry import ADDRESS, KOVACH, ScriptedDesk

SEVEN, TEN = 1_795_806_000.0, 1_795_816_800.0  # 2026-11-27T19:00:00Z and 22:00:00Z
DIRECT = Address("discord", "discord:keeper", "900", "42", direct=True, label="discord:keeper:dm:42")


@dataclass
class Desk(ScriptedDesk):
    """A desk whose NPC has a memory."""

    kept: Namespace | None = None

    def memory(self, order: Order) -> Namespace:
        assert self.kept is not None
        return self.kept


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive", MemorySpec(embeddings="off"))
    await memory.open()
    yield Desk(kept=memory)
    await memory.aclose()


async def learned(desk: Desk) -> None:
    """Two sessions, what was said in each and in between, and the secrets of the second."""
    assert desk.kept is not None
    await desk.kept.begin_session(SEVEN - 86_400, "11 Oct 1925")
    await desk.kept.end_session(TEN - 86_400)
    await desk.kept.begin_session(SEVEN, "12 Oct 1925")
    await desk.kept.end_session(TEN, "13 Oct 1925")
    await desk.kept.add(
        Note("The lamp went out.", "ana @ tavern", said=SEVEN - 86_400),
        Note("Boris slept late.", "boris @ tavern", said=SEVEN - 3600),
        Note("The ferry sank.", "ana @ tavern", said=SEVEN + 1),
        Note("The mayor sank it.", "keeper", gm=True, said=SEVEN + 2),
        Note("Ana stole the key.", "ana", private=DIRECT.conversation, said=SEVEN + 3),
        Note("Boris is the heir.", "boris", private=replace(DIRECT, place="7").conversation, said=SEVEN + 4),
        Note("The tram stopped.", "boris @ tavern", said=TEN),
    )


async def typed(
    text: str, desk: Desk, *, authority: bool = True, at: float = TEN, address: Address = ADDRESS
) -> Response:
    message = Message("1", address, Author("42", "Ana"), text, time=at)
    line = COMMANDS.line(message)
    assert line is not None
    return await COMMANDS.run(Order(line, message, KOVACH, authority), desk)


# --- sessions -------------------------------------------------------------------------------------------------------


async def test_a_session_begins_and_ends_when_the_order_was_given(desk: Desk) -> None:
    begun = await typed("!session start 12 Oct 1925", desk, at=SEVEN)
    assert begun.text == "Session 1 has begun on 12 Oct 1925. Kovach keeps what it learns under that number."
    assert begun.private
    over = await typed("!session end", desk, at=TEN)
    assert over.text == "Session 1 is over. !npc recap tells what Kovach learned in it."
    assert desk.kept is not None
    assert await desk.kept.sessions() == (Session(1, SEVEN, TEN, "12 Oct 1925"),)


async def test_what_cannot_be_is_refused_with_the_remedy(desk: Desk) -> None:
    with pytest.raises(Refused, match="session start begins one"):
        await typed("!session end", desk)
    await typed("!session start", desk)
    with pytest.raises(Refused, match="end it first"):
        await typed("!session start", desk)
    assert "did you mean start?" in (await typed("!session strat", desk)).text


# --- the players' recap ---------------------------------------------------------------------------------------------


async def test_players_read_what_was_said_at_the_table_and_nothing_else(desk: Desk) -> None:
    await learned(desk)
    for address in (ADDRESS, DIRECT):
        told = await typed("!npc recap", desk, authority=False, address=address)
        assert told.text.splitlines() == [
            "Session 2 (12 Oct 1925 to 13 Oct 1925), played 2026-11-27 19:00 to 22:00 UTC:",
            "- The ferry sank.",
            "- The tram stopped.",
        ]
        assert (told.private, told.secret) == (False, "")
    assert await typed("!npc recap players", desk) == await typed("!npc recap", desk)


async def test_another_session_is_asked_for_by_its_number(desk: Desk) -> None:
    await learned(desk)
    assert (await typed("!npc recap 1", desk, authority=False)).text.splitlines()[1:] == ["- The lamp went out."]
    assert (await typed("!npc recap 9", desk)).text == "There is no session 9; there is 1 or 2."
    assert "“one” is no session" in (await typed("!npc recap one", desk)).text
    assert "“1 2” is no session" in (await typed("!npc recap 1 2", desk)).text


async def test_while_none_has_ended_it_is_the_one_that_runs(desk: Desk) -> None:
    assert desk.kept is not None
    await typed("!session start", desk, at=SEVEN)
    empty = "Session 1, running since 2026-11-27 19:00 UTC: nothing was learned that all could hear."
    assert (await typed("!npc recap", desk)).text == empty
    await desk.kept.add(Note("The ferry sank.", "ana", said=SEVEN))
    assert (await typed("!npc recap", desk)).text.endswith(":\n- The ferry sank.")
    await typed("!session end", desk)
    await typed("!session start", desk, at=TEN + 60)
    assert (await typed("!npc recap", desk)).text.startswith("Session 1, played")
    assert (await typed("!npc recap 2", desk)).text.startswith("Session 2, running")


async def test_without_any_session_it_is_the_last_day_and_says_so(desk: Desk) -> None:
    assert desk.kept is not None
    assert (await typed("!npc recap", desk)).text == "Nothing has been learned yet."
    assert (await typed("!npc recap 1", desk)).text == "There is no session 1; none was ever started here."
    [fact] = await desk.kept.add(Note("The ferry sank.", "ana"))
    assert (await typed("!npc recap", desk)).text.splitlines() == [
        f"No session was ever started here; the last day on which something was learned is {fact.file[:10]}:",
        "- The ferry sank.",
    ]


# --- the game master's ----------------------------------------------------------------------------------------------


async def test_the_game_master_reads_everything_and_what_of_it_is_secret(desk: Desk) -> None:
    await learned(desk)
    for line in ("!npc recap gm", "!npc recap gm 2"):
        told = await typed(line, desk, address=DIRECT)
        assert told.secret.splitlines() == [
            "Session 2 (12 Oct 1925 to 13 Oct 1925), played 2026-11-27 19:00 to 22:00 UTC:",
            "- The ferry sank.",
            "- The mayor sank it. (secret: told by the game master)",
            "- Ana stole the key. (secret: said in a direct message)",
            "- The tram stopped.",
        ]


async def test_the_secrets_are_never_in_what_others_may_read(desk: Desk) -> None:
    await learned(desk)
    told = await typed("!npc recap gm", desk)
    assert told.private
    assert "direct message" in told.text
    assert not any(secret in told.text for secret in ("mayor", "key", "heir"))


@pytest.mark.parametrize("address", [ADDRESS, replace(DIRECT, place="9"), replace(DIRECT, thread="1")])
async def test_what_was_said_in_a_direct_message_is_told_in_no_other_place(desk: Desk, address: Address) -> None:
    await learned(desk)
    told = await typed("!npc recap gm", desk, address=address)
    assert "The mayor sank it." in told.secret
    assert "key" not in told.secret
    assert "heir" not in told.secret


async def test_the_secrets_need_authority(desk: Desk) -> None:
    await learned(desk)
    told = await typed("!npc recap gm", desk, authority=False, address=DIRECT)
    assert told.text.startswith("!npc recap gm is for those whom `authority` names here. Your id is 42")
    assert (told.private, told.secret) == (True, "")


# --- the list itself ------------------------------------------------------------------------------------------------


def test_facts_that_only_name_a_session_are_told_by_its_number() -> None:
    facts = [Fact("a1b1c1", "The pilot fell.", 60.0, "ana", session="0"), Fact("a1b1c2", "Ana ran.", 30.0, "ana", "0")]
    told = chronicle.recap((), facts, 0)
    assert told is not None
    assert chronicle.worded(told, secrets=False) == "Session 0:\n- Ana ran.\n- The pilot fell."


def test_a_night_that_ends_on_another_day_says_so() -> None:
    told = chronicle.recap((Session(1, SEVEN, SEVEN + 6 * 3600, "", "13 Oct"),), ())
    assert told is not None
    said = "Session 1 (13 Oct), played 2026-11-27 19:00 to 2026-11-28 01:00 UTC: nothing was learned."
    assert chronicle.worded(told, secrets=True) == said


@pytest.mark.parametrize(
    ("fact", "why"),
    [
        (Fact("a1b1c1", "x", source="ana"), ""),
        (Fact("a1b1c1", "x", source="ana", gm=True), "told by the game master"),
        (Fact("a1b1c1", "x", source="ana", private="dm"), "said in a direct message"),
        (Fact("a1b1c1", "x"), "written by hand"),
        (Fact("a1b1c1", "x", source="ana", curated=True), "written by hand"),
    ],
)
def test_what_is_marked_is_what_players_are_not_shown(fact: Fact, why: str) -> None:
    assert chronicle.withheld(fact) == why
    assert (fact in chronicle.heard_by_all([fact])) == (not why)
