"""A loopback endpoint that speaks Anthropic's Messages API, strictly: it refuses what the real one refuses.

    async with AnthropicServer() as server:
        server.reply("Evening, stranger.")
        ...  # point a client at server.base_url with server.key
        assert server.requests[0]["max_tokens"] == 500

What it refuses is in `messages`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping

from aiohttp import web

from homunculus.testing.model.loopback import ON, Body, Event, Loopback, Rejected, dumps, said
from homunculus.testing.model.messages import Refusal, check_body

VERSIONS = frozenset({"2023-06-01", "2026-10-21"})  # of the protocol
LARGEST = 32 << 20  # bytes of a request
CACHED_FROM = 1024  # tokens: a shorter prefix is not cached, silently


class AnthropicServer(Loopback):
    """One endpoint with one key. `models` are the names it knows; empty knows every name."""

    prefix = ""

    def __init__(self, key: str | None = None, models: tuple[str, ...] = (), largest: int = LARGEST) -> None:
        super().__init__(key, models)
        self.largest = largest
        self._overloaded_after: int | None = None
        self._cached: set[str] = set()  # prefixes that were asked to be kept

    def overload_after(self, events: int) -> None:
        """Tell of an overload inside each stream, after so many events of it, until `heal`."""
        self._overloaded_after = events

    def heal(self) -> None:
        super().heal()
        self._overloaded_after = None

    def add_routes(self, router: web.UrlDispatcher) -> None:
        router.add_post("/v1/messages", self._messages)
        router.add_route("*", "/{anything:.*}", self._nowhere)

    def failure(self, status: int, message: str, headers: Mapping[str, str]) -> Rejected:
        return Refusal(message or f"The loopback endpoint fails on order ({status}).", status, headers)

    def whole(self, body: Body, text: str) -> Body:
        pieces, reason, stop = _said(body, text)
        content = [{"type": "text", "text": "".join(pieces)}] if pieces else []
        usage = {**self._asked(body), "output_tokens": len(pieces)}
        return {**_frame(body, usage), "content": content, "stop_reason": reason, "stop_sequence": stop}

    def events(self, body: Body, text: str) -> Iterator[Event]:
        for sent, event in enumerate(self._said(body, text)):
            if sent == self._overloaded_after:
                yield _event({"type": "error", "error": Refusal("Overloaded", 529).error()})
                return
            yield _event(event)

    def _said(self, body: Body, text: str) -> Iterator[Body]:
        pieces, reason, stop = _said(body, text)
        yield {"type": "message_start", "message": _frame(body, {**self._asked(body), "output_tokens": 1})}
        yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        yield {"type": "ping"}
        for piece in pieces:
            yield _delta(piece)
        while self.faults.endless:
            yield _delta(ON)
        yield {"type": "content_block_stop", "index": 0}
        delta = {"stop_reason": reason, "stop_sequence": stop}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": len(pieces)}}
        if self.wire.done:
            yield {"type": "message_stop"}

    def _asked(self, body: Body) -> dict[str, int]:
        """Count the tokens of a request as a prefix cache would bill them; a prefix that is marked is kept."""
        prefix = _marked(body)
        total, kept = _tokens(body), _count(prefix)
        usage = {"input_tokens": total, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
        if kept >= CACHED_FROM:
            name = dumps([body["model"], prefix])
            usage["input_tokens"] = total - kept
            usage["cache_read_input_tokens" if name in self._cached else "cache_creation_input_tokens"] = kept
            self._cached.add(name)
        return usage

    # --- what the real one refuses ---

    async def _nowhere(self, request: web.Request) -> web.Response:
        status = 405 if request.path == "/v1/messages" else 404
        return Refusal("Method Not Allowed" if status == 405 else "Not Found", status).response()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        try:
            self._admit(request)
            body = await self._body(request)
            self._check(body)
        except Refusal as refusal:
            return refusal.response()
        return await self.answer(request, body)

    def _admit(self, request: web.Request) -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        key = request.headers.get("x-api-key", "") or (token if scheme == "Bearer" else "")
        if not key:
            raise Refusal("x-api-key header is required", 401)
        if not secrets.compare_digest(key.encode("utf-8", "surrogateescape"), self.key.encode()):
            raise Refusal("invalid x-api-key", 401)
        version = request.headers.get("anthropic-version")
        if version is None:
            raise Refusal("anthropic-version: header is required")
        if version not in VERSIONS:
            raise Refusal(f'anthropic-version: "{version}" is not a valid version')

    async def _body(self, request: web.Request) -> Body:
        if request.content_length is not None and request.content_length > self.largest:
            raise Refusal("Request exceeds the maximum size", 413)
        if request.content_type != "application/json":
            raise Refusal("Content-Type: must be application/json")
        try:
            read = await request.content.read(self.largest + 1)
            while len(read) <= self.largest and (more := await request.content.read(self.largest + 1 - len(read))):
                read += more
            if len(read) > self.largest:
                raise Refusal("Request exceeds the maximum size", 413)
            body = json.loads(read)
            dumps(body).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError):
            raise Refusal("The request body is not valid JSON") from None
        if not isinstance(body, dict):
            raise Refusal("Input should be a valid dictionary")
        return body

    def _check(self, body: Body) -> None:
        check_body(body)
        if self.models and body["model"] not in self.models:
            raise Refusal(f"model: {body['model']}", 404)


def _event(data: Body) -> Event:
    return data["type"], dumps(data)


def _delta(text: str) -> Body:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}


def _frame(body: Body, usage: Mapping[str, int]) -> Body:
    return {
        "id": "msg_loopback",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": dict(usage),
    }


def _said(body: Body, text: str) -> tuple[list[str], str, str | None]:
    """Return the pieces said, why they end, and the stop string that ended them."""
    pieces, stop, cut = said(text, body.get("stop_sequences") or [], body["max_tokens"])
    return pieces, "max_tokens" if cut else "stop_sequence" if stop else "end_turn", stop


def _texts(content: object) -> list[str]:
    return [content] if isinstance(content, str) else [block["text"] for block in content or []]  # type: ignore[attr-defined]  # checked


def _count(texts: list[str]) -> int:
    return sum(len(text.split()) + 4 for text in texts)


def _tokens(body: Body) -> int:
    said = [text for message in body["messages"] for text in _texts(message["content"])]
    return _count([*_texts(body.get("system")), *said])


def _marked(body: Body) -> list[str]:
    """Return the texts up to the last marked block of the instructions."""
    blocks = body.get("system")
    blocks = blocks if isinstance(blocks, list) else []
    last = max((i for i, block in enumerate(blocks) if "cache_control" in block), default=-1)
    return [block["text"] for block in blocks[: last + 1]]
