"""Cards as a game master meets them: from a downloaded picture to an NPC who talks, and back out again."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.commands import Commands, commands
from tests.e2e.test_command_line import homunculus
from tests.unit.characters.cards import V1, V2, V3, V3_DATA, as_json, based, chunks, png, text

CARDS = Path(__file__).parent.parent / "data" / "cards"


@pytest.fixture(scope="module")
def run() -> Iterator[Commands]:
    with commands() as running:
        yield running


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Return an empty folder with what a person has downloaded."""
    for file in CARDS.iterdir():
        shutil.copy(file, tmp_path / file.name)
    return tmp_path


def deployment(folder: Path, character: str) -> Path:
    file = folder / "camp.yaml"
    file.write_text(
        f"version: 1\ndata_home: ./home\nmodels: {{default: {{provider: scripted, otherwise: '{{{{char}}}} nods.'}}}}\n"
        f"agents: {{sera: {{character: {character}}}}}\nchannels: [{{platform: local, channel_id: a, agent_id: sera}}]\n"
    )
    return file


def test_from_a_downloaded_picture_to_a_talking_npc(here: Path) -> None:
    made = homunculus("card", "import", "seraphina.png", cwd=here)
    assert (made.returncode, made.stderr) == (0, "")
    lines = made.stdout.splitlines()
    assert lines[:2] == ["created characters/seraphina.yaml", "created characters/seraphina.png"]
    assert lines[2].startswith("read    Tavern V3 in a PNG, chunk ccv3: Seraphina (2 alternate greetings")
    assert "extensions" in lines[3]
    assert lines[-1] == "Next: write character: seraphina into a deployment"
    assert chunks((here / "characters" / "seraphina.png").read_bytes()) == chunks(png())
    checked = homunculus("check", deployment(here, "seraphina"), cwd=here)
    assert (checked.returncode, checked.stdout) == (0, "")
    talk = homunculus("chat", here / "camp.yaml", stdin="hello\n", cwd=here)
    assert talk.stdout.splitlines() == ["Seraphina: Seraphina nods."]


@pytest.mark.parametrize("file", ["seraphina-v1.json", "seraphina.png", "seraphina.charx"])
def test_a_deployment_may_point_straight_at_a_card(here: Path, file: str) -> None:
    talk = homunculus("chat", deployment(here, f"./{file}"), stdin="hello\n", cwd=here)
    assert (talk.returncode, talk.stdout.splitlines()) == (0, ["Seraphina: Seraphina nods."])


def test_a_faulty_card_in_use_is_told_with_its_line(run: Commands, here: Path) -> None:
    (here / "bad.json").write_text('{\n  "name": "Ana",\n  "name": "Eva"\n}')
    checked = run("check", deployment(here, "bad.json"), cwd=here)
    assert checked.returncode == 1
    assert checked.stdout == 'bad.json:3:3: duplicate key "name"; the first one is on line 2\n'


def test_what_an_import_does_not_use_is_told_on_a_line_of_its_own(run: Commands, here: Path) -> None:
    data = {**V3_DATA, "tags": {"a": 1}, "nickname": [], "new": 1}
    (here / "odd.json").write_bytes(as_json({**V3, "spec_version": "3.9", "data": data}))
    made = run("card", "import", "odd.json", "-o", "out", cwd=here)
    assert made.returncode == 0
    warnings = [line for line in made.stdout.splitlines() if "warning" in line]
    assert [line.split(": ")[2] for line in warnings] == ["spec_version", "data.nickname", "data.tags"]
    assert all(line.startswith("odd.json:1:") for line in warnings)
    as_data = json.loads(run("card", "import", "odd.json", "-o", "two", "--json", cwd=here).stdout)
    assert as_data["files"] == ["two/seraphina.yaml"]
    assert as_data["name"] == "seraphina"
    assert [one["path"] for one in as_data["warnings"]] == ["spec_version", "data.nickname", "data.tags"]
    assert {"new", "tags", "nickname"} <= set(as_data["kept"])


def test_an_import_replaces_nothing_unless_told_to(run: Commands, here: Path) -> None:
    assert run("card", "import", "seraphina-v1.json", "-o", "c", cwd=here).returncode == 0
    (here / "c" / "seraphina.yaml").write_text("mine")
    again = run("card", "import", "seraphina-v2.json", "-o", "c", cwd=here)
    assert again.returncode == 1
    assert again.stdout == "c/seraphina.yaml:1:1: this is there already; name another folder with -o, or add --force\n"
    assert (here / "c" / "seraphina.yaml").read_text() == "mine"
    assert run("card", "import", "seraphina-v2.json", "-o", "c", "--force", cwd=here).returncode == 0
    assert "creator: somebody" in (here / "c" / "seraphina.yaml").read_text()


@pytest.mark.parametrize("name", ["seraphina-v2.json", "seraphina-v3.json"])
def test_json_comes_out_as_it_went_in(run: Commands, here: Path, name: str) -> None:
    run("card", "import", name, cwd=here)
    out = run("card", "export", "Seraphina", "out.json", cwd=here)
    assert (out.returncode, out.stdout) == (0, "created out.json\n")
    assert json.loads((here / "out.json").read_text()) == json.loads((here / name).read_text())


def test_a_picture_comes_out_with_both_chunks_and_its_own_pixels(run: Commands, here: Path) -> None:
    run("card", "import", "seraphina.png", cwd=here)
    out = run("card", "export", "seraphina", "out.png", cwd=here)
    assert (out.returncode, out.stderr) == (0, "")
    found = chunks((here / "out.png").read_bytes())
    assert [kind for kind, _ in found] == [b"IHDR", b"IDAT", b"tEXt", b"tEXt", b"IEND"]
    assert found[1] == chunks(png())[1]
    assert [data.partition(b"\0")[0] for _, data in found[2:4]] == [b"chara", b"ccv3"]
    assert json.loads(base64.b64decode(found[3][1].partition(b"\0")[2])) == V3
    again = run("card", "import", "out.png", "-o", "again", cwd=here)
    assert again.returncode == 0
    first, second = (here / folder / "seraphina.yaml" for folder in ("characters", "again"))
    assert first.read_text() == second.read_text()


def test_a_native_card_without_a_picture_goes_out_in_a_plain_one(run: Commands, here: Path) -> None:
    (here / "characters").mkdir()
    (here / "characters" / "ana.yaml").write_text("name: Ana\ndescription: The librarian.\nstats: {STR: 40}\n")
    out = run("card", "export", "ana", "ana.png", cwd=here)
    assert out.returncode == 0
    assert "the picture is a plain one" in out.stderr
    shown = json.loads(run("card", "show", "ana.png", "--json", cwd=here).stdout)
    assert shown["kind"] == "Tavern V3 in a PNG, chunk ccv3"
    assert {name: shown["card"][name] for name in ("name", "description", "stats")} == {
        "name": "Ana",
        "description": "The librarian.",
        "stats": {"STR": 40},
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import", "nowhere.png"], "nowhere.png:1:1: the file does not exist; name a .json, .png or .charx file"),
        (["import", "."], ".:1:1: this is no file"),
        (["import", "ana.yaml"], "ana.yaml:1:1: this is a native card already"),
        (["show", "plain.png"], "plain.png:1:1: no character card in this picture"),
        (["show", "ana.yaml"], 'missing key "description" or "personality"'),
        (["export", "nobody", "x.png"], "characters:1:1: no character nobody here; there are: none"),
        (["export", "seraphina.png", "x.jpg"], "x.jpg:1:1: cards are exported as .png or .json"),
        (["export", "seraphina.png", "plain.png"], "plain.png:1:1: this is there already"),
        (["export", "ana.yaml", "x.png"], 'missing key "description" or "personality"'),
    ],
)
def test_what_cannot_be_done_is_exit_code_1_and_says_why(
    run: Commands, here: Path, arguments: list[str], words: str
) -> None:
    (here / "plain.png").write_bytes(png())
    (here / "ana.yaml").write_text("name: Ana\n")
    result = run("card", *arguments, cwd=here)
    assert result.returncode == 1
    assert words in result.stdout
    assert "Traceback" not in result.stderr
    assert (here / "plain.png").read_bytes() == png()


@pytest.mark.parametrize("arguments", [[], ["import"], ["export", "a"], ["bogus"]])
def test_wrong_usage_is_exit_code_64(run: Commands, here: Path, arguments: list[str]) -> None:
    assert run("card", *arguments, cwd=here).returncode in ((0, 64) if not arguments else (64,))


def test_a_folder_that_cannot_be_written_is_exit_code_3(run: Commands, here: Path) -> None:
    (here / "out").write_text("a file where a folder should be")
    result = run("card", "import", "seraphina.png", "-o", "out", cwd=here)
    assert result.returncode == 3
    assert "the card cannot be written" in result.stderr


def test_show_prints_no_letter_a_terminal_would_obey(run: Commands, here: Path) -> None:
    evil = {**V1, "name": "Eve\x1b[31m", "description": "a\x9b2Jb\nc", "creator_notes": "\x07hi"}
    (here / "evil.png").write_bytes(png(text("chara", based({**V2, "data": evil}))))
    for command in (["show"], ["import", "-o", "evil"]):
        result = run("card", command[0], "evil.png", *command[1:], cwd=here)
        assert result.returncode == 0
        assert all(character == "\n" or character.isprintable() for character in result.stdout)
    assert "name: Eve\ufffd[31m" in run("card", "show", "evil.png", cwd=here).stdout


def test_show_tells_what_people_look_for(run: Commands, here: Path) -> None:
    shown = run("card", "show", "seraphina.charx", cwd=here).stdout.splitlines()
    assert shown[0] == "Tavern V3 in a CHARX"
    assert "creator_notes: Best with a long context." in shown
    assert "knowledge: 1" in shown
    assert any(line.startswith("portrait: PNG") for line in shown)
