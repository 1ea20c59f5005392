"""An import writes the card and its portrait into the folder it was given, under a safe name, and nothing else anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homunculus.characters.card import read_card
from homunculus.characters.install import Installed, install, slug
from homunculus.config.write import dump
from homunculus.errors import ConfigErrors
from tests.unit.characters.cards import V1, V2, V2_DATA, as_json, based, png, text
from tests.unit.config.world import load

PICTURE = png(text("chara", based(V2)))


def put(folder: Path, content: bytes = PICTURE, *, source: Path | None = None, force: bool = False) -> Installed:
    return install(read_card(content, "s.png"), folder, source or folder / "none", dump=dump, force=force)


def named(name: str) -> bytes:
    return as_json({**V1, "name": name})


def test_a_card_and_its_portrait_lie_beside_one_another_and_can_be_deployed(tmp_path: Path) -> None:
    made = put(tmp_path / "characters")
    assert (made.stem, made.card.name, made.portrait and made.portrait.name) == (
        "seraphina",
        "seraphina.yaml",
        "seraphina.png",
    )
    assert sorted(path.name for path in (tmp_path / "characters").iterdir()) == ["seraphina.png", "seraphina.yaml"]
    assert (tmp_path / "characters" / "seraphina.png").read_bytes() == png()
    loaded = load(tmp_path, "version: 1\nagents: {a: {character: seraphina}}\ndefault_agent: a\n")
    assert loaded.warnings == ()
    character = loaded.deployment.agents[0].character
    assert (character.name, character.avatar) == ("Seraphina", str(tmp_path / "characters" / "seraphina.png"))
    assert character.lorebook.scan_depth == 3
    assert character.knowledge[0].secondary_keys == ("ward",)
    assert character.creator_notes == V2_DATA["creator_notes"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Seraphina", "seraphina"),
        ("赵铁柱", "赵铁柱"),
        ("Dr. O'Neill / Äbte", "dr-o-neill-äbte"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows", "c-windows"),
        (".hidden", "hidden"),
        ("a\0b\nc", "a-b-c"),
        ("CON", "con-1"),
        ("???", "character"),
        ("x" * 300, "x" * 60),
    ],
)
def test_a_name_becomes_a_safe_stem(name: str, stem: str) -> None:
    assert slug(name) == stem


@given(name=st.text(max_size=400))
@example(name="地" * 300)
def test_any_name_is_one_file_name(name: str) -> None:
    stem = slug(name)
    assert stem
    assert len(f"{stem}.yaml".encode()) < 255
    assert stem.replace("-", "").replace("_", "").isalnum()
    assert slug(stem) == stem


@pytest.mark.parametrize("there", ["seraphina.yaml", "Seraphina.yml", "seraphina.png"])
def test_what_is_there_is_not_replaced_unless_told_to(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigErrors, match="this is there already; name another folder with -o, or add --force"):
        put(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(there, "mine")]
    put(tmp_path, force=True)
    assert (tmp_path / "seraphina.yaml").read_text().startswith("name: Seraphina\n")


def test_a_picture_imported_where_it_lies_stays_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "seraphina.png"
    source.write_bytes(PICTURE)
    assert put(tmp_path, source=source).portrait == source
    assert source.read_bytes() == PICTURE


def test_a_link_of_the_cards_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "characters"
    folder.mkdir()
    for name in ("seraphina.yaml", "seraphina.png"):
        (folder / name).symlink_to(outside)
    put(folder, force=True)
    assert outside.read_text() == "mine"
    assert not (folder / "seraphina.yaml").is_symlink()


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    folder = tmp_path / "characters"
    (folder / "seraphina.yaml").mkdir(parents=True)
    (folder / "seraphina.yaml" / "x").write_text("")
    with pytest.raises(IsADirectoryError):
        put(folder, named("Seraphina"), force=True)
    assert [path.name for path in folder.iterdir()] == ["seraphina.yaml"]


def test_a_name_from_outside_stays_in_the_folder(tmp_path: Path) -> None:
    made = put(tmp_path / "characters", named("../../../../tmp/x"))
    assert made.card.parent == tmp_path / "characters"
    assert [path.name for path in tmp_path.iterdir()] == ["characters"]
