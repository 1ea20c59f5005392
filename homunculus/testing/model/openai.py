"""A loopback model endpoint that speaks OpenAI's chat protocol, strictly: it refuses what the real one refuses.

Owns one listening socket, what is answered, and what goes wrong on order. Never leaves loopback, never thinks.

    async with ModelServer() as server:
        server.reply("Evening, stranger.")
        ...  # point a client at server.base_url with server.key
        assert server.requests[0]["model"] == "any-name"

Requests are checked as in https://platform.openai.com/docs/api-reference/chat/create, errors worded in its JSON.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aiohttp import web

from homunculus.testing.model.loopback import ON, Body, Event, Loopback, Rejected, dumps, said

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_NAME = re.compile(r"[^\s<|\\/>]{1,64}")


class Refusal(Rejected):
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


class ModelServer(Loopback):
    """One endpoint with one key. `models` are the names it knows; empty knows every name."""

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/chat/completions", self._completions)
        router.add_get("/v1/models", self._list_models)
        router.add_route("*", "/{anything:.*}", self._nowhere)

    def failure(self, status: int, message: str, headers: Mapping[str, str]) -> Rejected:
        return _failure(status, message, headers)

    def said(self, body: Body, text: str) -> tuple[list[str], str]:
        """Return the pieces of an answer and why it ends."""
        return said_by(body, text)

    def whole(self, body: Body, text: str) -> Body:
        pieces, finish = self.said(body, text)
        message = {"role": "assistant", "content": "".join(pieces), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return {**_frame(body, "chat.completion"), "choices": [choice], "usage": _usage(body, len(pieces))}

    def events(self, body: Body, text: str) -> Iterator[Event]:
        for chunk in self.chunks(body, text):
            yield "", dumps(chunk)
        if self.wire.done:
            yield "", "[DONE]"

    def chunks(self, body: Body, text: str) -> Iterator[Body]:
        """Yield the chunks of a stream."""
        pieces, finish = self.said(body, text)
        yield _chunk(body, {"role": "assistant", "content": ""})
        for piece in pieces:
            yield _chunk(body, {"content": piece})
        while self.faults.endless:
            yield _chunk(body, {"content": ON})
        yield _chunk(body, {}, finish)
        if self.wire.usage and (body.get("stream_options") or {}).get("include_usage"):
            yield {**_frame(body, "chat.completion.chunk"), "choices": [], "usage": _usage(body, len(pieces))}

    async def _nowhere(self, request: web.Request) -> web.Response:
        known = request.path in {"/v1/chat/completions", "/v1/models"}
        message = f"Not allowed to {request.method} on {request.path}" if known else f"Invalid URL ({request.path})"
        return Refusal(message, status=405 if known else 404).response()

    async def _list_models(self, request: web.Request) -> web.Response:
        try:
            self.admit(request)
        except Rejected as rejected:
            return rejected.response()
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "loopback"} for name in self.models]
        return web.json_response({"object": "list", "data": listed})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        try:
            self.admit(request)
            body = await _body(request)
            self._check(body)
        except Rejected as rejected:
            return rejected.response()
        return await self.answer(request, body)

    # --- what the real one refuses ---

    def admit(self, request: web.Request) -> None:
        """Refuse who is not let in."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key:
            raise Refusal("You didn't provide an API key.", status=401)
        if not secrets.compare_digest(key.encode(), self.key.encode()):
            raise Refusal(f"Incorrect API key provided: {key}.", status=401, code="invalid_api_key")

    def _check(self, body: Body) -> None:
        for name in body:
            if name not in _FIELDS:
                raise Refusal(f"Unrecognized request argument supplied: {name}", name)
            if name in self.faults.unsupported:
                raise Refusal(f"Unsupported parameter: '{name}'.", name, code="unsupported_parameter")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Refusal("you must provide a model parameter")
        _check_messages(body.get("messages"))
        for name, check in _FIELDS.items():
            if name in body and not check(body[name]):
                raise Refusal(f"Invalid value for '{name}'.", name, code="invalid_value")
        if "stream_options" in body and body.get("stream") is not True:
            raise Refusal("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
        if self.models and model not in self.models:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise Refusal(message, status=404, code="model_not_found")


def said_by(body: Body, text: str) -> tuple[list[str], str]:
    """Return the pieces said and why they end: stop strings and max_tokens are obeyed."""
    stops = body.get("stop") or []
    most = body.get("max_completion_tokens", body.get("max_tokens"))
    pieces, _, cut = said(text, [stops] if isinstance(stops, str) else stops, most)
    return pieces, "length" if cut else "stop"


def _usage(body: Body, spoken: int) -> dict[str, Any]:
    asked = sum(len(str(message.get("content", "")).split()) + 4 for message in body["messages"])
    details = {"cached_tokens": 0, "audio_tokens": 0}
    return {
        "prompt_tokens": asked,
        "completion_tokens": spoken,
        "total_tokens": asked + spoken,
        "prompt_tokens_details": details,
    }


def _chunk(body: Body, delta: dict[str, str], finish: str | None = None) -> Body:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {**_frame(body, "chat.completion.chunk"), "choices": [choice]}


def _frame(body: Body, kind: str) -> Body:
    return {"id": "chatcmpl-loopback", "object": kind, "created": 0, "model": body["model"]}


async def _body(request: web.Request) -> Body:
    if request.content_type != "application/json":
        raise Refusal("you must provide a model parameter")  # what the real one says to a body it does not read
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise Refusal("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Refusal("The body of your request must be a JSON object.")
    return body


def _check_messages(messages: object) -> None:
    if messages is None:
        raise Refusal("Missing required parameter: 'messages'.", "messages", code="missing_required_parameter")
    if not isinstance(messages, list):
        raise Refusal("Invalid type for 'messages': expected an array.", "messages", code="invalid_type")
    if not messages:
        raise Refusal("Invalid 'messages': empty array.", "messages", code="empty_array")
    for i, message in enumerate(messages):
        _check_message(message, f"messages[{i}]")


def _check_message(message: object, place: str) -> None:
    if not isinstance(message, dict):
        raise Refusal(f"Invalid type for '{place}': expected an object.", place, code="invalid_type")
    if message.get("role") not in _ROLES:
        raise Refusal(f"Invalid value: {message.get('role')!r}.", f"{place}.role", code="invalid_value")
    if not isinstance(message.get("content"), str):
        raise Refusal(f"Invalid type for '{place}.content'.", f"{place}.content", code="invalid_type")
    name = message.get("name")
    if name is not None and not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise Refusal(f"Invalid '{place}.name'.", f"{place}.name", code="invalid_value")
    unknown = next((key for key in message if key not in {"role", "content", "name"}), None)
    if unknown is not None:
        raise Refusal(f"Unknown parameter: '{place}.{unknown}'.", f"{place}.{unknown}", code="unknown_parameter")


def _failure(status: int, message: str, headers: Mapping[str, str]) -> Refusal:
    kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
    return Refusal(
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
