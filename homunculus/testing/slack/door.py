"""The listening socket, shut without forgetting whoever was just being let in. Owns the moment of shutting.

asyncio's `Server.close` lets go of a socket that was accepted in the same turn of the loop: nobody closes it, and whoever
collects the garbage later is warned of it.
"""

from __future__ import annotations

import asyncio
import socket

from homunculus.testing.discord import door


class Door(door.Door):
    """A door whose shutting first stops listening, and a few turns of the loop later lets go."""

    def refuse(self) -> None:
        """Stop listening at once and cut every connection, those that are just being accepted too."""
        server, self._server = self._server, None
        if server is None:
            return
        _deafen(server)
        self._socket = door._bound(self.port)
        self.cut_all()
        loop = asyncio.get_running_loop()
        # One turn makes a connection of what was accepted, the next one starts it.
        loop.call_soon(lambda: loop.call_soon(lambda: loop.call_soon(self._let_go, server)))

    async def close(self) -> None:
        """Stop listening for good."""
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


def _deafen(server: asyncio.Server) -> None:
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
        listening.shutdown(socket.SHUT_RDWR)
