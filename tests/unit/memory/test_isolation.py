"""Nothing crosses namespaces: hostile names never leave their folder, and no agent sees another's canaries."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus.container import memory_folders
from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Namespace
from homunculus.memory import sqlite
from homunculus.memory.index import Index
from homunculus.memory.markdown import Markdown
from homunculus.model import Address, Agent, AgentSpec, Character, Deployment, MemorySpec, Note, RulesetSpec
from tests.unit.commands.test_memory import Memories

AGENTS = ("kovach", "kovach-eod", "kovach-eod-2", "kovach_", "k", "john", "con1", "kovach-forgotten")
CHARACTERS = dict(zip(AGENTS, ("kovach", "kovach", "a", "b", "c", "d", "e", "f"), strict=True))
CASES = 5_000

PIECES = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "\0",
        "kovach",
        "KOVACH",
        "ｋovach",
        "ко",
        "con",
        "nul.md",
        "~",
        "%2e%2e",
        " ",
        "\n",
        "-",
        "é",
        "$HOME",
    ]
)
NAMES = st.one_of(st.lists(PIECES, max_size=6).map("".join), st.text(max_size=70))


@settings(max_examples=CASES // 2)
@given(NAMES)
def test_a_hostile_name_is_refused_or_stays_in_its_folder(name: str) -> None:
    home = Path("/nowhere/home")
    try:
        folder, archive = memory_folders(Deployment("bot", home), name)
        files = Markdown(folder, archive)
    except Refused:
        return
    assert Path(os.path.normpath(files.memory)) == home / "agents" / "bot" / name / "memory"
    assert name == name.casefold() == name.strip()
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")


def canary(agent: str) -> str:
    return f"canary-of-{agent}-{sum(map(ord, agent))}x"


@pytest.fixture
def indexes(tmp_path: Path) -> dict[str, Index]:
    """Eight memories, two of one character, each with a canary in MEMORY.md, in a day and among what was forgotten."""
    made = {}
    for agent in AGENTS:
        files = Markdown(tmp_path / "agents/bot" / agent, tmp_path / "archive/bot")
        files.make()
        sign = canary(agent)
        (files.memory / "MEMORY.md").write_text(f"- {CHARACTERS[agent]} always knows {sign}\n", "utf-8")
        gone, *_ = files.append([Note(f"forgotten {sign}"), Note(f"what happened: {sign}"), Note(f"other {sign}")])
        files.forget(gone.id)
        files.archive()
        files.exchange(files.archives()[0])
        files.append([Note(f"a secret {sign}", private=f"local/bot/dm:{agent}")])
        made[agent] = Index(files.folder / "index.sqlite", files, None)
    return made


def test_no_canary_is_seen_elsewhere(indexes: dict[str, Index], tmp_path: Path) -> None:
    chance = random.Random(20261126)
    everything = {agent: index._files.facts() for agent, index in indexes.items()}
    ids = [fact.id for facts in everything.values() for fact in facts]
    for _ in range(CASES // 2):
        agent, other = chance.choice(AGENTS), chance.choice(AGENTS)
        index, files = indexes[agent], indexes[agent]._files
        query = chance.choice(
            (
                canary(other),
                f'"{canary(other)}" OR canary',
                "secret happened always knows",
                other,
                f"../{other}",
                "a b",
                "*",
            )
        )
        where = chance.choice((None, "", f"local/bot/dm:{other}", "local/bot/tavern", f"local/bot/dm:{agent}"))
        shown = repr(index.recall(query, where, 10)) + repr(index.search(query, where, 10))
        what = chance.choice((chance.choice(ids), f"{other}-20200101T000000Z", f"../{other}", "memory"))
        if what not in {fact.id for fact in everything[agent]}:
            for work in (files.forget, files.bring_back, files.exchange):
                try:
                    shown += repr(work(what))
                except (Refused, NotReady) as error:
                    shown += error.reason
        shown += repr(files.forgotten()) + repr(files.archives())
        for foreign in set(AGENTS) - {agent}:
            assert canary(foreign) not in shown.replace(query, "").replace(what, "")
        if where is not None and where != f"local/bot/dm:{agent}":
            assert "a secret" not in shown
    for agent, index in indexes.items():
        assert index._files.facts() == everything[agent]
        index.close()


async def test_no_command_shows_or_changes_what_is_known_elsewhere(indexes: dict[str, Index], tmp_path: Path) -> None:
    """Whoever asks with whatever id, in whatever conversation, authority or not."""
    chance = random.Random(20261127)
    everything = {agent: index._files.facts() for agent, index in indexes.items()}
    spec = MemorySpec(embeddings="off")
    desk = Memories(
        {agent: sqlite.build(tmp_path / "agents/bot" / agent, tmp_path / "archive/bot", spec) for agent in AGENTS}
    )
    played = {
        name: Agent(AgentSpec(name, Character(name, name), name), RulesetSpec("coc7e", ""), ()) for name in AGENTS
    }
    for _ in range(400):
        agent, other = chance.sample(AGENTS, 2)
        where = Address("local", "local", "bot", chance.choice(("tavern", other)), direct=chance.random() < 0.5)
        strange = [fact.id for fact in everything[other]] + [fact.id for fact in everything[agent] if fact.private]
        ident, query = (
            chance.choice(strange),
            chance.choice((canary(other), "secret happened always knows", "a secret")),
        )
        line = chance.choice(
            (f"memory {query}", f"forget {ident}", f"edit {ident} found", f"pin {ident}", f"unpin {ident}",
             f"restore {ident}", f"restore {other}-20200101T000000Z", "recap", "recap gm")
        )  # fmt: skip
        said = await desk.typed(f"!npc {line}", where, authority=chance.random() < 0.5, agent=played[agent])
        shown = (said.text + said.secret).replace(query, "")
        assert not [foreign for foreign in set(AGENTS) - {agent} if canary(foreign) in shown], line
        assert "a secret" not in shown, (line, where)
    assert {agent: index._files.facts() for agent, index in indexes.items()} == everything
    for agent, memory in desk.namespaces.items():
        assert "a secret" in (await desk.typed("!npc memory secret", _alone_with(agent), agent=played[agent])).text
        await memory.aclose()
        indexes[agent].close()


def _alone_with(agent: str) -> Address:
    return Address("local", "local", "bot", agent, direct=True)


async def test_an_index_that_is_a_door_into_another_is_replaced(tmp_path: Path) -> None:
    spec = MemorySpec(embeddings="off")
    john = sqlite.build(tmp_path / "agents/bot/john", tmp_path / "archive/bot", spec)
    kovach = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot", spec)
    await john.open()
    await kovach.open()
    await john.add(Note("canary of john"))
    assert len(await john.search("canary")) == 1
    await john.aclose()
    (tmp_path / "agents/bot/kovach/index.sqlite").symlink_to(tmp_path / "agents/bot/john/index.sqlite")
    await kovach.add(Note("kovach limps"))
    assert await kovach.search("canary") == ()
    assert len(await kovach.search("limps")) == 1
    await kovach.aclose()
    assert len(await john.search("canary")) == 1
    await john.aclose()


async def test_an_index_copied_from_another_shows_nothing_of_it(tmp_path: Path) -> None:
    spec = MemorySpec(embeddings="off")
    names = ("john", "kovach")
    john, kovach = (sqlite.build(tmp_path / "agents/bot" / name, tmp_path / "archive/bot", spec) for name in names)
    await _with_a_fact(john, "canary of john")
    await _with_a_fact(kovach, "kovach limps")
    copied = (tmp_path / "agents/bot/john/index.sqlite").read_bytes()
    (tmp_path / "agents/bot/kovach/index.sqlite").write_bytes(copied)
    assert await kovach.search("canary") == ()
    assert len(await kovach.search("limps")) == 1
    await kovach.aclose()


async def _with_a_fact(memory: Namespace, text: str) -> None:
    await memory.open()
    await memory.add(Note(text))
    assert len(await memory.search(text)) == 1
    await memory.aclose()
