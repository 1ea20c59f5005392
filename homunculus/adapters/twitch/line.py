"""One account's line to EventSub: a connection at a time, another when it breaks or is asked to move.

Owns the connections and their succession; never knows what they are subscribed to. Twitch has no history: what is said
between two connections is lost, so a lost one is replaced at once; one that is asked to move is left only when its
successor speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import yarl
from loguru import logger
from twitchio.models.eventsub_ import ChatMessage

from homunculus.adapters.twitch.api import Api
from homunculus.adapters.twitch.socket import KEEPALIVE, Listeners, Socket
from homunculus.errors import NotReady

WSS = "wss://eventsub.wss.twitch.tv/ws"
LOST_PATIENCE = 30.0  # seconds without a connection after which the session is given up
RETRY_EVERY = 1.0  # seconds between two tries to connect
BRIEF = 5.0  # seconds; a connection that lived no longer is not replaced at once
DRAIN = 1.5  # seconds in which an old connection may still say what it had to say before its successor's welcome


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom a line tells what. `fresh`: a new session that is subscribed to nothing; `moved`: one that kept its
    subscriptions, and the old is closed; `dead`: it could not be replaced."""

    message: Callable[[ChatMessage], None]
    revoked: Callable[[str, str], None]
    fresh: Callable[[], None]
    moved: Callable[[], None]
    dead: Callable[[NotReady], None]
    needed: Callable[[], bool]  # whether anything is to be heard at all: Twitch closes idle connections


class Line:
    """Keep one connection up for as long as anything is to be heard."""

    def __init__(self, key: str, api: Api, gateway: str, hooks: Hooks) -> None:
        self.key, self._api, self._hooks = key, api, hooks
        self._url = str(yarl.URL(gateway or WSS).update_query(keepalive_timeout_seconds=KEEPALIVE))
        self._listeners = Listeners(hooks.message, hooks.revoked, self._moved, self._lost)
        # All the mutable state that outlives an event:
        self._socket: Socket | None = None
        self._born = 0.0
        self._events: asyncio.Queue[tuple[Socket | None, str, str]] = asyncio.Queue()  # (which, what, more)
        self._keeper: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def session(self) -> str | None:
        """Return the session that can be subscribed, or None between two connections."""
        return self._socket.session_id if self._socket is not None else None

    async def open(self) -> None:
        """Connect. Raise NotReady."""
        self._socket = await self._connected(self._url)
        self._keeper = asyncio.create_task(self._keep(), name=f"{self.key} line")

    def wake(self) -> None:
        """Connect again where an idle connection was given up."""
        if self._socket is None:
            self._events.put_nowait((None, "lost", ""))

    async def aclose(self) -> None:
        """Hang up. Safe twice."""
        tasks = [task for task in (self._keeper, *self._retiring) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.end()

    # -- what sockets tell

    def _moved(self, socket: Socket, url: str) -> None:
        self._events.put_nowait((socket, "moved", url))

    def _lost(self, socket: Socket, why: str) -> None:
        self._events.put_nowait((socket, "lost", why))

    # -- one thing at a time

    async def _keep(self) -> None:
        while True:
            socket, what, more = await self._events.get()
            if socket is not self._socket:
                continue  # of one that has a successor
            try:
                await (self._move(more) if what == "moved" else self._rebuild(more))
            except NotReady as error:
                self._hooks.dead(error)
                return
            except Exception as error:  # noqa: BLE001 - a line that nobody keeps must be known to be dead
                logger.bind(adapter=self.key).opt(exception=error).error("The line to EventSub failed unexpectedly")
                self._hooks.dead(NotReady(f"the connection to EventSub failed: {type(error).__name__}"))
                return

    async def _move(self, url: str) -> None:
        before = self._socket
        try:
            self._socket = await self._connected(url)
        except NotReady as error:
            # The old one is closed soon (4004), and then replaced.
            logger.bind(adapter=self.key, reason=error.reason).info("Twitch asked us to move and did not let us in")
            return
        if before is not None:
            self._retire(before, DRAIN, self._hooks.moved)

    async def _rebuild(self, why: str) -> None:
        loop = asyncio.get_running_loop()
        lost, brief = self._socket, loop.time() - self._born < BRIEF
        self._socket = None
        if lost is not None:
            self._retire(lost, 0.0, _nothing)
        if not self._hooks.needed():
            return
        if why:
            logger.bind(adapter=self.key, reason=why).info("The connection to EventSub was lost; making a new one")
        deadline = loop.time() + LOST_PATIENCE
        if brief and why:
            await asyncio.sleep(RETRY_EVERY)
        while True:
            try:
                self._socket = await self._connected(self._url)
                break
            except NotReady:
                if loop.time() + RETRY_EVERY >= deadline:
                    raise
            await asyncio.sleep(RETRY_EVERY)
        self._hooks.fresh()

    async def _connected(self, url: str) -> Socket:
        socket = Socket(self._api, self._listeners)
        await socket.begin(url)
        self._born = asyncio.get_running_loop().time()
        return socket

    def _retire(self, socket: Socket, after: float, then: Callable[[], None]) -> None:
        task = asyncio.create_task(self._retired(socket, after, then), name=f"{self.key} retiring")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retired(self, socket: Socket, after: float, then: Callable[[], None]) -> None:
        try:
            await asyncio.sleep(after)
        finally:
            await socket.end()
        then()


def _nothing() -> None:
    """Do nothing when a broken connection is gone."""
