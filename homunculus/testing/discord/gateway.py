"""The gateway: one `Socket` per WebSocket connection, one `Gateway` that knows all sockets and sessions.

Owns the protocol (HELLO, IDENTIFY, RESUME, heartbeats, close codes). Never changes the world.
Source: Discord's "Gateway" and "Gateway Events". Not modelled, and refused with 4001: voice (op 4), member chunks (op 8),
soundboards (op 31). `compress=zlib-stream` is real; for `zstd-stream` frames stay plain text, which discord.py accepts.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import WSCloseCode, web

from homunculus.testing.discord import wire
from homunculus.testing.discord.connection import Connection
from homunculus.testing.discord.protocol import (
    HEARTBEAT,
    HEARTBEAT_ACK,
    HELLO,
    IDENTIFY,
    INVALID_SESSION,
    PRESENCE,
    RECONNECT,
    RESUME,
    Closing,
    check_heartbeat,
    check_presence,
    check_properties,
    credential,
    intents,
    parse,
    sequence,
    shard,
)
from homunculus.testing.discord.session import GUILDS, Session
from homunculus.testing.discord.world import Bot, World

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Times of the gateway, in seconds, and its daily allowance of IDENTIFYs."""

    heartbeat_interval: float
    resume_window: float
    session_limit: int


class Gateway:
    """Know every socket and session; dispatch events to the sessions that may hear them."""

    # All the mutable state that outlives a connection:
    def __init__(self, world: World, settings: GatewaySettings, changed: Callable[[], None]) -> None:
        self.world = world
        self.settings = settings
        self.changed = changed
        self.url = ""
        self.sockets: set[Socket] = set()
        self.sessions: dict[str, Session] = {}
        self.identifies: Counter[str] = Counter()
        self.resumes: Counter[str] = Counter()
        self.muted_bots: set[int] = set()
        self._starts: dict[int, deque[float]] = {}

    def dispatch(
        self, event: str, intent: int, bots: Iterable[Bot], guild_id: int | None, payload: Callable[[Session], Json]
    ) -> None:
        audience = set(bots)
        for session in list(self.sessions.values()):
            if session.expired(self.settings.resume_window):
                del self.sessions[session.id]
            elif session.bot in audience and session.hears(intent, guild_id):
                session.push(event, payload(session))

    def sockets_of(self, bot: Bot) -> list[Socket]:
        return [socket for socket in self.sockets if socket.bot is bot]

    def sessions_of(self, bot: Bot) -> list[Session]:
        return [session for session in self.sessions.values() if session.bot is bot]

    def forget_sessions(self, bot: Bot) -> None:
        self.sessions = {key: one for key, one in self.sessions.items() if one.bot is not bot}

    def starts_left(self, bot: Bot) -> tuple[int, float]:
        """Tell how many IDENTIFYs today still holds, and in how many seconds the oldest one is forgiven."""
        day, now = 86_400.0, time.monotonic()
        starts = self._starts.setdefault(bot.user_id, deque())
        while starts and now - starts[0] >= day:
            starts.popleft()
        reset = starts[0] + day - now if starts else 0.0
        return max(0, self.settings.session_limit - len(starts)), reset

    def count_start(self, bot: Bot) -> None:
        left, _ = self.starts_left(bot)
        if not left:
            # Discord resets the token of an app that exceeds its daily limit.
            self.revoke(bot)
            raise Closing(4004, "Authentication failed: session start limit exceeded, the token was reset.")
        self._starts[bot.user_id].append(time.monotonic())

    def revoke(self, bot: Bot) -> None:
        bot.alive = False
        self.forget_sessions(bot)
        for socket in self.sockets_of(bot):
            socket.hang_up(4004, "Authentication failed.")

    def authenticate(self, token: str) -> Bot:
        bot = self.world.bot_with(token)
        if bot is None or not bot.alive:
            raise Closing(4004, "Authentication failed.")
        return bot

    def welcome(self, session: Session) -> None:
        """Send READY, then GUILD_CREATE for every guild of the session's shard."""
        bot = session.bot
        guilds = [guild for guild in self.world.guilds_of(bot) if session.hears(0, guild.id)]
        application = {"id": str(bot.application_id), "flags": wire.application(bot)["flags"]}
        session.push(
            "READY",
            {
                "v": 10,
                "user": wire.own_user(bot),
                "guilds": [{"id": str(guild.id), "unavailable": True} for guild in guilds],
                "private_channels": [],
                "session_id": session.id,
                "session_type": "normal",
                "resume_gateway_url": self.url,
                "shard": list(session.shard),
                "application": application,
                "_trace": [],
            },
        )
        for guild in guilds:
            if session.hears(GUILDS, guild.id):
                session.push("GUILD_CREATE", wire.guild_create(self.world, guild, bot))

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection until it ends."""
        socket = Socket(self, request)
        self.sockets.add(socket)
        try:
            return await socket.run()
        finally:
            self.sockets.discard(socket)
            self.changed()


class Socket(Connection):
    """One connection and who speaks on it: answers each frame by the protocol."""

    def __init__(self, gateway: Gateway, request: web.Request) -> None:
        super().__init__(request, gateway.settings.heartbeat_interval)
        self.bot: Bot | None = None
        self._session: Session | None = None
        self._gateway = gateway
        self._query = request.query

    async def run(self) -> web.WebSocketResponse:
        writer = await self.open()
        try:
            self._check_query()
            interval = int(self._gateway.settings.heartbeat_interval * 1000)
            self.tell(HELLO, {"heartbeat_interval": interval, "_trace": []})
            while isinstance(frame := await self.receive(), str):
                self._answer(*parse(frame))
            self._left(frame)
        except Closing as closing:
            self.hang_up(closing.code, closing.reason)
        finally:
            if self._session is not None:
                self._session.detach(self)
            await self.end(writer)
        return self._ws

    def _left(self, code: int | None) -> None:
        """Drop the session of a client that says goodbye for good; any other end may be resumed."""
        if code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY) and self._session is not None:
            self._gateway.sessions.pop(self._session.id, None)

    def ask_to_reconnect(self) -> None:
        self.tell(RECONNECT, None)

    def invalidate(self, *, resumable: bool) -> None:
        self.tell(INVALID_SESSION, resumable)
        session, self._session = self._session, None
        if session is not None:
            session.detach(self)
            if not resumable:
                self._gateway.sessions.pop(session.id, None)

    def _check_query(self) -> None:
        if self._query.get("v") != "10":
            raise Closing(4012, "Invalid API version.")
        if self._query.get("encoding") != "json":
            raise Closing(4002, "Error while decoding payload: encoding must be json.")
        if self._query.get("compress", "zlib-stream") not in ("zlib-stream", "zstd-stream"):
            raise Closing(4002, "Error while decoding payload: unknown compress.")

    def _answer(self, op: int, data: Any) -> None:
        if op == HEARTBEAT:
            check_heartbeat(data)
            self.feed()
            self.tell(HEARTBEAT_ACK, None)
        elif op in (IDENTIFY, RESUME):
            if self._session is not None:
                raise Closing(4005, "Already authenticated.")
            (self._identify if op == IDENTIFY else self._resume)(credential(data), data)
            self._gateway.changed()
        elif self._session is None:
            raise Closing(4003, "Not authenticated.")
        elif op == PRESENCE:
            check_presence(data)
        else:
            raise Closing(4001, f"Unknown opcode {op}, or one this loopback server does not model.")

    def _identify(self, token: str, data: Json) -> None:
        gateway = self._gateway
        gateway.identifies[token] += 1
        bot = gateway.authenticate(token)
        check_properties(data.get("properties"))
        session = Session(bot, intents(data.get("intents"), bot), shard(data.get("shard", [0, 1])))
        gateway.count_start(bot)
        gateway.sessions[session.id] = session
        self._take(session)
        gateway.welcome(session)

    def _resume(self, token: str, data: Json) -> None:
        gateway = self._gateway
        gateway.resumes[token] += 1
        bot = gateway.authenticate(token)
        session = gateway.sessions.get(str(data.get("session_id")))
        if session is None or session.bot is not bot or session.expired(gateway.settings.resume_window):
            self.invalidate(resumable=False)
            return
        seq = sequence(data.get("seq"), session.last)
        if not session.can_replay_from(seq):
            self.invalidate(resumable=False)
            return
        missed = session.missed_since(seq)
        self._take(session)
        for text in missed:
            self.send(text)
        session.push("RESUMED", {"_trace": []})

    def _take(self, session: Session) -> None:
        previous = session.line
        if isinstance(previous, Socket):
            previous.hang_up(4000, "The session was resumed elsewhere.")
        self.bot, self._session = session.bot, session
        session.attach(self)
        if session.bot.user_id in self._gateway.muted_bots:
            self.mute()
