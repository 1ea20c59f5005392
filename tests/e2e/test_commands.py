"""Orders given in chat and from the command line, to a real server: on its page's API and on a loopback Discord."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from homunculus.testing.discord import DiscordServer
from tests.e2e.serving import Serving, deployed, serving, write
from tests.e2e.test_command_line import homunculus, run

TOKEN = "COMMANDS.bot.token"
FILE = """\
version: 1
bot_name: camp
data_home: {home}
server: {{port: 0}}
messaging:
  local: {{authority: [ana]}}
{discord}
models: {{default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}}}
agents:
  kovach-eod: {{character: kovach, respond: {respond}}}
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach-eod}}
{channels}
"""


def deploy(folder: Path, *, respond: str = "always", discord: str = "", channels: str = "") -> Path:
    return deployed(folder, FILE, "kovach", respond=respond, discord=discord, channels=channels)


async def by(server: Serving, user: str, text: str) -> list[str]:
    """Say something in the tavern as somebody; return what came back."""
    return await server.ask("tavern", text, user=user, mention=False)


async def test_what_a_game_master_orders_holds_there_and_survives_a_restart(tmp_path: Path) -> None:
    file = deploy(tmp_path)
    async with serving(file) as server:
        assert await by(server, "bob", "hello") == ["Kovach nods."]
        (refusal,) = await by(server, "bob", "!npc mode observe")
        assert "authority" in refusal
        assert "bob" in refusal
        (told,) = await by(server, "ana", "!npc mode observe")
        assert "listens and stays silent" in told
        assert await by(server, "bob", "hello?") == []
        status = await server.get("/api/status")
        assert [(o["agent_id"], o["key"], o["value"]) for o in status["overrides"]] == [
            ("kovach-eod", "mode", "observe")
        ]
        assert status["running_equals_file"] is True
        assert await server.stopped() == 0
    async with serving(file) as server:
        assert await by(server, "bob", "still nobody?") == []
        (why,) = await by(server, "bob", "!npc why")
        assert "channels[0] → kovach-eod: silent" in why
        await by(server, "ana", "!npc mode default")
        assert await by(server, "bob", "and now?") == ["Kovach nods."]
        await by(server, "ana", "!npc pause")
        assert await by(server, "bob", "hello") == []
        await by(server, "ana", "!npc resume")
        assert await by(server, "bob", "hello") == ["Kovach nods."]
        assert (await server.get("/api/status"))["overrides"] == []


async def test_who_one_is_and_what_one_may_is_told_to_everybody(tmp_path: Path) -> None:
    async with serving(deploy(tmp_path)) as server:
        assert "id bob" in (await by(server, "bob", "!whoami"))[0]
        assert "!npc status" in (await by(server, "bob", "!help"))[0]
        assert "!npc pause" not in (await by(server, "bob", "!help"))[0]
        assert "did you mean status?" in (await by(server, "bob", "!npc statsu"))[0]
        (status,) = await by(server, "bob", "/npc status")
        assert "Kovach (kovach-eod)" in status
        assert "running = file" in status


async def test_a_reload_can_be_ordered_where_nothing_is_watched(tmp_path: Path) -> None:
    file = deploy(tmp_path)
    async with serving(file, "--no-watch") as server:
        deploy(tmp_path, respond="observe")
        assert await by(server, "bob", "hello") == ["Kovach nods."]
        (told,) = await by(server, "ana", "!npc reload")
        assert told.startswith("The file is live.")
        assert "kovach-eod" in told
        assert await by(server, "bob", "hello") == []
        write(file, file.read_text().replace("character: kovach", "character: kovahc"))
        (told,) = await by(server, "ana", "!npc reload")
        assert told.startswith("The file was refused")
        assert 'did you mean "kovach"?' in told


async def test_what_the_game_master_says_as_the_npc_is_the_npcs_word(tmp_path: Path) -> None:
    async with serving(deploy(tmp_path)) as server:
        await by(server, "ana", "!npc as Sit down, Bob.\nIt is late.")
        posts = (await server.get("/api/local/tavern/messages"))["messages"]
        spoken = [post for post in posts if post["author"] == "Kovach"]
        assert [(post["agent_id"], post["text"]) for post in spoken] == [("kovach-eod", "Sit down, Bob.\nIt is late.")]


async def test_on_discord_commands_are_typed_and_texts_are_sent_unasked(tmp_path: Path) -> None:
    async with DiscordServer() as discord:
        bot, ana, bob = discord.add_bot(TOKEN, name="Keeper"), discord.add_user("Ana"), discord.add_user("Bob")
        guild = discord.add_guild("Arkham", bots=[bot])
        store, board = discord.add_channel(guild, "store"), discord.add_channel(guild, "board")
        block = (
            f"  discord: {{token: {TOKEN}, api_base: {discord.api_base}, gateway: {discord.gateway}, "
            f'authority: ["{ana.id}"]}}'
        )
        channel = f"  - {{platform: discord, channel_id: {store.id}, agent_id: kovach-eod}}"
        file = deploy(tmp_path, respond="mention", discord=block, channels=channel)

        def said(place: object) -> list[str]:
            return [message.content for message in discord.messages(place) if message.author is bot.user]  # type: ignore[arg-type]

        async with serving(file) as server:
            await server.ready("discord")
            silent = discord.post(store, bob, "nobody is meant")
            await server.event("turn", message_ids=[str(silent.id)])
            discord.post(store, bob, "!npc why")
            await discord.wait_for(lambda _: len(said(store)) == 1)
            assert "neither mentioned nor named" in said(store)[0]
            discord.post(store, bob, "!npc pause")
            await discord.wait_for(lambda _: len(said(store)) == 2)
            assert str(bob.id) in said(store)[1]

            sent = await run(
                "send", file, "--adapter", "discord", "--target", str(board.id), "Session tonight.", "--json"
            )
            assert sent.returncode == 0, sent.stderr
            assert said(board) == ["Session tonight."]
            assert json.loads(sent.stdout)["ids"] == [str(discord.messages(board)[0].id)]
            nowhere = await run("send", file, "--adapter", "discord", "--target", "4", "Hello?", "--json")
            assert (nowhere.returncode, json.loads(nowhere.stdout)["error"]["code"]) == (3, "refused")
            stranger = await run("send", file, "--adapter", "discord:keper", "--target", "4", "Hello?")
            assert (stranger.returncode, "no adapter instance is called" in stranger.stderr) == (3, True)
            discord.revoke(bot)
            await server.event("adapter", runtime_key="discord", state="failed")
            late = await run("send", file, "--adapter", "discord", "--target", str(board.id), "Hello?")
            assert (late.returncode, "discord is failed" in late.stderr) == (3, True)
            assert said(board) == ["Session tonight."]


def test_nothing_is_sent_without_a_server(tmp_path: Path) -> None:
    result = homunculus("send", deploy(tmp_path), "--adapter", "local", "--target", "tavern", "Hello?")
    assert result.returncode == 3
    assert "homunculus serve" in result.stderr


async def test_several_orders_at_once_are_each_answered(tmp_path: Path) -> None:
    async with serving(deploy(tmp_path)) as server:
        answers = await asyncio.gather(*(by(server, f"player-{n}", "!whoami") for n in range(30)))
        assert all(f"id player-{n}" in answer[0] for n, answer in enumerate(answers))


async def test_what_an_npc_is_told_to_remember_is_recalled_and_forgotten_and_shown_to_no_player(
    tmp_path: Path,
) -> None:
    file = deploy(tmp_path)
    async with serving(file) as server:
        (told,) = await by(server, "ana", "!npc remember Bob owes Kovach three dollars.")
        fact = told.removeprefix("Remembered ").removesuffix(".")
        [kept] = (await server.get("/api/memory/kovach-eod?q=dollars"))["facts"]
        assert (kept["id"], kept["source"], kept["gm"]) == (fact, "ana @ local:tavern", True)
        assert "Nothing" in (await by(server, "bob", "!npc memory dollars"))[0]
        assert "authority" in (await by(server, "bob", f"!npc forget {fact}"))[0]
        shown = await run("prompt", file, "kovach-eod", "--text", "Who owes you dollars?", "--json")
        assert (
            "## What Kovach remembers\n- Bob owes Kovach three dollars."
            in json.loads(shown.stdout)["messages"][1]["content"]
        )
        assert f"Forgotten {fact}" in (await by(server, "ana", f"!npc forget {fact}"))[0]
        assert (await server.get("/api/memory/kovach-eod?q=dollars"))["facts"] == []
        assert "No fact" in (await by(server, "ana", f"!npc forget {fact}"))[0]
