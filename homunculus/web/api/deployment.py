"""What the file says and what it would change: agents, bindings, plan, route."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from homunculus.plan import Change
from homunculus.web.agents import agent_shown, bindings_shown
from homunculus.web.errors import Json
from homunculus.web.operation import Call, Field, Operation


async def show_agents(call: Call) -> Response:
    """Show the agents as declared, plus where each is used."""
    deployment = call.running.deployment()
    return Json({"agents": [agent_shown(deployment, agent) for agent in deployment.agents]})


async def show_bindings(call: Call) -> Response:
    """Show the bindings in order."""
    return Json({"bindings": bindings_shown(call.running.deployment(), call.query["agent_id"])})


async def show_plan(call: Call) -> Response:
    """Show what this text, or the file as it lies there, would change."""
    plan = await call.running.plan(call.body["text"])
    return Json(
        {
            "changes": [_change(change) for change in plan.changes],
            "needs_process": plan.needs_process,
            "text": str(plan),
        }
    )


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "action": change.action,
        "name": change.name,
        "effect": change.effect,
        "detail": change.detail,
    }


async def show_route(call: Call) -> Response:
    """Show every rule in order, why each does not match, and who answers."""
    return Json(dict(await call.running.route(call.body)))


_OBJECT: dict[str, Any] = {"type": "object"}

OPERATIONS = (
    Operation(
        "GET",
        "/api/agents",
        show_agents,
        "The agents, and where each is used",
        ((200, "The agents as declared", {"type": "object", "properties": {"agents": {"type": "array"}}}),),
    ),
    Operation(
        "GET",
        "/api/bindings",
        show_bindings,
        "The bindings in order",
        ((200, "The bindings", {"type": "object", "properties": {"bindings": {"type": "array"}}}),),
        query=(Field("agent_id", about="only those of this agent"),),
    ),
    Operation(
        "POST",
        "/api/plan",
        show_plan,
        "What a deployment would change here",
        ((200, "The plan", _OBJECT), (422, "Every error of the deployment", _OBJECT)),
        body=(Field("text", about="the deployment's text; absent: the file as it lies there"),),
        optional_body=True,
    ),
    Operation(
        "POST",
        "/api/route",
        show_route,
        "Who would answer a message",
        ((200, "Every rule in order, and who answers", _OBJECT),),
        body=(
            Field("platform", required=True, line=True, about="the platform's name"),
            Field("adapter", about="the instance's name; absent: the default one"),
            Field("guild", about="a Discord guild"),
            Field("workspace", about="a Slack workspace"),
            Field("channel", about="a channel"),
            Field("chat", about="a Telegram chat or a local place"),
            Field("user", about="who writes"),
            Field("dm", "boolean", default=False, about="whether it is a direct message"),
            Field("mention", "boolean", default=False, about="whether the bot is mentioned"),
        ),
    ),
)
