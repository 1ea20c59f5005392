"""A strict loopback Discord: REST and gateway (API v10) on 127.0.0.1, for tests without a network.

    async with DiscordServer() as server:
        bot = server.add_bot("token", name="Homunculus")
        guild = server.add_guild("Arkham", bots=[bot])
        tavern = server.add_channel(guild, "tavern")
        ...  # point a client at server.api_base and server.gateway
        server.post(tavern, server.add_user("Ana"), f"hello <@{bot.user_id}>")
        await server.wait_for(lambda s: len(s.messages(tavern)) == 2)

It refuses what Discord refuses, with Discord's status, code and words, and answers `application/json` exactly. Ids are
integers in Python and strings on the wire. Everything runs on the loop that started it; call it from there only.

Not modelled: commands of one guild, components and modals, voice, member chunks, custom emoji, polls, stickers, forwards.
"""

from homunculus.testing.discord.hub import Typing
from homunculus.testing.discord.interactions import Interaction
from homunculus.testing.discord.rest import Request
from homunculus.testing.discord.server import DiscordServer
from homunculus.testing.discord.world import Attachment, Bot, Channel, Guild, Message, User, Webhook

__all__ = [
    "Attachment",
    "Bot",
    "Channel",
    "DiscordServer",
    "Guild",
    "Interaction",
    "Message",
    "Request",
    "Typing",
    "User",
    "Webhook",
]
