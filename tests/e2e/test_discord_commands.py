"""Orders given with Discord's own `/` to a real server: offered by themselves, obeyed by authority, answered for the right eyes."""

from __future__ import annotations

from pathlib import Path

from homunculus.testing.discord import Channel, DiscordServer, User
from tests.e2e.serving import serving
from tests.e2e.test_commands import TOKEN, deploy


async def test_slash_commands_are_offered_obeyed_and_answered_for_the_right_eyes(tmp_path: Path) -> None:
    async with DiscordServer() as discord:
        bot, ana, bob = discord.add_bot(TOKEN, name="Keeper"), discord.add_user("Ana"), discord.add_user("Bob")
        guild = discord.add_guild("Arkham", bots=[bot])
        store, attic = discord.add_channel(guild, "store"), discord.add_channel(guild, "attic")
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
            await discord.wait_for(lambda server: "npc mode" in server.commands(bot), timeout=20)
            refusal, seen = await told(store, bob, "npc pause")
            assert (str(bob.id) in refusal, seen) == (True, False)
            change, seen = await told(store, ana, "npc mode", mode="always")
            assert ("answers everything" in change, seen) == (True, False)
            who, seen = await told(store, bob, "whoami")
            assert (str(bob.id) in who, seen) == (True, True)
            assert await told(attic, ana, "whoami") == ("No NPC answers here at the moment.", False)
            said = discord.post(store, bob, "hello?")
            turn = await server.event("turn", message_ids=[str(said.id)])
            assert turn["outcome"] == "answered"
