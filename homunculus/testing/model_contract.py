"""The promises that every chat model keeps, as a pytest suite to inherit: `ModelContract`.

Owns what a model promises; never knows a provider, and asserts no words. To test a model of your own:

    class TestExample(ModelContract):
        @pytest.fixture
        async def model(self) -> ChatModel:
            return ExampleModel(...)

Where a model can fail, override `broken` with one that always fails. Tests need pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import ClassVar

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import ChatModel
from homunculus.model import ChatMessage, Prompt


def prompt(text: str = "Good evening. What do you sell?", *, system: str = "You keep a small shop.") -> Prompt:
    """Return a prompt of two messages, as the pipeline makes them."""
    messages = (ChatMessage("system", system), ChatMessage("user", f"Ana: {text}", "Ana"))
    return Prompt(messages, (text,), "Kovach", "Ana", 1, ("\nAna:",))


class ModelContract:
    """Inherit this and provide the fixture `model`. `longest` is the length of the longest prompt tried, in characters."""

    longest: ClassVar[int] = 30_000

    @pytest.fixture
    async def model(self) -> ChatModel:
        """Return a model that can answer; each test closes it."""
        raise NotImplementedError

    @pytest.fixture
    async def broken(self) -> ChatModel:
        """Return a model of the same kind that cannot answer, or skip."""
        pytest.skip("this model cannot fail")

    async def test_a_prompt_is_answered_in_the_name_of_the_model_in_the_file(self, model: ChatModel) -> None:
        completion = await model.complete(prompt())
        assert completion.text.strip()
        assert completion.model == model.spec.id
        assert completion.provider == model.spec.provider
        assert completion.tokens_in >= 0
        assert completion.tokens_out >= 0
        await model.aclose()

    async def test_pieces_arrive_in_order_and_make_the_answer(self, model: ChatModel) -> None:
        pieces: list[str] = []
        completion = await model.complete(prompt(), pieces.append)
        assert "".join(pieces) == completion.text
        assert "" not in pieces
        await model.aclose()

    async def test_calls_may_overlap(self, model: ChatModel) -> None:
        answers = await asyncio.gather(*(model.complete(prompt(f"Number {i}?")) for i in range(3)))
        assert all(answer.text.strip() for answer in answers)
        await model.aclose()

    async def test_a_cancelled_call_leaves_the_next_one_answered(self, model: ChatModel) -> None:
        first = asyncio.create_task(model.complete(prompt()))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await model.complete(prompt())).text.strip()
        await model.aclose()

    async def test_warming_is_harmless_at_any_time(self, model: ChatModel) -> None:
        await model.warm(prompt())
        assert (await model.complete(prompt())).text.strip()
        await model.warm(Prompt(()))
        await model.aclose()

    async def test_a_prompt_of_any_script_and_length_never_raises_a_surprise(self, model: ChatModel) -> None:
        for text in ("", "雪夜里他推开了店门。" * (self.longest // 10), "\x00\u202e🦊\ud83d" * 5):
            with suppress(NotReady, Refused):
                await model.complete(prompt(text))
        await model.aclose()

    async def test_closing_twice_is_safe(self, model: ChatModel) -> None:
        await model.aclose()
        await model.aclose()

    async def test_a_failure_is_told_in_the_errors_tree_alone(self, broken: ChatModel) -> None:
        with pytest.raises((NotReady, Refused), match=r"\w"):
            await broken.complete(prompt())
        await broken.aclose()

    async def test_warming_a_model_that_fails_raises_nothing(self, broken: ChatModel) -> None:
        await broken.warm(prompt())
        await broken.aclose()
