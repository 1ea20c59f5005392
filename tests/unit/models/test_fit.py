"""A prompt is cut to a small context so that the beginning and the newest end survive."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from homunculus.model import ChatMessage
from homunculus.models.embedded.fit import PER_MESSAGE, cost, fitted

TEXT = st.text(st.sampled_from("ab 雪夜🦊\n"), max_size=120)
MESSAGES = st.lists(TEXT.map(lambda text: ChatMessage("user", text)), min_size=1, max_size=8)


def price(messages: tuple[ChatMessage, ...]) -> int:
    return sum(cost(message.content) + PER_MESSAGE for message in messages)


@given(MESSAGES, st.integers(0, 3), st.integers(1, 400))
def test_what_is_left_fits_and_is_a_part_of_what_was(messages: list[ChatMessage], stable: int, limit: int) -> None:
    stable = min(stable, len(messages))
    cut = fitted(messages, stable, limit)
    assert price(cut) <= limit
    remaining = iter(messages)
    for message in cut:
        text = message.content.strip("…")
        assert any(text in candidate.content for candidate in remaining), "pieces of the prompt, in its order"


@given(MESSAGES, st.integers(0, 3))
def test_a_prompt_that_fits_is_left_alone(messages: list[ChatMessage], stable: int) -> None:
    assert fitted(messages, stable, price(tuple(messages))) == tuple(messages)


@given(st.integers(1, 60), st.integers(200, 600))
def test_the_oldest_of_the_middle_goes_first(count: int, limit: int) -> None:
    head = ChatMessage("system", "Kovach keeps a shop.")
    talk = [ChatMessage("user", f"message number {i}") for i in range(count)]
    cut = fitted([head, *talk], 1, limit)
    assert cut[0] == head
    assert cut[1:] == tuple(talk[len(talk) - len(cut) + 1 :])
    assert cut[-1] == talk[-1]


def test_a_newest_message_that_is_too_long_keeps_its_end_and_a_long_beginning_its_start() -> None:
    card, question = "You are Kovach. " + "lore " * 3000, "gossip " * 3000 + "and who are you?"
    head, newest = fitted([ChatMessage("system", card), ChatMessage("user", question)], 1, 1000)
    assert head.content.startswith("You are Kovach.")
    assert newest.content.endswith("and who are you?")
    assert min(cost(head.content), cost(newest.content)) > 400


def test_chinese_costs_more_than_english() -> None:
    assert cost("雪夜里他推开了店门。") > 3 * cost("snowy night")
