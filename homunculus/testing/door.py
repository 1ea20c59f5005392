"""The listening socket on 127.0.0.1: opened once, shut and opened again on the same port.

Owns the port. Never reads a request.
"""

from __future__ import annotations

import asyncio
import socket

from aiohttp import web


class Door:
    """Accept connections for a runner, or refuse them all as an unreachable host would."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        server = self._runner.server
        assert server is not None, "set the runner up before opening its door"
        self._server = await asyncio.get_running_loop().create_server(server, sock=self._socket)

    def refuse(self) -> None:
        """Stop listening and cut every connection; the port stays ours, bound but deaf."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._socket = _bound(self.port)
        self.cut_all()

    def accept(self) -> None:
        """Listen again at once; serving what has queued up meanwhile starts with the next turn of the loop."""
        if self._server is None and self._opening is None:
            self._socket.listen(128)
            self._opening = asyncio.create_task(self._reopen(), name="loopback door")

    async def _reopen(self) -> None:
        await self.open()
        self._opening = None

    def cut_all(self) -> None:
        for connection in self._runner.server.connections if self._runner.server else []:
            if connection.transport is not None:
                connection.transport.abort()

    async def close(self) -> None:
        if self._opening is not None:
            await self._opening
        if self._server is not None:
            self._server.close()
        self._socket.close()


def _bound(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    return one
