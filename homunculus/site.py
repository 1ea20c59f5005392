"""The web server as the deployment wants it: started, moved and stopped by reloads. Owns its task and the run file.

A server that cannot listen fails alone, with its reason: the NPCs go on.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from loguru import logger

from homunculus.config.identity import Identity
from homunculus.errors import HomunculusError, Refused
from homunculus.logs import scrub
from homunculus.model import ServerSpec
from homunculus.runtime.lock import RunFile, api_token
from homunculus.web.app import Running, build_app
from homunculus.web.server import Listening, WebServer
from homunculus.web.sessions import Sessions

RETRY_SECONDS = 10.0
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Site:
    """Follow the `server` section. `listening` says where it is up, `fault` why it is not."""

    def __init__(
        self,
        identity: Identity,
        file: Path,
        running: Callable[[Sessions], Running],
        closing: Callable[[], None],
    ) -> None:
        self._identity, self._file = identity, file
        self._running, self._closing = running, closing
        self._run_file = RunFile(identity.data_home, identity.bot_name)
        self._key = secrets.token_urlsafe(32)  # for this program's own commands, whatever token the file names
        # All the mutable state: what is wanted, what is up, and the task that brings the two together.
        self._wanted: ServerSpec | None = None
        self._applied: ServerSpec | None = None
        self._server: WebServer | None = None
        self._moving: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self.sessions: Sessions | None = None
        self.listening: Listening | None = None
        self.fault = ""

    def follow(self, wanted: ServerSpec) -> None:
        """Serve as this section says, from soon on."""
        self._wanted = wanted
        if self._retry is not None:
            self._retry.cancel()
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._move(), name="web server follows the file")

    async def settled(self) -> None:
        """Wait until the server is as it was last wanted."""
        while self._moving is not None and not self._moving.done():
            await asyncio.shield(self._moving)

    async def aclose(self) -> None:
        """Stop serving. Safe twice."""
        if self._retry is not None:
            self._retry.cancel()
        await self.settled()
        await self._stop()

    def sign_in_link(self) -> str:
        """Return a link that signs one browser in, once; empty while there is no server."""
        if self.listening is None or self.sessions is None:
            return ""
        return f"{self.listening.url}/sign-in?code={self.sessions.issue_code()}"

    async def _move(self) -> None:
        while self._wanted is not None and self._wanted != self._applied:
            wanted = self._wanted
            try:
                await self._change(wanted)
                self._applied, self.fault = wanted, ""
                self._tell_others()
            except Exception as error:  # noqa: BLE001 - the NPCs go on without a page, or with the one that was up
                known = isinstance(error, HomunculusError)
                self.fault = str(error) if known else f"it failed unexpectedly: {type(error).__name__}"
                logger.bind(reason=self.fault).opt(exception=None if known else error).error(
                    "the web server cannot follow"
                )
                if wanted == self._wanted:
                    self._again()
                    return

    async def _change(self, wanted: ServerSpec) -> None:
        """Bring up what is wanted, then take down what was; a server that keeps its port must let go of it first."""
        before, was = self._server, self._applied
        if before is not None and was is not None and (was.host, was.port) == (wanted.host, wanted.port):
            await self._stop()
            before = None
        if not wanted.enabled:
            await self._stop()
            return
        await self._start(wanted)
        if before is not None:
            await before.aclose()

    def _again(self) -> None:
        """Try again in a while: a port may become free."""
        self._tell_others()
        self._retry = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._follow_again)

    def _follow_again(self) -> None:
        if self._wanted is not None:
            self.follow(self._wanted)

    def _tell_others(self) -> None:
        address = self.listening.url if self.listening else ""
        try:
            self._run_file.write(pid=os.getpid(), address=address, file=self._file.absolute(), key=self._key)
        except Refused as error:
            logger.bind(reason=error.reason).error("other commands cannot find this server")

    async def _start(self, wanted: ServerSpec) -> None:
        token = self._token(wanted)
        scrub.hide([token, self._key])
        sessions = Sessions(token, key=self._key)
        server = WebServer(
            build_app(self._running(sessions)),
            host=wanted.host,
            port=wanted.port,
            port_written=wanted.port_written,
            closing=self._closing,
        )
        listening = await server.start()
        self._server, self.sessions, self.listening = server, sessions, listening
        logger.bind(address=listening.url).info("the web server listens")

    async def _stop(self) -> None:
        server, self._server, self.listening = self._server, None, None
        if server is not None:
            await server.aclose()

    def _token(self, wanted: ServerSpec) -> str:
        if wanted.token is not None and wanted.token.value:
            return wanted.token.value
        if wanted.host not in LOOPBACK:
            source = wanted.token.source if wanted.token else "server.token"
            raise Refused(f"{source} is missing: a server that others can reach needs a token")
        return api_token(self._identity.data_home, self._identity.bot_name)
