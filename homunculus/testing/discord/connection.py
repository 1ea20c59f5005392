"""One WebSocket connection of the gateway: frames in, frames out in order, and its end.

Owns the transport: compression, silence, closing, the heartbeat's deadline and the allowance of frames. Never reads what
a frame says: that is `gateway.py`.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections import deque
from typing import Any, Final

from aiohttp import ClientConnectionResetError, WSMessage, WSMsgType, web

from homunculus.testing.discord.protocol import Closing

SENDS_A_MINUTE: Final = 120
DISCORD_INTERVAL: Final = 41.25


class Connection:
    """Carry frames between a client and the gateway."""

    def __init__(self, request: web.Request, interval: float) -> None:
        self._interval = interval
        self._request = request
        self._ws = web.WebSocketResponse(compress=False, timeout=2.0, max_msg_size=1 << 20)
        self._outbox: asyncio.Queue[str | Closing] = asyncio.Queue()
        self._audible = asyncio.Event()
        self._audible.set()
        self._closing = self._saying_goodbye = False
        self._frames: deque[float] = deque()
        self._starving: asyncio.TimerHandle | None = None
        self._reading: asyncio.Task[WSMessage] | None = None
        self._deflate = zlib.compressobj() if request.query.get("compress") == "zlib-stream" else None

    async def open(self) -> asyncio.Task[None]:
        """Shake hands; the returned task writes until the connection ends."""
        await self._ws.prepare(self._request)
        self.feed()
        return asyncio.create_task(self._write(), name="discord gateway writer")

    async def end(self, writer: asyncio.Task[None]) -> web.WebSocketResponse:
        """Let a goodbye go out, then stop writing."""
        if self._starving is not None:
            self._starving.cancel()
        if not self._saying_goodbye:
            writer.cancel()
            await self._stop_reading()
        await asyncio.gather(writer, return_exceptions=True)
        return self._ws

    async def receive(self) -> str | int | None:
        """Wait for the next frame: its text; the client's close code; None where the connection is over."""
        self._reading = asyncio.create_task(self._ws.receive())
        await asyncio.wait({self._reading})
        if self._closing or self._reading.cancelled():
            return None
        frame = self._reading.result()
        if frame.type is WSMsgType.BINARY:
            raise Closing(4002, "Error while decoding payload: json encoding sends text.")
        if frame.type is WSMsgType.TEXT:
            self._count_frame()
            return str(frame.data)
        return int(frame.data) if frame.type is WSMsgType.CLOSE and frame.data else None

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            if isinstance(item, Closing):
                # Out of receive() first: aiohttp would otherwise not wait for the client's own close frame, and a
                # client that cannot send it may forget which code it was told.
                await self._stop_reading()
                await self._ws.close(code=item.code, message=item.reason.encode()[:120])
                return
            await self._audible.wait()
            try:
                await self._write_frame(item)
            except ClientConnectionResetError:
                return

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _write_frame(self, text: str) -> None:
        if self._deflate is None:
            await self._ws.send_str(text)
        else:
            raw = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
            await self._ws.send_bytes(raw)

    def send(self, text: str) -> None:
        self._outbox.put_nowait(text)

    def tell(self, op: int, data: Any) -> None:
        self.send(json.dumps({"op": op, "d": data, "s": None, "t": None}))

    def hang_up(self, code: int, reason: str) -> None:
        """Close with a code after what is already queued; a muted connection speaks this last time."""
        self._closing = self._saying_goodbye = True
        self._outbox.put_nowait(Closing(code, reason))
        self._audible.set()

    def cut(self) -> None:
        """Drop the connection without a close frame."""
        self._closing = True
        if self._request.transport is not None:
            self._request.transport.abort()

    def mute(self) -> None:
        self._audible.clear()

    def unmute(self) -> None:
        self._audible.set()

    def feed(self) -> None:
        """Wait for the next heartbeat: two intervals, the second one being the tolerance for a slow network."""
        if self._starving is not None:
            self._starving.cancel()
        self._starving = asyncio.get_running_loop().call_later(2 * self._interval, self._starve)

    def _starve(self) -> None:
        self.hang_up(4000, "No heartbeat in time; reconnect and resume.")

    def _count_frame(self) -> None:
        now = time.monotonic()
        self._frames.append(now)
        while now - self._frames[0] >= 60:
            self._frames.popleft()
        # An interval below Discord's own asks for more heartbeats: those must not use up the allowance.
        extra = max(0.0, 60 / self._interval - 60 / DISCORD_INTERVAL)
        if len(self._frames) > SENDS_A_MINUTE + extra:
            raise Closing(4008, "Rate limited: 120 payloads in 60 seconds.")
