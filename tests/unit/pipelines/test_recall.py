"""Recall brings up what fits, and a memory that fails never keeps an NPC silent."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.memory import sqlite
from homunculus.memory.keeping import Forgetful
from homunculus.model import Address, Fact, MemorySpec, Note
from homunculus.pipelines.recall import Recall, question
from tests.unit.pipelines.turns import TAVERN, line, said, turn

DIRECT = Address("local", "local", "local", "ana", direct=True, label="local:dm:ana")


class Broken(Forgetful):
    """A memory that answers with an exception, or with nothing for ever."""

    def __init__(self, fault: Exception | None) -> None:
        super().__init__(Path("broken"), Path("archive"), MemorySpec())
        self.fault = fault

    async def recall(self, query: str, conversation: str | None) -> tuple[Fact, ...]:
        if self.fault is not None:
            raise self.fault
        await asyncio.Event().wait()
        return ()


async def test_facts_that_fit_are_in_the_turn_and_in_its_trace(tmp_path: Path) -> None:
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive", MemorySpec(top_k=2, embeddings="off"))
    await memory.open()
    facts = await memory.add(*(Note(f"Ana owes Kovach {n} dollars") for n in range(5)), Note("The lamp is broken"))
    asked = replace(turn(said("Does Ana owe dollars?")), memory=memory)
    await Recall().run(asked)
    assert len(asked.memories) == 2
    assert {fact.id for fact in asked.memories} <= {fact.id for fact in facts[:5]}
    assert asked.notes["recall"] == f"2 facts: {asked.memories[0].id}, {asked.memories[1].id}"
    await memory.aclose()


async def test_a_secret_comes_to_mind_only_where_it_was_told(tmp_path: Path) -> None:
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive", MemorySpec(embeddings="off"))
    await memory.open()
    await memory.add(Note("The password is swordfish.", private=DIRECT.conversation))
    for address, found in ((DIRECT, 1), (TAVERN, 0), (replace(DIRECT, place="boris"), 0)):
        asked = replace(turn(replace(said("What is the password?"), address=address)), memory=memory)
        await Recall().run(asked)
        assert len(asked.memories) == found
    await memory.aclose()


@pytest.mark.parametrize(
    "fault", [NotReady("the disk is full"), Refused("the disk is full"), ValueError("a bug"), None]
)
async def test_a_memory_that_fails_or_hangs_leaves_the_turn_without_and_says_so(fault: Exception | None) -> None:
    asked = replace(turn(), memory=Broken(fault))
    await Recall(seconds=0.05).run(asked)
    assert asked.memories == ()
    assert asked.notes["recall"].startswith("without memory: ")
    assert "a bug" not in asked.notes["recall"]


async def test_an_agent_without_memory_answers_all_the_same() -> None:
    asked = turn()
    await Recall().run(asked)
    assert (asked.memories, asked.notes["recall"]) == ((), "it has no memory")


def test_a_short_question_is_asked_with_what_was_said_before_it() -> None:
    asked = turn(said("Why?"))
    asked.history = (line("long ago"), line("The lighthouse is dark."), line("I saw it too.", agent_id="kovach-eod"))
    assert question(asked) == "The lighthouse is dark.\nI saw it too.\nWhy?"
    asked = replace(asked, messages=(said("Tell me everything that you know about the lighthouse keeper."),))
    assert question(asked) == "Tell me everything that you know about the lighthouse keeper."
