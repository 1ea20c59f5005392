"""A strict loopback Telegram: the Bot API over HTTP with long polling on 127.0.0.1, for tests without a network.

    async with TelegramServer() as server:
        bot = server.add_bot("7001:token", name="Homunculus", privacy=False)
        tavern = server.add_chat("supergroup", "Tavern", bots=[bot])
        ...  # point a client at server.api_base
        server.post(tavern, server.add_user("Ana"), f"hello @{bot.username}")
        await server.wait_for(lambda s: len(s.sent(bot, tavern)) == 1)

It refuses what Telegram refuses, with Telegram's status and description. Everything runs on the loop that started it; call
it from there only.

Not modelled: webhooks, parse modes, media uploads, keyboards, inline mode, payments, deletions (Telegram tells no bot of
them), message ids that differ between bots in a basic group.
"""

from homunculus.testing.telegram.front import Request
from homunculus.testing.telegram.server import TelegramServer
from homunculus.testing.telegram.world import Bot, Chat, Message, Topic, User

__all__ = ["Bot", "Chat", "Message", "Request", "TelegramServer", "Topic", "User"]
