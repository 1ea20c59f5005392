"""One Socket Mode connection on slack-sdk's client: opened once, never opened again by itself.

Owns the socket and its tasks; never reads what an envelope holds. What becomes of a connection that ends is for the
adapter to say: by itself, slack-sdk's client may go on forever as "connected" on a session that is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from homunculus.adapters.slack.web import QUIET, Web
from homunculus.errors import NotReady

PING_EVERY = 6.0  # seconds; a connection without an answer for half of that more is dead
HELLO_PATIENCE = 10.0  # seconds from the address to Slack's hello
CLOSE_PATIENCE = 2.0  # seconds for a polite goodbye

Took = Callable[["Line", SocketModeRequest], None]
Told = Callable[["Line", str], None]
Lost = Callable[["Line", str], None]


class _Client(SocketModeClient):
    """A client that connects once and says at once when that is over."""

    def __init__(self, app_token: str, web: Web, told: Callable[[str], None], ended: Callable[[str], None]) -> None:
        super().__init__(
            app_token=app_token,
            logger=QUIET,
            web_client=web.client,
            auto_reconnect_enabled=False,
            ping_interval=PING_EVERY,
        )
        self.proxy = web.client.proxy
        self._told, self._ended = told, ended

    async def run_message_listeners(self, message: dict[str, Any], raw_message: str) -> None:
        """Leave a wish to disconnect to the adapter: it opens the next connection before it lets go of this one."""
        if message.get("type") == "disconnect":
            self._told(str(message.get("reason", "")))
        else:
            await super().run_message_listeners(message, raw_message)

    async def receive_messages(self) -> None:
        """Hand on what arrives, and end with the session."""
        session = self.current_session
        if session is None:
            return
        while True:
            message = await session.receive()
            if message.type is WSMsgType.TEXT:
                await self.enqueue_message(message.data)
            elif message.type is WSMsgType.PING:
                await session.pong(message.data)
            elif message.type is not WSMsgType.PONG:
                self._ended("fell silent" if message.type is WSMsgType.ERROR else "was closed")
                return


class Line:
    """Keep one connection; tell `took` of each envelope, `told` of Slack's wish to end it and why, `lost` of its end."""

    def __init__(self, app_token: str, web: Web, took: Took, told: Told, lost: Lost) -> None:
        self._web, self._app_token = web, app_token
        self._took, self._told, self._lost = took, told, lost
        self._hello = asyncio.Event()
        self._over = False
        self._client: _Client | None = None

    async def open(self) -> None:
        """Connect; return once Slack has said hello. Raises NotReady or Refused."""
        address = await self._web.socket(self._app_token)
        self._client = client = _Client(self._app_token, self._web, self._tell, self._end)
        client.wss_uri = address
        client.message_listeners.append(self._read)
        client.socket_mode_request_listeners.append(self._take)
        try:
            async with asyncio.timeout(HELLO_PATIENCE):
                await client.connect()  # type: ignore[no-untyped-call]  # slack-sdk does not annotate it
                await self._hello.wait()
        except TimeoutError:
            raise NotReady(f"Slack did not say hello within {HELLO_PATIENCE:.0f} s") from None
        if self._over:
            raise NotReady("Slack closed the connection at once")

    async def acknowledge(self, envelope_id: str) -> bool:
        """Tell Slack that an envelope was taken; False where that can no longer be told."""
        if self._client is None or self._over:
            return False
        try:
            await self._client.send_socket_mode_response(SocketModeResponse(envelope_id=envelope_id))
        except (OSError, RuntimeError):
            return False  # it comes again, and is known then
        return True

    async def aclose(self) -> None:
        """Close the connection and end what belongs to it. Safe twice."""
        client, self._client, self._over = self._client, None, True
        if client is None:
            return
        tasks = [client.message_processor, client.current_session_monitor, client.message_receiver]
        try:
            with suppress(TimeoutError, OSError):  # whatever the other side still says, it is over
                async with asyncio.timeout(CLOSE_PATIENCE):
                    await client.close()  # type: ignore[no-untyped-call]  # slack-sdk does not annotate it
        finally:
            client.closed = True
            for task in filter(None, tasks):
                task.cancel()
            await asyncio.gather(*filter(None, tasks), return_exceptions=True)
            await client.aiohttp_client_session.close()

    # -- what the client tells

    async def _read(self, _: object, message: dict[str, Any], __: str | None = None) -> None:
        if message.get("type") == "hello":
            self._hello.set()

    async def _take(self, _: object, request: SocketModeRequest) -> None:
        self._took(self, request)

    def _tell(self, reason: str) -> None:
        self._told(self, reason)

    def _end(self, how: str) -> None:
        self._hello.set()
        if not self._over:
            self._over = True
            self._lost(self, how)
