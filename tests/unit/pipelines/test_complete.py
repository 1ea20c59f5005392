"""The model stage asks in order, keeps what failed, and lets only the character speak."""

from __future__ import annotations

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.model import ChatMessage, Prompt
from homunculus.pipelines.complete import Complete, cleaned
from tests.unit.pipelines.turns import Says, turn

PROMPT = Prompt((ChatMessage("user", "Ana: hi"),), char="Kovach", user="Ana", stop=("\nKovach:", "\nAna:", "\nBo:"))


async def test_the_agents_own_model_answers() -> None:
    own, spare = Says("Evening."), Says("never", "spare")
    one = turn(models=(own, spare))
    one.prompt = PROMPT
    await Complete().run(one)
    assert one.completion is not None
    assert (one.completion.text, one.completion.model) == ("Evening.", "default")
    assert not spare.asked


@pytest.mark.parametrize(
    "failure", [NotReady("busy", 3), Refused("bad key"), "", "<think>hm</think>", ZeroDivisionError("a bug")]
)
async def test_a_failing_model_gives_way_to_its_fallback_and_is_remembered(failure: str | Exception) -> None:
    one = turn(models=(Says(failure), Says("Here.", "spare")))
    one.prompt = PROMPT
    await Complete().run(one)
    assert one.completion is not None
    assert one.completion.model == "spare"
    assert [attempt.model for attempt in one.attempts] == ["default"]
    assert one.attempts[0].reason


async def test_when_every_model_fails_the_turn_says_each_reason() -> None:
    one = turn(models=(Says(NotReady("busy")), Says(Refused("bad key"), "spare")))
    one.prompt = PROMPT
    with pytest.raises(Refused, match=r"default: busy; spare: bad key"):
        await Complete().run(one)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("  Evening. \n", "Evening."),
        ("Kovach: Evening.", "Evening."),
        ("**Kovach:** Evening.", "Evening."),
        ("kovach：Evening.", "Evening."),
        ("Evening.\nAna: And you?\nKovach: Fine.", "Evening."),
        ("Ana: I leave.", ""),
        ("Evening.\nKovach: Evening again.", "Evening."),
        ("<think>Who is this?</think>Evening.", "Evening."),
        ("<thinking>never closed", ""),
        ("Evening.\n\nThe door is shut.", "Evening.\n\nThe door is shut."),
    ],
)
def test_only_the_character_speaks(raw: str, said: str) -> None:
    assert cleaned(raw, PROMPT) == said
