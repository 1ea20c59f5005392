"""A strict loopback Slack: Web API and Socket Mode on 127.0.0.1, for tests without a network.

    async with SlackServer() as server:
        team = server.add_workspace("Arkham")
        bot = server.add_bot(team, "xoxb-one", "xapp-one", name="Keeper")
        ana = server.add_user(team, "Ana")
        tavern = server.add_channel(team, "tavern", members=[bot])
        ...  # point a client at server.api_base
        server.post(tavern, ana, f"hello <@{bot.user_id}>")
        await server.wait_for(lambda s: len(s.messages(tavern)) == 2)

It refuses what Slack refuses, with Slack's error codes, and redelivers what is not acknowledged in time. Everything runs on
the loop that started it; call it from there only.

Not modelled: blocks, attachments, files beyond their names, user tokens, Enterprise Grid, interactive payloads. Slack's
documentation leaves some things open; where it does, the harder reading is taken and said in the module that takes it.
"""

from homunculus.testing.slack.front import Request
from homunculus.testing.slack.server import SlackServer
from homunculus.testing.slack.world import EVENTS, SCOPES, Bot, Channel, Command, Message, User, Whisper, Workspace

__all__ = [
    "EVENTS",
    "SCOPES",
    "Bot",
    "Channel",
    "Command",
    "Message",
    "Request",
    "SlackServer",
    "User",
    "Whisper",
    "Workspace",
]
