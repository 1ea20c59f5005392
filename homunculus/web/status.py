"""What the program is doing, as data for the API: ready or not and why, and the long answer of `/api/status`.

Decides from what it is given; never asks a platform or a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from homunculus.runtime.state import UnsureReply
from homunculus.runtime.store import Overrides
from homunculus.web.agents import agent_shown
from homunculus.web.errors import finding
from homunculus.web.running import AdapterStatus, Running

_NOT_CONFIGURED = ("disabled", "unconfigured")


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether messages are answered, and what keeps it from being perfect."""

    status: Literal["ok", "degraded", "unavailable"]
    reasons: tuple[str, ...] = ()


def readiness(running: Running) -> Readiness:
    """Judge: unavailable before the first apply, while draining, or with no configured adapter ready."""
    phase = running.phase()
    if phase == "starting":
        return Readiness("unavailable", ("the first apply is not done",))
    if phase == "draining":
        return Readiness("unavailable", ("draining",))
    adapters = running.adapters()
    reasons = tuple(_flaws(running, adapters))
    configured = [adapter for adapter in adapters if adapter.state not in _NOT_CONFIGURED]
    if configured and all(adapter.state != "ready" for adapter in configured):
        return Readiness("unavailable", ("no adapter is ready", *reasons))
    return Readiness("degraded" if reasons else "ok", reasons)


def _flaws(running: Running, adapters: Sequence[AdapterStatus]) -> Iterator[str]:
    for adapter in adapters:
        if adapter.state not in ("ready", "disabled"):
            yield f"{adapter.runtime_key} is {adapter.state}" + (f": {adapter.reason}" if adapter.reason else "")
    if fault := running.state_fault():
        yield fault
    yield from running.exhausted()
    if not running.reloads.running_equals_file:
        yield "running != file"


def adapter_shown(adapter: AdapterStatus) -> dict[str, Any]:
    """Show an adapter instance."""
    return {
        "platform": adapter.platform,
        "name": adapter.name,
        "runtime_key": adapter.runtime_key,
        "state": adapter.state,
        "reason": adapter.reason,
        "since": adapter.since,
        "binding_count": adapter.binding_count,
        "unseen": list(adapter.unseen),
        "hindrances": list(adapter.hindrances),
    }


def uncertain_shown(unsure: UnsureReply) -> dict[str, Any]:
    """Show a post that may or may not have arrived, so that a person can go and look."""
    reply, address = unsure.reply, unsure.address
    return {
        "conversation": address.label or address.conversation,
        "adapter": address.adapter,
        "agent_id": reply.agent_id,
        "author": reply.author,
        "text": reply.text,
        "reason": unsure.reason,
        "since": unsure.since,
    }


def status(
    running: Running, overrides: Overrides, uncertain: Sequence[UnsureReply], usage: Mapping[str, Any]
) -> dict[str, Any]:
    """Compose the answer of `/api/status`."""
    ready, deployment, reloads = readiness(running), running.deployment(), running.reloads
    return {
        "version": running.version,
        "bot_name": deployment.bot_name,
        "file": str(deployment.file),
        "status": ready.status,
        "reasons": list(ready.reasons),
        "generation": running.generation(),
        "running_equals_file": reloads.running_equals_file,
        "errors": [finding(error) for error in reloads.errors],
        "warnings": [finding(warning) for warning in reloads.warnings],
        "overrides": [
            {"conversation": conversation, "agent_id": agent_id, "key": key, "value": value}
            for (conversation, agent_id, key), value in overrides.items()
        ],
        "uncertain": [uncertain_shown(unsure) for unsure in uncertain],
        "state_fault": running.state_fault(),
        "adapters": [adapter_shown(adapter) for adapter in running.adapters()],
        "agents": [agent_shown(deployment, agent) for agent in deployment.agents],
        "models": running.events.progress(),
        "usage": dict(usage),
        "memory": dict(running.unremembered()),
    }
