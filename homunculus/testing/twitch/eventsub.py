"""EventSub over WebSockets: sessions, what they are subscribed to, and who hears a chat.

Owns sessions and subscriptions with their limits and their ends. The words are in `events`, the transport in `socket`.
Source: Twitch's "Getting Events Using WebSockets" and "Managing Event Subscriptions".
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from homunculus.testing.twitch import events, refusals
from homunculus.testing.twitch.refusals import malformed, refuse
from homunculus.testing.twitch.socket import Socket
from homunculus.testing.twitch.world import Bot, Channel, ChatMessage, World

SHORTEST, LONGEST = 10, 600  # seconds of silence that a client may ask for
MOST_SUBSCRIPTIONS: Final = 300  # of one connection
MOST_CONNECTIONS: Final = 3  # of one account, with subscriptions
CLOSINGS: Final = {
    4000: "internal server error",
    4001: "client sent inbound traffic",
    4002: "client failed ping-pong",
    4003: "connection unused",
    4004: "client reconnect grace time expired",
    4005: "network timeout",
    4006: "network error",
    4007: "invalid reconnect",
}


@dataclass(frozen=True, slots=True)
class EventSubSettings:
    """How long things last, in seconds; `keepalive` overrides what a client asks for (a test may be in a hurry)."""

    keepalive: float | None = None
    unused: float = 10.0
    grace: float = 30.0
    cost: int = 0
    max_total_cost: int = 10
    max_subscriptions: int = MOST_SUBSCRIPTIONS


@dataclass(eq=False, slots=True)
class Session:
    """One connection; `owner` is whose subscriptions it carries, known with the first."""

    id: str
    socket: Socket
    keepalive: float
    owner: Bot | None = None
    timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)

    def later(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        """Do something in a while, instead of what was to be done under that name."""
        self.calm(name)
        self.timers[name] = asyncio.get_running_loop().call_later(seconds, then)

    def calm(self, name: str) -> None:
        """Do not do it after all."""
        if name in self.timers:
            self.timers.pop(name).cancel()


@dataclass(eq=False, slots=True)
class Subscription:
    """What a session wants to hear."""

    id: str
    owner: Bot
    channel: Channel
    session: Session
    cost: int
    status: str = "enabled"
    created: str = field(default_factory=events.moment)

    def shown(self) -> dict[str, Any]:
        """Describe it as Helix does."""
        return {
            "id": self.id,
            "status": self.status,
            "type": "channel.chat.message",
            "version": "1",
            "condition": {"broadcaster_user_id": self.channel.owner.id, "user_id": self.owner.user.id},
            "transport": {"method": "websocket", "session_id": self.session.id, "connected_at": self.created},
            "created_at": self.created,
            "cost": self.cost,
        }


class EventSub:
    """Carry chats to those who subscribed to them."""

    def __init__(self, world: World, settings: EventSubSettings, changed: Callable[[], None]) -> None:
        self._world, self._settings, self._changed = world, settings, changed
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.delivered: set[tuple[str, str]] = set()  # (user id, chat message id) that a client has read
        self.welcomes = 0
        self.doubling: dict[str, int] = {}  # user id → how many of the next notifications come twice
        self.muting = False  # new connections are welcomed by nobody
        self._moving: dict[str, Session] = {}  # the key in a reconnect_url → the session that it continues

    # -- connections

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection from its welcome to its end."""
        socket = Socket(self._read)
        serving = asyncio.ensure_future(socket.serve(request))
        session = self._begin(socket, request.query)
        try:
            return await serving
        finally:
            self._over(session)

    def _begin(self, socket: Socket, query: Any) -> Session:
        session = Session(f"AgoQ{secrets.token_urlsafe(20)}", socket, self._keepalive(query))
        if self.muting:
            socket.mute()
        key = query.get("reconnect")
        before = self._moving.pop(key, None) if key else None
        if key and (before is None or before.id not in self.sessions):
            socket.hang_up(4007, CLOSINGS[4007])
            return session
        self.sessions[session.id] = session
        self.welcomes += 1
        welcome = events.session(session.id, "connected", max(1, round(session.keepalive)), None)
        self._send(session, events.frame("session_welcome", welcome))
        if before is not None:
            self._continue(before, session)
        else:
            session.later("unused", self._settings.unused, lambda: self.close(session, 4003))
        self._changed()
        return session

    def _keepalive(self, query: Any) -> float:
        if self._settings.keepalive is not None:
            return self._settings.keepalive
        asked = query.get("keepalive_timeout_seconds", str(SHORTEST))
        return float(min(max(int(asked), SHORTEST), LONGEST)) if asked.isdecimal() else float(SHORTEST)

    def _continue(self, before: Session, session: Session) -> None:
        """Let a session take over what another heard: from its welcome on it alone is told."""
        session.owner = before.owner
        for one in self._of(before):
            one.session = session

    def _over(self, session: Session) -> None:
        for name in list(session.timers):
            session.calm(name)
        self.sessions.pop(session.id, None)
        for one in self._of(session):
            one.status = "websocket_disconnected"
        self._changed()

    def close(self, session: Session, code: int) -> None:
        """Close a connection with one of Twitch's codes."""
        session.socket.hang_up(code, CLOSINGS[code])

    def move(self, session: Session) -> None:
        """Ask a client to connect elsewhere; it has a while to do so."""
        key = secrets.token_urlsafe(12)
        self._moving[key] = session
        payload = events.session(session.id, "reconnecting", None, f"{self.url}?reconnect={key}")
        self._send(session, events.frame("session_reconnect", payload))
        session.later("grace", self._settings.grace, lambda: self.close(session, 4004))

    def sessions_of(self, bot: Bot) -> list[Session]:
        """Return the open connections that carry an account's subscriptions."""
        return [session for session in self.sessions.values() if session.owner is bot]

    # -- subscriptions

    def subscribe(self, bot: Bot, session_id: str, broadcaster: str, reader: str) -> Subscription:
        """Subscribe a session to a chat, or refuse."""
        channel = self._world.channels.get(broadcaster)
        if channel is None:
            raise malformed("broadcaster_user_id")
        if reader != bot.user.id or "user:read:chat" not in bot.scopes or bot.user.id in channel.banned:
            raise refuse(refusals.UNAUTHORIZED_SUBSCRIPTION)
        session = self.sessions.get(session_id)
        if session is None or session.owner not in (None, bot) or session.socket.over:
            raise refuse(refusals.NO_SESSION)
        mine = self._of(session)
        if any(one.channel is channel for one in mine):
            raise refuse(refusals.SUBSCRIBED)
        if len(mine) >= self._settings.max_subscriptions:
            raise refuse(refusals.TOO_MANY_SUBSCRIPTIONS)
        if session.owner is None and len(self.sessions_of(bot)) >= MOST_CONNECTIONS:
            raise refuse(refusals.TOO_MANY_CONNECTIONS)
        if self._total(bot) + self._settings.cost > self._settings.max_total_cost:
            raise refuse(refusals.TOO_COSTLY)
        session.owner = bot
        session.calm("unused")
        made = Subscription(str(uuid.uuid4()), bot, channel, session, self._settings.cost)
        self.subscriptions[made.id] = made
        self._changed()
        return made

    def unsubscribe(self, bot: Bot, subscription_id: str) -> None:
        """End a subscription of an account's own."""
        found = self.subscriptions.get(subscription_id)
        if found is None or found.owner is not bot:
            raise refuse(refusals.NO_SUBSCRIPTION)
        del self.subscriptions[subscription_id]
        self._changed()

    def subscriptions_of(self, bot: Bot) -> list[Subscription]:
        """Return an account's subscriptions, those that ended included."""
        return [one for one in self.subscriptions.values() if one.owner is bot]

    def costs(self, bot: Bot) -> dict[str, int]:
        """Return what an account's subscriptions cost, and how much they may."""
        total = len([one for one in self.subscriptions_of(bot) if one.status == "enabled"])
        return {"total": total, "total_cost": self._total(bot), "max_total_cost": self._settings.max_total_cost}

    def revoke(self, subscription: Subscription, status: str) -> None:
        """End a subscription and say so."""
        subscription.status = status
        payload = {"subscription": subscription.shown()}
        about = {"subscription_type": "channel.chat.message", "subscription_version": "1"}
        self._send(subscription.session, events.frame("revocation", payload, **about))

    def _total(self, bot: Bot) -> int:
        return sum(one.cost for one in self.subscriptions_of(bot) if one.status == "enabled")

    def _of(self, session: Session) -> list[Subscription]:
        return [one for one in self.subscriptions.values() if one.session is session and one.status == "enabled"]

    # -- telling

    def tell(self, channel: Channel, message: ChatMessage) -> None:
        """Notify everybody who is subscribed to a chat."""
        event = events.chat_message(self._world, channel, message)
        about = {"subscription_type": "channel.chat.message", "subscription_version": "1"}
        for one in list(self.subscriptions.values()):
            if one.channel is channel and one.status == "enabled":
                payload = {"subscription": one.shown(), "event": event}
                text = events.frame("notification", payload, **about)
                for _ in range(1 + self._doubles(one.owner)):
                    self._send(one.session, text, f"{one.owner.user.id}/{message.id}")
        self._changed()

    def _doubles(self, bot: Bot) -> int:
        left = self.doubling.get(bot.user.id, 0)
        self.doubling[bot.user.id] = max(0, left - 1)
        return min(left, 1)

    def _send(self, session: Session, text: str, name: str = "") -> None:
        session.socket.send(text, name)
        session.later("keepalive", session.keepalive, lambda: self._keep_alive(session))

    def _keep_alive(self, session: Session) -> None:
        self._send(session, events.frame("session_keepalive", {}))

    def _read(self, name: str) -> None:
        user_id, _, message_id = name.partition("/")
        if message_id:
            self.delivered.add((user_id, message_id))
            self._changed()
