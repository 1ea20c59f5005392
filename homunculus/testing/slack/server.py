"""`SlackServer`: what a test holds in its hands.

Owns the wiring and the life of the server. The rules are elsewhere: `front`, `chat`, `conversations`, `sockets`, `hub`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from aiohttp import web

from homunculus.testing.loopback import Loopback
from homunculus.testing.slack.chat import ChatMethods
from homunculus.testing.slack.conversations import ConversationMethods
from homunculus.testing.slack.faults import Fault, Faults
from homunculus.testing.slack.front import MAX_REQUEST, Front, Rate, Request
from homunculus.testing.slack.hub import Hub
from homunculus.testing.slack.sockets import Sockets, SocketSettings
from homunculus.testing.slack.world import (
    EVENTS,
    SCOPES,
    Bot,
    Channel,
    Command,
    Kind,
    Message,
    User,
    Whisper,
    Workspace,
    World,
)


class SlackServer(Loopback):
    """Serve a loopback Slack; `async with SlackServer() as server: ...`.

    `message_rate` is (posts, seconds) a channel, Slack's own being about `(1, 1.0)`; None, the default, does not slow a test
    down. `ack_seconds` is how long an envelope waits to be acknowledged, `retry_seconds` the waits before its event comes
    again: the defaults are Slack's own.
    """

    def __init__(
        self,
        *,
        message_rate: Rate | None = None,
        ack_seconds: float = 3.0,
        retry_seconds: tuple[float, ...] = (0.0, 60.0, 300.0),
    ) -> None:
        super().__init__()
        self._world = World()
        self._sockets = Sockets(SocketSettings(ack_seconds, retry_seconds), self._changed)
        self._hub = Hub(self._world, self._sockets, self._changed)
        self._faults = Faults()
        self._front = Front(self._world, self._faults, message_rate, self._changed)
        self._chat = ChatMethods(self._hub)
        self._fill(self._front)

    def _fill(self, front: Front) -> None:
        read = ConversationMethods(self._hub, self._sockets, lambda ticket: f"{self._socket_base}?ticket={ticket}")
        front.app_methods = {"apps.connections.open": read.open_connection}
        front.methods = {
            "auth.test": read.auth_test,
            "chat.postMessage": self._chat.post,
            "chat.update": self._chat.update,
            "chat.postEphemeral": self._chat.whisper,
            "reactions.add": self._chat.react,
            "conversations.history": read.history,
            "conversations.replies": read.replies,
            "conversations.info": read.info,
            "conversations.open": read.open_direct,
            "users.conversations": read.of_bot,
            "users.info": read.user,
        }

    # -- life

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_route("*", "/api/{method}", self._front.handle)
        app.router.add_get("/link", self._sockets.handle)
        app.router.add_post("/commands/{team}/{token}", self._respond)
        return app

    def _opening(self) -> None:
        self._hub.base = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        """Cut every connection and free the port; safe to call twice."""
        self._sockets.close()
        await super().stop()

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/"

    @property
    def _socket_base(self) -> str:
        return f"ws://127.0.0.1:{self._port}/link"

    # -- making the world

    def add_workspace(self, name: str) -> Workspace:
        return self._world.add_workspace(name)

    def add_bot(self, workspace: Workspace, token: str, app_token: str, name: str = "Homunculus") -> Bot:
        """Install an app that may do and hears everything this server knows, but post where it is not a member."""
        return self._world.add_bot(workspace, token, app_token, name)

    def add_user(self, workspace: Workspace, name: str, *, bot: bool = False) -> User:
        """Register a person; with `bot=True` the user of somebody else's app."""
        return self._world.add_user(workspace, name, bot=bot)

    def add_channel(
        self, workspace: Workspace, name: str, members: Iterable[Bot | User] = (), *, kind: Kind = "channel"
    ) -> Channel:
        """Make a conversation of a kind; bots hear only those they are members of."""
        return self._world.add_channel(workspace, kind, name, {_account(one).id for one in members})

    def join(self, channel: Channel, one: Bot | User) -> None:
        channel.members.add(_account(one).id)

    def leave(self, channel: Channel, one: Bot | User) -> None:
        channel.members.discard(_account(one).id)

    def open_dm(self, bot: Bot, user: User) -> Channel:
        return self._world.direct(bot, user)

    def deny(self, bot: Bot, *names: str) -> None:
        """Take scopes or event subscriptions from an app; unknown names raise ValueError with the known ones."""
        known = SCOPES | EVENTS
        if unknown := set(names) - known:
            raise ValueError(f"unknown {sorted(unknown)}; known are {', '.join(sorted(known))}")
        bot.scopes -= set(names)
        bot.events -= set(names)

    # -- what people do

    def post(
        self,
        channel: Channel,
        author: User | Bot,
        text: str = "",
        *,
        thread: Message | None = None,
        files: Iterable[str] = (),
        subtype: str | None = None,
    ) -> Message:
        """Say something, as a person or as another app; `text` is as on the wire (escaped, `<@U…>`); with `thread` inside it."""
        person = _account(author)
        if channel.kind in ("im", "mpim") and person.id not in channel.members:
            raise ValueError(f"{person.name} is not in this private conversation")
        message = Message(
            ts=self._world.mint_ts(channel),
            channel=channel,
            user=person,
            text=text,
            thread_ts=(thread.thread_ts or thread.ts) if thread else None,
            bot=author if isinstance(author, Bot) else None,
            subtype=subtype,
            files=tuple(files),
        )
        return self._hub.post(message)

    def edit(self, message: Message, text: str) -> None:
        self._hub.edit(message, text)

    def unfurl(self, message: Message) -> None:
        """Add a link's preview to a message: its event looks like an edit and changes no word."""
        self._hub.unfurl(message)

    def delete(self, message: Message) -> None:
        self._hub.delete(message)

    def command(self, bot: Bot, channel: Channel, user: User, text: str, command: str = "/npc") -> Command:
        """Give a slash command."""
        return self._hub.command(Command(bot, channel, user, command, text, secrets.token_hex(12), time.time()))

    # -- what the server saw

    @property
    def requests(self) -> list[Request]:
        """List the answered calls, oldest first."""
        return self._front.log

    def calls(self, method: str) -> list[Request]:
        return [request for request in self.requests if request.method == method]

    def messages(self, channel: Channel) -> list[Message]:
        """List what stands in a conversation, its threads included, oldest first."""
        return list(channel.log.values())

    def reactions(self, message: Message) -> dict[str, list[str]]:
        """Map each emoji to the ids of the users who reacted with it."""
        return {name: list(who) for name, who in message.reactions.items()}

    @property
    def whispers(self) -> list[Whisper]:
        """List what one person alone was shown, oldest first."""
        return list(self._world.whispers)

    def connections(self, bot: Bot) -> int:
        """Count the open Socket Mode connections of an app."""
        return len(self._sockets.of(bot))

    def opened(self, bot: Bot) -> int:
        """Count the Socket Mode connections that an app ever opened."""
        return self._sockets.opened.get(bot.user_id, 0)

    @property
    def unacknowledged(self) -> int:
        """Count the envelopes that are on their way or wait to come again."""
        return self._sockets.unacknowledged

    @property
    def undelivered(self) -> int:
        """Count the events that were given up after their last retry, and the commands nobody acknowledged."""
        return len(self._sockets.undelivered)

    def _seen(self) -> str:
        bots = ", ".join(
            f"{bot.name}: {self.connections(bot)} open of {self.opened(bot)}" for bot in self._world.bots.values()
        )
        places = ", ".join(f"{c.name or c.id}: {len(c.log)} messages" for c in self._world.channels.values() if c.log)
        last = ", ".join(f"{r.method} -> {r.error or r.status}" for r in self.requests[-5:])
        return f"bots [{bots}]; places [{places}]; last calls [{last}]"

    # -- faults

    def revoke(self, bot: Bot) -> None:
        """Kill both tokens: calls answer token_revoked, connections close."""
        bot.alive = False
        for connection in self._sockets.of(bot):
            connection.hang_up()
        self._changed()

    def reset_token(self, bot: Bot, token: str) -> None:
        """Give an app a new bot token, as reinstalling it does; the old one is void at once."""
        self.revoke(bot)
        bot.token, bot.alive = token, True

    def disable_socket_mode(self, bot: Bot) -> None:
        """Switch Socket Mode off in the app's settings: connections are told link_disabled and close."""
        bot.socket_mode = False
        for connection in self._sockets.of(bot):
            connection.tell({"type": "disconnect", "reason": "link_disabled", "debug_info": {}})
            connection.hang_up()

    def refresh(self, bot: Bot, reason: str = "refresh_requested", *, close: bool = True) -> None:
        """Ask the app to open another connection: `warning` some seconds ahead (`close=False`), or as this one closes."""
        for connection in self._sockets.of(bot):
            connection.tell({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-loopback"}})
            if close:
                connection.hang_up()

    def disconnect(self, bot: Bot, *, politely: bool = False) -> None:
        """Drop the app's connections: with a close frame, or abruptly."""
        for connection in self._sockets.of(bot):
            if politely:
                connection.hang_up()
            else:
                connection.cut()

    def mute(self, bot: Bot, *, half_open: bool = False, new_connections: bool = False) -> None:
        """Fall silent on the open connections: no event, no pong, nothing closed; `half_open` takes nothing in either."""
        if new_connections:
            self._sockets.muted_bots.add(bot.user_id)
        for connection in self._sockets.of(bot):
            if half_open:
                connection.freeze()
            else:
                connection.mute()

    def unmute(self, bot: Bot) -> None:
        """Speak again; what was held back arrives in order."""
        self._sockets.muted_bots.discard(bot.user_id)
        for connection in self._sockets.of(bot):
            connection.unmute()

    def repeat(self, bot: Bot, times: int = 1, events: int = 1) -> None:
        """Deliver each of the next events so many times more, as after acknowledgements that got lost."""
        self._sockets.repeats.setdefault(bot.user_id, []).extend([times] * events)

    def redeliver(self, message: Message) -> None:
        """Deliver a message's event once more, as late as it is called."""
        self._hub.retell(message)

    def fail_next(
        self,
        n: int = 1,
        status: int | None = 500,
        method: str = "",
        *,
        retry_after: float = 1.0,
        after: bool = False,
        error: str = "",
    ) -> None:
        """Fail the next `n` matching calls with a status, or cut their connection (`status=None`).

        429 carries Slack's JSON and `Retry-After`; `error` answers 200 with that code instead. `after=True` performs the
        call first and loses only its answer.
        """
        if status not in (None, 429, 500, 502, 503, 504):
            raise ValueError(f"status {status} is no fault this server imitates; use 429, 500, 502, 503, 504 or None")
        self._faults.add(Fault(n, status, method, retry_after, after, error))

    @property
    def failures_left(self) -> int:
        """Count the failures that `fail_next` was asked for and that have not happened yet."""
        return self._faults.left

    def slow(self, method: str, seconds: float, *, before: float = 0.0) -> None:
        """Hold back the answers of matching calls, or let them take effect late; 0 seconds ends it."""
        self._faults.slow(method, before, seconds)

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        return await self._front.around(request, "response_url", self._chat.respond)


def _account(one: User | Bot) -> User:
    return one.user if isinstance(one, Bot) else one
