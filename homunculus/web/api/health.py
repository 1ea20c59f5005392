"""Alive, ready, and what it is doing."""

from __future__ import annotations

from starlette.responses import Response

from homunculus.web.errors import Json
from homunculus.web.operation import Call, Field, Operation
from homunculus.web.status import readiness, status


async def healthz(_: Call) -> Response:
    """Answer as long as the loop turns."""
    return Json({"status": "ok"})


async def readyz(call: Call) -> Response:
    """Say whether messages are answered; the reasons only to who shows a token."""
    ready = readiness(call.running)
    fine = ready.status == "ok" or (ready.status == "degraded" and not call.query["strict"])
    reasons = {"reasons": list(ready.reasons)} if call.known else {}
    return Json({"status": ready.status, **reasons}, 200 if fine else 503)


async def show_status(call: Call) -> Response:
    """Show everything that runs."""
    running = call.running
    return Json(status(running, await running.overrides(), await running.uncertain(), await running.usage()))


_STATUS = {
    "type": "object",
    "properties": {"status": {"enum": ["ok", "degraded", "unavailable"]}},
    "required": ["status"],
}

OPERATIONS = (
    Operation("GET", "/healthz", healthz, "Alive", ((200, "Alive", _STATUS),), public=True),
    Operation(
        "GET",
        "/readyz",
        readyz,
        "Ready to answer messages",
        ((200, "Ready, perhaps degraded", _STATUS), (503, "Not ready", _STATUS)),
        query=(Field("strict", "boolean", default=False, about="let degraded be 503 as well"),),
        public=True,
    ),
    Operation(
        "GET",
        "/api/status",
        show_status,
        "Version, generation, reload state, adapters, agents, models and what they were used for today",
        ((200, "The state of the running program", {"type": "object"}),),
    ),
)
