"""Token counts are close to o200k_base in every script; tests/data/tokens.json holds that encoding's own counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.pipelines.tokens import count_tokens

SAMPLES = json.loads((Path(__file__).parents[2] / "data" / "tokens.json").read_text("utf-8"))


@pytest.mark.parametrize("language", ["en", "zh", "ja", "ru", "mixed"])
def test_a_language_is_counted_within_fifteen_percent(language: str) -> None:
    samples = [sample for sample in SAMPLES if sample["language"] == language]
    real = sum(sample["o200k_base"] for sample in samples)
    assert abs(sum(count_tokens(sample["text"]) for sample in samples) - real) <= 0.15 * real


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["text"][:20])
def test_no_sample_is_off_by_more_than_a_fifth(sample: dict[str, object]) -> None:
    real = int(str(sample["o200k_base"]))
    assert abs(count_tokens(str(sample["text"])) - real) <= 0.2 * real


def test_chinese_does_not_cost_what_english_letters_cost() -> None:
    assert count_tokens("今晚不要去地窖" * 10) > 2 * count_tokens("a cellar" * 10) / 3
    assert count_tokens("今" * 100) >= 60


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_longer_text_never_costs_much_less(first: str, second: str) -> None:
    assert count_tokens("") == 0
    assert count_tokens(first + second) <= count_tokens(first) + count_tokens(second) + 2
