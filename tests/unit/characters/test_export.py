"""What goes out comes back: tavern cards as they came, native cards with all they say."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus.characters import png as chunks_of
from homunculus.characters.card import read_card
from homunculus.characters.export import for_v2_readers, to_tavern
from homunculus.config.write import dump
from homunculus.model import Character
from tests.unit.characters.cards import ENTRY, V2, V2_DATA, V3, V3_DATA, as_json, based, chunks, png, text
from tests.unit.config.world import load, populate

WORDS = st.text(st.sampled_from("ab ä地{}:\n\"'<>@"), min_size=1, max_size=12).filter(lambda word: bool(word.strip()))
TEXTS = st.one_of(st.just(""), WORDS)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(-1e9, 1e9), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
UNKNOWN = st.dictionaries(
    st.sampled_from(["mood", "voice", "x-note"]), ANYTHING.filter(lambda v: v is not None), max_size=2
)
EXTENSIONS = st.dictionaries(st.sampled_from(["a/b", "depth_prompt", "world"]), ANYTHING, max_size=2)
NUMBER = st.one_of(st.integers(-1000, 1000), st.floats(-1e6, 1e6))


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def entries(draw: st.DrawFn, v3: bool) -> dict[str, Any]:
    entry = {
        "keys": draw(st.lists(WORDS, max_size=2)),
        "content": draw(TEXTS),
        "extensions": draw(EXTENSIONS),
        "enabled": draw(st.booleans()),
        "insertion_order": draw(NUMBER),
        **draw(
            optional(
                case_sensitive=st.booleans(),
                name=TEXTS,
                priority=NUMBER,
                id=st.one_of(st.integers(), WORDS),
                comment=TEXTS,
                selective=st.booleans(),
                secondary_keys=st.lists(WORDS, max_size=2),
                constant=st.booleans(),
                position=st.sampled_from(["before_char", "after_char"]),
            )
        ),
        **draw(UNKNOWN),
    }
    return {**entry, "use_regex": draw(st.booleans())} if v3 else entry


@st.composite
def taverns(draw: st.DrawFn) -> dict[str, Any]:
    v3 = draw(st.booleans())
    plain = ("personality", "scenario", "first_mes", "mes_example", "creator_notes", "system_prompt", "creator")
    book = optional(
        name=TEXTS,
        description=TEXTS,
        scan_depth=st.integers(0, 100),
        token_budget=st.integers(0, 9999),
        recursive_scanning=st.booleans(),
    )
    data = {
        "name": draw(WORDS),
        "description": draw(WORDS),
        **{name: draw(TEXTS) for name in (*plain, "post_history_instructions", "character_version")},
        "alternate_greetings": draw(st.lists(TEXTS, max_size=2)),
        "tags": draw(st.lists(TEXTS, max_size=2)),
        "extensions": draw(EXTENSIONS),
        **draw(UNKNOWN),
    }
    if draw(st.booleans()):
        several = draw(st.lists(entries(v3), max_size=2))
        data["character_book"] = {**draw(book), **draw(UNKNOWN), "extensions": draw(EXTENSIONS), "entries": several}
    if v3:
        data["group_only_greetings"] = draw(st.lists(TEXTS, max_size=2))
        data |= draw(
            optional(
                nickname=WORDS,
                assets=st.just(V3_DATA["assets"]),
                source=st.lists(TEXTS),
                creation_date=st.integers(0, 2**40),
            )
        )
    version = "3" if v3 else "2"
    return {"spec": f"chara_card_v{version}", "spec_version": f"{version}.0", "data": data, **draw(UNKNOWN)}


@settings(max_examples=120)
@given(card=taverns())
def test_a_tavern_card_goes_out_as_it_came(card: dict[str, Any]) -> None:
    read = read_card(as_json(card), "a.json")
    assert read.warnings == ()
    assert to_tavern(read.data) == card


@pytest.mark.parametrize("card", [V2, V3], ids=["V2", "V3"])
def test_the_fixtures_go_out_as_they_came(card: dict[str, Any]) -> None:
    before = copy.deepcopy(card)
    assert to_tavern(read_card(as_json(card), "a.json").data) == before


# --- native cards ---------------------------------------------------------------------------------------------------

KNOWLEDGE = st.fixed_dictionaries(
    {"keys": st.lists(WORDS, max_size=2), "content": TEXTS},
    optional={
        "scope": st.sampled_from(["public", "character", "gm"]),
        "enabled": st.booleans(),
        "constant": st.booleans(),
        "insertion_order": NUMBER,
        "priority": NUMBER,
        "use_regex": st.booleans(),
        "selective": st.booleans(),
        "secondary_keys": st.lists(WORDS, max_size=2),
        "case_sensitive": st.booleans(),
        "position": st.sampled_from(["before_char", "after_char"]),
        "name": WORDS,
        "extensions": EXTENSIONS,
    },
)
SHEET = st.dictionaries(WORDS.filter(lambda w: not w.startswith("x-")), NUMBER, max_size=2)
NATIVES = st.fixed_dictionaries(
    {"name": WORDS, "description": TEXTS},
    optional={
        "nickname": WORDS,
        "personality": TEXTS,
        "background": TEXTS,
        "scenario": TEXTS,
        "language": TEXTS,
        "greeting": TEXTS,
        "alternate_greetings": st.lists(TEXTS, max_size=2),
        "group_only_greetings": st.lists(TEXTS, max_size=2),
        "examples": st.lists(TEXTS, max_size=3),
        "system_prompt": TEXTS,
        "post_history": TEXTS,
        "stats": SHEET,
        "skills": SHEET,
        "inventory": st.lists(WORDS, max_size=2),
        "knowledge": st.lists(KNOWLEDGE, max_size=3),
        "lorebook": optional(
            scan_depth=st.integers(0, 9), token_budget=st.integers(0, 99), recursive_scanning=st.booleans()
        ),
        "creator": TEXTS,
        "character_version": TEXTS,
        "tags": st.lists(WORDS, max_size=2),
        "creator_notes": TEXTS,
        "imported": st.fixed_dictionaries({"data": st.fixed_dictionaries({"extensions": EXTENSIONS})}),
    },
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    populate(folder)
    return folder


def loaded(home: Path, card: dict[str, Any]) -> Character:
    (home / "characters" / "a.yaml").write_text(dump(card), "utf-8")
    text = "version: 1\nagents: {a: {character: a}}\ndefault_agent: a\n"
    return load(home, text).deployment.agents[0].character


def through_json(card: dict[str, Any]) -> dict[str, Any]:
    return read_card(as_json(to_tavern(card)), "a.json").data


def through_png(card: dict[str, Any]) -> dict[str, Any]:
    both = (("chara", as_json(for_v2_readers(card))), ("ccv3", as_json(to_tavern(card, "chara_card_v3"))))
    return read_card(chunks_of.with_cards(png(), "a.png", both), "a.png").data


@settings(max_examples=50)
@given(card=NATIVES)
def test_a_native_card_comes_back_as_the_same_character(home: Path, card: dict[str, Any]) -> None:
    before = loaded(home, card)
    for way in (through_json, through_png):
        back = way(card)
        assert loaded(home, back) == before
        assert way(back) == back
        kept = card.get("imported", {}).get("data", {}).get("extensions", {})
        assert back["imported"].get("data", {}).get("extensions", {}) == kept


def test_what_only_we_know_stands_in_our_own_extension() -> None:
    card = {
        "name": "Mara",
        "description": "x",
        "background": "b",
        "stats": {"STR": 5},
        "inventory": ["knife"],
        "language": "en",
        "ruleset": "dnd5e",
    }
    data = to_tavern(card)["data"]
    assert data["extensions"] == {
        "homunculus": {
            "background": "b",
            "stats": {"STR": 5},
            "inventory": ["knife"],
            "language": "en",
            "ruleset": "dnd5e",
        }
    }


def test_secrets_of_the_game_master_are_disabled_for_other_programs() -> None:
    card = {"name": "Mara", "description": "x", "knowledge": [{"keys": ["a"], "content": "secret", "scope": "gm"}]}
    for written in (to_tavern(card), for_v2_readers(card)):
        (entry,) = written["data"]["character_book"]["entries"]
        assert entry["enabled"] is False
    assert through_json(card)["knowledge"] == card["knowledge"]


def test_a_card_cannot_give_itself_more_than_a_character_has() -> None:
    ours = {
        "avatar": "/etc/passwd",
        "token": "x",
        "model": "haiku",
        "adapter": "discord",
        "ruleset": "../../x",
        "background": "b",
    }
    data = {**V2_DATA, "extensions": {"homunculus": ours}, "avatar": "../x.png", "model": "haiku", "token": "x"}
    card = read_card(as_json({**V2, "data": data, "avatar": "none", "system_prompt": "x"}), "a.json").data
    assert card["background"] == "b"
    assert not {"avatar", "model", "token", "adapter", "ruleset"} & card.keys()
    assert card["imported"]["data"] == {"avatar": "../x.png", "model": "haiku", "token": "x"}


def test_a_picture_gets_both_chunks_before_its_end_and_loses_the_old_ones() -> None:
    old = png(text("CHARA", based({"name": "old"})), text("Comment", b"hand"), after=text("ccv3", based(V3)))
    found = chunks(chunks_of.with_cards(old, "a.png", (("chara", as_json(V2)), ("ccv3", as_json(V3)))))
    assert [kind for kind, _ in found] == [b"IHDR", b"tEXt", b"IDAT", b"tEXt", b"tEXt", b"IEND"]
    assert [data.split(b"\0")[0] for kind, data in found if kind == b"tEXt"] == [b"Comment", b"chara", b"ccv3"]
    assert found[3][1] == b"chara\0" + based(V2)


def test_older_programs_get_no_fields_and_no_decorators_of_v3() -> None:
    entry = {**ENTRY, "content": "@@depth 4\n@@role user\nWarded.", "use_regex": False}
    book = {**V3_DATA["character_book"], "entries": [entry]}
    card = read_card(as_json({**V3, "data": {**V3_DATA, "character_book": book}}), "a.json").data
    written = for_v2_readers(card)
    assert (written["spec"], written["spec_version"]) == ("chara_card_v2", "2.0")
    assert written["data"]["character_book"]["entries"][0]["content"] == "Warded."
    assert not {"assets", "nickname", "group_only_greetings", "source"} & written["data"].keys()
    assert to_tavern(card)["data"]["character_book"]["entries"][0]["content"] == entry["content"]


def test_edited_examples_win_over_those_that_were_imported() -> None:
    card = read_card(as_json({**V2, "data": {**V2_DATA, "mes_example": "intro\n<START>\na"}}), "a.json").data
    assert to_tavern(card)["data"]["mes_example"] == "intro\n<START>\na"
    assert to_tavern({**card, "examples": ["new"]})["data"]["mes_example"] == "<START>\nnew"


def test_json_is_plain_text(tmp_path: Path) -> None:
    assert json.loads(as_json(to_tavern({"name": "陈", "description": "掌柜"})))["data"]["name"] == "陈"
