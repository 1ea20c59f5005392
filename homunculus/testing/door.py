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
        """Stop listening at once and cut every connection, those just being accepted too; the port stays ours, but deaf."""
        server, self._server = self._server, None
        if server is None:
            return
        _deafen(server)
        self._socket = _bound(self.port)
        self.cut_all()
        loop = asyncio.get_running_loop()
        # One turn makes a connection of what was accepted, the next one starts it.
        loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(self._let_go, server)))

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
        server, self._server = self._server, None
        if server is not None:
            _deafen(server)
            for _ in range(3):
                await asyncio.sleep(0)
            server.close()
        self._socket.close()

    def _let_go(self, server: asyncio.Server) -> None:
        server.close()
        self.cut_all()


def _bound(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", port))
    return one


def _deafen(server: asyncio.Server) -> None:
    """Stop listening without forgetting whom it just let in.

    asyncio's `Server.close` lets go of a socket that was accepted in the same turn of the loop: nobody closes it, and whoever
    collects the garbage later is warned of it.
    """
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
        listening.shutdown(socket.SHUT_RDWR)
