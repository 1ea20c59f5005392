"""Socket Mode: the tickets that open a WebSocket, the connections, what must be acknowledged and what comes again.

Owns connections and envelopes under way. Never words an event and never changes the world.

Source: Slack's "Using Socket Mode" and "Events API: Retries": an envelope is acknowledged by its id within three seconds, or
its event comes again at once, after a minute and after five, with `retry_attempt` and `retry_reason`. So does what happened
while no connection was open (vercel/chat issue 666). A slash command is never repeated: the person is told of the timeout.
Not documented, and taken strictly: an envelope can be acknowledged only on the connection that carried it.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import ClientConnectionResetError, WSMsgType, web

from homunculus.testing.slack.refusals import Json
from homunculus.testing.slack.world import Bot, Command

MOST_CONNECTIONS: Final = 10


@dataclass(frozen=True, slots=True)
class SocketSettings:
    """Seconds to acknowledge an envelope, and the waits before its event comes again."""

    ack_seconds: float = 3.0
    retry_seconds: tuple[float, ...] = (0.0, 60.0, 300.0)


@dataclass(eq=False, slots=True)
class Delivery:
    """One event or command on its way to one app."""

    bot: Bot
    type: str  # events_api or slash_commands
    payload: Json
    command: Command | None = None
    attempt: int = 0
    reason: str = ""
    envelope_id: str = ""
    timer: asyncio.TimerHandle | None = None


class Sockets:
    """Know every connection, and see that each envelope is acknowledged or sent again."""

    # All the state of Socket Mode:
    def __init__(self, settings: SocketSettings, changed: Callable[[], None]) -> None:
        self.settings, self.changed = settings, changed
        self.connections: list[Connection] = []
        self.opened: dict[str, int] = {}  # bot user id → connections that were ever opened
        self.undelivered: list[Delivery] = []  # given up
        self.muted_bots: set[str] = set()
        self.repeats: dict[str, list[int]] = {}  # bot user id → how often to repeat the next events
        self._tickets: dict[str, Bot] = {}
        self._waiting: set[Delivery] = set()
        self._turn = 0

    # -- connections

    def ticket(self, bot: Bot) -> str:
        """Mint the one-time key of a WebSocket address."""
        ticket = secrets.token_hex(16)
        self._tickets[ticket] = bot
        return ticket

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one connection until it ends; a ticket opens one, once."""
        bot = self._tickets.pop(request.query.get("ticket", ""), None)
        if bot is None or not bot.alive:
            return web.Response(status=408, text="invalid or expired ticket")
        connection = Connection(self, bot, request)
        return await connection.run()

    def of(self, bot: Bot) -> list[Connection]:
        return [one for one in self.connections if one.bot is bot]

    def came(self, connection: Connection) -> None:
        bot = connection.bot
        self.connections.append(connection)
        self.opened[bot.user_id] = self.opened.get(bot.user_id, 0) + 1
        if bot.user_id in self.muted_bots:
            connection.mute()
        if not bot.socket_mode:
            connection.tell({"type": "disconnect", "reason": "link_disabled", "debug_info": _debug()})
            connection.hang_up()
        elif len(self.of(bot)) > MOST_CONNECTIONS:
            connection.tell({"type": "disconnect", "reason": "too_many_websockets", "debug_info": _debug()})
            connection.hang_up()
        else:
            connection.ready = True
            connection.tell(
                {
                    "type": "hello",
                    "num_connections": len(self.of(bot)),
                    "debug_info": {**_debug(), "approximate_connection_time": 18060},
                    "connection_info": {"app_id": bot.app_id},
                }
            )
        self.changed()

    def left(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
        self.changed()

    # -- envelopes

    def send(self, bot: Bot, kind: str, payload: Json, command: Command | None = None) -> None:
        """Send one event or command to one of the app's connections."""
        delivery = Delivery(bot, kind, payload, command)
        self._try(delivery)
        times = self.repeats.get(bot.user_id)
        if command is None and times:
            for _ in range(times.pop(0)):
                self._try(Delivery(bot, kind, payload, attempt=1, reason="timeout"))

    def _try(self, delivery: Delivery) -> None:
        delivery.timer = None
        self._waiting.discard(delivery)
        if not delivery.bot.alive:
            return
        ready = [one for one in self.of(delivery.bot) if one.ready]
        if not ready:
            self._failed(delivery, "no_active_connection")
            return
        self._turn += 1
        delivery.envelope_id = secrets.token_hex(16)
        ready[self._turn % len(ready)].carry(delivery)
        self._later(delivery, self.settings.ack_seconds, lambda: self._failed(delivery, "timeout"))

    def _later(self, delivery: Delivery, seconds: float, then: Callable[[], None]) -> None:
        delivery.timer = asyncio.get_running_loop().call_later(seconds, then)
        self._waiting.add(delivery)

    def _failed(self, delivery: Delivery, reason: str) -> None:
        if delivery.timer is not None:
            delivery.timer.cancel()
        if delivery.command is not None:
            delivery.command.timed_out = True
        if delivery.command is not None or delivery.attempt >= len(self.settings.retry_seconds):
            self._waiting.discard(delivery)
            self.undelivered.append(delivery)
            self.changed()
            return
        seconds = self.settings.retry_seconds[delivery.attempt]
        delivery.attempt, delivery.reason = delivery.attempt + 1, reason
        self._later(delivery, seconds, lambda: self._try(delivery))

    def acknowledge(self, connection: Connection, envelope_id: str, payload: Any) -> None:
        delivery = connection.carried.pop(envelope_id, None)
        if delivery is None or delivery.envelope_id != envelope_id:
            return
        if delivery.timer is not None:
            delivery.timer.cancel()
        self._waiting.discard(delivery)
        if delivery.command is not None:
            delivery.command.acknowledged = True
            if isinstance(payload, dict) and payload.get("text"):
                delivery.command.answers.append({"response_type": "ephemeral", **payload})
        self.changed()

    @property
    def unacknowledged(self) -> int:
        """Count what is on its way or waits to come again."""
        return len(self._waiting)

    def close(self) -> None:
        """Send nothing any more."""
        for delivery in self._waiting:
            if delivery.timer is not None:
                delivery.timer.cancel()
        self._waiting.clear()


@dataclass(eq=False)
class Connection:
    """One WebSocket of an app: frames in order, its silence, its end."""

    sockets: Sockets
    bot: Bot
    request: web.Request
    ready: bool = False
    carried: dict[str, Delivery] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Slack's own answers to pings stop with everything else when it falls silent.
        self._ws = web.WebSocketResponse(autoping=False, timeout=2.0, max_msg_size=1 << 20)
        self._outbox: asyncio.Queue[Json | bytes | None] = asyncio.Queue()
        self._audible = asyncio.Event()
        self._audible.set()
        self._deaf = False
        self._goodbye: int | None = None
        self._reading: asyncio.Task[None] | None = None

    async def run(self) -> web.WebSocketResponse:
        await self._ws.prepare(self.request)
        writer = asyncio.create_task(self._write(), name="slack socket writer")
        self.sockets.came(self)
        self._reading = asyncio.create_task(self._read(), name="slack socket reader")
        try:
            await asyncio.wait({self._reading})
            if self._goodbye is not None:
                await asyncio.wait({writer})
        finally:
            self.ready = False
            self.sockets.left(self)
            for task in (self._reading, writer):
                task.cancel()
            await asyncio.gather(self._reading, writer, return_exceptions=True)
        return self._ws

    async def _read(self) -> None:
        async for frame in self._ws:
            if self._deaf:
                continue
            if frame.type is WSMsgType.PING:
                self._outbox.put_nowait(bytes(frame.data))
            elif frame.type is WSMsgType.TEXT:
                self._answer(frame.data)
            elif frame.type is WSMsgType.BINARY:
                self.hang_up(1003)

    def carry(self, delivery: Delivery) -> None:
        """Put an event or a command into an envelope."""
        self.carried[delivery.envelope_id] = delivery
        envelope: Json = {
            "envelope_id": delivery.envelope_id,
            "type": delivery.type,
            "accepts_response_payload": delivery.type == "slash_commands",
            "payload": delivery.payload,
        }
        if delivery.type == "events_api":
            envelope |= {"retry_attempt": delivery.attempt, "retry_reason": delivery.reason}
        self.tell(envelope)

    def tell(self, body: Json) -> None:
        self._outbox.put_nowait(body)

    def hang_up(self, code: int = 1000) -> None:
        """Close after what is already queued."""
        self.ready, self._goodbye = False, code
        self._outbox.put_nowait(None)
        self._audible.set()

    def cut(self) -> None:
        """Drop the connection without a close frame."""
        self.ready = False
        if self.request.transport is not None:
            self.request.transport.abort()

    def mute(self) -> None:
        """Say nothing any more, not even a pong; what comes in is still read."""
        self._audible.clear()

    def unmute(self) -> None:
        self._audible.set()
        self._deaf = False

    def freeze(self) -> None:
        """Become half open: nothing is said, and nothing that comes in is taken notice of."""
        self._deaf = True
        self.mute()

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            await self._audible.wait()
            try:
                if item is None:
                    await self._close()
                    return
                if isinstance(item, bytes):
                    await self._ws.pong(item)
                else:
                    await self._ws.send_str(json.dumps(item))
            except ClientConnectionResetError:
                return

    async def _close(self) -> None:
        # Out of receive() first: aiohttp would otherwise not wait for the client's own close frame.
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
        await self._ws.close(code=self._goodbye or 1000)

    def _answer(self, text: str) -> None:
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        if not isinstance(body, dict) or not isinstance(body.get("envelope_id"), str):
            self.hang_up()
            return
        self.sockets.acknowledge(self, body["envelope_id"], body.get("payload"))


def _debug() -> Json:
    return {"host": "applink-loopback", "build_number": 1}
