"""The local platform over HTTP: say something in a room, wait for the answer, read what was said.

Owns the payloads; rooms and waiting are the hub's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from homunculus.web.errors import ApiError, Json
from homunculus.web.operation import Call, Field, Operation
from homunculus.web.running import Post

T = TypeVar("T")
_LONGEST_NAME = 200


async def say(call: Call) -> Response:
    """Deliver a message; with `wait`, answer once its turn is over."""
    chat, body, rooms = room(call), call.body, call.running.rooms
    words = {"user": body["user"], "text": body["text"], "mention": body["mention"], "dm": body["dm"]}
    if not body["wait"]:
        return Json({"id": await rooms.say(chat, **words)}, 202)
    message_id, replies = await _while_connected(call.request, rooms.ask(chat, **words))
    return Json({"id": message_id, "replies": [_reply(post) for post in replies]})


async def read(call: Call) -> Response:
    """Show what was said in a room, oldest first."""
    chat = room(call)
    return Json({"messages": [_line(post) for post in call.running.rooms.posts(chat, call.query["after"])]})


def room(call: Call) -> str:
    """Return the room's name; refuse one that no file could write."""
    chat = call.path("chat")
    if not chat.strip() or not chat.isprintable() or len(chat) > _LONGEST_NAME:
        raise ApiError(400, "invalid_request", f"a place's name is printable and at most {_LONGEST_NAME} characters")
    return chat


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await this, but stop when the caller hangs up: nobody is left to hear the answer."""
    asked, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait((asked, gone), return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise ApiError(400, "gone", "the caller hung up")
        return asked.result()
    finally:
        for task in (asked, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):  # its result was taken above, or nobody wants it
                await task


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _reply(post: Post) -> dict[str, Any]:
    return {"id": post.id, "agent_id": post.agent_id, "author": post.author, "text": post.text}


def _line(post: Post) -> dict[str, Any]:
    return {
        "id": post.id,
        "author": post.author,
        "user": post.user,
        "agent_id": post.agent_id,
        "text": post.text,
        "time": post.time,
    }


_MESSAGE = (
    Field("user", required=True, line=True, longest=_LONGEST_NAME, about="who speaks"),
    Field("text", required=True, about="what is said"),
    Field("mention", "boolean", default=True, about="whether the NPC is addressed"),
    Field("dm", "boolean", default=False, about="whether it is a direct message"),
    Field("wait", "boolean", default=False, about="answer once the turn is over"),
)
_STRING = {"type": "string"}
_REPLIES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"id": _STRING, "agent_id": {"type": ["string", "null"]}, "author": _STRING, "text": _STRING},
    },
}

OPERATIONS = (
    Operation(
        "POST",
        "/api/local/{chat:path}/messages",
        say,
        "Say something in a local place",
        (
            (200, "The turn is over", {"type": "object", "properties": {"id": _STRING, "replies": _REPLIES}}),
            (202, "Delivered", {"type": "object", "properties": {"id": _STRING}, "required": ["id"]}),
        ),
        body=_MESSAGE,
    ),
    Operation(
        "GET",
        "/api/local/{chat:path}/messages",
        read,
        "Read what was said in a local place",
        ((200, "The lines, oldest first", {"type": "object", "properties": {"messages": {"type": "array"}}}),),
        query=(Field("after", about="only what came after the message of that id"),),
    ),
)
