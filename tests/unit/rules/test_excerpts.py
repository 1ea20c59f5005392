"""The built-in rulesets are there and short enough for a prompt."""

from __future__ import annotations

from homunculus.rules import excerpts


def test_both_games_have_an_excerpt_that_fits() -> None:
    assert set(excerpts()) == {"coc7e", "dnd5e"}
    assert all(200 < len(text) <= 2400 for text in excerpts().values())
