"""A loopback model endpoint that speaks OpenAI's chat protocol, strictly: it refuses what the real one refuses.

Owns one listening socket, what is answered, and what goes wrong on order. Never leaves loopback, never thinks.

    async with ModelServer() as server:
        server.reply("Evening, stranger.")
        ...  # point a client at server.base_url with server.key
        assert server.requests[0]["model"] == "any-name"

Requests are checked as in https://platform.openai.com/docs/api-reference/chat/create, errors worded in its JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

Script = Callable[[dict[str, Any]], str]
Body = dict[str, Any]

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")
_PIECES = re.compile(r"\s*\S+\s*\Z|\s*\S+|\s+")


class Rejected(Exception):
    """Carry one error answer: status and the fields of OpenAI's error object."""

    def __init__(
        self,
        message: str,
        param: str | None = None,
        *,
        status: int = 400,
        code: str | None = None,
        kind: str = "invalid_request_error",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.status, self.code, self.kind = message, param, status, code, kind
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return web.json_response({"error": error}, status=self.status, headers=self.headers)


@dataclass(slots=True)
class Faults:
    """What goes wrong until told otherwise. All None or empty: nothing does."""

    refuse: int | None = None  # every call is answered with this status
    cut_after: int | None = None  # the connection breaks after so many chunks of a stream
    endless: bool = False  # a stream never ends
    silent: bool = False  # a call is accepted and never answered
    slow: float = 0.0  # seconds before each chunk of a stream
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


class ModelServer:
    """One endpoint with one key. `models` are the names it knows; empty knows every name."""

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
        return f"<ModelServer {self.base_url} {len(self.requests)} asked, {self._open} open>"

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def open_calls(self) -> int:
        """Count the calls that are being answered now."""
        return self._open

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 << 20)
        app.router.add_post("/v1/chat/completions", self._completions)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_route("*", "/{anything:.*}", self._nowhere)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

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
        self._next_faults.append(_failure(status, message, headers))

    def cut_after(self, chunks: int) -> None:
        """Break the connection after so many chunks of a stream, until `heal`."""
        self.faults.cut_after = chunks

    def endless(self) -> None:
        """Never end a stream, until `heal`."""
        self.faults.endless = True

    def silent(self) -> None:
        """Accept calls and never answer them, until `heal`."""
        self.faults.silent = True

    def slow(self, seconds: float) -> None:
        """Wait before each chunk of a stream, until `heal`."""
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

    # --- the endpoint ---

    async def _nowhere(self, request: web.Request) -> web.Response:
        known = request.path in {"/v1/chat/completions", "/v1/models"}
        message = f"Not allowed to {request.method} on {request.path}" if known else f"Invalid URL ({request.path})"
        return Rejected(message, status=405 if known else 404).response()

    async def _list_models(self, request: web.Request) -> web.Response:
        try:
            self._admit(request)
        except Rejected as rejected:
            return rejected.response()
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "loopback"} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        try:
            self._admit(request)
            body = await _body(request)
            self._check(body)
        except Rejected as rejected:
            return rejected.response()
        async with self._answering(request, body):
            return await self._answer(request, body)

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

    async def _answer(self, request: web.Request, body: Body) -> web.StreamResponse:
        if self.faults.redirect_to:
            return web.Response(status=307, headers={"Location": self.faults.redirect_to})
        if self._next_faults:
            return self._next_faults.popleft().response()
        if self.faults.refuse is not None:
            return _failure(self.faults.refuse, "", {}).response()
        if self.faults.silent:
            await asyncio.Event().wait()
        if self.faults.junk is not None:
            return web.Response(body=self.faults.junk, headers={"Content-Type": self.faults.junk_type})
        answer = _Answer(body, self._script(body))
        self.answered += 1
        if not body.get("stream"):
            return web.json_response(answer.whole())
        return await self._stream(request, answer)

    async def _stream(self, request: web.Request, answer: _Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        for sent, chunk in enumerate(answer.chunks(endless=self.faults.endless, usage=self.wire.usage)):
            if self.faults.cut_after is not None and sent >= self.faults.cut_after:
                if request.transport is not None:
                    request.transport.abort()
                return response
            await asyncio.sleep(self.faults.slow)
            await self._write(response, json.dumps(chunk, ensure_ascii=False))
        if self.wire.done:
            await self._write(response, "[DONE]")
        await response.write_eof()
        return response

    async def _write(self, response: web.StreamResponse, data: str) -> None:
        end = self.wire.line_end
        comment = f": keep-alive{end}{end}" if self.wire.comments else ""
        event = f"{comment}data: {data}{end}{end}".encode()
        size = self.wire.split or len(event)
        for start in range(0, len(event), size):
            await response.write(event[start : start + size])

    # --- what the real one refuses ---

    def _admit(self, request: web.Request) -> None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise Rejected("You didn't provide an API key.", status=401)
        if not secrets.compare_digest(key.encode(), self.key.encode()):
            raise Rejected(f"Incorrect API key provided: {key}.", status=401, code="invalid_api_key")

    def _check(self, body: Body) -> None:
        for name in body:
            if name not in _FIELDS:
                raise Rejected(f"Unrecognized request argument supplied: {name}", name)
            if name in self.faults.unsupported:
                raise Rejected(f"Unsupported parameter: '{name}'.", name, code="unsupported_parameter")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Rejected("you must provide a model parameter")
        _check_messages(body.get("messages"))
        for name, check in _FIELDS.items():
            if name in body and not check(body[name]):
                raise Rejected(f"Invalid value for '{name}'.", name, code="invalid_value")
        if "stream_options" in body and body.get("stream") is not True:
            raise Rejected("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
        if self.models and model not in self.models:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Rejected(message, status=404, code="model_not_found")


@dataclass(slots=True)
class _Answer:
    """One completion as the protocol words it; a token is a word with the space before it."""

    body: Body
    text: str

    def _said(self) -> tuple[list[str], str]:
        """Return the pieces said and why they end: stop strings and max_tokens are obeyed."""
        stops = self.body.get("stop") or []
        text = self.text
        for stop in [stops] if isinstance(stops, str) else stops:
            text = text.split(stop, 1)[0]
        pieces = _PIECES.findall(text)
        most = self.body.get("max_completion_tokens", self.body.get("max_tokens"))
        return (pieces, "stop") if most is None or len(pieces) <= most else (pieces[:most], "length")

    def _usage(self, said: int) -> dict[str, int]:
        asked = sum(len(str(message.get("content", "")).split()) + 4 for message in self.body["messages"])
        return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}

    def whole(self) -> dict[str, Any]:
        pieces, finish = self._said()
        message = {"role": "assistant", "content": "".join(pieces), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return {**self._frame("chat.completion"), "choices": [choice], "usage": self._usage(len(pieces))}

    def chunks(self, *, endless: bool, usage: bool) -> Any:
        pieces, finish = self._said()
        yield self._chunk({"role": "assistant", "content": ""})
        for piece in pieces:
            yield self._chunk({"content": piece})
        while endless:
            yield self._chunk({"content": " and on"})
        yield self._chunk({}, finish)
        if usage and (self.body.get("stream_options") or {}).get("include_usage"):
            yield {**self._frame("chat.completion.chunk"), "choices": [], "usage": self._usage(len(pieces))}

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-loopback", "object": kind, "created": 0, "model": self.body["model"]}


async def _body(request: web.Request) -> Body:
    if request.content_type != "application/json":
        raise Rejected("you must provide a model parameter")  # what the real one says to a body it does not read
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Rejected("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Rejected("The body of your request must be a JSON object.")
    return body


def _check_messages(messages: object) -> None:
    if messages is None:
        raise Rejected("Missing required parameter: 'messages'.", "messages", code="missing_required_parameter")
    if not isinstance(messages, list):
        raise Rejected("Invalid type for 'messages': expected an array.", "messages", code="invalid_type")
    if not messages:
        raise Rejected("Invalid 'messages': empty array.", "messages", code="empty_array")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")


def _check_message(message: object, place: str) -> None:
    if not isinstance(message, dict):
        raise Rejected(f"Invalid type for '{place}': expected an object.", place, code="invalid_type")
    if message.get("role") not in _ROLES:
        raise Rejected(f"Invalid value: {message.get('role')!r}.", f"{place}.role", code="invalid_value")
    if not isinstance(message.get("content"), str):
        raise Rejected(f"Invalid type for '{place}.content'.", f"{place}.content", code="invalid_type")
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise Rejected(f"Invalid '{place}.name'.", f"{place}.name", code="invalid_value")
    unknown = next((key for key in message if key not in {"role", "content", "name"}), None)
    if unknown is not None:
        raise Rejected(f"Unknown parameter: '{place}.{unknown}'.", f"{place}.{unknown}", code="unknown_parameter")


def _failure(status: int, message: str, headers: Mapping[str, str]) -> Rejected:
    kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
    return Rejected(
        message or f"The loopback endpoint fails on order ({status}).", status=status, kind=kind, headers=headers
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _between(least: float, most: float) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most

    return check


def _is_stop(value: object) -> bool:
    some = [value] if isinstance(value, str) else value
    return value is None or (isinstance(some, list) and len(some) <= 4 and all(isinstance(s, str) and s for s in some))


def _is_stream_options(value: object) -> bool:
    return isinstance(value, dict) and all(k == "include_usage" and isinstance(v, bool) for k, v in value.items())


_FIELDS: Mapping[str, Callable[[object], bool]] = {
    "model": _is_text,
    "messages": lambda value: isinstance(value, list),
    "max_tokens": _is_whole,
    "max_completion_tokens": _is_whole,
    "temperature": _between(0, 2),
    "top_p": _between(0, 1),
    "presence_penalty": _between(-2, 2),
    "frequency_penalty": _between(-2, 2),
    "n": lambda value: value == 1,
    "seed": lambda value: isinstance(value, int),
    "stop": _is_stop,
    "stream": lambda value: isinstance(value, bool),
    "stream_options": _is_stream_options,
    "user": _is_text,
}
