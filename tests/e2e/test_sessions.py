"""Sessions as a table meets them: begun and ended in chat, learned in, recapped there and on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import Serving, serving, write
from tests.e2e.test_memory import homunculus, told, until

FILE = """\
version: 1
data_home: {home}
server: {{port: 0}}
models:
  default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}
  scribe:
    provider: scripted
    otherwise: NONE
    replies:
      - {{when: "I owe you three dollars", say: "- Ana owes Kovach three dollars."}}
      - {{when: "password is swordfish", say: "- The password is swordfish."}}
memory: {{extract_with: scribe, embeddings: "off"}}
agents:
  kovach-eod: {{character: kovach}}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
messaging: {{local: {{dm_allowed_users: ["*"], authority: [ana]}}}}
default_agent: kovach-eod
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "characters/kovach.yaml", "name: Kovach\ndescription: A veteran.\n")
    path = tmp_path / "deployments" / "camp.yaml"
    write(path, FILE.format(home=path.parent / "home"))
    return path


def memory_of(file: Path) -> Path:
    return file.parent / "home/agents/camp/kovach-eod/memory"


async def by(server: Serving, user: str, text: str, *, dm: bool = False) -> str:
    """Say something in the tavern, or to the NPC alone; return the reply."""
    body: dict[str, Any] = {"user": user, "text": text, "mention": True, "wait": True, "dm": dm}
    answer = await server.post(f"/api/local/{user if dm else 'tavern'}/messages", **body)
    return "\n".join(reply["text"] for reply in answer["replies"])


async def test_an_evening_is_begun_played_ended_and_told_again(file: Path) -> None:
    async with serving(file) as server:
        assert "authority" in await by(server, "bob", "!session start")
        assert "Session 1 has begun on 12 Oct 1925" in await by(server, "ana", "!session start 12 Oct 1925")
        assert "That was not possible: session 1 has been running" in await by(server, "ana", "!session start")
        assert await by(server, "bob", "The password is swordfish.", dm=True) == "Kovach nods."
        assert await server.stopped() == 0
    async with serving(file) as server:  # a restart ends no session
        assert await by(server, "ana", "I owe you three dollars, Kovach.") == "Kovach nods."
        assert "Session 1 is over on 13 Oct 1925" in await by(server, "ana", "!session end 13 Oct 1925")

        async def learned() -> bool:
            written = "".join(day.read_text("utf-8") for day in memory_of(file).glob("2*.md"))
            return "three dollars." in written and written.count("session: 1; date: 12 Oct 1925") == 2

        await until(learned)  # though the second may have been understood after the end
        assert "Session 2 has begun." in await by(server, "ana", "!session start")
        recap = await by(server, "bob", "!npc recap")
        assert recap.startswith("Session 1 (12 Oct 1925 to 13 Oct 1925), played 20")
        assert recap.splitlines()[1:] == ["- Ana owes Kovach three dollars."]
        assert "nothing was learned" in await by(server, "bob", "!npc recap 2")
        assert "There is no session 3" in await by(server, "bob", "!npc recap 3")
        assert "authority" in await by(server, "bob", "!npc recap gm", dm=True)
        aloud = await by(server, "ana", "!npc recap gm")
        assert "direct message" in aloud
        assert "swordfish" not in aloud


def test_a_session_kept_by_hand_is_told_on_the_command_line(file: Path) -> None:
    code, said, _ = homunculus("recap", file, "kovach-eod")
    assert (code, said) == (0, "Nothing has been learned yet.\n")
    assert not (file.parent / "home").exists()
    told("add", file, "kovach-eod", "The ferry sank.", "--session", "4", "--date", "12 Oct 1925", "--open")
    write(memory_of(file) / "SESSIONS.md", "- Session 4: 2026-11-27 19:00 to 2026-11-27 22:30 | 12 Oct 1925\n")
    secret = (
        "- The mayor sank it. <!-- src: keeper; session: 4; gm -->\n- Ana stole the key. <!-- session: 4; dm: x -->\n"
    )
    write(memory_of(file) / "2026-11-20.md", secret)
    _, said, _ = homunculus("recap", file, "kovach-eod")
    title = "Session 4 (12 Oct 1925), played 2026-11-27 19:00 to 22:30 UTC:\n"
    assert said == f"{title}- The ferry sank.\n"
    _, said, _ = homunculus("recap", file, "kovach-eod", "--gm")
    assert said.startswith(title)
    assert {*said.splitlines()[1:]} == {
        "- The ferry sank.",
        "- The mayor sank it. (secret: told by the game master)",
        "- Ana stole the key. (secret: said in a direct message)",
    }
    played = {
        "number": 4, "began": "2026-11-27T19:00:00Z", "ended": "2026-11-27T22:30:00Z", "date": "12 Oct 1925", "until": "",
    }  # fmt: skip
    found = told("recap", file, "kovach-eod")
    assert (found["session"], found["day"]) == (played, None)
    assert [fact["text"] for fact in found["facts"]] == ["The ferry sank."]
    found = told("recap", file, "kovach-eod", "--gm", "--session", "4")
    assert {fact["text"]: fact.get("secret") for fact in found["facts"]} == {
        "The ferry sank.": None,
        "The mayor sank it.": "told by the game master",
        "Ana stole the key.": "said in a direct message",
    }
    assert told("sessions", file, "kovach-eod") == [{**played, "facts": 3}]
    _, said, _ = homunculus("sessions", file, "kovach-eod")
    assert "12 Oct 1925" in said


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("kovach-eod", "--session", "9"), 1, "kovach-eod has no session 9"),
        (("kovach-eo",), 1, 'did you mean "kovach-eod"?'),
        (("kovach-eod", "--session", "-1"), 64, "--session"),
    ],
)
def test_wrong_input_says_what_would_be_right(file: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    ended, out, err = homunculus("recap", file, *arguments)
    assert (ended, out) == (code, "")
    assert says in err
