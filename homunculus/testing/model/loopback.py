"""What the loopback model endpoints share: a listening socket, what is said, and what goes wrong on order.

Never knows a protocol: a subclass says which paths there are, what it refuses, and how an answer is worded.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

Body = dict[str, Any]
Script = Callable[[Body], str]
Event = tuple[str, str]  # the event's name ("" for none), its data

ON = " and on" * 64  # each piece of a stream that never ends
PIECES = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")  # a token is a word with the space before it


class Rejected(Exception):
    """Carry one error answer; each protocol words it in its own JSON."""

    status = 400

    def response(self) -> web.Response:
        raise NotImplementedError


@dataclass(slots=True)
class Faults:
    """What goes wrong until told otherwise. All None or empty: nothing does."""

    refuse: int | None = None  # every call is answered with this status
    cut_after: int | None = None  # the connection breaks after so many events of a stream
    endless: bool = False  # a stream never ends
    silent: bool = False  # a call is accepted and never answered
    slow: float = 0.0  # seconds before each event of a stream
    redirect_to: str = ""  # every call is sent elsewhere
    junk: bytes | None = None  # this instead of an answer, with status 200
    junk_type: str = "text/event-stream"
    unsupported: frozenset[str] = frozenset()  # parameters that this model does not take


@dataclass(slots=True)
class Wire:
    """How a stream is written: its line ends, comments between events, usage, and bytes a write (0 = an event)."""

    line_end: str = "\n"
    comments: bool = False
    usage: bool = True
    done: bool = True
    split: int = 0


class Loopback:
    """One endpoint with one key. `models` are the names it knows; empty knows every name."""

    prefix = "/v1"  # of `base_url`, as clients of the protocol expect it

    def __init__(self, key: str | None = None, models: tuple[str, ...] = ()) -> None:
        self.key = key or f"sk-test-{secrets.token_hex(12)}"
        self.models = models
        self.faults, self.wire = Faults(), Wire()
        # All the mutable state: what was asked, what will be said, what will fail next, who is being answered.
        self.requests: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.answered = 0
        self._script: Script = lambda body: "Hello."
        self._next_faults: deque[Rejected] = deque()
        self._changed = asyncio.Condition()
        self._open = 0
        self._port = 0
        self._runner: web.AppRunner | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.base_url} {len(self.requests)} asked, {self._open} open>"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}{self.prefix}"

    @property
    def open_calls(self) -> int:
        """Count the calls that are being answered now."""
        return self._open

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 << 20)
        self.add_routes(app.router)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # --- what a protocol says ---

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the endpoint's paths."""
        raise NotImplementedError

    def failure(self, status: int, message: str, headers: Mapping[str, str]) -> Rejected:
        """Return an error of a status as the protocol words it."""
        raise NotImplementedError

    def whole(self, body: Body, text: str) -> Body:
        """Return an answer that is not streamed."""
        raise NotImplementedError

    def events(self, body: Body, text: str) -> Iterator[Event]:
        """Yield a streamed answer."""
        raise NotImplementedError

    # --- what is said, and what goes wrong ---

    def reply(self, text: str) -> None:
        """Say this from now on."""
        self._script = lambda body: text

    def script(self, script: Script) -> None:
        """Say what `script` makes of each request's body."""
        self._script = script

    def refuse(self, status: int = 403) -> None:
        """Answer every call with an error of this status, until `heal`."""
        self.faults.refuse = status

    def fail_next(self, status: int, retry_after: float | str | None = None, message: str = "") -> None:
        """Answer the next call with an error, once; calling it twice fails two calls."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._next_faults.append(self.failure(status, message, headers))

    def cut_after(self, events: int) -> None:
        """Break the connection after so many events of a stream, until `heal`."""
        self.faults.cut_after = events

    def endless(self) -> None:
        """Never end a stream, until `heal`."""
        self.faults.endless = True

    def silent(self) -> None:
        """Accept calls and never answer them, until `heal`."""
        self.faults.silent = True

    def slow(self, seconds: float) -> None:
        """Wait before each event of a stream, until `heal`."""
        self.faults.slow = seconds

    def redirect_to(self, address: str) -> None:
        """Send every call elsewhere with a 307, until `heal`."""
        self.faults.redirect_to = address

    def junk(self, body: bytes = b"<!doctype html>", content_type: str = "text/html") -> None:
        """Answer every call with these bytes and status 200, until `heal`."""
        self.faults.junk, self.faults.junk_type = body, content_type

    def unsupported(self, *parameters: str) -> None:
        """Refuse requests that carry these parameters, as newer models do with `max_tokens`, until `heal`."""
        self.faults.unsupported = frozenset(parameters)

    def heal(self) -> None:
        """End every fault."""
        self.faults = Faults()
        self._next_faults.clear()

    async def asked(self, count: int) -> None:
        """Wait until `count` requests have been accepted in all."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def idle(self) -> None:
        """Wait until no call is being answered."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._open == 0)

    # --- answering ---

    async def answer(self, request: web.Request, body: Body) -> web.StreamResponse:
        """Answer a request that was checked, as ordered."""
        async with self._answering(request, body):
            return self._fault() or await self._answered(request, body)

    @asynccontextmanager
    async def _answering(self, request: web.Request, body: Body) -> AsyncIterator[None]:
        self.requests.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        await self._count(+1)
        try:
            yield
        finally:
            await self._count(-1)

    async def _count(self, change: int) -> None:
        async with self._changed:
            self._open += change
            self._changed.notify_all()

    def _fault(self) -> web.Response | None:
        """Return what is answered instead, when something goes wrong now."""
        if self.faults.redirect_to:
            return web.Response(status=307, headers={"Location": self.faults.redirect_to})
        if self._next_faults:
            return self._next_faults.popleft().response()
        if self.faults.refuse is not None:
            return self.failure(self.faults.refuse, "", {}).response()
        if self.faults.junk is not None and not self.faults.silent:
            return web.Response(body=self.faults.junk, headers={"Content-Type": self.faults.junk_type})
        return None

    async def _answered(self, request: web.Request, body: Body) -> web.StreamResponse:
        if self.faults.silent:
            await asyncio.Event().wait()
        text = self._script(body)
        self.answered += 1
        if not body.get("stream"):
            return web.json_response(self.whole(body, text))
        return await self._stream(request, self.events(body, text))

    async def _stream(self, request: web.Request, events: Iterator[Event]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for sent, (name, data) in enumerate(events):
            if self.faults.cut_after is not None and sent >= self.faults.cut_after:
                if request.transport is not None:
                    request.transport.abort()
                return response
            await asyncio.sleep(self.faults.slow)
            await self._write(response, name, data)
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, name: str, data: str) -> None:
        end = self.wire.line_end
        comment = f": keep-alive{end}{end}" if self.wire.comments else ""
        title = f"event: {name}{end}" if name else ""
        event = f"{comment}{title}data: {data}{end}{end}".encode()
        size = self.wire.split or len(event)
        for start in range(0, len(event), size):
            await response.write(event[start : start + size])


def dumps(data: object) -> str:
    """Write JSON as the endpoints do: text as it is."""
    return json.dumps(data, ensure_ascii=False)


def said(text: str, stops: list[str], most: int | None) -> tuple[list[str], str | None, bool]:
    """Return the pieces said, the stop string that ended them, and whether they were cut at `most` of them."""
    hits = [(text.index(stop), stop) for stop in stops if stop in text]
    stopped = min(hits)[1] if hits else None
    pieces = PIECES.findall(text[: min(hits)[0]] if hits else text)
    if most is not None and len(pieces) > most:
        return pieces[:most], None, True
    return pieces, stopped, False
