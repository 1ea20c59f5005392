"""Macros of a card are replaced once, and what replaces them is never looked at again."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.characters.macros import expand, hidden_keys


def noon() -> datetime:
    return datetime(1926, 3, 14, 9, 5)  # noqa: DTZ001 - the clock on the wall of the shop


class Last(random.Random):
    """A source that always takes the last."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        return (start if stop is None else stop) - 1

    def randint(self, a: int, b: int) -> int:
        return b


def said(text: str, user: str = "Ana") -> str:
    return expand(text, char="Kovach", user=user, random=Last(), now=noon)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{char}} {{CHAR}} {{ Char }} <BOT> <bot>", "Kovach Kovach Kovach Kovach Kovach"),
        ("{{user}} <USER> <user>", "Ana Ana Ana"),
        ("{{time}} on {{date}}", "09:05 on 1926-03-14"),
        ("a{{// a note, {{char}} }}b", "ab"),
        ("a{{comment: x}}b{{hidden_key:key}}c", "abc"),
        ("{{reverse:abc}}", "cba"),
        ("{{reverse: {{char}} }}", "hcavoK"),
        ("{{random:a,b}}", "b"),
        (r"{{random:a,b\,c}}", "b,c"),
        ("{{random: one , two }}", "two"),
        ("{{random::a,b}} {{random::a::b, c}} {{RANDOM::{{user}}::<BOT>}}", "b b, c Kovach"),
        ("<char> <CHAR>", "Kovach Kovach"),
        ("{{random:{{user}} nods,{{random:x,<BOT> sighs}}}}", "Kovach sighs"),
        ("{{random:}}", ""),
        ("{{roll:d6}} {{roll:3d6}} {{roll: D20 }} {{roll:6}}", "6 18 20 6"),
        ("{{roll:0d6}} {{roll:9999d6}} {{roll:lots}}", "{{roll:0d6}} {{roll:9999d6}} {{roll:lots}}"),
        ("{{unknown}} {{unknown:x}} {{}} {{char:x}}", "{{unknown}} {{unknown:x}} {{}} {{char:x}}"),
        ("{{char", "{{char"),
        ("char}} {{user}}", "char}} Ana"),
        ("{{a {{user}}", "{{a Ana"),
        ("{{original}}", "{{original}}"),
        ("", ""),
    ],
)
def test_each_macro_stands_for_what_the_contract_says(text: str, expected: str) -> None:
    assert said(text) == expected


def test_a_player_named_like_a_macro_keeps_that_name() -> None:
    assert said("{{user}}, {{reverse:x}}", user="{{char}}") == "{{char}}, x"
    assert said("{{random:a,{{user}}}}", user="x,{{roll:d6}},<BOT>") == "x,{{roll:d6}},<BOT>"
    assert said("{{roll:{{user}}}}", user="}}{{char}}") == "{{roll:{{user}}}}"


def test_original_is_inserted_where_it_is_given() -> None:
    assert expand("{{original}} Be brief.", char="K", user="A", original="Be {{char}}.") == "Be {{char}}. Be brief."


def test_pick_is_stable_for_a_character_and_reaches_every_option() -> None:
    def pick(text: str, char: str) -> str:
        return expand(text, char=char, user="Ana")

    text = "{{pick:a,b,c}}"
    assert {pick(text, "Kovach") for _ in range(20)} == {pick(f"before {text}", "Kovach")[-1]}
    assert {pick(text, f"NPC {i}") for i in range(60)} == {"a", "b", "c"}


def test_random_reaches_every_option_and_a_die_every_side() -> None:
    source = random.Random(7)
    draws = {expand("{{random:a,b,c}}{{roll:2d2}}", char="K", user="A", random=source) for _ in range(300)}
    assert draws == {f"{letter}{number}" for letter in "abc" for number in (2, 3, 4)}


PLAIN = st.text(st.characters(exclude_characters="{}<>", exclude_categories=["Cs"]), max_size=30)


@given(PLAIN)
def test_text_without_macros_stays_as_it_is(text: str) -> None:
    assert said(text) == text


@given(PLAIN, st.text(max_size=20), PLAIN)
def test_a_name_is_inserted_letter_by_letter(before: str, name: str, after: str) -> None:
    assert said(f"{before}{{{{user}}}}{after}", user=name) == before + name + after


PIECES = st.lists(
    st.sampled_from(
        ["{{", "}}", "{", "}", "random:", "pick:", "reverse:", "roll:", "char", "//", ",", "\\", "<BOT>", "a", " "]
    ),
    max_size=30,
).map("".join)


@given(PIECES)
def test_any_mixture_of_braces_is_expanded_without_a_surprise(text: str) -> None:
    assert isinstance(said(text), str)


@pytest.mark.parametrize("build", [lambda n: "{{" * n, lambda n: "{{random:a," * n + "}}" * n, lambda n: "{{x}}" * n])
def test_a_strangers_card_of_a_mebibyte_takes_no_second(build: Callable[[int], str]) -> None:
    text = build(100_000)
    assert isinstance(said(text), str)


def test_hidden_keys_are_found_and_nothing_else() -> None:
    text = (
        "a {{hidden_key: chest }} {{HIDDEN_KEY:地窖}} {{hidden_key:}} {{// hidden_key:x}} {{comment: y}} hidden_key:z"
    )
    assert hidden_keys(text) == "chest\n地窖"
