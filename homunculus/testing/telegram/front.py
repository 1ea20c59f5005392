"""The HTTP front: what every call passes before and after its method.

Owns tokens in paths, asked-for faults, the JSON of answers and the log of calls. Never changes the world.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from homunculus.testing.telegram import refusals
from homunculus.testing.telegram.faults import Fault, Faults
from homunculus.testing.telegram.forms import parameters
from homunculus.testing.telegram.methods import Call, Methods
from homunculus.testing.telegram.refusals import Json, Refusal, refuse
from homunculus.testing.telegram.world import TOKEN, Bot, World

MAX_REQUEST: Final = 1 << 20
KEPT: Final = 20_000  # calls in the log


@dataclass(frozen=True, slots=True)
class Request:
    """One answered call: `status` 0 where the connection was cut, `bot` 0 where nobody was authorized.

    `time` is when it arrived by the monotonic clock, `seconds` how long the answer took. The token is never kept.
    """

    method: str
    status: int
    bot: int
    form: Json
    time: float
    seconds: float


class Front:
    """Answer `/bot<token>/<method>`."""

    def __init__(self, world: World, methods: Methods, faults: Faults, changed: Callable[[], None]) -> None:
        self.log: list[Request] = []
        self._world, self._methods, self._faults, self._changed = world, methods, faults, changed

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call, or fail it as a test asked."""
        arrived = time.monotonic()
        method, bot = request.match_info["method"], self._world.bot_with(request.match_info["token"])
        form: Json = {}
        status, body, cut = 500, None, True
        try:
            form = await parameters(request)
            status, body, cut = await self._answer(request, method, bot, form)
        except Refusal as refusal:
            status, body, cut = refusal.status, refusal.body(), False
        finally:
            seconds = time.monotonic() - arrived
            self._note(Request(method, 0 if cut else status, bot.id if bot else 0, form, arrived, seconds))
        if cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)
        return _response(status, body)

    async def _answer(self, request: web.Request, method: str, bot: Bot | None, form: Json) -> tuple[int, Any, bool]:
        fault = self._faults.take(method, bot.id if bot else 0)
        if fault is not None and not fault.after:
            return await self._failed(fault, method)
        try:
            answer: tuple[int, Any] = (200, {"ok": True, "result": await self._result(request, method, bot, form)})
        except Refusal as refusal:
            answer = (refusal.status, refusal.body())
        if fault is not None:
            return await self._failed(fault, method)
        await self._dawdle(method)
        return (*answer, False)

    async def _failed(self, fault: Fault, method: str) -> tuple[int, Any, bool]:
        await self._dawdle(method)
        return (0, None, True) if fault.status is None else (fault.status, fault.answer(), False)

    async def _dawdle(self, method: str) -> None:
        if delay := self._faults.delay(method):
            await asyncio.sleep(delay)

    async def _result(self, request: web.Request, method: str, bot: Bot | None, form: Json) -> Any:
        if not TOKEN.fullmatch(request.match_info["token"]):
            raise refuse(refusals.NOT_FOUND)
        if bot is None or not bot.alive:
            raise refuse(refusals.UNAUTHORIZED)
        found = self._methods.table.get(method.lower())
        if found is None:
            raise refuse(refusals.NO_SUCH_METHOD)
        return await found(Call(bot, form))

    def _note(self, request: Request) -> None:
        self.log.append(request)
        del self.log[:-KEPT]
        self._changed()


def _response(status: int, body: Any) -> web.Response:
    if isinstance(body, str):
        return web.Response(status=status, text=body, content_type="text/html")
    return web.Response(status=status, body=json.dumps(body).encode(), content_type="application/json")
