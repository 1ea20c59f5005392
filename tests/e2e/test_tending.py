"""Tending one memory from every door of a real server: who may be shown what, on platforms that whisper and that cannot.

Each platform is a loopback server; what somebody was shown is read there. What is secret is told by the canary in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homunculus.testing.discord import DiscordServer
from homunculus.testing.slack import SlackServer
from homunculus.testing.telegram import TelegramServer
from homunculus.testing.twitch import TwitchServer
from tests.e2e.serving import Serving, serving, write
from tests.e2e.test_command_line import run
from tests.e2e.test_memory import told as by_command_line

DISCORD, TELEGRAM, TWITCH = "TENDING.bot.token", "7301:TENDING-token", "tendingtokenoftwitch"
SECRETS = ("CURATED", "TOLD")
CELLAR = "!npc memory cellar"
PATIENCE = 20.0


@dataclass
class World:
    """One bot on every platform, with its game master and a player, at one table each; and a running server."""

    folder: Path
    discord: DiscordServer = field(default_factory=DiscordServer)
    telegram: TelegramServer = field(default_factory=TelegramServer)
    slack: SlackServer = field(default_factory=SlackServer)
    twitch: TwitchServer = field(default_factory=TwitchServer)
    server: Serving = field(init=False)

    async def fill(self, stack: AsyncExitStack) -> None:
        for loopback in (self.discord, self.telegram, self.slack, self.twitch):
            await stack.enter_async_context(loopback)
        self.keeper = self.discord.add_bot(DISCORD, name="Keeper")
        self.ana, self.bob = self.discord.add_user("Ana"), self.discord.add_user("Bob")
        self.table = self.discord.add_channel(self.discord.add_guild("Arkham", bots=[self.keeper]), "table")
        self.tg_bot = self.telegram.add_bot(TELEGRAM, privacy=False)
        self.tg_ana = self.telegram.add_user("Ana")
        self.tg_table = self.telegram.add_chat("supergroup", "table", [self.tg_bot])
        workspace = self.slack.add_workspace("Arkham")
        self.sl_bot = self.slack.add_bot(workspace, "xoxb-tending", "xapp-tending")
        self.sl_ana = self.slack.add_user(workspace, "Ana")
        self.sl_table = self.slack.add_channel(workspace, "table", [self.sl_bot, self.sl_ana])
        self.tw_bot = self.twitch.add_bot(TWITCH, "Keeper_Bot")
        self.tw_ana, self.tw_table = self.twitch.add_user("Ana"), self.twitch.add_channel("Table")
        self.twitch.promote(self.tw_table, self.tw_bot)
        write(self.folder / "characters/kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
        self.file = self.folder / "deployments/camp.yaml"
        write(self.file, self.text())
        self.server = await stack.enter_async_context(serving(self.file))
        for platform in ("discord", "telegram", "slack", "twitch"):
            await self.server.ready(platform)

    def text(self) -> str:
        discord, telegram, slack, twitch = self.discord, self.telegram, self.slack, self.twitch
        return f"""\
version: 1
data_home: {self.file.parent / "home"}
server: {{port: 0}}
messaging:
  local: {{authority: [ana, eve], dm_allowed_users: ["*"]}}
  discord:
    {{token: {DISCORD}, api_base: {discord.api_base}, gateway: {discord.gateway},
      authority: ["{self.ana.id}"], dm_allowed_users: ["*"]}}
  telegram:
    {{token: "{TELEGRAM}", api_base: "{telegram.api_base}", authority: ["{self.tg_ana.id}"], dm_allowed_users: ["*"]}}
  slack:
    {{bot_token: {self.sl_bot.token}, app_token: {self.sl_bot.app_token}, api_base: {slack.api_base},
      authority: [{self.sl_ana.id}]}}
  twitch:
    {{oauth_token: {TWITCH}, username: Keeper_Bot, api_base: {twitch.api_base}, auth_base: {twitch.auth_base},
      gateway: {twitch.gateway}, authority: [ana]}}
models: {{default: {{provider: scripted, otherwise: "{{{{char}}}} nods."}}}}
memory: {{embeddings: "off", extract_with: "off"}}
agents:
  kovach: {{character: kovach, respond: mention}}
  marsh: {{character: kovach, respond: mention}}
default_agent: kovach
channels:
  - {{platform: local, channel_id: tavern, agent_id: kovach}}
  - {{platform: local, channel_id: docks, agent_id: marsh}}
  - {{platform: discord, channel_id: "{self.table.id}", agent_id: kovach}}
  - {{platform: telegram, channel_id: "{self.tg_table.id}", agent_id: kovach}}
  - {{platform: slack, channel_id: {self.sl_table.id}, agent_id: kovach}}
  - {{platform: twitch, channel_id: table, agent_id: kovach}}
"""

    async def remember(self, agent: str) -> None:
        """Give an agent an open fact and secret ones, each by another door."""
        memory = self.file.parent / "home/agents/camp" / agent / "memory/MEMORY.md"
        memory.write_text(f"- The cellar is CURATED for {agent}.\n")
        [told] = await asyncio.to_thread(by_command_line, "add", self.file, agent, f"The cellar is TOLD to {agent}.")
        assert told["gm"] is True
        answer = await self.server.post(
            f"/api/memory/{agent}", text=f"The cellar is OPEN to {agent}.", source="Bob", gm=False
        )
        assert answer["fact"]["gm"] is False

    async def locally(self, user: str, text: str, chat: str = "tavern", *, dm: bool = False) -> str:
        return "\n".join(await self.server.ask(chat, text, user=user, dm=dm))

    async def facts(self, agent: str, query: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.server.get(f"/api/memory/{agent}?q={query}"))["facts"]
        return found

    async def slash(self, author: Any, words: str, **values: str) -> tuple[str, bool]:
        """Give a command with Discord's own `/`; what its author was told, and whether the others saw it."""
        one = self.discord.command(self.table, author, words, values)
        await self.discord.wait_for(lambda _: one.answers and not one.thinking, timeout=PATIENCE)
        (answer,) = one.answers
        return answer.content, answer in self.discord.messages(self.table)

    async def on_discord(self, channel: Any, text: str) -> str:
        typed = self.discord.post(channel, self.ana, text)

        def answers() -> list[str]:
            said = self.discord.messages(channel)
            return [m.content for m in said if m.author is self.keeper.user and m.id > typed.id]

        await self.discord.wait_for(lambda _: answers(), timeout=PATIENCE)
        return answers()[-1]

    def public(self) -> str:
        """Return everything that was said at the tables, and all that was asked of the platforms that cannot whisper."""
        return repr(
            (
                [message.content for message in self.discord.messages(self.table)],
                [message.text for message in self.telegram.messages(self.tg_table)],
                [message.text for message in self.slack.messages(self.sl_table)],
                [message.text for message in self.tw_table.log],
            )
        )


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(tmp_path)
        await world.fill(stack)
        await world.remember("kovach")
        await world.remember("marsh")
        yield world


def secrets(text: str) -> set[str]:
    return {word for word in (*SECRETS, "OPEN") if word in text}


async def test_a_memory_is_tended_from_every_door_and_players_are_shown_no_secret(world: World) -> None:
    await _asked_on_every_platform(world)
    await _tended_with_slash_commands(world)
    await _tended_where_nothing_is_private(world)
    await _nothing_crosses(world)
    assert not any(secret in world.public() for secret in SECRETS)


async def _asked_on_every_platform(world: World) -> None:
    """Ask everywhere as the game master: secrets are whispered, or told in a direct message, or not at all."""
    everything = {*SECRETS, "OPEN"}
    assert secrets(await world.locally("bob", CELLAR)) == {"OPEN"}
    at_the_table = await world.locally("ana", CELLAR)
    assert (secrets(at_the_table), "direct message" in at_the_table) == ({"OPEN"}, True)
    assert secrets(await world.locally("ana", CELLAR, "ana", dm=True)) == everything
    assert secrets(await world.locally("bob", CELLAR, "bob", dm=True)) == {"OPEN"}

    await world.discord.wait_for(lambda server: "npc memory" in server.commands(world.keeper), timeout=PATIENCE)
    text, seen = await world.slash(world.ana, "npc memory", query="cellar")
    assert (secrets(text), seen) == (everything, False)
    text, seen = await world.slash(world.bob, "npc memory", query="cellar")
    assert (secrets(text), seen) == ({"OPEN"}, True)
    assert secrets(await world.on_discord(world.table, CELLAR)) == {"OPEN"}
    assert secrets(await world.on_discord(world.discord.open_dm(world.keeper, world.ana), CELLAR)) == everything

    world.slack.post(world.sl_table, world.sl_ana, CELLAR)
    await world.slack.wait_for(lambda server: server.whispers, timeout=PATIENCE)
    (whisper,) = world.slack.whispers
    assert (secrets(whisper.text), whisper.user_id) == (everything, world.sl_ana.id)

    world.twitch.say(world.tw_table, world.tw_ana, CELLAR)
    await world.twitch.wait_for(lambda server: server.posts(world.tw_table, world.tw_bot), timeout=PATIENCE)
    assert secrets(world.twitch.posts(world.tw_table, world.tw_bot)[0].text) == {"OPEN"}

    world.telegram.post(world.tg_table, world.tg_ana, CELLAR)
    await world.telegram.wait_for(lambda server: server.sent(world.tg_bot, world.tg_table), timeout=PATIENCE)
    assert secrets(world.telegram.sent(world.tg_bot, world.tg_table)[0].text) == {"OPEN"}
    chat = world.telegram.tell(world.tg_bot, world.tg_ana, CELLAR).chat
    await world.telegram.wait_for(lambda server: server.sent(world.tg_bot, chat), timeout=PATIENCE)
    assert secrets(world.telegram.sent(world.tg_bot, chat)[0].text) == everything


async def _tended_with_slash_commands(world: World) -> None:
    """Remember, pin, edit, forget and restore a secret with Discord's own `/`: its words are whispered alone."""
    told, seen = await world.slash(world.ana, "npc remember", text="The vicar is TOLD apart.")
    ident = told.removeprefix("Remembered ").partition(":")[0]
    assert ("TOLD apart" in told, seen) == (True, False)
    assert (await world.slash(world.bob, "npc memory", query="vicar"))[0] == "Nothing about that is remembered here."
    for words, values in (
        ("npc pin", {}),
        ("npc edit", {"text": "The vicar is TOLD twice."}),
        ("npc forget", {}),
        ("npc restore", {}),
        ("npc unpin", {}),
    ):
        told, seen = await world.slash(world.ana, words, fact=ident, **values)
        assert (f"{ident}: The vicar is TOLD" in told, seen) == (True, False), told
    (fact,) = await world.facts("kovach", "vicar")
    assert (fact["id"], fact["text"], fact["gm"], fact["pinned"]) == (ident, "The vicar is TOLD twice.", True, False)


async def _tended_where_nothing_is_private(world: World) -> None:
    """The same at a table where all is read by all: a secret is called by its id."""
    (fact,) = await world.facts("kovach", "vicar")
    ident = fact["id"]
    assert "authority" in await world.locally("bob", f"!npc forget {ident}")
    assert await world.locally("ana", f"!npc pin {ident}") == f"Pinned {ident}."
    assert (await world.locally("ana", f"!npc forget {ident}")).startswith(f"Forgotten {ident}.\n")
    assert await world.facts("kovach", "vicar") == []
    assert await world.locally("ana", f"!npc restore {ident}") == f"Remembered again {ident}."
    [edited] = await asyncio.to_thread(by_command_line, "edit", world.file, "kovach", ident, "The vicar is edited.")
    assert edited["id"] == ident
    assert [fact["text"] for fact in await world.facts("kovach", "vicar")] == ["The vicar is edited."]


async def _nothing_crosses(world: World) -> None:
    """What is private to a direct message is not there elsewhere; what another NPC knows is nowhere."""
    told = await world.locally("ana", "!npc remember The key is PRIVATE.", "ana", dm=True)
    ident = told.removeprefix("Remembered ").partition(":")[0]
    for who, chat, dm in (("ana", "tavern", False), ("eve", "eve", True), ("ana", "docks", False)):
        for line in (f"forget {ident}", f"pin {ident}", f"edit {ident} found", f"restore {ident}"):
            assert (await world.locally(who, f"!npc {line}", chat, dm=dm)).startswith(f"No fact “{ident}”")
        assert "PRIVATE" not in await world.locally(who, "!npc memory key", chat, dm=dm)
    assert "PRIVATE" in await world.locally("ana", f"!npc forget {ident}", "ana", dm=True)
    for fact in await world.facts("kovach"):
        assert (await world.locally("ana", f"!npc forget {fact['id']}", "docks")).startswith("No fact")
    assert "kovach" not in await world.locally("ana", CELLAR, "docks")
    assert all("marsh" in fact["text"] for fact in await world.facts("marsh"))
    status = await run("status", world.file)
    assert (await world.server.get("/api/status"))["memory"] == {"failed": 0, "left_out": 0}
    assert "left out" not in status.stdout
