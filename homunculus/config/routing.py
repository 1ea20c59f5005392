"""`channels` and `bindings`: the routing rules in their final order. Never matches a message."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from homunculus.config.adapters import Adapters
from homunculus.config.agents import Agents, check_agent
from homunculus.config.draft import Draft, text, texts
from homunculus.config.words import Path, shown
from homunculus.interfaces import Platform
from homunculus.model import AgentSpec, BindingSpec

_FILTERS = ("guild_id", "workspace_id", "chat_id")


@dataclass(frozen=True, slots=True)
class Rule:
    """One routing rule and where it stands in the file."""

    spec: BindingSpec
    path: Path


def resolve_rules(draft: Draft, adapters: Adapters, agents: Agents) -> tuple[Rule, ...]:
    """Resolve every rule: the places that agents have by themselves, then `channels`, then `bindings`."""
    return (
        *_agent_places(draft, agents),
        *_channels(draft, adapters, agents),
        *_bindings(draft, adapters, agents),
    )


def _agent_places(draft: Draft, agents: Agents) -> Iterator[Rule]:
    for platform in draft.platforms.values():
        for spec in agents.specs.values() if platform.agent_places else ():
            yield Rule(_agent_place(platform.name, spec), agents.paths[spec.id])


def _agent_place(platform: str, agent: AgentSpec) -> BindingSpec:
    return BindingSpec(agent.id, platform, chat_id=f"@{agent.id}", kind="agent", path=agent.path)


def _channels(draft: Draft, adapters: Adapters, agents: Agents) -> Iterator[Rule]:
    taken: dict[tuple[str, str | None, str], Path] = {}
    for path, entry in draft.listed("channels"):
        adapter = _check(draft, adapters, agents, entry, path, entry.get("platform"))
        agent_id = entry.get("agent_id", entry.get("memory_namespace"))
        platform = draft.platforms.get(entry.get("platform", ""))
        if platform is None or agent_id is None or "channel_id" not in entry:
            continue
        place = _place(platform, text(entry["channel_id"]))
        earlier = taken.setdefault((platform.name, adapter, place), path)
        if earlier is not path and not draft.doubtful((*path, "adapter")):
            line = draft.findings.line((*earlier, "channel_id"))
            fault = f"{shown(place)} already has an entry on line {line}"
            draft.findings.error((*path, "channel_id"), fault, "keep one: a place has one NPC")
        where: dict[str, Any] = {"chat_id": place} if platform.place == "chat_id" else {"channel_ids": (place,)}
        yield Rule(_rule(entry, path, platform.name, adapter, text(agent_id), "channel", where), path)


def _bindings(draft: Draft, adapters: Adapters, agents: Agents) -> Iterator[Rule]:
    ids: dict[str, Path] = {}
    for path, entry in draft.listed("bindings"):
        adapter = _check(draft, adapters, agents, entry, path, entry.get("channel"))
        if "id" in entry:
            earlier = ids.setdefault(text(entry["id"]), path)
            if earlier is not path:
                line = draft.findings.line((*earlier, "id"))
                fault = f"the id {shown(text(entry['id']))} is taken on line {line}"
                draft.findings.error((*path, "id"), fault, "give each binding its own, or none")
        if entry.get("channel") not in draft.platforms or "agent_id" not in entry:
            continue
        where: dict[str, Any] = {key: text(entry[key]) for key in _FILTERS if key in entry}
        platform = draft.platforms[entry["channel"]]
        where["channel_ids"] = tuple(_place(platform, one) for one in texts(entry.get("channel_ids")))
        yield Rule(_rule(entry, path, entry["channel"], adapter, text(entry["agent_id"]), "binding", where), path)


def _rule(
    entry: dict[str, Any],
    path: Path,
    platform: str,
    adapter: str | None,
    agent_id: str,
    kind: Any,
    where: dict[str, Any],
) -> BindingSpec:
    return BindingSpec(
        agent_id=agent_id,
        platform=platform,
        adapter=adapter,
        require_mention=entry.get("require_mention", False),
        dm_allowed_users=texts(entry.get("dm_allowed_users")),
        authority=texts(entry["authority"]) if "authority" in entry else None,
        id=text(entry["id"]) if "id" in entry else None,
        kind=kind,
        name=text(entry.get("channel_name", "")),
        path=f"{path[0]}[{path[1]}]",
        **where,
    )


def _place(platform: Platform, written: str) -> str:
    """Write a place as the adapter will deliver it: a login of Twitch may be written in any case."""
    return written.lower() if platform.folds_case else written


def _adapter(entry: dict[str, Any]) -> str | None:
    written = text(entry.get("adapter", "default"))
    return None if written == "default" else written


def _check(
    draft: Draft, adapters: Adapters, agents: Agents, entry: dict[str, Any], path: Path, platform: Any
) -> str | None:
    """Report what a rule refers to and is not there; return the name of its instance."""
    adapter = _adapter(entry)
    if "agent_id" in entry:
        check_agent(draft, agents, (*path, "agent_id"), text(entry["agent_id"]))
    if platform in draft.platforms:
        adapters.check(path, platform, adapter)
    elif platform is not None and draft.raw("messaging", platform) is None:
        key = "platform" if "platform" in entry else "channel"
        known = ", ".join(draft.platforms)
        draft.findings.error((*path, key), f"no adapter for {shown(platform)} is installed", f"installed here: {known}")
    return adapter
