"""Cards of every format arrive whole: V1, V2, V3, v0.1; JSON, PNG chunks of every kind, CHARX."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homunculus.characters.card import ForeignCard, read_card
from homunculus.config.schema import character_schema, check, checker
from homunculus.config.source import Marks, Source
from homunculus.errors import ConfigErrors
from tests.unit.characters.cards import (
    ENTRY,
    V1,
    V2,
    V2_DATA,
    V3,
    V3_DATA,
    archive,
    as_json,
    based,
    charx,
    compressed,
    international,
    png,
    text,
)

NATIVE_V1 = {
    "name": "Seraphina",
    "description": "A guardian of the forest.",
    "personality": "Gentle.",
    "scenario": "{{user}} wakes up in a glade.",
    "greeting": "*She smiles.* You are safe, {{user}}.",
    "examples": ["{{user}}: Who are you?\n{{char}}: A friend.", "{{char}}: Rest."],
}
SHAPE = checker(character_schema())


def read(content: bytes, file: str = "seraphina.json") -> ForeignCard:
    """Read a card, and check that it is a native one."""
    card = read_card(content, file)
    source = Source(file, "", card.data, lambda path: Marks((1, 1), (1, 1)))
    assert check(source, SHAPE).errors == ()
    return card


def told(card: ForeignCard) -> list[str]:
    return [str(warning) for warning in card.warnings]


def fault(content: bytes, file: str = "seraphina.json") -> str:
    with pytest.raises(ConfigErrors) as caught:
        read_card(content, file)
    return str(caught.value)


# --- layouts --------------------------------------------------------------------------------------------------------


def test_a_v1_card_arrives() -> None:
    card = read(as_json(V1))
    assert (card.kind, card.data, card.warnings, card.portrait) == ("Tavern V1 in JSON", NATIVE_V1, (), None)


def test_a_v01_card_arrives() -> None:
    written = {
        "name": "John",
        "description": "Loud.",
        "personality": "Brave.",
        "background": "Left Boston.",
        "stats": {"STR": 65, "SAN": 52.5},
        "skills": {"Spot Hidden": "45"},
        "inventory": ["knife", 12],
    }
    card = read(as_json(written))
    assert card.kind == "v0.1 in JSON"
    assert card.data == {**written, "skills": {"Spot Hidden": 45}, "inventory": ["knife", "12"]}


def test_a_v2_card_arrives() -> None:
    card = read(as_json(V2))
    assert card.kind == "Tavern V2 in JSON"
    assert card.warnings == ()
    assert {name: card.data[name] for name in NATIVE_V1} == NATIVE_V1
    assert card.data["system_prompt"] == "{{original}} Be kind."
    assert card.data["post_history"] == "Stay gentle."
    assert card.data["alternate_greetings"] == ["Hm?", "You again!"]
    assert card.data["creator_notes"] == "Best with a long context."
    assert (card.data["creator"], card.data["character_version"]) == ("somebody", "1.2")
    assert card.data["tags"] == ["forest", "fantasy"]
    (entry,) = card.data["knowledge"]
    assert entry == {name: value for name, value in ENTRY.items() if name != "enabled"}
    assert card.data["lorebook"] == {
        "name": "Lore",
        "description": "Of the forest.",
        "scan_depth": 3,
        "token_budget": 400,
        "recursive_scanning": True,
        "extensions": {"theirs": 1},
    }
    assert card.data["imported"]["data"] == {"extensions": V2_DATA["extensions"]}


def test_a_v3_card_arrives() -> None:
    card = read(as_json(V3))
    assert (card.kind, card.warnings) == ("Tavern V3 in JSON", ())
    assert card.data["nickname"] == "Sera"
    assert card.data["group_only_greetings"] == ["All of you?"]
    kept = card.data["imported"]
    assert (kept["spec"], kept["spec_version"]) == ("chara_card_v3", "3.0")
    for name in ("assets", "creator_notes_multilingual", "source", "creation_date", "modification_date", "extensions"):
        assert kept["data"][name] == V3_DATA[name]


def test_unknown_fields_are_kept_at_every_level() -> None:
    entry = {**ENTRY, "new": {"a": 1}}
    data = {**V2_DATA, "character_book": {**V2_DATA["character_book"], "entries": [entry], "new": [1]}, "new": "x"}
    card = read(as_json({**V2, "data": data, "fav": True, "chat": "yesterday"}))
    assert card.data["imported"]["data"]["new"] == "x"
    assert card.data["imported"]["card"] == {"fav": True, "chat": "yesterday"}
    assert card.data["lorebook"]["imported"] == {"new": [1]}
    assert card.data["knowledge"][0]["imported"] == {"new": {"a": 1}}


def test_fields_of_v1_beside_those_of_v2_are_not_kept_twice() -> None:
    card = read(as_json({**V2, **V1, "description": "an older one"}))
    assert card.data["description"] == V1["description"]
    assert "card" not in card.data["imported"]


@pytest.mark.parametrize(
    ("spec", "version", "words"),
    [
        ("chara_card_v2", "2.1", "version 2.0 is known here"),
        ("chara_card_v3", "3.7", "version 3.0 is known here"),
        ("chara_card_v3", 4, "version 3.0 is known here"),
        ("chara_card_v4", "4.0", "chara_card_v4, which is not known here; read as chara_card_v3"),
        ("something", "1", "names no specification we know"),
        (3, "1", "names no specification we know"),
    ],
)
def test_a_newer_version_warns_and_arrives(spec: object, version: object, words: str) -> None:
    card = read(as_json({"spec": spec, "spec_version": version, "data": {**V3_DATA, "mood": "new"}}))
    assert [words in one for one in told(card)] == [True]
    assert card.data["greeting"] == V1["first_mes"]
    assert card.data["imported"]["data"]["mood"] == "new"


@pytest.mark.parametrize("book", [None, {}, {"entries": []}, {"entries": None, "name": None}])
def test_a_book_that_is_null_or_empty_is_no_fault(book: object) -> None:
    card = read(as_json({**V2, "data": {**V2_DATA, "character_book": book}}))
    assert "knowledge" not in card.data
    assert card.warnings == () or book == {"entries": None, "name": None}


def test_null_is_the_same_as_not_there() -> None:
    card = read(as_json({**V3, "data": {**dict.fromkeys(V3_DATA), "name": "Ana", "description": "x"}}))
    assert {name: card.data[name] for name in ("name", "description")} == {"name": "Ana", "description": "x"}
    assert card.data.keys() == {"name", "description", "imported"}
    assert card.warnings == ()


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("description", ["a"], "text"),
        ("personality", {"a": 1}, "text"),
        ("first_mes", True, "text"),
        ("mes_example", ["a"], "text"),
        ("alternate_greetings", {"a": "b"}, "a list of texts"),
        ("alternate_greetings", [["a"]], "a list of texts"),
        ("tags", [{}], "a list of texts"),
        ("creator_notes", [], "text"),
        ("nickname", {}, "text"),
    ],
)
def test_a_field_of_the_wrong_type_is_told_with_its_place_and_kept(field: str, value: object, expected: str) -> None:
    written = json.dumps({**V3, "data": {**V3_DATA, field: value}}, indent=1)
    card = read(written.encode())
    (warning,) = card.warnings
    line = next(n for n, line in enumerate(written.splitlines(), 1) if line.startswith(f'  "{field}"'))
    column = len(f'  "{field}": ') + 1
    assert str(warning).startswith(f"seraphina.json:{line}:{column}: data.{field}: not used: this is not {expected}")
    assert card.data["imported"]["data"][field] == value


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("name", 47, "47"),
        ("description", 1.5, "1.5"),
        ("description", "one\r\ntwo\n", "one\ntwo\n"),
        ("tags", "one", ["one"]),
        ("tags", ["a", None, 2], ["a", "2"]),
        ("alternate_greetings", "Hm?", ["Hm?"]),
        ("character_version", 2, "2"),
    ],
)
def test_a_value_that_can_only_mean_one_thing_is_taken(field: str, value: object, expected: object) -> None:
    card = read(as_json({**V2, "data": {**V2_DATA, field: value}}))
    assert card.data[field] == expected
    assert card.warnings == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [("enabled", "yes"), ("insertion_order", "first"), ("position", 4), ("case_sensitive", []), ("content", [1])],
)
def test_an_entry_with_a_wrong_value_stays_an_entry(name: str, value: object) -> None:
    book = {"entries": [{**ENTRY, name: value}]}
    card = read(as_json({**V2, "data": {**V2_DATA, "character_book": book}}))
    assert f"data.character_book.entries[0].{name}: not used" in told(card)[0]
    assert card.data["knowledge"][0]["imported"] == {name: value}


def test_keys_in_one_text_are_parted_at_commas_and_what_is_no_entry_is_dropped() -> None:
    entries = {"0": {"keys": "cellar, 地窖 ,,", "content": "Nailed shut."}, "1": 5, "2": {"key": ["x"]}}
    card = read(as_json({**V2, "data": {**V2_DATA, "character_book": {"entries": entries}}}))
    assert [entry["keys"] for entry in card.data["knowledge"]] == [["cellar", "地窖"], []]
    assert any("dropped: this is not an entry" in one for one in told(card))


def test_a_card_without_a_name_is_called_after_its_file() -> None:
    card = read(as_json({**V1, "name": ""}), "cards/mara.json")
    assert card.data["name"] == "mara"
    assert "the card has no name" in told(card)[0]


def test_a_card_that_says_nothing_is_told() -> None:
    card = read(as_json({"name": "Ana", "first_mes": "Hi"}))
    assert "says nothing about who this is" in told(card)[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "ends in the middle"),
        (b"[]", "a character card is a mapping"),
        (b"{}", "this JSON is no character card"),
        (b'{"entries": {}}', "this JSON is no character card"),
        (as_json({"spec": "lorebook_v3", "data": {"entries": [], "name": "x"}}), "a lorebook without a character"),
        (b'{"name": "a",}', "1:14: not valid JSON: a key in double quotes must stand here"),
        (b'{"name": "a" "b"', "1:14: not valid JSON: a comma or } must stand here"),
        (b'{\n "name": "a\nb"}', "2:12: name: not valid JSON: invalid control character"),
        (b'{"name": "a", "name": "b"}', '1:15: duplicate key "name"; the first one is on line 1'),
        (b'{"name": NaN}', "1:10: name: NaN is no number of JSON"),
        (b'{"name": "a", "x": [1, -Infinity]}', "1:24: x[1]: -Infinity is no number of JSON"),
        (b'{"name": "a", "x": 1e999}', "1:20: x: a number too large to hold"),
        (b'{"name": "a"} x', "1:15: text after the end of the card"),
        (b'{"name": "\xff"}', "1:11: not UTF-8 here"),
        ('{"name": "a"}'.encode("utf-16"), "not UTF-8 here"),
    ],
)
def test_what_is_no_card_says_where_and_why(content: bytes, words: str) -> None:
    assert words in fault(content)


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbf" + as_json(V1)).data == NATIVE_V1


def test_half_a_surrogate_pair_becomes_a_replacement() -> None:
    assert read(rb'{"name": "a\ud83d", "description": "\ud83d\ude00"}').data["name"] == "a�"
    assert read(rb'{"name": "a", "description": "\ud83d\ude00"}').data["description"] == "😀"


# --- pictures -------------------------------------------------------------------------------------------------------

KINDS: dict[str, Callable[[str, bytes], bytes]] = {
    "tEXt": text,
    "zTXt": compressed,
    "iTXt": international,
    "iTXt compressed": lambda keyword, content: international(keyword, content, packed=True),
}


@pytest.mark.parametrize("after", [False, True], ids=["before IDAT", "after IDAT"])
@pytest.mark.parametrize("keyword", ["chara", "Chara", "CCV3"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_card_in_a_picture_arrives(kind: str, keyword: str, after: bool) -> None:
    made = KINDS[kind](keyword, based(V2))
    card = read(png(after=made) if after else png(made), "seraphina.png")
    assert card.kind == f"Tavern V2 in a PNG, chunk {keyword.lower()}"
    assert card.data == read(as_json(V2)).data
    assert card.portrait is not None
    assert (card.portrait.content, card.portrait.suffix) == (png(), ".png")


def test_of_both_chunks_v3_wins_wherever_it_stands() -> None:
    for content in (
        png(text("chara", based(V2)), text("ccv3", based(V3))),
        png(text("ccv3", based(V3)), after=text("chara", based(V2))),
    ):
        assert read(content, "s.png").data["nickname"] == "Sera"


def test_base64_without_padding_or_with_line_breaks_and_plain_json_arrive() -> None:
    packed = based(V1)
    for content in (packed.rstrip(b"="), packed[:40] + b"\n" + packed[40:], as_json(V1)):
        assert read(png(text("chara", content)), "s.png").data == NATIVE_V1


def test_the_portrait_keeps_other_chunks_and_loses_cards_and_their_assets() -> None:
    about = text("Comment", b"painted by hand")
    card = read(png(about, text("chara", based(V1)), after=text("chara-ext-asset_:0", b"AA==")), "s.png")
    assert card.portrait is not None
    assert card.portrait.content == png(about)


def test_a_fault_in_a_picture_names_the_chunk() -> None:
    content = png(text("ccv3", base64.b64encode(b'{"name": NaN}')))
    assert fault(content, "s.png").startswith("s.png (ccv3):1:10: name: NaN is no number")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (png(), "no character card in this picture; ask for the original"),
        (png(text("chara", b"***")), "the chunk chara is not base64"),
        (png(text("chara", based(V1)))[:-20], "not a whole PNG"),
        (png(text("chara", based(V1)))[:-12], "not a whole PNG: No more chunks"),
        (png(text("chara", based(V1))).replace(b"IDAT", b"IDAX"), "not a whole PNG: Checksum error"),
        (png(compressed("chara", based(V1))[:-30] + b"x" * 30), "not a whole PNG"),
        (png(compressed("chara", b"").replace(b"chara", b"Chara")), "not a whole PNG"),
        (png(KINDS["tEXt"]("chara", b"")), "ends in the middle"),
    ],
)
def test_a_broken_picture_says_what_to_do(content: bytes, words: str) -> None:
    assert words in fault(content, "s.png")


# --- archives -------------------------------------------------------------------------------------------------------


def with_icon(uri: str, **more: Any) -> dict[str, Any]:
    icon = {"type": "icon", "uri": uri, "name": "main", "ext": "png"}
    return {**V3, "data": {**V3_DATA, "assets": [{**icon, "name": "other", "uri": "ccdefault:"}, icon], **more}}


@pytest.mark.parametrize("scheme", ["embeded", "embedded"])
def test_a_charx_arrives_with_its_portrait(scheme: str) -> None:
    content = charx(with_icon(f"{scheme}://assets/icon/images/1.png"), {"assets/icon/images/1.png": png()})
    card = read(content, "s.charx")
    assert card.kind == "Tavern V3 in a CHARX"
    assert card.portrait is not None
    assert card.portrait.content == png()
    assert card.warnings == ()


def test_a_charx_is_known_by_its_first_bytes_and_tells_what_it_drops() -> None:
    card = read(charx(V3, {"music": b"la", "pictures/x": b"y"}), "s.zip")
    assert card.data["nickname"] == "Sera"
    assert told(card) == ["s.zip:1:1: dropped: 2 other files of the archive"]


@pytest.mark.parametrize(
    ("head", "suffix"), [(b"\xff\xd8\xff", ".jpg"), (b"GIF89a", ".gif"), (b"RIFF\0\0\0\0WEBP", ".webp")]
)
def test_a_portrait_gets_the_suffix_of_what_it_is(head: bytes, suffix: str) -> None:
    card = read(charx(with_icon("embeded://a.png"), {"a.png": head}), "s.charx")
    assert card.portrait is not None
    assert card.portrait.suffix == suffix


def test_a_portrait_within_the_json_is_taken_and_one_elsewhere_is_never_fetched() -> None:
    inline = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    card = read(as_json(with_icon(inline)))
    assert card.portrait is not None
    assert card.portrait.content == png()
    elsewhere = read(as_json(with_icon("https://example.org/x.png")))
    assert elsewhere.portrait is None
    assert "was not fetched" in told(elsewhere)[0]
    assert "avatar" not in elsewhere.data


@pytest.mark.parametrize(
    "uri", ["embeded://../x.png", "file:///etc/passwd", "data:text/html;base64,AA==", "embeded://"]
)
def test_an_icon_that_is_no_picture_of_the_archive_is_dropped(uri: str) -> None:
    card = read(charx(with_icon(uri)), "s.charx")
    assert card.portrait is None
    assert "dropped: the portrait is no PNG" in told(card)[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (archive({"other.json": b"{}"}), "no card.json in the archive"),
        (charx()[:-30], "the zip archive is damaged"),
        (b"PK", "the zip archive is damaged"),
        (b"not a zip", "the zip archive is damaged"),
        (charx([]), "a character card is a mapping"),
    ],
)
def test_a_broken_archive_says_what_to_do(content: bytes, words: str) -> None:
    assert words in fault(content, "s.charx")


def test_a_fault_in_an_archive_names_the_card() -> None:
    assert fault(archive({"card.json": b'{"name": }'}), "s.charx").startswith("s.charx/card.json:1:10: name: not valid")


def test_examples_of_this_repository_are_read(tmp_path: Path) -> None:
    files = sorted((Path(__file__).parents[2] / "data" / "cards").iterdir())
    assert {file.suffix for file in files} == {".json", ".png", ".charx"}
    for file in files:
        card = read(file.read_bytes(), file.name)
        assert card.data["name"] == "Seraphina"
