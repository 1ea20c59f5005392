"""`TwitchServer`: what a test holds in its hands.

Owns the wiring and the life of the server. The rules are elsewhere: `identity`, `helix`, `chat`, `eventsub`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from aiohttp import web

from homunculus.testing.loopback import Loopback
from homunculus.testing.twitch.chat import SAME_AGAIN, Chat, Drop
from homunculus.testing.twitch.eventsub import CLOSINGS, MOST_SUBSCRIPTIONS, EventSub, EventSubSettings, Subscription
from homunculus.testing.twitch.faults import Fault, Faults
from homunculus.testing.twitch.front import Front, Request
from homunculus.testing.twitch.helix import PREFIX, Helix
from homunculus.testing.twitch.identity import Identity
from homunculus.testing.twitch.limits import POINTS, Points, Rate
from homunculus.testing.twitch.world import ALL_SCOPES, FOUR_HOURS, Bot, Channel, ChatMessage, User, World

_STATUSES = (None, 429, 500, 502, 503, 504)


class TwitchServer(Loopback):
    """Serve a loopback Twitch; `async with TwitchServer() as server: ...`.

    `chat_rate` is (messages, seconds) an account, Twitch's own being `(20, 30.0)` and five times as much for moderators;
    None, the default, slows nobody down. `keepalive`, `unused`, `grace` and `same_again` are seconds; without `keepalive`
    a client gets what it asks for. `rotate` makes each refresh token good for one use.
    """

    def __init__(
        self,
        *,
        chat_rate: Rate | None = None,
        points: Rate = POINTS,
        keepalive: float | None = None,
        unused: float = 10.0,
        grace: float = 30.0,
        same_again: float = SAME_AGAIN,
        rotate: bool = True,
        cost: int = 0,
        max_subscriptions: int = MOST_SUBSCRIPTIONS,
    ) -> None:
        super().__init__()
        settings = EventSubSettings(keepalive, unused, grace, cost, max_subscriptions=max_subscriptions)
        self._world = World()
        self._eventsub = EventSub(self._world, settings, self._changed)
        self._chat = Chat(self._world, chat_rate, same_again)
        self._faults = Faults()
        self._front = Front(self._world, self._faults, Points(points), self._changed)
        self._identity = Identity(self._world, rotate=rotate, lifetime=FOUR_HOURS)
        self._helix = Helix(self._world, self._chat, self._eventsub, self._told)

    # -- life

    def _opening(self) -> None:
        self._eventsub.url = self.gateway

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._front.middleware])
        self._identity.add_to(app)
        self._helix.add_to(app, self._front)
        app.router.add_get("/ws", self._eventsub.handle)
        return app

    @property
    def _address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def api_base(self) -> str:
        """Return the address of Helix."""
        return f"http://{self._address}{PREFIX}"

    @property
    def auth_base(self) -> str:
        """Return the address of the id server."""
        return f"http://{self._address}"

    @property
    def gateway(self) -> str:
        """Return the address of EventSub."""
        return f"ws://{self._address}/ws"

    # -- making the world

    def add_user(self, name: str) -> User:
        """Register a person."""
        return self._world.add_user(name)

    def add_channel(self, name: str) -> Channel:
        """Register a broadcaster; the channel's name in a deployment is the name in lower case."""
        return self._world.channels[self._world.add_user(name).id]

    def add_bot(
        self,
        token: str,
        name: str = "Homunculus",
        *,
        refresh_token: str = "",
        client_id: str = "",
        client_secret: str = "",
        scopes: Iterable[str] = ALL_SCOPES,
        expires_in: float = FOUR_HOURS,
    ) -> Bot:
        """Register an account with an application of its own and a token that it was granted."""
        bot = Bot(
            self._world.add_user(name),
            client_id or secrets.token_hex(15),
            client_secret or secrets.token_hex(15),
            tuple(scopes),
            token,
            refresh_token or secrets.token_hex(25),
            time.time() + expires_in,
        )
        self._world.bots.append(bot)
        return bot

    def promote(self, channel: Channel, bot: Bot | User) -> None:
        """Make somebody a moderator of a channel."""
        channel.moderators.add(_account(bot).id)

    def ban(self, channel: Channel, bot: Bot) -> None:
        """Ban an account from a channel; its subscription there is revoked."""
        channel.banned.add(bot.user.id)
        for one in self._subscribed(bot, channel):
            self._eventsub.revoke(one, "chat_user_banned")
        self._changed()

    # -- what people do

    def say(self, channel: Channel, author: User, text: str, reply_to: ChatMessage | None = None) -> ChatMessage:
        """Say something as a person; everybody who is subscribed to the chat is told."""
        message = self._world.said(channel, author, text, reply_to)
        self._told(channel, message)
        return message

    def _told(self, channel: Channel, message: ChatMessage) -> None:
        self._eventsub.tell(channel, message)

    # -- what the server saw

    @property
    def requests(self) -> list[Request]:
        """List the answered HTTP requests, oldest first."""
        return self._front.log

    def posts(self, channel: Channel, bot: Bot) -> list[ChatMessage]:
        """List what a bot said in a channel, oldest first."""
        return [message for message in channel.log if message.author is bot.user]

    def subscribed(self, bot: Bot) -> set[str]:
        """Return the logins of the channels that an account hears, on connections that speak."""
        return {one.channel.login for one in self._subscribed(bot) if one.session.socket.speaks}

    def connections(self, bot: Bot) -> int:
        """Count the open EventSub connections that carry subscriptions of an account."""
        return len(self._eventsub.sessions_of(bot))

    @property
    def welcomes(self) -> int:
        """Count the EventSub connections that were ever welcomed."""
        return self._eventsub.welcomes

    def delivered(self, bot: Bot, message: ChatMessage) -> bool:
        """Tell whether an account's client is known to have read a message."""
        return (bot.user.id, message.id) in self._eventsub.delivered

    def _seen(self) -> str:
        bots = ", ".join(
            f"{bot.login}: {self.connections(bot)} connections, hears {sorted(self.subscribed(bot))}"
            for bot in self._world.bots
        )
        chats = ", ".join(f"{one.login}: {len(one.log)} messages" for one in self._world.channels.values() if one.log)
        last = ", ".join(f"{one.method} {one.path} -> {one.status}" for one in self.requests[-5:])
        return f"bots [{bots}]; chats [{chats}]; last requests [{last}]"

    # -- faults

    def expire(self, bot: Bot) -> None:
        """Let an account's access tokens run out; its refresh token still works."""
        bot.expires = 0.0
        bot.past.clear()
        self._changed()

    def revoke(self, bot: Bot) -> None:
        """Take back everything that an account was granted; its subscriptions are revoked."""
        bot.alive = False
        for one in self._subscribed(bot):
            self._eventsub.revoke(one, "authorization_revoked")
        self._changed()

    def reset_token(self, bot: Bot, token: str) -> None:
        """Grant an account a new token; everything that was granted before is taken back."""
        self.revoke(bot)
        bot.access, bot.alive = token, True
        bot.expires = time.time() + FOUR_HOURS

    def forget(self, bot: Bot, channel: Channel) -> None:
        """Lose an account's subscription to a channel without a word."""
        for one in self._subscribed(bot, channel):
            del self._eventsub.subscriptions[one.id]
        self._changed()

    def disconnect(self, bot: Bot, code: int | None = None) -> None:
        """Drop an account's connections: with one of Twitch's close codes, or abruptly."""
        if code is not None and code not in CLOSINGS:
            raise ValueError(f"{code} is no close code of EventSub; they are {sorted(CLOSINGS)}")
        for session in self._eventsub.sessions_of(bot):
            if code is None:
                session.socket.cut()
            else:
                self._eventsub.close(session, code)

    def reconnect(self, bot: Bot) -> None:
        """Ask an account's connections to move (session_reconnect)."""
        for session in self._eventsub.sessions_of(bot):
            self._eventsub.move(session)

    def mute(self, bot: Bot, *, new_connections: bool = False) -> None:
        """Fall silent on an account's open connections, keepalives included; with `new_connections` on all new ones too."""
        self._eventsub.muting = new_connections
        for session in self._eventsub.sessions_of(bot):
            session.socket.mute()

    def unmute(self) -> None:
        """Welcome new connections again."""
        self._eventsub.muting = False

    def garble(self, bot: Bot, text: str) -> None:
        """Send an account's connections something that EventSub never says."""
        for session in self._eventsub.sessions_of(bot):
            session.socket.send(text)

    def duplicate(self, bot: Bot, n: int = 1) -> None:
        """Deliver each of the next `n` notifications to an account twice, under the same message id."""
        self._eventsub.doubling[bot.user.id] = self._eventsub.doubling.get(bot.user.id, 0) + n

    def drop_next(self, code: str, message: str, n: int = 1) -> None:
        """Drop the next `n` messages of bots, with this reason."""
        self._chat.asked.extend([Drop(code, message)] * n)

    @property
    def drops_left(self) -> int:
        """Count the drops that were asked for and have not happened yet."""
        return len(self._chat.asked)

    def fail_next(
        self,
        n: int = 1,
        status: int | None = 500,
        path_contains: str = "",
        *,
        method: str = "",
        retry_after: float = 1.0,
        after: bool = False,
    ) -> None:
        """Fail the next `n` matching HTTP requests with a status, or cut their connection (`status=None`).

        `after=True` performs the request first and loses only its answer.
        """
        if status not in _STATUSES:
            raise ValueError(f"status {status} is no fault this server imitates; use one of {_STATUSES}")
        self._faults.add(Fault(n, status, path_contains, method, retry_after, after))

    @property
    def failures_left(self) -> int:
        """Count the failures that were asked for and have not happened yet."""
        return self._faults.left

    def slow(self, path_contains: str, seconds: float) -> None:
        """Hold back the answers of matching requests, which take effect at once; 0 seconds ends it."""
        self._faults.slow(path_contains, seconds)

    def _subscribed(self, bot: Bot, channel: Channel | None = None) -> list[Subscription]:
        found = self._eventsub.subscriptions_of(bot)
        return [one for one in found if one.status == "enabled" and channel in (None, one.channel)]


def _account(one: Bot | User) -> User:
    return one.user if isinstance(one, Bot) else one
