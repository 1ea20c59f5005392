"""Cards made to do harm are refused, or are harmless: bounded in time and memory, and never a path, a token or a crash."""

from __future__ import annotations

import stat
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homunculus.characters.card import ForeignCard, read_card
from homunculus.characters.install import Installed, install
from homunculus.characters.tavern import ORDER
from homunculus.config.schema import character_schema
from homunculus.config.source import read as read_yaml
from homunculus.config.verdict import verdict
from homunculus.config.write import dump
from homunculus.errors import ConfigErrors
from tests.cpu import within
from tests.unit.characters import bombs
from tests.unit.characters.bombs import BOMBS
from tests.unit.characters.cards import V1, V3, V3_DATA, archive, as_json, based, charx, png, text
from tests.unit.characters.mutants import SEEDS, mutants

BATCH, BATCHES = 100, 100  # ten thousand mutants in all
ACCEPTED = verdict(character_schema())
OURS = frozenset(ORDER) - {"avatar"}


def read_or_refuse(content: bytes, file: str) -> ForeignCard | None:
    """Read a card; None where it is refused with a place and a fault. Anything else is a crash."""
    try:
        card = read_card(content, file)
    except ConfigErrors as errors:
        for error in errors.errors:
            assert error.where.file.startswith(file)
            assert error.message
            assert "\n" not in str(error)
        return None
    assert ACCEPTED(card.data), card.data
    assert card.data.keys() <= OURS
    return card


@settings(max_examples=BATCHES, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_ten_thousand_mutants_crash_nothing_and_stay_in_their_folder(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    world = tmp_path_factory.mktemp("world")
    folder = world / "characters"
    folder.mkdir()
    accepted = 0
    for file, content in mutants(seed, BATCH):
        card = within(2, partial(read_or_refuse, content, file))
        if card is None:
            continue
        accepted += 1
        if accepted % 8 == 1:
            made = install(card, folder, world / "none", dump=dump, force=True)
            assert ACCEPTED(read_yaml(made.card.read_bytes(), "a.yaml").data)
    assert [path.name for path in world.iterdir()] == ["characters"]
    assert all(
        path.parent == folder and path.suffix in (".yaml", ".png") for path in world.rglob("*") if path != folder
    )


def test_mutants_reach_every_reader_and_some_arrive() -> None:
    found = Counter(file if read_or_refuse(content, file) else f"{file} refused" for file, content in mutants(1, 1500))
    assert all(found[name] > 15 for file, _ in SEEDS for name in (file, f"{file} refused")), found


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_words(name: str) -> None:
    file, content, words = BOMBS[name]()

    def refused() -> str:
        with pytest.raises(ConfigErrors) as caught:
            read_card(content, file)
        return str(caught.value)

    said = within(2, refused)
    assert words in said
    assert said.startswith(file)


@pytest.mark.skipif(sys.platform != "linux", reason="measured through /proc, which Linux has")
def test_no_bomb_takes_more_than_64_mib(tmp_path: Path) -> None:
    bombs.lay_out(tmp_path)
    command = [sys.executable, "-m", bombs.__name__, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    taken = {line.rpartition(" ")[0]: int(line.rpartition(" ")[2]) for line in result.stdout.splitlines()}
    assert taken.keys() == {*BOMBS, *bombs.LARGE}
    assert max(taken.values()) <= 64 * 1024, taken


@pytest.mark.parametrize("name", bombs.LARGE)
def test_the_largest_cards_that_are_taken_take_less_than_two_seconds(name: str, tmp_path: Path) -> None:
    file, content = bombs.LARGE[name]()

    def taken() -> Installed:
        card = read_or_refuse(content, file)
        assert card is not None
        return install(card, tmp_path, tmp_path / "none", dump=dump, force=True)

    made = within(2, taken)
    assert made.card.stat().st_size <= 4 * 1024 * 1024


def test_forty_levels_are_read_and_forty_one_are_not() -> None:
    for levels, fine in ((39, True), (40, False)):
        content = b'{"name": "a", "description": "b", "x": ' + b"[" * levels + b"]" * levels + b"}"
        assert (read_or_refuse(content, "a.json") is not None) is fine


def test_what_is_nested_too_deep_to_be_kept_is_dropped_and_told() -> None:
    content = b'{"name": "a", "description": "b", "x": ' + b'{"y":' * 35 + b"1" + b"}" * 35 + b"}"
    card = read_card(content, "a.json")
    assert any("dropped: nested more than 30 levels" in str(one) for one in card.warnings)
    assert read_yaml(dump(card.data).encode(), "a.yaml").data == card.data


@pytest.mark.parametrize(
    "name", ["../card.png", "/etc/passwd", "a/../../b", "..\\b", "C:/x", "a\\b", "assets/../../../x.png"]
)
def test_an_archive_with_a_path_that_leads_out_is_refused(name: str) -> None:
    content = archive({"card.json": as_json(V3), name: b"x"})
    with pytest.raises(ConfigErrors, match="a path that leads out of it"):
        read_card(content, "a.charx")


def test_an_archive_with_a_link_is_refused() -> None:
    link = zipfile.ZipInfo("portrait.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(ConfigErrors, match="a symbolic link"):
        read_card(archive({"card.json": as_json(V3), link: b"/etc/passwd"}), "a.charx")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_packed_in_an_unusual_way_is_refused(method: int) -> None:
    with pytest.raises(ConfigErrors, match="an unusual way"):
        read_card(charx(V3, method=method), "a.charx")


def test_an_archive_with_a_password_is_refused() -> None:
    content = bytearray(charx())
    for begin, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(begin) + flags] |= 1
    with pytest.raises(ConfigErrors, match="has a password"):
        read_card(bytes(content), "a.charx")


def test_pixels_are_never_decoded() -> None:
    broken = png(text("chara", based(V1))).replace(b"\x78\x9c", b"\x00\x00")
    at = broken.index(b"IDAT")
    size = int.from_bytes(broken[at - 4 : at], "big")
    whole = (
        broken[: at + 4 + size] + zlib.crc32(broken[at : at + 4 + size]).to_bytes(4, "big") + broken[at + 8 + size :]
    )
    assert read_card(whole, "a.png").data["name"] == "Seraphina"


def test_no_warning_is_longer_than_a_line_and_there_are_not_thousands() -> None:
    entries = [{"keys": [[]], "content": 1.5, "x" * 5000: "\x1b[31m"} for _ in range(100)]
    card = read_card(as_json({**V3, "data": {**V3_DATA, "character_book": {"entries": entries}}}), "a.json")
    assert len(card.warnings) == 51
    assert all(len(str(one)) < 400 and "\n" not in str(one) and "\x1b" not in str(one) for one in card.warnings)
    assert "more of these are not shown" in str(card.warnings[-1])


def test_a_card_cannot_choose_what_is_written_about_it(tmp_path: Path) -> None:
    card = read_card(as_json({**V1, "name": "a\nmodel: gpt\ntoken: x", "description": "b\n---\ntoken: y\n"}), "a.json")
    made = install(card, tmp_path, tmp_path / "none", dump=dump)
    assert read_yaml(made.card.read_bytes(), "a.yaml").data == card.data
    assert [path.name for path in tmp_path.iterdir()] == ["a-model-gpt-token-x.yaml"]
