"""The characters folder: names, faulty cards in and out of use, portraits."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from homunculus.config import Loaded
from homunculus.config.card import CardCache
from homunculus.errors import ConfigError, ConfigErrors, Where
from homunculus.model import Character, Knowledge, Lorebook
from homunculus.plan import plan
from tests.unit.config.world import faults, load, loader, printed

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


LORE = """
name: Mara
description: A cook.
alternate_greetings: [Hm?]
group_only_greetings: [All of you?]
creator: somebody
creator_notes: Long context.
character_version: 2
tags: [cook, 7]
lorebook: {name: Inn, scan_depth: 3, token_budget: 99, recursive_scanning: true, extensions: {a: [1]}, imported: {b: 1}}
knowledge:
  - keys: [cellar]
    content: Nailed shut.
    name: Cellar
    enabled: false
    constant: true
    selective: true
    secondary_keys: [old, 1919]
    insertion_order: 10
    priority: 1.5
    case_sensitive: true
    use_regex: true
    position: before_char
    id: 4
    comment: the place
    extensions: {a: {b: [null]}}
    imported: {probability: 50}
imported: {spec: chara_card_v3, spec_version: "3.0", data: {extensions: {x: [1]}}, card: {fav: true}}
"""


def test_a_card_carries_all_that_a_foreign_one_says(folder: Path) -> None:
    (folder / "characters" / "mara.yaml").write_text(LORE)
    assert use(folder, "mara") == Character(
        stem="mara",
        name="Mara",
        description="A cook.",
        alternate_greetings=("Hm?",),
        group_only_greetings=("All of you?",),
        creator="somebody",
        creator_notes="Long context.",
        character_version="2",
        tags=("cook", "7"),
        lorebook=Lorebook(scan_depth=3, token_budget=99, recursive_scanning=True),
        knowledge=(
            Knowledge(
                keys=("cellar",),
                content="Nailed shut.",
                name="Cellar",
                enabled=False,
                constant=True,
                selective=True,
                secondary_keys=("old", "1919"),
                insertion_order=10,
                priority=1.5,
                case_sensitive=True,
                use_regex=True,
                position="before_char",
            ),
        ),
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [("scan_depth: 3", "scan_depth: 4"), ("constant: true", "constant: false"), ("[old", "[new"), ("Hm?", "Ha!")],
)
def test_an_edit_of_lore_is_a_change_of_the_character(folder: Path, old: str, new: str) -> None:
    text = "version: 1\nagents: {a: {character: mara}}\ndefault_agent: a\n"
    card = folder / "characters" / "mara.yaml"
    card.write_text(LORE)
    before = load(folder, text).deployment
    card.write_text(LORE.replace(old, new))
    changes = plan(before, load(folder, text).deployment).changes
    assert [(change.kind, change.action, change.name) for change in changes] == [("character", "change", "mara")]


def test_faults_of_lore_are_told_with_their_places(folder: Path) -> None:
    text = LORE.replace("position: before_char", "position: above").replace("scan_depth: 3", "scan_depth: few")
    (folder / "characters" / "mara.yaml").write_text(text.replace("priority:", "prioriti:"))
    found = faults(folder, "version: 1\nagents: {a: {character: mara}}\n")
    assert [one.split(": ", 2)[1] for one in found] == [
        "lorebook.scan_depth",
        "knowledge[0]",
        "knowledge[0].position",
    ]


# --- cards of other formats -----------------------------------------------------------------------------------------


def foreign(content: bytes, file: str) -> tuple[dict[str, Any], tuple[ConfigError, ...]]:
    """Read an invented format: the name alone, `!` for a fault, `?` for a warning, `%` for data that do not fit."""
    name = content.decode()
    if "!" in name:
        raise ConfigErrors((ConfigError(Where(file, 7, 3), "a fault", "a fix"),))
    warnings = (ConfigError(Where(file, 2, 1), "odd"),) if "?" in name else ()
    data = {"name": name, "description": "x", "ruleset": "gurps" if "$" in name else "coc7e"}
    return ({**data, "token": "x"} if "%" in name else data), warnings


def use_foreign(folder: Path, written: str) -> Loaded:
    text = f"version: 1\nagents: {{a: {{character: {written}}}}}\ndefault_agent: a\n"
    (folder / "campaign.yaml").write_text(text)
    return replace(loader(), foreign=foreign)(folder / "campaign.yaml")


@pytest.mark.parametrize("suffix", [".json", ".png", ".charx", ".PNG"])
def test_a_deployment_may_point_at_a_card_of_another_format(folder: Path, suffix: str) -> None:
    file = folder / "cards" / f"mara{suffix}"
    file.parent.mkdir()
    file.write_bytes(b"Mara")
    loaded = use_foreign(folder, f"cards/mara{suffix}")
    character = loaded.deployment.agents[0].character
    assert (character.stem, character.name, character.path) == ("mara", "Mara", f"cards/mara{suffix}")
    assert character.avatar == (str(file) if suffix.casefold() == ".png" else "")
    assert file in loaded.deployment.watched
    file.write_bytes(b"Mary")
    assert use_foreign(folder, f"cards/mara{suffix}").deployment.agents[0].character.name == "Mary"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"!", "mara.json:7:3: a fault; a fix"),
        (b"%", 'mara.json:1:1: unknown key "token"'),
        (b"$", 'mara.json:1:1: ruleset: no ruleset "gurps"'),
    ],
)
def test_a_faulty_card_of_another_format_is_an_error_in_its_own_file(
    folder: Path, content: bytes, expected: str
) -> None:
    (folder / "mara.json").write_bytes(content)
    with pytest.raises(ConfigErrors) as caught:
        use_foreign(folder, "mara.json")
    (found,) = printed(caught.value.errors)
    assert found.startswith(expected)


def test_what_a_card_of_another_format_warns_of_is_told_once(folder: Path) -> None:
    (folder / "mara.json").write_bytes(b"Mara?")
    assert printed(use_foreign(folder, "mara.json").warnings) == ["mara.json:2:1: odd"]


def test_a_loader_without_a_reader_refuses_other_formats(folder: Path) -> None:
    (folder / "mara.json").write_bytes(b"Mara")
    (error,) = faults(folder, "version: 1\nagents: {a: {character: mara.json}}\n")
    assert error == "mara.json:1:1: cards in .json files cannot be read here; write a native .yaml card"
