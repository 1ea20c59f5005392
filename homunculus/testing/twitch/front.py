"""What every HTTP request passes before and after its route: faults, authorization, points, the request log.

Owns the JSON of answers and errors. The routes are in `identity` and `helix`. Never changes the world.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from homunculus.testing.twitch import refusals
from homunculus.testing.twitch.faults import Fault, Faults
from homunculus.testing.twitch.limits import Points
from homunculus.testing.twitch.refusals import Json, Refusal, missing_scope, refuse
from homunculus.testing.twitch.world import Bot, World

_HEADERS = web.RequestKey("twitch rate-limit headers", dict[str, str])
_CALLER = web.RequestKey("twitch account", Bot)
_BODY = web.RequestKey("twitch body", dict[str, Any])
_REFUSED = {404: refusals.NOT_FOUND, 405: refusals.METHOD_NOT_ALLOWED}

Answer = tuple[int, Any]
"""A status and a JSON value; None for an empty body."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request: `status` is 0 where the connection was cut, `login` the account's, empty where nobody was
    authorized; `body` what was sent as JSON. Tokens are never kept."""

    method: str
    path: str
    status: int
    login: str
    body: Json | None


@dataclass(frozen=True, slots=True)
class Call:
    """What a route of Helix gets: the authorized account and the request."""

    bot: Bot
    request: web.Request

    async def body(self) -> Json:
        """Read the JSON of the request."""
        try:
            body = json.loads(await self.request.text())
        except ValueError:
            raise refuse(refusals.NO_JSON) from None
        if not isinstance(body, dict):
            raise refuse(refusals.NO_JSON)
        self.request[_BODY] = body
        return body

    def needs(self, scope: str) -> None:
        """Refuse an account that was not granted a scope."""
        if scope not in self.bot.scopes:
            raise missing_scope(scope)


Handler = Callable[[Call], Awaitable[Answer]]


class Front:
    """Wrap every route in the rules for all requests."""

    def __init__(self, world: World, faults: Faults, points: Points, changed: Callable[[], None]) -> None:
        self.log: list[Request] = []
        self._world, self._faults, self._points, self._changed = world, faults, points, changed

    def helix(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Authorize, spend a point, then handle."""

        async def route(request: web.Request) -> web.StreamResponse:
            bot = self._authorized(request)
            request[_CALLER] = bot
            request[_HEADERS], enough = self._points.take(bot.client_id, bot.user.id)
            if not enough:
                raise refuse(refusals.TOO_MANY_REQUESTS)
            status, body = await handler(Call(bot, request))
            return answered(status, body, request[_HEADERS])

        return route

    def _authorized(self, request: web.Request) -> Bot:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refuse(refusals.NO_TOKEN)
        client_id = request.headers.get("Client-Id")
        if not client_id:
            raise refuse(refusals.NO_CLIENT_ID)
        bot = self._world.bot_with(token, time.time())
        if bot is None:
            raise refuse(refusals.BAD_TOKEN)
        if bot.client_id != client_id:
            raise refuse(refusals.WRONG_CLIENT_ID)
        return bot

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer, fail or dawdle as asked for, and note what was answered."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await handler(request)
        response = await self._answer(request, handler)
        if delay := self._faults.delay(request.path):
            await asyncio.sleep(delay)
        bot = request.get(_CALLER)
        self.log.append(
            Request(
                request.method,
                request.path,
                response.status if response is not None else 0,
                bot.login if bot else "",
                request.get(_BODY),
            )
        )
        self._changed()
        return _cut(request) if response is None else response

    async def _answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse | None:
        fault = self._faults.take(request.method, request.path)
        if fault is not None and not fault.after:
            return _fail(fault)
        try:
            response = await handler(request)
        except Refusal as refusal:
            response = answered(refusal.status, refusal.body(), request.get(_HEADERS, {}))
        except web.HTTPException as error:
            row = _REFUSED.get(error.status)
            if row is None:
                raise
            response = answered(row[0], refuse(row).body(), {})
        return response if fault is None else _fail(fault)


def _fail(fault: Fault) -> web.Response | None:
    if fault.status is None:
        return None
    if fault.status == 429:
        reset = {"Ratelimit-Limit": "800", "Ratelimit-Remaining": "0"}
        reset["Ratelimit-Reset"] = f"{time.time() + fault.retry_after:.0f}"
        return answered(429, refuse(refusals.TOO_MANY_REQUESTS).body(), reset)
    return answered(fault.status, Refusal(fault.status, "").body(), {})


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def answered(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    """Answer with JSON, or with nothing."""
    if body is None:
        return web.Response(status=status, headers=headers)
    return web.json_response(body, status=status, headers=headers)
