"""uvicorn inside our own loop: bound before it starts, signals left alone, closed within seconds.

Owns the listening socket and the server's task; never decides who may come in.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from homunculus.errors import InUse, Refused

_TRIES = 100  # ports looked at after a busy one that nobody wrote
_GRACE = 2.0
_STALLED_MS = 30_000  # a reader that acknowledges nothing for that long is cut off by the kernel


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the server can be reached."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Return an address that a browser on this machine can open."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)  # noqa: S104 - shown, not bound
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"


class _Uvicorn(uvicorn.Server):
    """A server that says when it listens and keeps its hands off signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up, self.leave = asyncio.Event(), asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def main_loop(self) -> None:
        """Tick once a second for the Date header, not ten times, and end at once when told to."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self.leave.wait()


class WebServer:
    """Serve an ASGI application at an address. `closing` is called first on the way down, to end streams."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str = "127.0.0.1",
        port: int = 8420,
        port_written: bool = False,
        closing: Callable[[], None] = lambda: None,
    ) -> None:
        self._app, self._closing = app, closing
        self._host, self._port, self._port_written = host, port, port_written
        self._server: _Uvicorn | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Listening:
        """Listen; return where. Raise InUse when a written port is taken, Refused when the address cannot be had."""
        listener = await asyncio.to_thread(self._bind)
        host, port = listener.getsockname()[:2]
        self._server = _Uvicorn(_config(self._app))
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="web server")
        up = asyncio.create_task(self._server.up.wait(), name="web server start")
        try:
            await asyncio.wait((self._task, up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if self._task.done():
            listener.close()
            self._task.result()
            raise Refused("the web server ended while it started")
        return Listening(host, port)

    async def closed(self) -> None:
        """Wait until the server ends by itself or is closed; raise what ended it."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def aclose(self) -> None:
        """End streams, finish requests for a moment, and stop listening. Safe twice, and without a start."""
        self._closing()
        server, task = self._server, self._task
        if server is None or task is None:
            return
        server.should_exit = True
        server.leave.set()
        done, _ = await asyncio.wait((task,), timeout=2 * _GRACE)
        if not done:
            server.force_exit = True
            task.cancel()
        for connection in tuple(server.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        with suppress(asyncio.CancelledError):
            await task

    def _bind(self) -> socket.socket:
        last = self._port if self._port_written or self._port == 0 else self._port + _TRIES
        for port in range(self._port, min(last, 65535) + 1):
            try:
                return _listener(self._host, port)
            except OSError as fault:
                if fault.errno != errno.EADDRINUSE:
                    raise Refused(f"cannot listen on {self._host}:{port}: {fault.strerror or fault}") from fault
        raise InUse(f"port {self._port} of {self._host}", "another program; write a free one as server.port")


def _listener(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except UnicodeError as fault:
        raise Refused(f"{host!r} is not a host's name; write server.host as an address or a name") from fault
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        listener.bind(address)
        # Without this a second bind of the port succeeds, and only its listen would fail.
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener


def _config(app: ASGIApp) -> uvicorn.Config:
    settings: dict[str, Any] = {
        "lifespan": "off",
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": 10,
        "timeout_graceful_shutdown": int(_GRACE),
    }
    return uvicorn.Config(app, **settings)
