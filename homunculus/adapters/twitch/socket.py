"""One WebSocket of EventSub, on twitchio's: what arrives, and that it has ended.

Owns one connection from its welcome to its close. Never connects a second time: twitchio would by itself, deaf meanwhile,
and would drop what the old connection still had to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger
from twitchio.eventsub.websockets import Websocket
from twitchio.exceptions import TwitchioException
from twitchio.models.eventsub_ import ChatMessage, SubscriptionRevoked, WebsocketWelcome

from homunculus.errors import NotReady

KEEPALIVE = 10  # seconds of silence that we ask for, the least that Twitch grants
LATE = 1.5  # times the promised silence, and a little for the road, until a connection counts as dead
ROAD = 2.0  # seconds
WELCOME_PATIENCE = 15.0  # seconds to connect and be welcomed
CLOSE_PATIENCE = 2.0  # seconds for a polite goodbye
_US = "us"  # whose socket it is: twitchio keeps several accounts in one client


@dataclass(frozen=True, slots=True)
class Listeners:
    """Whom a socket tells what: messages and revocations at once, that it was asked to move, that it is over."""

    message: Callable[[ChatMessage], None]
    revoked: Callable[[str, str], None]  # (subscription id, status)
    moved: Callable[[Socket, str], None]  # (which, where to)
    lost: Callable[[Socket, str], None]  # (which, why)


class _Ear:
    """Stands where twitchio expects its client: events are handed on at once, in order, without a task for each."""

    def __init__(self, socket: Socket, listeners: Listeners) -> None:
        self._socket, self._listeners = socket, listeners
        self._websockets: dict[str, dict[str, Any]] = {}  # twitchio takes closed sockets out of it

    def dispatch(self, event: str, payload: Any = None) -> None:
        match payload:
            case ChatMessage():
                self._listeners.message(payload)
            case WebsocketWelcome():
                self._socket.silence = float(payload.keepalive_timeout_seconds or KEEPALIVE)
            case SubscriptionRevoked():
                self._listeners.revoked(payload.id, str(payload.status))


class Socket(Websocket):
    """One connection; `silence` is how many seconds without a word Twitch promised not to exceed."""

    def __init__(self, api: Any, listeners: Listeners) -> None:  # an Api: twitchio wants its own, which renews tokens
        self.silence = float(KEEPALIVE)
        self.heard = 0.0  # by the loop's clock
        self._listeners = listeners
        self._told = False
        ear: Any = _Ear(self, listeners)
        super().__init__(keep_alive_timeout=KEEPALIVE, reconnect_attempts=None, client=ear, token_for=_US, http=api)

    async def begin(self, url: str) -> None:
        """Connect and be welcomed. Raise NotReady, with nothing left behind."""
        try:
            async with asyncio.timeout(WELCOME_PATIENCE):
                await self.connect(url=url, fail_once=True)
        except (TwitchioException, TimeoutError, OSError) as error:
            await self.end()
            cause = type(error.__cause__ or error).__name__
            raise NotReady(f"EventSub cannot be reached: {cause}") from error
        except BaseException:
            await self.end()
            raise

    async def end(self) -> None:
        """Close whatever there is; nothing is told any more. Safe twice."""
        self._told = True
        tasks = [task for task in (self._listen_task, self._keep_alive_task) if task is not None]
        wire = self._socket
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await self.close()
        except TimeoutError:
            logger.info("Twitch did not answer our goodbye; hanging up")
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            if wire is not None and not wire.closed:
                await wire.close()

    # -- what twitchio calls

    @property
    def _last_keepalive(self) -> Any:  # twitchio keeps the time of day there, and that may be set
        return self.heard

    @_last_keepalive.setter
    def _last_keepalive(self, _: object) -> None:
        self.heard = asyncio.get_running_loop().time()

    async def _listen(self) -> None:
        wire = self._socket
        why = "it ended"
        try:
            await super()._listen()
        except Exception as error:  # noqa: BLE001 - whatever twitchio stumbles over, the next connection may be sound
            logger.opt(exception=True).warning("twitchio failed over what Twitch said")
            why = f"it failed: {type(error).__name__}"
        if wire is not None and wire.close_code:
            why = f"closed with {wire.close_code}"
        self._tell_loss(why)

    async def _process_keepalive(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self.heard + LATE * self.silence + ROAD - loop.time()) > 0:  # noqa: ASYNC110 - a deadline that moves
            await asyncio.sleep(left)
        self._tell_loss("it fell silent")

    async def _process_reconnect(self, data: Any) -> None:
        self._listeners.moved(self, data["payload"]["session"]["reconnect_url"])

    async def _process_revocation(self, data: Any) -> None:
        revoked = data["payload"]["subscription"]
        self._listeners.revoked(revoked["id"], revoked["status"])

    async def _create_connection_task(self) -> None:
        """Leave connecting again to the line, which knows of every connection."""

    def _tell_loss(self, why: str) -> None:
        if not self._told:
            self._told = True
            self._listeners.lost(self, why)
