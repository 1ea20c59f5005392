"""What docs/characters.md shows is right: every card and deployment in it loads, and its lore does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homunculus.characters.lorebook import select
from homunculus.model import Character
from tests.unit.config.world import load

DOCUMENT = (Path(__file__).parents[3] / "docs" / "characters.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
CARD, DEPLOYMENT, IMPORTED, DIRECT, SHEET, LORE = BLOCKS


def use(folder: Path, card: str) -> Character:
    (folder / "characters" / "shown.yaml").write_text(card, "utf-8")
    loaded = load(folder, "version: 1\nagents: {a: {character: shown}}\ndefault_agent: a\n")
    assert loaded.warnings == ()
    return loaded.deployment.agents[0].character


def test_the_first_card_and_its_deployment_load(folder: Path) -> None:
    (folder / "characters" / "mara.yaml").write_text(CARD, "utf-8")
    loaded = load(folder, DEPLOYMENT)
    assert loaded.warnings == ()
    assert loaded.deployment.agents[0].character.name == "Mara"


def test_what_an_import_leads_to_loads(folder: Path) -> None:
    (folder / "characters" / "seraphina.yaml").write_text(CARD, "utf-8")
    assert load(folder, f"version: 1\n{IMPORTED}default_agent: sera\n").warnings == ()
    assert "character: ./seraphina.png" in DIRECT


def test_the_sheet_loads(folder: Path) -> None:
    assert use(folder, SHEET).ruleset == "coc7e"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("To the cellar!", ["It is 14 March", "The cellar door", "Rats, mostly"]),
        ("我们去地窖里看看", ["It is 14 March", "1919年以后"]),
        ("the vaults", ["It is 14 March", "Rats, mostly"]),
        ("a key", ["It is 14 March"]),
        ("a rusty key", ["It is 14 March", "It opens the cellar", "The cellar door", "Rats, mostly"]),
    ],
)
def test_the_lore_does_what_it_says(folder: Path, said: str, expected: list[str]) -> None:
    card = use(folder, f"name: Mara\ndescription: x\n{LORE}")
    lore = select(card.lorebook, card.knowledge, [said], spoken=0, count=len, expand=str)
    assert sorted(text[:6] for text in lore.after_char) == sorted(text[:6] for text in expected)
