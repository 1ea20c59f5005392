"""Of what a model says only the character's own words are left, at the end and while they arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.model import ChatMessage, Prompt
from homunculus.pipelines.clean import Cleaner
from tests.cpu import within

PROMPT = Prompt(
    (
        ChatMessage("system", "You are Kovach. Note: be brief."),
        ChatMessage("user", "Ana: hi\n  Bo: this is still Ana\nOld Man Wu: evening"),
        ChatMessage("assistant", "Mm."),
        ChatMessage("user", "Eva: and?"),
    ),
    char="Kovach",
    user="Eva",
    stop=("\nKovach:", "\nEva:", "\nDan:"),
)


def whole(raw: str, prompt: Prompt = PROMPT) -> str:
    return Cleaner.of(prompt).whole(raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("  Evening. \n", "Evening."),
        ("Evening.\n\nThe door is shut.", "Evening.\n\nThe door is shut."),
        ("", ""),
        # its own name
        ("Kovach: Evening.", "Evening."),
        ("**Kovach:** Evening.", "Evening."),
        ("**Kovach**: Evening.", "Evening."),
        ("[Kovach]: Evening.", "Evening."),
        ("*Kovach (quietly):* Evening.", "Evening."),
        ("kovach：Evening.", "Evening."),
        ("Kovach: Kovach: Evening.", "Evening."),
        ("\n\nKovach:\nEvening.", "Evening."),
        ("Kovach nods. Evening.", "Kovach nods. Evening."),
        ("*Kovach nods.* Evening.", "*Kovach nods.* Evening."),
        # others' lines
        ("Evening.\nAna: And you?\nKovach: Fine.", "Evening."),
        ("Evening.\n**Ana:** And you?", "Evening."),
        ("Evening.\n> Old Man Wu： And you?", "Evening."),
        ("Evening.\nDAN: And you?", "Evening."),
        ("Evening.\n  Eva (laughing): And you?", "Evening."),
        ("Evening.\nKovach: Evening again.", "Evening."),
        ("Ana: I leave.", ""),
        ("Evening, Ana: sit down.", "Evening, Ana: sit down."),
        ("Evening.\nBo: was only quoted, and speaks nowhere", "Evening.\nBo: was only quoted, and speaks nowhere"),
        ("Note: the cellar is shut.", "Note: the cellar is shut."),
        ("Listen:\n- the cellar\n- the roof", "Listen:\n- the cellar\n- the roof"),
        # thoughts
        ("<think>Who is this?</think>Evening.", "Evening."),
        ("<Thinking>a</Thinking>\n<reasoning>b\nc</reasoning>Kovach: Evening.", "Evening."),
        ("[THINK]Who is this?[/THINK] Evening.", "Evening."),
        ("Who is this, <b>really</b>?\n</think>\nEvening.", "Evening."),
        ("<thinking>never closed", ""),
        ("Evening. <think>Was that right?", "Evening."),
        ("I <think I> know.", "I <think I> know."),
        # what a template leaves
        ("Evening.<|im_end|>\n<|im_start|>user", "Evening."),
        ("Evening.</s> More", "Evening."),
        ("Evening.<｜end▁of▁sentence｜>", "Evening."),
        ("Evening.<end_of_turn>", "Evening."),
        ("<|eot_id|>", ""),
    ],
)
def test_only_the_character_speaks(raw: str, said: str) -> None:
    assert whole(raw) == said


def test_a_stop_string_ends_an_answer_wherever_the_endpoint_did_not() -> None:
    assert whole("one ### two", Prompt((), stop=("###",))) == "one"


def test_a_name_is_taken_as_it_is_written() -> None:
    odd = Prompt((ChatMessage("user", "a.b (c): hi"),), char="K+ (the 2nd)", user="雪")
    assert whole("K+ (the 2nd): Evening.\na.b (c): hm", odd) == "Evening."
    assert whole("KK the 2nd: Evening.\naxb (c): hm", odd) == "KK the 2nd: Evening.\naxb (c): hm"
    assert whole("好。\n雪：你呢？", odd) == "好。"


def test_a_prompt_without_names_cuts_none() -> None:
    assert whole("Ana: hi", Prompt(())) == "Ana: hi"
    assert whole(": hi", Prompt(())) == ": hi"


@pytest.mark.parametrize(
    ("heard", "shown"),
    [
        ("Kov", ""),
        ("**Kovach", ""),
        ("Kovach nods", "Kovach nods"),
        ("Ko is a game", "Ko is a game"),
        ("<thi", ""),
        ("<think>Who", ""),
        ("<think>Who</think>Eve", "Eve"),
        ("Evening.\nAn", "Evening."),
        ("Evening.\nAn old", "Evening.\nAn old"),
        ("Evening.\nAna: oh", "Evening."),
        ("Evening.<|im", "Evening."),
        ("Evening. 1 < 2", "Evening. 1 < 2"),
    ],
)
def test_what_may_yet_be_cut_is_not_shown_early(heard: str, shown: str) -> None:
    assert Cleaner.of(PROMPT).beginning(heard) == shown


@pytest.mark.parametrize(
    "unit", [" ", "\t", "*", "<", "[", "<think>", "</think>", "Ana ", "\nAna ", "(", "Kovach: ", "<|", "\n"]
)
def test_a_quarter_of_a_megabyte_of_anything_is_cleaned_at_once(unit: str) -> None:
    raw = f"x\n{unit * (262_144 // len(unit))}y"
    within(2, lambda: (whole(raw), Cleaner.of(PROMPT).beginning(raw)))


pieces = st.sampled_from(
    ["Kovach", "Ana", ":", "：", " ", "\n", "**", "<think>", "</think>", "<", "Evening.", "x", "[", "(", ")", "<|end|>"]
)


@given(st.lists(pieces, max_size=12).map("".join))
def test_whatever_a_model_says_cleaning_ends_and_leaves_nothing_to_clean(raw: str) -> None:
    cleaner = Cleaner.of(PROMPT)
    said = cleaner.whole(raw)
    assert "<think>" not in said
    assert not any(line.startswith(("Ana:", "**Ana:", "Kovach:")) for line in said.split("\n")[1:])


@given(st.lists(st.sampled_from(["Evening", "Ana", "Kovach", ":", " ", "\n", "An", "y"]), max_size=10))
def test_what_was_shown_early_is_how_the_reply_begins(said: list[str]) -> None:
    cleaner, text = Cleaner.of(PROMPT), "".join(said)
    for end in range(len(said)):
        early = cleaner.beginning("".join(said[:end]))
        assert cleaner.whole(text).startswith(early), (early, text)
