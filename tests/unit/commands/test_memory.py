"""Tending a memory from the chat: the shipped commands on real namespaces, and who is shown what.

What may be shown is decided here by which canary a text holds, never by asking the code under test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest

from homunculus.commands import COMMANDS
from homunculus.errors import Refused
from homunculus.interfaces import Desk, Namespace, Order, Response
from homunculus.memory import sqlite
from homunculus.model import Address, Agent, AgentSpec, Author, Character, Fact, MemorySpec, Message, Note, RulesetSpec

TABLE = Address("discord", "discord", "900", "41", space="7", label="discord:7:41")
WITH_ANA = Address("discord", "discord", "900", "42", direct=True, label="discord:dm:42")
WITH_BOB = Address("discord", "discord", "900", "43", direct=True, label="discord:dm:43")
KOVACH, MARSH = (Agent(AgentSpec(name, Character(name, name), name), RulesetSpec("coc7e", ""), ()) for name in ("kovach", "marsh"))  # fmt: skip
AT = 1_795_000_000.0


@dataclass
class Memories:
    """The desk of a program that has nothing but its agents' memories."""

    namespaces: dict[str, Namespace]
    authority: bool = True

    def memory(self, order: Order) -> Namespace:
        assert order.agent is not None
        return self.namespaces[order.agent.id]

    @asynccontextmanager
    async def tended(self, order: Order) -> AsyncIterator[Namespace]:
        yield self.memory(order)

    async def typed(self, text: str, where: Address = TABLE, *, authority: bool = True, agent: Agent = KOVACH) -> Response:  # fmt: skip
        message = Message("1", where, Author("42", "Ana"), text, time=AT)
        line = COMMANDS.line(message)
        assert line is not None, f"{text!r} is talk"
        return await COMMANDS.run(Order(line, message, agent, authority), cast("Desk", self))

    async def known(self, agent: Agent = KOVACH) -> dict[str, Fact]:
        """Return every fact by its text, as its owner sees them."""
        return {fact.text: fact for fact in await self.namespaces[agent.id].facts()}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Memories]:
    spec = MemorySpec(embeddings="off")
    made = {
        agent.id: sqlite.build(tmp_path / "agents/bot" / agent.id, tmp_path / "archive/bot", spec)
        for agent in (KOVACH, MARSH)
    }
    for name, memory in made.items():
        await memory.open()
        (tmp_path / "agents/bot" / name / "memory/MEMORY.md").write_text(f"- The cellar is CURATED by {name}.\n")
        (tmp_path / "agents/bot" / name / "memory/2026-01-01.md").write_text(f"- The cellar was TYPED for {name}.\n")
        await memory.add(
            Note(f"The cellar is OPEN to {name}.", "Bob @ discord:7:41"),
            Note(f"The cellar is TOLD to {name}.", "Ana @ discord:7:41", gm=True),
            Note(f"The cellar is WHISPERED to {name}.", "Ana @ discord:dm:42", private=WITH_ANA.conversation),
        )
    yield Memories(made)
    for memory in made.values():
        await memory.aclose()


def canaries(text: str) -> set[str]:
    return {word for word in ("CURATED", "TYPED", "OPEN", "TOLD", "WHISPERED") if word in text}


# --- asking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "authority", "shown", "secret"),
    [
        (TABLE, False, {"OPEN"}, set()),
        (TABLE, True, {"OPEN"}, {"CURATED", "TYPED", "OPEN", "TOLD"}),
        (WITH_ANA, False, {"OPEN", "WHISPERED"}, set()),
        (WITH_ANA, True, {"OPEN", "WHISPERED"}, {"CURATED", "TYPED", "OPEN", "TOLD", "WHISPERED"}),
        (WITH_BOB, False, {"OPEN"}, set()),
        (WITH_BOB, True, {"OPEN"}, {"CURATED", "TYPED", "OPEN", "TOLD"}),
    ],
)
async def test_each_is_shown_what_they_may_know(
    desk: Memories, where: Address, authority: bool, shown: set[str], secret: set[str]
) -> None:
    response = await desk.typed("!npc memory cellar", where, authority=authority)
    assert canaries(response.text) == shown
    assert canaries(response.secret) == secret
    assert "marsh" not in response.text + response.secret


async def test_what_is_secret_says_why(desk: Memories) -> None:
    lines = (await desk.typed("!npc memory cellar", WITH_ANA)).secret.splitlines()
    marks = {next(iter(canaries(line))): line.rpartition(". (")[2] for line in lines}
    assert marks.pop("OPEN").endswith("OPEN to kovach.")
    assert marks == {
        "CURATED": "secret: written by hand)",
        "TYPED": "secret: written by hand)",
        "TOLD": "secret: told by the game master)",
        "WHISPERED": "secret: said in a direct message)",
    }


async def test_how_an_answer_looks_does_not_tell_whether_there_is_a_secret(desk: Memories) -> None:
    secret = await desk.typed("!npc memory TOLD")
    nothing = await desk.typed("!npc memory xyzzy")
    assert secret.text == nothing.text
    assert "direct message" in nothing.text
    assert "TOLD" in secret.secret
    assert nothing.secret


async def test_secrets_do_not_take_the_places_of_what_players_may_see(desk: Memories) -> None:
    memory = desk.namespaces["kovach"]
    await memory.add(*(Note(f"harpoon harpoon secret {n}", "Ana @ x", gm=True) for n in range(120)))
    await memory.add(*(Note(f"There was a harpoon on the wall of room {n}", "Bob @ x") for n in range(20)))
    lines = (await desk.typed("!npc memory harpoon", authority=False)).text.splitlines()
    assert len(lines) == 8
    assert all("room" in line for line in lines)


async def test_nothing_found_says_so(desk: Memories) -> None:
    assert (await desk.typed("!npc memory xyzzy", authority=False)).text == "Nothing about that is remembered here."


# --- tending --------------------------------------------------------------------------------------------------------


async def test_what_the_game_master_tells_is_kept_with_who_said_it_when_and_as_theirs(desk: Memories) -> None:
    notes: list[Note] = []
    memory = desk.namespaces["kovach"]

    class Noted:
        async def add(self, *given: Note) -> tuple[Fact, ...]:
            notes.extend(given)
            return await memory.add(*given)

    desk.namespaces["kovach"] = cast("Namespace", Noted())
    response = await desk.typed("!npc remember The vicar did it.")
    assert notes == [Note("The vicar did it.", "Ana @ discord:7:41", gm=True, said=AT)]
    desk.namespaces["kovach"] = memory
    fact = (await desk.known())["The vicar did it."]
    assert fact.gm
    assert response.private
    assert response.text == f"Remembered {fact.id}."
    assert response.secret.startswith(f"Remembered {fact.id}: The vicar did it.")
    assert "vicar" not in (await desk.typed("!npc memory vicar", authority=False)).text


async def test_what_is_told_in_a_direct_message_stays_in_it(desk: Memories) -> None:
    response = await desk.typed("!npc remember The vicar did it.", WITH_ANA)
    assert (await desk.known())["The vicar did it."].private == WITH_ANA.conversation
    assert "The vicar did it." in response.text
    assert "vicar" not in (await desk.typed("!npc memory vicar")).secret


@pytest.mark.parametrize("canary", ["OPEN", "TOLD", "TYPED"])
async def test_a_fact_is_forgotten_brought_back_pinned_unpinned_and_edited_by_its_id(
    desk: Memories, canary: str
) -> None:
    (before,) = (fact for text, fact in (await desk.known()).items() if canary in text)
    said: list[Response] = []

    async def done(command: str, more: str = "") -> Fact | None:
        said.append(await desk.typed(f"!npc {command} {before.id.upper()} {more}"))
        return next((fact for fact in (await desk.known()).values() if fact.id == before.id), None)

    pinned = await done("pin")
    assert pinned == replace(before, pinned=True)
    assert await done("unpin") == before
    assert await done("forget") is None
    assert f"!npc restore {before.id}" in said[-1].text
    back = await done("restore")
    assert back is not None
    assert (back.text, back.gm, back.source, back.open) == (before.text, before.gm, before.source, before.open)
    edited = await done("edit", f"  The {canary} cellar\nwas flooded.")
    assert edited == replace(before, text=f"The {canary} cellar was flooded.")
    assert f"Before: {before.text}" in (said[-1].secret or said[-1].text)
    assert all(response.private and before.id in response.text for response in said)
    if canary == "OPEN":
        assert all(canary in response.text and not response.secret for response in said)
    else:
        assert all(canary not in response.text and canary in response.secret for response in said)


@pytest.mark.parametrize("command", ["forget", "pin", "unpin", "edit", "restore"])
@pytest.mark.parametrize("where", [TABLE, WITH_BOB])
async def test_what_another_direct_message_holds_is_as_if_it_did_not_exist(
    desk: Memories, command: str, where: Address
) -> None:
    (fact,) = (fact for text, fact in (await desk.known()).items() if "WHISPERED" in text)
    if command == "restore":
        await desk.namespaces["kovach"].forget(fact.id)
    facts, gone = await desk.known(), await desk.namespaces["kovach"].forgotten()
    more = " anything" if command == "edit" else ""
    answer = await desk.typed(f"!npc {command} {fact.id}{more}", where)
    nothing = await desk.typed(f"!npc {command} z9z9z9{more}", where)
    assert answer == replace(nothing, text=nothing.text.replace("z9z9z9", fact.id))
    assert (await desk.known(), await desk.namespaces["kovach"].forgotten()) == (facts, gone)
    done = await desk.typed(f"!npc {command} {fact.id}{more}", WITH_ANA)
    assert f" {fact.id}: " in done.text


@pytest.mark.parametrize("command", ["forget", "pin", "unpin", "edit", "restore"])
async def test_what_another_npc_knows_cannot_be_reached(desk: Memories, command: str) -> None:
    before = await desk.known(MARSH)
    for fact in before.values():
        if command == "restore" and not fact.curated:
            await desk.namespaces["marsh"].forget(fact.id)
        answer = await desk.typed(f"!npc {command} {fact.id}" + (" anything" if command == "edit" else ""), WITH_ANA)
        assert answer.text.startswith(f"No fact “{fact.id}”")
        assert not canaries(answer.text + answer.secret)
    await desk.typed("!npc memory cellar", agent=MARSH)
    after = await desk.known(MARSH)
    assert after == (before if command != "restore" else {text: f for text, f in before.items() if f.curated})


@pytest.mark.parametrize("command", ["forget", "pin", "unpin", "edit"])
async def test_what_only_a_person_changes_is_left_to_them(desk: Memories, command: str) -> None:
    (fact,) = (fact for fact in (await desk.known()).values() if fact.curated)
    answer = await desk.typed(f"!npc {command} {fact.id}" + (" anything" if command == "edit" else ""))
    assert answer == Response(f"{fact.id} stands in MEMORY.md, which only a person changes: edit it there.", private=True)  # fmt: skip
    assert fact in (await desk.known()).values()


async def test_an_id_that_was_copied_into_another_file_opens_no_door(desk: Memories, tmp_path: Path) -> None:
    """By hand anything can be written: the fact that would be changed is the one that is judged."""
    (fact,) = (fact for text, fact in (await desk.known()).items() if "WHISPERED" in text)
    copy = tmp_path / "agents/bot/kovach/memory/zzz.md"
    copy.write_text(f"- {fact.id}: A copy for everybody. <!-- src: Bob -->\n")
    answer = await desk.typed(f"!npc forget {fact.id}")
    assert answer.text.startswith("No fact")
    assert any("WHISPERED" in text for text in await desk.known())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("!npc forget", "fact is missing"),
        ("!npc forget a1b2c3 d4e5f6", "“d4e5f6” is too much"),
        ("!npc forget z9z9z9", "No fact “z9z9z9” is remembered here; !npc memory shows the ids."),
        ("!npc restore z9z9z9", "No fact “z9z9z9” was forgotten here"),
        ("!npc restore kovach-20260101T000000Z", "No fact"),
        ("!npc edit a1b2c3", "text is missing"),
        ("!npc memory", "query is missing"),
    ],
)
async def test_a_slip_is_answered_with_what_would_be_right(desk: Memories, text: str, told: str) -> None:
    before = await desk.known()
    response = await desk.typed(text)
    assert told in response.text
    assert response.private
    assert await desk.known() == before


async def test_what_cannot_be_kept_is_refused_with_the_reason(desk: Memories) -> None:
    (fact,) = (fact for text, fact in (await desk.known()).items() if "TOLD" in text)
    for line in (f"edit {fact.id} {'x' * 4001}", f"remember {'x' * 4001}"):
        with pytest.raises(Refused, match="4,000 characters"):
            await desk.typed(f"!npc {line}")
