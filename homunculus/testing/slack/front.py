"""The Web API's front: what every call passes before and after its method.

Owns reading arguments, tokens, scopes, asked-for faults, rate limits and the log of calls. The methods themselves are in
`chat.py` and `conversations.py`. Never changes the world.
Source: Slack's "Using the Slack Web API", "Rate limits" and "Token types".
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from homunculus.testing.slack.faults import Faults, limited
from homunculus.testing.slack.refusals import Json, Refusal
from homunculus.testing.slack.world import Bot, Channel, World

MAX_REQUEST: Final = 1 << 20
Rate = tuple[int, float]
"""How many posts a window of how many seconds holds, for each channel."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answered call: `status` 0 where the connection was cut, `error` Slack's code where there was one.

    `bot` is the user id of the caller, None where nobody was authorized. The token is never kept.
    """

    method: str
    status: int
    error: str
    arguments: Json
    bot: str | None
    time: float


@dataclass(frozen=True, slots=True)
class Call:
    """What a method gets: the authorized bot and the arguments, each as its own JSON type or as a string of a form."""

    world: World
    bot: Bot
    arguments: Json = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return an argument that must be there."""
        value = self.arguments.get(name)
        if value is None or value == "":
            raise Refusal(
                "invalid_arguments", response_metadata={"messages": [f"[ERROR] missing required field: {name}"]}
            )
        if not isinstance(value, str):
            raise Refusal("invalid_arguments", response_metadata={"messages": [f"[ERROR] must be a string: {name}"]})
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        value = self.arguments.get(name, default)
        return value in (True, 1, "1", "true", "True")

    def needs(self, *scopes: str) -> None:
        """Refuse a token that has none of these scopes."""
        if not self.bot.scopes.intersection(scopes):
            raise Refusal("missing_scope", needed=",".join(scopes), provided=provided(self.bot))

    def channel(self, name: str = "channel") -> Channel:
        """Return a conversation of the bot's workspace that it may know of: a public one, or one it is in."""
        found = self.world.channels.get(str(self.arguments.get(name) or ""))
        if found is None or found.workspace is not self.bot.workspace:
            raise Refusal("channel_not_found")
        if found.kind != "channel" and self.bot.user_id not in found.members:
            raise Refusal("channel_not_found")
        return found

    def joined(self, name: str = "channel") -> Channel:
        """Return a conversation that the bot is in."""
        found = self.channel(name)
        if self.bot.user_id not in found.members:
            raise Refusal("not_in_channel")
        return found


Method = Callable[[Call], Json]
_NO_BODY: Final[Json] = {}


def provided(bot: Bot) -> str:
    return ",".join(sorted(bot.scopes))


class Front:
    """Dispatch calls to methods by name, under the rules that hold for all of them."""

    def __init__(self, world: World, faults: Faults, rate: Rate | None, changed: Callable[[], None]) -> None:
        self.log: list[Request] = []
        self.app_methods: dict[str, Method] = {}  # those that take the app's token
        self.methods: dict[str, Method] = {}
        self._world, self._faults, self._rate, self._changed = world, faults, rate, changed
        self._posts: dict[str, deque[float]] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one call."""
        method, arrived = request.match_info["method"], time.monotonic()
        before, after = self._faults.delays(method)
        await asyncio.sleep(before)
        bot, arguments, response = await self._answer(request, method)
        await asyncio.sleep(after)
        error = _error(response)
        status = 0 if response is None else response.status
        self.log.append(Request(method, status, error, arguments, bot.user_id if bot else None, arrived))
        self._changed()
        return cut(request) if response is None else response

    async def around(
        self, request: web.Request, name: str, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> web.StreamResponse:
        """Answer what is no method but can fail as one, under a name of its own."""
        fault, response = self._faults.take(name), None
        if fault is None or fault.after:
            response = await handler(request)
        response = response if fault is None else fault.answer()
        status = 0 if response is None else response.status
        self.log.append(Request(name, status, "", {}, None, time.monotonic()))
        self._changed()
        return cut(request) if response is None else response

    async def _answer(self, request: web.Request, method: str) -> tuple[Bot | None, Json, web.Response | None]:
        fault, bot, arguments = self._faults.take(method), None, _NO_BODY
        if fault is not None and not fault.after:
            return None, arguments, fault.answer()
        try:
            arguments = await read_arguments(request)
            bot = self._authorized(request, method, arguments)
            response = self._called(method, bot, arguments)
        except Refusal as refusal:
            response = web.json_response(refusal.body())
        if bot is not None:
            response.headers["x-oauth-scopes"] = "connections:write" if method in self.app_methods else provided(bot)
        return bot, arguments, response if fault is None else fault.answer()

    def _called(self, method: str, bot: Bot, arguments: Json) -> web.Response:
        if method == "chat.postMessage" and (wait := self._full(str(arguments.get("channel")))):
            return limited(wait)
        run = self.methods.get(method) or self.app_methods[method]
        return web.json_response({"ok": True, **run(Call(self._world, bot, arguments))})

    def _authorized(self, request: web.Request, method: str, arguments: Json) -> Bot:
        if method not in self.methods and method not in self.app_methods:
            raise Refusal("unknown_method", req_method=method)
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip() if scheme == "Bearer" else ""
        if not token and request.content_type != "application/json":
            token = str(arguments.pop("token", ""))  # a JSON body's own token is not looked at
        if not token:
            raise Refusal("not_authed")
        by_bot, by_app = self._world.bot_with(token), self._world.bot_with_app_token(token)
        bot, wrong = (by_app, by_bot) if method in self.app_methods else (by_bot, by_app)
        if bot is None:
            raise Refusal("not_allowed_token_type" if wrong else "invalid_auth")
        if not bot.alive:
            raise Refusal("token_revoked" if method in self.methods else "invalid_auth")
        return bot

    def _full(self, channel: str) -> float:
        """Tell how long a channel takes no more posts; 0 when it takes this one."""
        if self._rate is None:
            return 0.0
        most, seconds = self._rate
        now, posts = time.monotonic(), self._posts.setdefault(channel, deque())
        while posts and posts[0] <= now - seconds:
            posts.popleft()
        if len(posts) >= most:
            return posts[0] + seconds - now
        posts.append(now)
        return 0.0


async def read_arguments(request: web.Request) -> Json:
    """Read the query, then a form or a JSON object."""
    arguments: Json = dict(request.query)
    if request.content_type == "application/json":
        raw = await request.read()
        try:
            body = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise Refusal("invalid_json") from None
        if not isinstance(body, dict):
            raise Refusal("json_not_object")
        return arguments | body
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return arguments | {name: str(value) for name, value in (await request.post()).items()}
    if await request.read():
        raise Refusal("invalid_form_data")
    return arguments


def _error(response: web.Response | None) -> str:
    if response is None or response.content_type != "application/json":
        return ""
    return str(json.loads(response.text or "{}").get("error", ""))


def cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
