"""Who is answered: mentions, names, direct messages; nothing else unless told to."""

from __future__ import annotations

import pytest

from homunculus.interfaces import Mode
from homunculus.model import Address, Agent, AgentSpec, Author, Character, Message, RulesetSpec
from homunculus.pipelines.gate import gate, named

CHEN = Character(stem="chen", name="陈掌柜", nickname="老陈", description="…")
KOVACH = Character(stem="kovach", name="Kovach", nickname="Kov", description="…")


def agent(card: Character = KOVACH) -> Agent:
    return Agent(AgentSpec("a", card, "a"), RulesetSpec("coc7e"), ())


def message(text: str, *, mentioned: bool = False, direct: bool = False) -> Message:
    address = Address("local", "local", "local", "tavern", direct=direct)
    return Message("1", address, Author("ana", "Ana"), text, mentioned=mentioned)


@pytest.mark.parametrize(
    ("mode", "said", "answered"),
    [
        ("mention", message("hello"), False),
        ("mention", message("hello", mentioned=True), True),
        ("mention", message("", mentioned=True), True),
        ("mention", message("Kovach, hello"), True),
        ("mention", message("ask kov about it"), True),
        ("mention", message("hello", direct=True), True),
        ("always", message("hello"), True),
        ("always", message("  "), False),
        ("observe", message("Kovach!", mentioned=True, direct=True), False),
    ],
)
def test_modes_decide_what_is_answered(mode: Mode, said: Message, answered: bool) -> None:
    verdict = gate(agent(), mode, said)
    assert verdict.answer is answered
    assert verdict.reason


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("Kovach", "KOVACH!", True),
        ("Kovach", "Kovachs shop", False),
        ("Kov", "markov chain", False),
        ("Kov", "Kov's shop", True),
        ("老陈", "去问问老陈吧", True),
        ("老陈", "ask老陈now", True),
        ("老陈", "老王", False),
        ("Kov", "找Kov买东西", True),
        ("C.J. (Red)", "is C.J. (Red) here?", True),
        ("José", "jose\u0301 came", True),
        ("", "anything", False),
    ],
)
def test_names_are_found_with_ascii_word_boundaries(name: str, text: str, found: bool) -> None:
    assert named(name, text) is found


def test_a_chinese_npc_is_called_inside_a_sentence() -> None:
    assert gate(agent(CHEN), "mention", message("昨晚老陈看见什么了？")).answer
