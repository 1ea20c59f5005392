"""Agents and rules as the API shows them: as declared, plus where each is used.

Pure: from a Deployment to JSON. Never shows a path of this machine or anything behind a card's gm scope.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from homunculus.model import AgentSpec, BindingSpec, Deployment

LOCAL = "local"
PORTRAITS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}


def agent_shown(deployment: Deployment, agent: AgentSpec) -> dict[str, Any]:
    """Show one agent; `local_places` are where the page can talk to it, its own place first."""
    card, model = agent.character, deployment.model(agent.model)
    return {
        "id": agent.id,
        "character": card.stem,
        "memory_namespace": agent.namespace,
        "skill_ruleset": agent.ruleset,
        "model": agent.model,
        "provider": model.provider if model else "",
        "respond": agent.respond,
        "history_size": agent.history_size,
        "token_budget": agent.token_budget,
        "stream": agent.stream,
        "greeting": agent.greeting,
        "card": {
            "name": card.name,
            "nickname": card.nickname,
            "description": card.description,
            "language": card.language,
            "greeting": card.greeting,
            "portrait": f"/portraits/{quote(agent.id, safe='')}" if _has_portrait(agent) else None,
        },
        "default": deployment.default_agent == agent.id,
        "local_places": [f"@{agent.id}", *_local_places(deployment, agent)] if _has_local(deployment) else [],
        "used": [
            {"kind": rule.kind, "adapter": rule.key, "place": _place(rule), "name": rule.name}
            for rule in deployment.bindings
            if rule.agent_id == agent.id and rule.kind != "agent"
        ],
    }


def _has_portrait(agent: AgentSpec) -> bool:
    avatar = agent.character.avatar
    return PurePath(avatar).is_absolute() and PurePath(avatar).suffix.lower() in PORTRAITS


def _has_local(deployment: Deployment) -> bool:
    local = deployment.adapter(LOCAL)
    return local is not None and local.enabled


def _local_places(deployment: Deployment, agent: AgentSpec) -> Iterator[str]:
    """List the declared rooms whose first rule is this agent's, own places (`@…`) aside."""
    owner: dict[str, str] = {}
    for rule in deployment.bindings:
        if rule.key == LOCAL and rule.kind != "agent":
            for place in filter(None, (rule.chat_id, *rule.channel_ids)):
                owner.setdefault(place, rule.agent_id)
    return (place for place, agent_id in owner.items() if agent_id == agent.id and place != f"@{agent.id}")


def _place(rule: BindingSpec) -> str:
    places = (rule.guild_id, rule.workspace_id, rule.chat_id, *rule.channel_ids)
    return " ".join(place for place in places if place) or "*"


def bindings_shown(deployment: Deployment, agent_id: str | None = None) -> list[dict[str, Any]]:
    """Show the entries of `bindings` in order; `id` is their own, else a hash of fields and ordinal among equal ones."""
    seen: dict[str, int] = {}
    shown = []
    for rule in deployment.bindings:
        if rule.kind != "binding":
            continue
        fields = _fields(rule)
        digest = json.dumps(fields, sort_keys=True)
        seen[digest] = seen.get(digest, 0) + 1
        made = hashlib.sha256(f"{seen[digest]} {digest}".encode(errors="replace")).hexdigest()[:12]
        if agent_id in (None, rule.agent_id):
            shown.append({"id": rule.id or made, **fields})
    return shown


def _fields(rule: BindingSpec) -> dict[str, Any]:
    return {
        "agent_id": rule.agent_id,
        "channel": rule.platform,
        "adapter": rule.adapter,
        "guild_id": rule.guild_id,
        "workspace_id": rule.workspace_id,
        "chat_id": rule.chat_id,
        "channel_ids": list(rule.channel_ids),
        "require_mention": rule.require_mention,
        "dm_allowed_users": list(rule.dm_allowed_users),
        "authority": None if rule.authority is None else list(rule.authority),
    }
