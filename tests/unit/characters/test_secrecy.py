"""What is about a card, and what is the game master's, never reaches a prompt."""

from __future__ import annotations

from pathlib import Path

from homunculus.characters.card import read_card
from homunculus.characters.lorebook import select
from homunculus.characters.macros import expand
from homunculus.config.write import dump
from homunculus.model import Agent, AgentSpec, Character, RulesetSpec
from homunculus.pipelines.prompt import BuildPrompt
from tests.unit.characters.cards import ENTRY, V3, V3_DATA, as_json
from tests.unit.config.world import load

ABOUT = {
    "creator_notes": "SECRET1",
    "tags": ["SECRET2"],
    "creator": "SECRET3",
    "character_version": "SECRET4",
    "extensions": {"depth_prompt": {"prompt": "SECRET5"}, "homunculus": {"note": "SECRET6"}},
    "creator_notes_multilingual": {"en": "SECRET7"},
    "source": ["SECRET8"],
    "unknown": "SECRET9",
}


def character(folder: Path) -> Character:
    ours = {"homunculus": {"scope": "gm", "enabled": True}}
    entry = {**ENTRY, "keys": ["glade"], "selective": False, "name": "SECRET10", "comment": "SECRET11"}
    secret = {**entry, "content": "SECRET12", "constant": True, "enabled": False, "extensions": ours}
    book = {**V3_DATA["character_book"], "name": "SECRET13", "description": "SECRET14", "entries": [entry, secret]}
    card = read_card(as_json({**V3, "data": {**V3_DATA, **ABOUT, "character_book": book}}), "a.json")
    (folder / "characters" / "sera.yaml").write_text(dump(card.data), "utf-8")
    return load(folder, "version: 1\nagents: {a: {character: sera}}\ndefault_agent: a\n").deployment.agents[0].character


def test_what_is_about_a_card_never_reaches_a_prompt(folder: Path) -> None:
    card = character(folder)
    assert card.creator_notes == "SECRET1"
    agent = Agent(AgentSpec("a", card, "a", token_budget=9999), RulesetSpec("coc7e"), ())
    prompt = BuildPrompt(expand, select).warm(agent).messages[0].content
    assert "A guardian of the forest." in prompt
    assert "SECRET" not in prompt


def test_lore_gives_the_text_of_its_entries_alone_and_none_of_the_game_masters(folder: Path) -> None:
    card = character(folder)
    assert [entry.content for entry in card.knowledge if entry.enabled] == ["The glade is warded.", "SECRET12"]
    lore = select(card.lorebook, card.knowledge, ["the glade"], spoken=0, count=len, expand=str)
    assert lore.before_char == ("The glade is warded.",)
    assert "SECRET" not in str((lore.before_char, lore.after_char, lore.personality, lore.scenario, lore.at_depth))
