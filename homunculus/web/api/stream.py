"""What happens, as it happens, and what a message went through: server-sent events, traces, sign-in links."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from homunculus.web import auth
from homunculus.web.errors import ApiError, Json
from homunculus.web.events import Subscription, TooManyReaders
from homunculus.web.operation import Call, Operation
from homunculus.web.traces import shown


class EventStream(Response):
    """Send a subscription's frames until the reader leaves, falls behind, or the server closes."""

    media_type = "text/event-stream"

    def __init__(self, subscription: Subscription) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._subscription = subscription

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(send))
        ends = [pump, asyncio.ensure_future(_left(receive)), asyncio.ensure_future(self._subscription.over.wait())]
        try:
            # A reader that takes nothing holds the pump inside `send`: that is why the end is waited for beside it.
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._subscription.leave()
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)
        if not self._subscription.dropped:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._subscription.frames()) as frames:
            async for frame in frames:
                await send({"type": "http.response.body", "body": frame, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def show_events(call: Call) -> Response:
    """Open a stream of events, from `Last-Event-ID` on when that is given."""
    try:
        return EventStream(call.running.events.subscribe(call.request.headers.get("last-event-id")))
    except TooManyReaders:
        raise ApiError(
            503, "too_many_streams", "too many event streams are open", headers={"Retry-After": "5"}
        ) from None


async def show_trace(call: Call) -> Response:
    """Show the stages of the turn that a message or a reply belongs to."""
    trace = call.running.traces.find(call.path("message_id"))
    if trace is None:
        raise ApiError(404, "unknown_message", "no trace of that message; the last turns since the start are kept")
    return Json(shown(trace))


async def make_sign_in_link(call: Call) -> Response:
    """Make a link that signs one browser in, once."""
    scope = call.request.scope
    host = call.request.headers.get("host") or f"127.0.0.1:{auth.port(scope)}"
    return Json({"url": f"{scope['scheme']}://{host}/sign-in?code={call.running.sessions.issue_code()}"}, 201)


OPERATIONS = (
    Operation(
        "GET",
        "/api/events",
        show_events,
        "Server-sent events: message, reply, turn, adapter, reload, model; gap when some were missed",
        ((200, "A stream without end", {"type": "string"}),),
        stream=True,
    ),
    Operation(
        "GET",
        "/api/trace/{message_id:path}",
        show_trace,
        "The stages of the turn of one message",
        ((200, "The trace", {"type": "object"}), (404, "Not known", {"type": "object"})),
    ),
    Operation(
        "POST",
        "/api/sign-in-link",
        make_sign_in_link,
        "A one-time link that signs a browser in",
        ((201, "The link", {"type": "object", "properties": {"url": {"type": "string"}}}),),
    ),
)
