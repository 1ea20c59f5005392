"""YAML becomes plain data with the place of every key and value, whatever the encoding and the line ends."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from homunculus.config.source import Source, read
from homunculus.errors import ConfigErrors


def data(text: str | bytes) -> Any:
    source = read(text.encode() if isinstance(text, str) else text, "f.yaml")
    assert source.faults == ()
    return source.data


def refusal(text: str | bytes) -> str:
    with pytest.raises(ConfigErrors) as caught:
        read(text.encode() if isinstance(text, str) else text, "f.yaml")
    return str(caught.value)


def place(source: Source, *path: str | int) -> tuple[int, int]:
    where = source.value(path)
    return where.line, where.column


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1471514033478828123", 1471514033478828123),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("-100222222222", -100222222222),
        ("2026-11-22", "2026-11-22"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00Z"),
        ("off", "off"),
        ("yes", "yes"),
        ("1_000", "1_000"),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.INF", -math.inf),
        ("~", None),
        ("null", None),
        ("True", True),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("! 1", "1"),
        ('"\\ud83d\\ude00"', "😀"),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written: str, value: object) -> None:
    found = data(f"a: {written}")["a"]
    assert found == value
    assert type(found) is type(value)


def test_keys_are_always_text() -> None:
    found = data("1: a\n0x10: b\ntrue: c\n1.50: d\n~: e\nnull: f\n2026-01-01: g\n")
    assert list(found) == ["1", "16", "true", "1.50", "~", "null", "2026-01-01"]


def test_every_key_and_value_has_its_place() -> None:
    source = read(b"a:\n  - b: 1\n    c: [x, {d: 2}]\ne: &n f\ng: *n\nh:\n", "f.yaml")
    assert place(source, "a") == (2, 3)
    assert place(source, "a", 0) == (2, 5)
    assert place(source, "a", 0, "c", 1, "d") == (3, 16)
    assert place(source, "g") == (5, 4)
    assert place(source, "h") == (6, 1)  # nothing is written: its key
    assert str(source.key(("a", 0, "c", 1, "d"))) == "f.yaml:3:13: a[0].c[1].d"


def test_a_path_that_was_not_written_leads_to_the_nearest_place() -> None:
    source = read(b"a:\n  b: 1\n", "f.yaml")
    assert place(source, "a", "b", "c", 3) == (2, 6)
    assert str(source.value(("a", "x"))) == "f.yaml:2:3: a.x"


def test_merged_keys_stand_where_they_were_written_and_lose_to_written_ones() -> None:
    source = read(b"a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc:\n  <<: [*a, *b]\n  x: 5\n", "f.yaml")
    assert source.data["c"] == {"x": 5, "y": 2, "z": 4}
    assert place(source, "c", "x") == (5, 6)
    assert place(source, "c", "y") == (1, 17)
    assert place(source, "c", "z") == (2, 17)


def test_an_aliased_mapping_is_one_object_with_one_place() -> None:
    source = read(b"a: &a {x: [1]}\nb: *a\n", "f.yaml")
    assert source.data["a"] is source.data["b"]
    assert place(source, "b") == (2, 4)
    assert place(source, "b", "x", 0) == (1, 12)


def test_line_ends_and_byte_order_mark_change_no_place() -> None:
    plain = "a:\n  b: 1\n\n  c: [x]\n"
    for text in (plain, plain.replace("\n", "\r\n"), "\ufeff" + plain, "\ufeff" + plain.replace("\n", "\r\n")):
        source = read(text.encode(), "f.yaml")
        assert source.data == {"a": {"b": 1, "c": ["x"]}}
        assert place(source, "a", "b") == (2, 6)
        assert place(source, "a", "c", 0) == (4, 7)


def test_columns_count_characters_not_bytes() -> None:
    source = read("赵铁柱: {名字: 老赵, 年龄: 60}\n".encode(), "f.yaml")
    assert source.data == {"赵铁柱": {"名字": "老赵", "年龄": 60}}
    assert place(source, "赵铁柱", "年龄") == (1, 19)
    assert str(source.value(("赵铁柱", "年龄"))).endswith("赵铁柱.年龄")


def test_a_path_quotes_keys_that_are_no_plain_words() -> None:
    source = read(b'"a b": {"c.d": 1}\n', "f.yaml")
    assert source.value(("a b", "c.d")).path == '["a b"]["c.d"]'


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_is_nothing(text: str) -> None:
    assert data(text) is None


def test_other_encodings_are_refused_at_their_place() -> None:
    assert refusal("version: 1\n".encode("utf-16")) == "f.yaml:1:1: the file is UTF-16; save it as UTF-8"
    assert refusal(b"a: 1\nb: \xe9t\xe9\n") == "f.yaml:2:4: not UTF-8 here; save the file as UTF-8"
    assert refusal(b"\xef\xbb\xbfa: \xff\n") == "f.yaml:1:4: not UTF-8 here; save the file as UTF-8"
    assert refusal("a: 1\nb: é\0\n").startswith("f.yaml:2:5: a control character")


def test_a_parser_s_sentence_never_quotes_more_than_a_character() -> None:
    for text in ("token: !canary-secret!x y", "a: *canary-secret", "%TAG canary-secret", "a: @canary-secret"):
        assert "canary" not in refusal(text)


def test_several_duplicate_keys_are_all_reported() -> None:
    source = read(b"a: 1\nb: {c: 1, c: 2, c: 3}\na: 2\n", "f.yaml")
    assert [str(fault) for fault in source.faults] == [
        'f.yaml:2:11: b: duplicate key "c"; the first one is on line 2',
        'f.yaml:2:17: b: duplicate key "c"; the first one is on line 2',
        'f.yaml:3:1: duplicate key "a"; the first one is on line 1',
    ]
    assert source.data == {"a": 1, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a: {[1]: 2}", "a list cannot be a key"),
        ("a: !!int x", "tagged !!int, but it is text"),
        ("a: !!set {x}", "a tag that means nothing here"),
        ("a: !!python/object:os.system x", "a tag that means nothing here"),
        ('a: "\\ud800"', "half of a surrogate pair cannot be held"),
        ("a: 1\n<<: 5", '"<<" merges mappings only'),
        ("x: &x {a: 1}\nb:\n  <<: *x\n  <<: *x", 'duplicate key "<<"'),
    ],
)
def test_what_yaml_allows_and_data_cannot_hold_is_a_fault(text: str, fault: str) -> None:
    (found,) = read(text.encode(), "f.yaml").faults
    assert fault in found.message


def test_only_this_module_imports_the_yaml_library() -> None:
    package = Path(__file__).parents[3] / "homunculus"
    importers = {path.name for path in package.rglob("*.py") if "ruamel" in path.read_text(encoding="utf-8")}
    assert importers == {"source.py"}
