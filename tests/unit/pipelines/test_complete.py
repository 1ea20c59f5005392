"""The model stage asks in order, keeps what failed, and lets only the character speak."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.model import ChatMessage, Completion, Prompt, Reply
from homunculus.pipelines.complete import Complete
from tests.unit.pipelines.meters import meter
from tests.unit.pipelines.turns import Says, turn

PROMPT = Prompt((ChatMessage("user", "Ana: hi"),), char="Kovach", user="Ana", stop=("\nKovach:", "\nAna:", "\nBo:"))


async def test_the_agents_own_model_answers() -> None:
    own, spare = Says("Evening."), Says("never", "spare")
    one = turn(models=(own, spare))
    one.prompt = PROMPT
    await Complete(meter()).run(one)
    assert one.completion is not None
    assert (one.completion.text, one.completion.model) == ("Evening.", "default")
    assert not spare.asked


@pytest.mark.parametrize(
    "failure", [NotReady("busy", 3), Refused("bad key"), "", "<think>hm</think>", ZeroDivisionError("a bug")]
)
async def test_a_failing_model_gives_way_to_its_fallback_and_is_remembered(failure: str | Exception) -> None:
    one = turn(models=(Says(failure), Says("Here.", "spare")))
    one.prompt = PROMPT
    await Complete(meter()).run(one)
    assert one.completion is not None
    assert one.completion.model == "spare"
    assert [attempt.model for attempt in one.attempts] == ["default"]
    assert one.attempts[0].reason


async def test_when_every_model_fails_the_turn_says_each_reason() -> None:
    one = turn(models=(Says(NotReady("busy")), Says(Refused("bad key"), "spare")))
    one.prompt = PROMPT
    with pytest.raises(Refused, match=r"default: busy; spare: bad key"):
        await Complete(meter()).run(one)


async def test_a_failure_is_logged_when_it_is_news(caplines: list[str]) -> None:
    complete, own = Complete(meter()), Says(NotReady("busy"))
    reasons: list[str | Exception] = [
        NotReady("busy"),
        NotReady("busy"),
        Refused("bad key"),
        "Evening.",
        NotReady("busy"),
    ]
    for answer in reasons:
        own.answer = answer
        one = turn(models=(own, Says("Here.", "spare")))
        one.prompt = PROMPT
        await complete.run(one)
    assert [line.split(" | ")[0] for line in caplines] == [
        "A model failed; the next one is asked",
        "A model failed; the next one is asked",
        "A model answers again",
        "A model failed; the next one is asked",
    ]
    assert "busy" in caplines[0]
    assert "bad key" in caplines[1]


@pytest.fixture
def caplines() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="INFO", format="{message} | {extra}")
    yield lines
    logger.remove(sink)


class Preview:
    """Keeps what it is told to show, and shows it when asked."""

    def __init__(self) -> None:
        self.make: Callable[[], Reply | None] = lambda: None

    def show(self, make: Callable[[], Reply | None]) -> None:
        self.make = make


class Streams(Says):
    """A model that says its answer in pieces, and notes what a reader would see after each."""

    def __init__(self, pieces: list[str], preview: Preview) -> None:
        super().__init__("".join(pieces))
        self.pieces, self.preview, self.seen = pieces, preview, list[str]()

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        assert on_text is not None
        for piece in self.pieces:
            on_text(piece)
            reply = self.preview.make()
            self.seen.append(reply.text if reply is not None else "")
        return await super().complete(prompt)


async def test_a_reader_sees_the_beginning_of_the_reply_as_it_will_be() -> None:
    preview = Preview()
    model = Streams(["Kov", "ach: The ", "cellar", " is shut.", "\nAna: Oh."], preview)
    one = turn(models=(model,))
    one.prompt, one.preview = PROMPT, preview
    await Complete(meter()).run(one)
    assert model.seen == ["", "The", "The cellar", "The cellar is shut.", "The cellar is shut."]
    assert one.completion is not None
    assert one.completion.text == "The cellar is shut."


async def test_what_is_shown_early_carries_the_id_of_the_first_post() -> None:
    preview = Preview()
    one = turn(models=(Streams(["word " * 600], preview),))
    one.prompt, one.preview, one.limit = PROMPT, preview, 500
    await Complete(meter()).run(one)
    reply = preview.make()
    assert reply is not None
    assert (reply.id, reply.quotes) == ("t1.0", "1")
    assert len(reply.text) <= 500
