"""Sessions as a table meets them: begun and ended in chat, learned in, recapped there and on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.testing.discord import Channel, DiscordServer, User
from tests.e2e.serving import Serving, deployed, serving, write
from tests.e2e.test_commands import TOKEN, deploy
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
    return deployed(tmp_path, FILE, "kovach")


def memory_of(file: Path) -> Path:
    return file.parent / "home/agents/camp/kovach-eod/memory"


async def by(server: Serving, user: str, text: str, *, dm: bool = False) -> str:
    """Say something in the tavern, or to the NPC alone; return the reply."""
    return "\n".join(await server.ask(user if dm else "tavern", text, user=user, dm=dm, mention=True))


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
        await by(server, "ana", "!npc remember The mayor sank the ferry.")
        secret = await by(server, "ana", "!npc recap gm 2", dm=True)
        assert secret.splitlines()[1:] == ["- The mayor sank the ferry. (secret: told by the game master)"]
        assert "nothing was learned that all" in await by(server, "ana", "!npc recap 2", dm=True)
        secret = await by(server, "ana", "!npc recap gm", dm=True)
        assert "three dollars" in secret
        assert "swordfish" not in secret  # that was said to Kovach by Bob alone
        aloud = await by(server, "ana", "!npc recap gm 2")
        assert "mayor" not in aloud
        assert "direct message" in aloud


async def test_on_discord_the_secrets_are_shown_to_the_game_master_alone(tmp_path: Path) -> None:
    async with DiscordServer() as discord:
        bot, ana, bob = discord.add_bot(TOKEN, name="Keeper"), discord.add_user("Ana"), discord.add_user("Bob")
        guild = discord.add_guild("Arkham", bots=[bot])
        store = discord.add_channel(guild, "store")
        block = (
            f"  discord: {{token: {TOKEN}, api_base: {discord.api_base}, gateway: {discord.gateway}, "
            f'authority: ["{ana.id}"]}}'
        )
        channel = f"  - {{platform: discord, channel_id: {store.id}, agent_id: kovach-eod}}"
        file = deploy(tmp_path, respond="mention", discord=block, channels=channel)

        async def told(place: Channel, user: User, words: str, **values: str) -> tuple[str, bool]:
            """Give a command; what its author was told, and whether the others saw it."""
            one = discord.command(place, user, words, values)
            await discord.wait_for(lambda _: one.answers and not one.thinking, timeout=20)
            (answer,) = one.answers
            return answer.content, answer in discord.messages(place)

        async with serving(file) as server:
            await server.ready("discord")
            await discord.wait_for(lambda server: "session start" in server.commands(bot), timeout=20)
            begun, seen = await told(store, ana, "session start", date="12 Oct 1925")
            assert ("on 12 Oct 1925" in begun, seen) == (True, False)
            await told(store, ana, "npc remember", text="The mayor sank the ferry.")
            public, seen = await told(store, bob, "npc recap", number="1")
            assert ("that all could hear" in public, seen) == (True, True)
            secret, seen = await told(store, ana, "npc recap", version="gm")
            assert ("The mayor sank the ferry. (secret" in secret, seen) == (True, False)
            refused, seen = await told(store, bob, "npc recap", version="gm")
            assert ("authority" in refused, seen) == (True, False)
            over, seen = await told(store, ana, "session end")
            assert ("Session 1 is over." in over, seen) == (True, False)


def test_a_session_kept_by_hand_is_told_on_the_command_line(file: Path) -> None:
    code, said, _ = homunculus("recap", file, "kovach-eod")
    assert (code, said) == (0, "Nothing has been learned yet.\n")
    assert not (file.parent / "home").exists()
    write(memory_of(file) / "SESSIONS.md", "- Session 4: 2026-11-27 19:00 to 2026-11-27 22:30 | 12 Oct 1925\n")
    facts = ("The ferry sank. <!-- src: ana; session: 4 -->", "The mayor sank it. <!-- src: keeper; session: 4; gm -->",
             "Ana stole the key. <!-- session: 4; dm: x -->")  # fmt: skip
    write(memory_of(file) / "2026-11-27.md", "".join(f"- {fact}\n" for fact in facts))
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
