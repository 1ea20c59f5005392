"""A slow answer can be read on Discord while it is thought: one post that grows, then has its final text."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.testing.discord import DiscordServer
from homunculus.testing.model import ModelServer
from tests.e2e.serving import serving, write

TOKEN = "STREAM.bot.token-of-the-bot"
WHOLE = "The cellar has been nailed shut since nineteen nineteen, and whoever asks me twice does not ask a third time."


@pytest.mark.parametrize("persona", ["off", "prefix", "webhook"])
async def test_a_slow_answer_grows_in_one_post(tmp_path: Path, persona: str) -> None:
    async with DiscordServer() as discord, ModelServer() as model:
        model.reply(WHOLE)
        model.slow(0.25)
        bot = discord.add_bot(TOKEN, name="Keeper")
        store = discord.add_channel(discord.add_guild("Arkham", bots=[bot]), "store")
        write(tmp_path / "characters" / "kovach.yaml", "name: Kovach\ndescription: A shopkeeper.\n")
        write(
            tmp_path / "deployments" / "stream.yaml",
            f"""
version: 1
data_home: {tmp_path / "deployments" / "home"}
server: {{port: 0}}
messaging:
  discord: {{token: {TOKEN}, persona: {persona}, api_base: "{discord.api_base}", gateway: "{discord.gateway}"}}
models: {{default: {{provider: openai, name: m, base_url: "{model.base_url}", api_key: {model.key}}}}}
agents: {{kovach-eod: {{character: kovach}}}}
channels: [{{platform: discord, channel_id: "{store.id}", agent_id: kovach-eod}}]
""",
        )
        async with serving(tmp_path / "deployments" / "stream.yaml") as server:
            await server.ready("discord")
            asked = discord.post(store, discord.add_user("Ana"), "what is in the cellar?", mentions=[bot])
            await discord.wait_for(lambda d: len(d.messages(store)) == 2, timeout=10)
            early = discord.messages(store)[1].content
            assert WHOLE.startswith(early.removeprefix("**Kovach:** "))
            assert early.removeprefix("**Kovach:** ") != WHOLE
            await server.event("turn", outcome="answered")
            [_, reply] = discord.messages(store)
            assert reply.content == ("**Kovach:** " if persona == "prefix" else "") + WHOLE
            edits = [request for request in discord.requests if request.method == "PATCH"]
            assert 1 <= len(edits) <= 6
            trace = await server.get(f"/api/trace/{asked.id}")
            assert trace["outcome"] == "answered"
