"""A strict loopback Twitch: id server, Helix and EventSub over WebSockets on 127.0.0.1, for tests without a network.

    async with TwitchServer() as server:
        bot = server.add_bot("token", name="Keeper_Bot")
        tavern = server.add_channel("Tavern")
        ...  # point a client at server.api_base, server.auth_base and server.gateway
        server.say(tavern, server.add_user("Ana"), "hello @Keeper_Bot")
        await server.wait_for(lambda s: s.posts(tavern, bot))

It refuses what Twitch refuses. Beyond the documented protocol it pings after each notification: the pong proves that the
client has read it (`delivered`), which is what a test may hold a client to. Pings of a client are answered, other words of
a client end the connection. Everything runs on the loop that started it; call it from there only.

Where Twitch is silent about what it does, the stricter was taken: a reply to a message that is not in the chat is refused,
a text that begins like a chat command is not shown, and what follows a line break is lost.

Not modelled: whispers, shared chats, cheers and emotes, followers-only and subscribers-only chats, webhooks and conduits.
"""

from homunculus.testing.twitch.front import Request
from homunculus.testing.twitch.server import TwitchServer
from homunculus.testing.twitch.world import Bot, Channel, ChatMessage, User

__all__ = ["Bot", "Channel", "ChatMessage", "Request", "TwitchServer", "User"]
