"""NPCs with names and faces of their own on Discord, over sockets: a real process, the real discord.py, a loopback Discord."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from homunculus.testing.discord import Channel, DiscordServer, Message
from homunculus.testing.model import ModelServer
from tests.e2e.serving import Serving, serving, write

TOKEN = "PERSONA.bot.token-of-the-bot"
FACES = {"kovach": b"\x89PNG\r\n\x1a\n" + b"a grim face", "agnes": b"\x89PNG\r\n\x1a\n" + b"a kind face"}


def answer(body: dict[str, Any]) -> str:
    """Say which character was asked, by its description: its name may change."""
    system = body["messages"][0]["content"]
    return next(f"{stem} answers" for stem in FACES if f"This is {stem}" in system)


class Inn:
    """One bot, a channel and its thread, an NPC with a portrait in each, and everything a test does to them."""

    def __init__(self, folder: Path, discord: DiscordServer, model: ModelServer) -> None:
        self.folder, self.discord, self.model = folder, discord, model
        self.file = folder / "deployments" / "inn.yaml"
        self.bot = discord.add_bot(TOKEN, name="Innkeeper")
        self.guild = discord.add_guild("Arkham", bots=[self.bot])
        self.tavern = discord.add_channel(self.guild, "tavern")
        self.cellar = discord.add_thread(self.tavern, "cellar")
        self.ana = discord.add_user("Ana")
        for stem, face in FACES.items():
            self.draw(stem, face)
            self.write_card(stem, stem.capitalize())
        write(
            self.file,
            f"""\
version: 1
bot_name: inn
data_home: {self.file.parent / "home"}
server: {{port: 0}}
messaging:
  discord: {{token: {TOKEN}, api_base: "{discord.api_base}", gateway: "{discord.gateway}", dm_allowed_users: ["*"]}}
models:
  endpoint: {{provider: openai, name: m, base_url: "{model.base_url}", api_key: {model.key}}}
agents:
  kovach-inn: {{character: kovach, model: endpoint}}
  agnes-inn: {{character: agnes, model: endpoint}}
default_agent: agnes-inn
channels:
  - {{platform: discord, channel_id: "{self.cellar.id}", agent_id: agnes-inn}}
  - {{platform: discord, channel_id: "{self.tavern.id}", agent_id: kovach-inn}}
""",
        )

    def draw(self, stem: str, face: bytes) -> None:
        path = self.folder / "characters" / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(face)

    def write_card(self, stem: str, name: str) -> None:
        card = f"name: {name}\ndescription: This is {stem}.\nlanguage: en\navatar: {stem}.png\n"
        write(self.folder / "characters" / f"{stem}.yaml", card)

    async def asked(self, place: Channel, **more: Any) -> Message:
        """Let Ana ask something; return what came back. Kovach is in the tavern, Agnes in its cellar."""
        question = self.discord.post(place, self.ana, "who are you?", **({"mentions": [self.bot]} | more))

        def replied(_: DiscordServer) -> bool:
            newest = self.discord.messages(place)[-1]
            return newest.id > question.id and newest.author.id != self.ana.id

        await self.discord.wait_for(replied, timeout=15)
        return self.discord.messages(place)[-1]

    def webhooks(self) -> dict[int, bytes | None]:
        return {hook.id: hook.image for hook in self.discord.webhooks(self.tavern)}


async def reloaded(server: Serving, after: int) -> None:
    event = await server.event("reload", after=after)
    assert event["result"] == "applied", event


@pytest.mark.timeout(120)
async def test_two_npcs_of_one_bot_are_two_people_and_stay_so_through_edits_hands_and_a_restart(tmp_path: Path) -> None:
    async with DiscordServer() as discord, ModelServer() as model:
        model.script(answer)
        inn = Inn(tmp_path, discord, model)
        async with serving(inn.file) as server:
            await server.ready("discord")
            kovach, agnes = await inn.asked(inn.tavern), await inn.asked(inn.cellar)
            assert (kovach.username, kovach.content) == ("Kovach", "kovach answers")
            assert (agnes.username, agnes.content) == ("Agnes", "agnes answers")
            assert inn.webhooks() == {kovach.webhook_id: FACES["kovach"], agnes.webhook_id: FACES["agnes"]}

            # A card's name, and a card's picture, for the next message.
            after = len(server.events)
            inn.write_card("kovach", "Captain Kovach")
            await reloaded(server, after)
            assert (await inn.asked(inn.tavern)).username == "Captain Kovach"
            inn.draw("agnes", another := FACES["agnes"] + b", older")
            assert (await inn.asked(inn.cellar)).webhook_id == agnes.webhook_id
            assert inn.webhooks() == {kovach.webhook_id: FACES["kovach"], agnes.webhook_id: another}

            # An answer to what an NPC said needs no other mention, and nothing of our own was ever answered.
            replied = await inn.asked(inn.tavern, mentions=(), reply_to=kovach)
            assert replied.username == "Captain Kovach"
            inside = await inn.asked(discord.add_thread(inn.tavern, "attic"))
            assert (inside.username, inside.webhook_id) == ("Captain Kovach", kovach.webhook_id)

            # Somebody tidies up the channel's settings.
            for hook in discord.webhooks(inn.tavern):
                discord.remove_webhook(hook)
            anew = await inn.asked(inn.tavern)
            assert anew.username == "Captain Kovach"
            assert inn.webhooks() == {anew.webhook_id: FACES["kovach"]}
            assert await server.stopped(signal.SIGTERM) == 0
        async with serving(inn.file) as server:
            await server.ready("discord")
            assert (await inn.asked(inn.tavern)).webhook_id == anew.webhook_id
            assert inn.webhooks() == {anew.webhook_id: FACES["kovach"]}
            assert sum(request.method == "PATCH" for request in discord.requests) == 2  # a name, a picture
        for place in (inn.tavern, inn.cellar):
            said = [message.author.id == inn.ana.id for message in discord.messages(place)]
            assert said == [True, False] * (len(said) // 2)
        assert "Kovach:" not in str(model.requests[-1]["messages"][1:])  # history knows no name before the text


@pytest.mark.timeout(120)
async def test_where_webhooks_may_not_be_the_name_stands_before_the_text(tmp_path: Path) -> None:
    async with DiscordServer() as discord, ModelServer() as model:
        model.script(answer)
        inn = Inn(tmp_path, discord, model)
        discord.deny(inn.bot, inn.tavern, "manage_webhooks")
        async with serving(inn.file) as server:
            await server.ready("discord")
            plain = await inn.asked(inn.tavern)
            assert (plain.author.id, plain.content) == (inn.bot.user_id, "**Kovach:** kovach answers")
            private = await inn.asked(discord.open_dm(inn.bot, inn.ana), mentions=())
            assert (private.author.id, private.content) == (inn.bot.user_id, "**Agnes:** agnes answers")
            discord.allow(inn.bot, inn.tavern, "manage_webhooks")
            named = await inn.asked(inn.tavern)
            assert (named.username, named.content) == ("Kovach", "kovach answers")
            assert not [line for line in server.log if "ERROR" in line or "Traceback" in line]
