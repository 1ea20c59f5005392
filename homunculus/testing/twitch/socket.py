"""One WebSocket of EventSub: frames out in order, silence, the proof that they were read, and the end.

Owns the transport. Never knows what a frame says: that is `eventsub`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from aiohttp import ClientConnectionResetError, WSMsgType, web


@dataclass(frozen=True, slots=True)
class _Goodbye:
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Notice:
    """A frame, and the name under which its arrival is told."""

    text: str
    name: str = ""


class Socket:
    """Carry frames to one client; `read` is called with the name of a notice once the client has read it."""

    def __init__(self, read: Callable[[str], None]) -> None:
        self._read = read
        # Pings are ours to answer: whether a pong comes is how we know that a notice was read.
        self._ws = web.WebSocketResponse(autoping=False, timeout=1.0)
        self._outbox: asyncio.Queue[_Notice | _Goodbye] = asyncio.Queue()
        self._audible = asyncio.Event()
        self._audible.set()
        self._request: web.Request | None = None
        self.over = False
        self.code: int | None = None  # what we closed it with

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Carry frames until the connection ends; a client that speaks is hung up on (4001)."""
        self._request = request
        await self._ws.prepare(request)
        writer = asyncio.create_task(self._write(), name="twitch eventsub writer")
        try:
            await self._listen()
        finally:
            self.over = True
            if self.code is None:
                writer.cancel()
            self._audible.set()
            await asyncio.gather(writer, return_exceptions=True)
        return self._ws

    def send(self, text: str, name: str = "") -> None:
        """Send a frame after those before it; with a name its arrival is told."""
        if not self.over and self.code is None:
            self._outbox.put_nowait(_Notice(text, name))

    def hang_up(self, code: int, reason: str) -> None:
        """Close with a code after what was queued before; a muted socket speaks this last time."""
        if self.code is None and not self.over:
            self.code = code
            self._outbox.put_nowait(_Goodbye(code, reason))
            self._audible.set()

    def cut(self) -> None:
        """Drop the connection without a close frame."""
        self.over = True
        if self._request is not None and self._request.transport is not None:
            self._request.transport.abort()

    def mute(self) -> None:
        """Say nothing more, not even an answer to a ping, and close nothing."""
        self._audible.clear()

    @property
    def speaks(self) -> bool:
        """Tell whether it is neither over, nor about to be, nor silent."""
        return self._audible.is_set() and not self.over and self.code is None

    async def _listen(self) -> None:
        while True:
            heard = await self._ws.receive()
            if heard.type is WSMsgType.PONG:
                self._read(bytes(heard.data).decode())
            elif heard.type is WSMsgType.PING:
                await self._answer(bytes(heard.data))
            elif heard.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                self.hang_up(4001, "client sent inbound traffic")
            else:
                return

    async def _answer(self, ping: bytes) -> None:
        if self._audible.is_set():
            with suppress(ClientConnectionResetError):
                await self._ws.pong(ping)

    async def _write(self) -> None:
        with suppress(ClientConnectionResetError, ConnectionResetError):
            while True:
                item = await self._outbox.get()
                await self._audible.wait()
                if isinstance(item, _Goodbye):
                    await self._ws.close(code=item.code, message=item.reason.encode())
                    return
                await self._ws.send_str(item.text)
                if item.name:
                    await self._ws.ping(item.name.encode())
