"""The least that could do it: discord.py, an event handler, and the same model call. Keeps nothing, remembers nothing."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp
import discord
import yarl

from homunculus.characters.macros import expand
from homunculus.interfaces import ChatModel, ModelServices, Provider
from homunculus.model import ChatMessage, ModelSpec, Prompt, Secret
from tests.bench.children import obey, tell
from tests.bench.files import ANSWER

SYSTEM = "You are the keeper of an inn, who has seen too much. Stay in character and answer in one to four sentences."


def built(kind: str, base_url: str, key: str, session: aiohttp.ClientSession) -> ChatModel:
    """Build the same model client that a deployment would."""
    services = ModelServices(session=lambda: session, expand=expand, cache=Path(), emit=lambda _: None)
    provider: Provider
    if kind == "scripted":
        from homunculus.models.scripted import provider

        return provider.build(ModelSpec("default", "scripted", otherwise=ANSWER), services)
    from homunculus.models.openai import provider

    spec = ModelSpec(
        "default", "openai", "loopback", base_url=base_url, api_key=Secret("literal", key), concurrency=1000
    )
    return provider.build(spec, services)


async def main(where: dict[str, str], kind: str, acknowledge: bool) -> None:
    """Answer every message until the parent hangs up."""
    discord.http.Route.BASE = where["api_base"]
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(where["gateway"])
    intents = discord.Intents(guilds=True, guild_messages=True, message_content=True)
    client = discord.Client(intents=intents, max_messages=None, chunk_guilds_at_startup=False, guild_ready_timeout=0.1)
    async with aiohttp.ClientSession() as session:
        model = built(kind, where["model"], where["model_key"], session)

        async def answer(message: discord.Message) -> None:
            prompt = Prompt(
                messages=(ChatMessage("system", SYSTEM), ChatMessage("user", message.content)),
                turn=(message.content,),
                char="Npc",
                user=message.author.display_name,
            )
            completion = await model.complete(prompt)
            await message.reply(completion.text, mention_author=False, allowed_mentions=discord.AllowedMentions.none())

        async def on_ready() -> None:
            tell("ready", key="bare")

        async def on_message(message: discord.Message) -> None:
            if message.author.bot:
                return
            if not acknowledge:
                await answer(message)
                return
            async with message.channel.typing():
                await message.add_reaction("✅")
                await answer(message)

        client.event(on_ready)
        client.event(on_message)
        running = asyncio.create_task(client.start("bench-token-bare"), name="bare bot")
        await obey({"profile": _no_profile})
        await client.close()
        await asyncio.wait({running})
        await model.aclose()


async def _no_profile(**_: Any) -> None:
    raise RuntimeError("the bare bot is not profiled")


if __name__ == "__main__":
    api_base, gateway, model_url, model_key, kind_of_model, signs = sys.argv[1:7]
    given = {"api_base": api_base, "gateway": gateway, "model": model_url, "model_key": model_key}
    asyncio.run(main(given, kind_of_model, signs == "auto"))
