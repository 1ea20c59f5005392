"""Saying something unasked, as a bot itself."""

from __future__ import annotations

from starlette.responses import Response

from homunculus.web.errors import Json
from homunculus.web.operation import Call, Field, Operation


async def send(call: Call) -> Response:
    """Say a text through one instance; answer once the platform has it."""
    ids = await call.running.send(call.body["adapter"], call.body["target"], call.body["text"])
    return Json({"success": True, "ids": list(ids)})


_SENT = {
    "type": "object",
    "properties": {"success": {"type": "boolean"}, "ids": {"type": "array", "items": {"type": "string"}}},
}

OPERATIONS = (
    Operation(
        "POST",
        "/api/broadcast",
        send,
        "Say a text through one adapter instance, as the bot itself",
        (
            (200, "The platform has it, under these ids", _SENT),
            (409, "It will never arrive: no such instance or place, or the platform refused it", {"type": "object"}),
            (502, "It may or may not have arrived; it is not sent again", {"type": "object"}),
            (503, "It can be sent later: the instance is not connected now", {"type": "object"}),
        ),
        body=(
            Field(
                "adapter", required=True, line=True, about="a runtime key; a platform's name is its default instance"
            ),
            Field("target", required=True, line=True, about="a place's id, <place>#<thread>, or dm:<user>"),
            Field("text", required=True, about="what is said"),
        ),
    ),
)
