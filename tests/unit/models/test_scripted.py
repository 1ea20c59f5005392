"""A scripted model says what is written: the first hit of the first message, always the same."""

from __future__ import annotations

import time

import pytest

from homunculus.errors import Refused
from homunculus.interfaces import ChatModel
from homunculus.model import ModelSpec, Prompt, ScriptedReply
from homunculus.models import scripted
from tests.unit.models.rig import services


def model(*replies: tuple[str, str], otherwise: str = "") -> ChatModel:
    lines = tuple(ScriptedReply(when, say) for when, say in replies)
    spec = ModelSpec("rehearsal", "scripted", replies=lines, otherwise=otherwise, path="models.rehearsal")
    return scripted.provider.build(spec, services())


def turn(*texts: str) -> Prompt:
    return Prompt((), texts, "Kovach", "Ana")


async def test_the_first_hit_in_the_first_message_wins() -> None:
    script = model(("b", "said b"), ("a", "said a"))
    assert (await script.complete(turn("xxa", "b"))).text == "said a"
    assert (await script.complete(turn("ba"))).text == "said b"


async def test_macros_of_the_script_are_expanded_and_the_players_words_are_not() -> None:
    script = model(("(?i)hello", "Evening, {{user}}. {{char}} nods."))
    pieces: list[str] = []
    completion = await script.complete(turn("HELLO {{char}}"), pieces.append)
    assert completion.text == "Evening, <Ana>. <Kovach> nods."
    assert pieces == [completion.text]
    assert (completion.model, completion.provider) == ("rehearsal", "scripted")


async def test_otherwise_is_said_when_nothing_matches() -> None:
    assert (await model(("a", "b"), otherwise="{{char}} shrugs.").complete(turn("x"))).text == "<Kovach> shrugs."


async def test_without_otherwise_there_is_still_an_answer() -> None:
    assert (await model().complete(turn("x"))).text == "<Kovach> says nothing."
    assert (await model(("a", "b")).complete(turn())).text == "<Kovach> says nothing."


async def test_a_pattern_that_runs_away_does_not_match_and_costs_a_moment() -> None:
    script = model((r"^(?:a|aa)+$", "never"), ("x", "also too late"), otherwise="patience")
    started = time.monotonic()
    assert (await script.complete(turn("a" * 60 + "x"))).text == "patience"
    assert scripted.SEARCH_SECONDS <= time.monotonic() - started < 10 * scripted.SEARCH_SECONDS


def test_a_pattern_that_is_none_is_refused_with_its_place() -> None:
    with pytest.raises(Refused, match=r"^models\.rehearsal\.replies\[1\]\.when: '\(' is not a regular expression: "):
        model(("fine", ""), ("(", ""))
