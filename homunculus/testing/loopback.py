"""What every loopback platform is: an application on a free port of 127.0.0.1, waited for by tests, reachable or not.

Owns the port, the life and the waiting; never a rule of a platform.
"""

from __future__ import annotations

import asyncio
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

from aiohttp import web

from homunculus.testing.door import Door


class Loopback(ABC):
    """Serve a platform; `async with` it. A platform says what it serves and what a test has seen of it."""

    # How its application ends; see aiohttp's AppRunner.
    _ending: ClassVar[dict[str, Any]] = {"shutdown_timeout": 1.0}

    def __init__(self) -> None:
        self._runner: web.AppRunner | None = None
        self._door: Door | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    @abstractmethod
    def _app(self) -> web.Application:
        """Make what is served, once for each start."""

    @abstractmethod
    def _seen(self) -> str:
        """Say what happened so far, for a test that waited in vain."""

    def _opening(self) -> None:  # noqa: B027 - a platform whose answers name no address of its own does nothing
        """Take notice of the port, before anybody can come in."""

    @property
    def _port(self) -> int:
        if self._door is None:
            raise RuntimeError(f"this {type(self).__name__} is not running; use `async with` or `await server.start()`")
        return self._door.port

    # -- life

    async def start(self) -> None:
        """Bind a free port of 127.0.0.1 and serve."""
        if self._door is not None:
            raise RuntimeError(f"this {type(self).__name__} runs already")
        self._runner = web.AppRunner(self._app(), access_log=None, **self._ending)
        await self._runner.setup()
        self._door = Door(self._runner)
        self._opening()
        await self._door.open()

    async def stop(self) -> None:
        """Cut every connection and free the port; safe to call twice."""
        door, runner = self._door, self._runner
        self._door = self._runner = None
        if door is None or runner is None:
            return
        await door.close()
        door.cut_all()
        await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def refuse_connections(self) -> None:
        """Become unreachable: open connections are cut, new ones refused."""
        if self._door is not None:
            self._door.refuse()

    def accept_connections(self) -> None:
        """Become reachable again."""
        if self._door is not None:
            self._door.accept()

    # -- waiting

    async def wait_for(self, predicate: Callable[[Self], Any], timeout: float = 10.0) -> None:
        """Wait until `predicate(server)` holds, looking again at each change; TimeoutError tells what was seen."""
        try:
            async with asyncio.timeout(timeout):
                while not predicate(self):
                    await self._next_change()
        except TimeoutError as exc:
            raise TimeoutError(f"after {timeout:g} s still not: {_source(predicate)}; {self._seen()}") from exc

    async def _next_change(self) -> None:
        change = asyncio.get_running_loop().create_future()
        self._waiting.add(change)
        try:
            await change
        finally:
            self._waiting.discard(change)

    def _changed(self) -> None:
        """Wake whoever waits: something happened."""
        for change in self._waiting:
            if not change.done():
                change.set_result(None)


def _source(predicate: Callable[..., Any]) -> str:
    """Show what was waited for: its source line where there is one."""
    try:
        return " ".join(inspect.getsource(predicate).split())[:200]
    except (OSError, TypeError):
        return repr(predicate)
