"""discord.py itself logs in, hears, answers and resumes against the loopback server."""

from __future__ import annotations

import asyncio

import discord
import pytest
import yarl

from homunculus.testing.discord import DiscordServer


async def test_discord_py_answers_a_mention_and_resumes_after_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async with DiscordServer(heartbeat_interval=0.2) as server:
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_base)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway))
        bot = server.add_bot("token", name="Homunculus")
        guild = server.add_guild("Arkham", bots=[bot])
        tavern = server.add_channel(guild, "tavern")
        cellar = server.add_thread(tavern, "cellar")
        ana = server.add_user("Ana")
        intents = discord.Intents.default()
        intents.message_content = True
        client = discord.Client(intents=intents, max_messages=None, guild_ready_timeout=0.05)
        ready = asyncio.Event()

        @client.event
        async def on_ready() -> None:
            ready.set()

        @client.event
        async def on_message(message: discord.Message) -> None:
            if message.author.id == ana.id:
                async with message.channel.typing():
                    await message.add_reaction("✅")
                    await message.reply(f"{message.content}!", allowed_mentions=discord.AllowedMentions.none())

        running = asyncio.create_task(client.start("token"))
        try:
            await server.wait_for(lambda s: s.connections("token") == 1, timeout=10)
            first = server.post(tavern, ana, f"hello <@{bot.user_id}>")
            await server.wait_for(lambda s: len(s.messages(tavern)) == 2)
            answer = server.messages(tavern)[1]
            assert (answer.content, answer.author.id, answer.reference) == (f"{first.content}!", bot.user_id, first.id)
            assert answer.pinged == frozenset()
            assert server.reactions(first) == {"✅": [bot.user_id]}
            assert [typing.user_id for typing in server.typings(tavern)] == [bot.user_id]

            server.disconnect(bot)
            server.post(cellar, ana, "said while away")
            await server.wait_for(lambda s: len(s.messages(cellar)) == 2, timeout=10)
            whisper = server.open_dm(bot, ana)
            server.post(whisper, ana, "psst")
            await server.wait_for(lambda s: len(s.messages(whisper)) == 2)
            late = server.add_channel(guild, "late")
            server.post(late, ana, "new room")
            await server.wait_for(lambda s: len(s.messages(late)) == 2)
            assert (server.identifies("token"), server.resumes("token"), server.connections("token")) == (1, 1, 1)
            assert all(request.status < 400 for request in server.requests)
            await asyncio.wait_for(ready.wait(), 10)  # discord.py's own waiting task must end before the client does
        finally:
            await client.close()
            await asyncio.gather(running, return_exceptions=True)


async def test_discord_py_understands_a_dead_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async with DiscordServer() as server:
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_base)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway))
        client = discord.Client(intents=discord.Intents.default())
        with pytest.raises(discord.LoginFailure):
            await client.start("nobody's token")
        await client.close()


async def test_discord_py_waits_out_a_429_and_gives_up_for_good_on_a_revoked_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with DiscordServer() as server:
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_base)
        monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway))
        bot = server.add_bot("token")
        tavern = server.add_channel(server.add_guild("Arkham", bots=[bot]), "tavern")
        client = discord.Client(intents=discord.Intents.default(), guild_ready_timeout=0.01)
        ready = asyncio.Event()

        @client.event
        async def on_ready() -> None:
            ready.set()

        running = asyncio.create_task(client.start("token"))
        await asyncio.wait_for(ready.wait(), 10)
        server.fail_next(status=429, retry_after=0.05, path_contains="/messages")
        await client.get_partial_messageable(tavern.id).send("patience")
        assert [r.status for r in server.requests if r.method == "POST"] == [429, 200]
        server.revoke(bot)
        with pytest.raises(discord.ConnectionClosed) as caught:
            await asyncio.wait_for(running, 10)
        assert caught.value.code == 4004
        assert client.is_closed()
        assert server.identifies("token") == 1
