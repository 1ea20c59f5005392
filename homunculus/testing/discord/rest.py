"""The REST front: what every request passes before and after its route.

Owns user agent, API version, authorization, rate limits, asked-for faults, the JSON of errors and the request log.
The routes themselves are in `routes.py`. Never changes the world.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from homunculus.testing.discord import limits, refusals
from homunculus.testing.discord.faults import Fault, Faults
from homunculus.testing.discord.limits import Buckets, Rate, Verdict
from homunculus.testing.discord.mentions import snowflake
from homunculus.testing.discord.refusals import Json, Refusal, refuse
from homunculus.testing.discord.world import Bot, World

PREFIX: Final = "/api/v10"
MAX_REQUEST: Final = 25 * 1024 * 1024
# Discord asks for `DiscordBot (url, version)` and lets its edge turn others away.
_USER_AGENT: Final = re.compile(r"DiscordBot \(\S+,? \S+\)")
_HEADERS = web.RequestKey("discord rate-limit headers", dict[str, str])
_CALLER = web.RequestKey("discord bot", Bot)
_BODY = web.RequestKey("discord body", dict[str, Any])

Answer = tuple[int, Any]
"""A status and a JSON value; None for an empty body."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answered REST request: `path` without `/api/v10`, `status` 0 where the connection was cut.

    `time` is when it arrived by the monotonic clock, `seconds` how long the answer took; `body` is what was sent, as
    JSON; `bot` is the user id of the caller, None where nobody was authorized. The token is never kept.
    """

    method: str
    path: str
    status: int
    time: float
    seconds: float
    bot: int | None
    body: Json | None


@dataclass(frozen=True, slots=True)
class Call:
    """What a route gets: the authorized bot and the request."""

    bot: Bot
    request: web.Request

    def id(self, name: str) -> int:
        return snowflake(self.request.match_info[name], name)

    def note(self, body: Json) -> Json:
        """Put the body into the request log."""
        self.request[_BODY] = body
        return body


Handler = Callable[[Call], Awaitable[Answer]]
OpenHandler = Callable[[web.Request], Awaitable[Answer]]


class Front:
    """Wrap every route in Discord's rules for all requests."""

    def __init__(
        self,
        world: World,
        faults: Faults,
        message_rate: Rate | None,
        changed: Callable[[], None],
        webhook_rate: Rate | None = None,
    ) -> None:
        self.log: list[Request] = []
        self._world = world
        self._faults = faults
        self._message_rate = message_rate or limits.UNLIMITED
        self._webhook_rate = webhook_rate or limits.UNLIMITED
        self.changed = changed
        self._buckets = Buckets()

    def wrap(self, template: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Authorize, count against the route's bucket, then handle."""

        async def route(request: web.Request) -> web.Response:
            bot = self._authorize(request)
            request[_CALLER] = bot
            limited = self._limit(request, bot, template)
            if limited is not None:
                return limited
            status, body = await handler(Call(bot, request))
            return _json(status, body, request.get(_HEADERS, {}))

        return route

    def open(self, template: str, handler: OpenHandler) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Wrap a route whose path holds its own token: nobody is authorized, and the bucket is the webhook's."""

        async def route(request: web.Request) -> web.Response:
            limited = self._limit_webhook(request, template)
            if limited is not None:
                return limited
            status, body = await handler(request)
            return _json(status, body, request.get(_HEADERS, {}))

        return route

    def note(self, request: web.Request, body: Json) -> Json:
        """Put the body into the request log."""
        request[_BODY] = body
        return body

    @web.middleware
    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not request.path.startswith("/api/"):
            return await handler(request)
        arrived = time.monotonic()
        path = request.path.removeprefix(PREFIX)
        response = await self._answer(request, path, handler)
        if delay := self._faults.delay(path):
            await asyncio.sleep(delay)
        self._note(request, path, 0 if response is None else response.status, arrived)
        if response is None:
            return _cut(request)
        return response

    async def _answer(
        self, request: web.Request, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse | None:
        fault = self._faults.take(request.method, path)
        if fault is not None and not fault.after:
            return _fail(fault)
        try:
            _check_edge(request)
            response = await handler(request)
        except Refusal as refusal:
            response = _json(refusal.status, refusal.body(), request.get(_HEADERS, {}))
        except web.HTTPException as exc:
            response = _refused_by_server(exc)
        return response if fault is None else _fail(fault)

    def _authorize(self, request: web.Request) -> Bot:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        bot = self._world.bot_with(token) if scheme == "Bot" else None
        if bot is None or not bot.alive:
            raise refuse(refusals.UNAUTHORIZED)
        return bot

    def _limit(self, request: web.Request, bot: Bot, template: str) -> web.Response | None:
        counted = request.method in ("POST", "PATCH") and "/messages" in template
        major = (
            request.match_info.get("channel_id")
            or request.match_info.get("guild_id")
            or request.match_info.get("webhook_id")
            or ""
        )
        rate = self._message_rate if counted else limits.UNLIMITED
        return self._taken(request, self._buckets.take(bot.user_id, f"{request.method} {template}", major, rate))

    def _limit_webhook(self, request: web.Request, template: str) -> web.Response | None:
        major = f"{request.match_info['webhook_id']}/{request.match_info['webhook_token']}"
        rate = self._webhook_rate if request.method == "POST" else limits.UNLIMITED
        return self._taken(request, self._buckets.take(0, f"{request.method} {template}", major, rate))

    def _taken(self, request: web.Request, verdict: Verdict) -> web.Response | None:
        if verdict.retry_after is None:
            request[_HEADERS] = verdict.headers
            return None
        body, headers = limits.limited(verdict.retry_after)
        return _json(429, body, {**verdict.headers, **headers})

    def _note(self, request: web.Request, path: str, status: int, arrived: float) -> None:
        bot = request.get(_CALLER)
        seconds = time.monotonic() - arrived
        user_id = None if bot is None else bot.user_id
        self.log.append(Request(request.method, path, status, arrived, seconds, user_id, request.get(_BODY)))
        self.changed()


def _check_edge(request: web.Request) -> None:
    if not _USER_AGENT.match(request.headers.get("User-Agent", "")):
        raise web.HTTPForbidden(text="error code: 1010")
    if not request.path.startswith(PREFIX + "/"):
        raise refuse(refusals.BAD_API_VERSION)


def _refused_by_server(exc: web.HTTPException) -> web.StreamResponse:
    rows = {404: refusals.NOT_FOUND, 405: refusals.METHOD_NOT_ALLOWED, 413: refusals.TOO_LARGE}
    row = rows.get(exc.status)
    if row is None:
        return web.Response(status=exc.status, text=exc.text)
    return _json(row[0], refuse(row).body(), {})


def _fail(fault: Fault) -> web.Response | None:
    if fault.status is None:
        return None
    body, headers = fault.answer()
    if isinstance(body, str):
        return web.Response(status=fault.status, text=body, headers=headers)
    return _json(fault.status, body, headers)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _json(status: int, body: Any, headers: dict[str, str]) -> web.Response:
    """Answer with `application/json` and nothing after it: clients compare the header exactly."""
    if body is None:
        return web.Response(status=status, headers=headers)
    return web.Response(
        status=status, body=json.dumps(body).encode(), headers={**headers, "Content-Type": "application/json"}
    )
