"""The characters folder: names, faulty cards in and out of use, portraits."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from homunculus.config.cards import CardCache
from homunculus.errors import ConfigErrors
from homunculus.model import Character, Knowledge
from tests.unit.config.world import faults, load, printed

CARD = """
name: Mara
nickname: M
description: A cook.
personality: Patient.
background: Left Boston in 1919.
scenario: A kitchen.
language: en
avatar: https://example.org/mara.png
greeting: Sit down.
examples: [one, two]
system_prompt: "{{original}} Be brief."
post_history: Stay calm.
ruleset: dnd5e
stats: {STR: 65, SAN: 52.5, x-note: ignored}
skills: {Spot Hidden: 45}
inventory: [knife, 12]
knowledge:
  - {keys: [cellar, 1919], content: Nailed shut., scope: gm}
  - {keys: [stew], content: Too salty.}
"""


def use(folder: Path, written: str) -> Character:
    text = f"version: 1\nagents: {{a: {{character: {written}}}}}\ndefault_agent: a\n"
    return load(folder, text).deployment.agents[0].character


def test_a_card_is_what_was_written(folder: Path) -> None:
    (folder / "characters" / "mara.yaml").write_text(CARD)
    assert use(folder, "mara") == Character(
        stem="mara",
        name="Mara",
        nickname="M",
        description="A cook.",
        personality="Patient.",
        background="Left Boston in 1919.",
        scenario="A kitchen.",
        language="en",
        avatar="https://example.org/mara.png",
        greeting="Sit down.",
        examples=("one", "two"),
        system_prompt="{{original}} Be brief.",
        post_history="Stay calm.",
        ruleset="dnd5e",
        stats=(("STR", 65), ("SAN", 52.5)),
        skills=(("Spot Hidden", 45),),
        inventory=("knife", "12"),
        knowledge=(
            Knowledge(("cellar", "1919"), "Nailed shut.", "gm"),
            Knowledge(("stew",), "Too salty.", "character"),
        ),
    )


@pytest.mark.parametrize("written", ["KOVACH", "Kovach", "./characters/kovach.yaml", "characters/kovach.yaml"])
def test_a_character_is_found_by_name_or_path(folder: Path, written: str) -> None:
    assert use(folder, written).stem == "kovach"


def test_names_are_compared_after_normalization(folder: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    (folder / "characters" / f"{decomposed}.yaml").write_text("name: José\ndescription: x\n")
    assert use(folder, composed).stem == composed
    assert use(folder, decomposed.upper()).stem == composed


def test_chinese_names_are_names(folder: Path) -> None:
    (folder / "characters" / "老赵.yaml").write_text("name: 赵铁柱\ndescription: 掌柜。\nlanguage: zh\n")
    assert use(folder, "老赵").name == "赵铁柱"


def test_a_number_is_a_name(folder: Path) -> None:
    (folder / "characters" / "47.yaml").write_text("name: 47\ndescription: x\n")
    assert use(folder, "47").name == "47"


def test_a_portrait_lies_beside_the_card(folder: Path) -> None:
    (folder / "cards" / "faces").mkdir(parents=True)
    (folder / "cards" / "faces" / "mara.png").write_bytes(b"")
    (folder / "cards" / "mara.yaml").write_text("name: Mara\ndescription: x\navatar: faces/mara.png\n")
    assert use(folder, "cards/mara.yaml").avatar == str(folder / "cards" / "faces" / "mara.png")


def test_a_missing_portrait_is_one_warning(folder: Path) -> None:
    (folder / "characters" / "mara.yaml").write_text("name: Mara\ndescription: x\navatar: mara.png\n")
    text = "version: 1\nagents: {a: {character: mara}, b: {character: mara}}\nbindings: []\n"
    found = [one for one in printed(load(folder, text).warnings) if "png" in one]
    assert found == [
        "characters/mara.yaml:3:9: avatar: characters/mara.png does not exist; put the picture beside the card"
    ]


@pytest.mark.parametrize(
    "avatar", ["/etc/passwd", "../x.png", "a/../../x.png", "http://x/y.png", "C:\\x.png", "a\\b.png"]
)
def test_a_card_sets_no_path(folder: Path, avatar: str) -> None:
    (folder / "characters" / "mara.yaml").write_text(f"name: Mara\ndescription: x\navatar: '{avatar}'\n")
    (found,) = faults(folder, "version: 1\nagents: {a: {character: mara}}\n")
    assert "is not the name of a picture beside the card" in found


def test_a_faulty_card_is_an_error_only_where_it_is_used(folder: Path) -> None:
    (folder / "characters" / "mara.yaml").write_text("name: [")
    used = "version: 1\nagents: {a: {character: mara}, b: {character: mara}}\n"
    (error,) = faults(folder, used)
    assert error.startswith("characters/mara.yaml:1:8: not valid YAML")
    (warning,) = load(folder, "version: 1\n").warnings
    assert str(warning) == error


def test_a_card_in_use_that_is_no_mapping(folder: Path) -> None:
    (folder / "characters" / "mara.yaml").write_text("- Mara\n")
    (error,) = faults(folder, "version: 1\nagents: {a: {character: mara}}\n")
    assert error == "characters/mara.yaml:1:1: must be a mapping, not a list"


def test_other_files_in_the_folder_are_no_characters(folder: Path) -> None:
    for name in ("kovach.png", "notes.txt", ".kovach.yaml.swp", ".hidden.yaml", "kovach.json"):
        (folder / "characters" / name).write_bytes(b"\xff")
    (folder / "characters" / "folder.yaml").mkdir()
    assert load(folder, "version: 1\n").warnings == ()
    assert use(folder, "kovach").name == "Kovach"


def test_a_card_of_another_format_is_seen(folder: Path) -> None:
    (folder / "characters" / "mara.json").write_text("{}")
    (error,) = faults(folder, "version: 1\nagents: {a: {character: mara}}\n")
    assert error.endswith("; write characters/mara.json, or import it: homunculus card import characters/mara.json")


@pytest.mark.parametrize("written", ["a b", '"a\\0b"', "'..'", "'*'"])
def test_what_cannot_be_a_name_says_so(folder: Path, written: str) -> None:
    (error,) = faults(folder, f"version: 1\nagents: {{a: {{character: {written}}}}}\n")
    assert "cannot be a character's name; use letters, digits, _ and -" in error


def test_odd_paths_are_errors_not_crashes(folder: Path) -> None:
    for written in (f"{'x' * 300}.yaml", '"a\\0.yaml"', "~nobody-of-that-name/a.yaml", "'/.yaml'", "characters/"):
        (error,) = faults(folder, f"version: 1\nagents: {{a: {{character: {written}}}}}\n")
        assert error.startswith("campaign.yaml:2:")


def test_the_same_content_is_parsed_once() -> None:
    cache = CardCache()
    first = cache.parse(b"name: Mara\ndescription: x\n", "mara.yaml")
    assert cache.parse(b"name: Mara\ndescription: x\n", "mara.yaml") is first
    assert cache.parse(b"name: Mara\ndescription: y\n", "mara.yaml") is not first


def test_a_card_edit_is_a_change_of_its_agent(folder: Path) -> None:
    text = "version: 1\nagents: {a: {character: kovach}}\ndefault_agent: a\n"
    before = load(folder, text).deployment
    (folder / "characters" / "kovach.yaml").write_text("name: Kovach\ndescription: Older now.\n")
    after = load(folder, text).deployment
    assert before.agents != after.agents
    assert before.digest != after.digest


def test_a_missing_folder_is_one_error(folder: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, "version: 1\ncharacters: none\nagents: {a: {character: b}, c: {character: d}}\n")
    assert printed(caught.value.errors) == ["campaign.yaml:2:13: characters: no folder none; make it, or name another"]
    assert folder / "none" / "b.yaml" in caught.value.watched
