"""`agents`, and agents written in place under `channels`: who speaks. Never knows what leads to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from homunculus.config.cards import Cards, report_card
from homunculus.config.draft import Draft, text
from homunculus.config.models import DEFAULT as DEFAULT_MODEL
from homunculus.config.rulesets import DEFAULT as DEFAULT_RULESET
from homunculus.config.rulesets import Rulesets
from homunculus.config.words import Path, render, shown
from homunculus.model import AgentSpec, Character, ModelSpec

_PLAIN = ("respond", "history_size", "token_budget", "stream", "greeting")


@dataclass(frozen=True, slots=True)
class Agents:
    """Every agent that resolved, in file order, and every id that was written."""

    specs: dict[str, AgentSpec] = field(default_factory=dict)
    paths: dict[str, Path] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Section:
    """What building an agent needs."""

    draft: Draft
    cards: Cards
    rulesets: Rulesets
    models: Mapping[str, ModelSpec]
    agents: Agents = field(default_factory=Agents)
    owners: dict[str, tuple[str, Path]] = field(default_factory=dict)  # namespace → its agent, and where that says so

    def build(self, agent_id: str, entry: dict[str, Any], path: Path) -> AgentSpec | None:
        """Resolve one agent; None when it cannot be, which has been reported."""
        draft = self.draft
        found = None
        if (written := entry.get("character")) is not None:
            found = self.cards.find(text(written), (*path, "character"))
        model = text(entry.get("model", DEFAULT_MODEL))
        if "model" in entry and not draft.doubtful(("models",)):
            ids = draft.known("models") | {DEFAULT_MODEL}
            draft.refers((*path, "model"), model, "model", ids, "add it under models")
        if found is None:
            return None
        character, card = found
        return AgentSpec(
            id=agent_id,
            character=character,
            namespace=text(entry.get("memory_namespace", agent_id)),
            ruleset=self._ruleset(entry, path, character, card),
            model=model,
            path=render(path),
            **{key: entry[key] for key in _PLAIN if key in entry},
        )

    def _ruleset(self, entry: dict[str, Any], path: Path, character: Character, card: Any) -> str:
        name = text(entry.get("skill_ruleset", character.ruleset)) or DEFAULT_RULESET
        if name in self.rulesets.names:
            self.rulesets.use(name)
        elif "skill_ruleset" in entry:
            here = (*path, "skill_ruleset")
            self.draft.findings.error(here, f"no ruleset {shown(name)}", self.rulesets.fix(name))
        else:
            report_card(self.cards, card, ("ruleset",), f"no ruleset {shown(name)}", self.rulesets.fix(name))
        return name

    def claim(self, namespace: str, agent_id: str, path: Path) -> None:
        """Give a namespace to an agent; report the later of two that want one."""
        owner, earlier = self.owners.setdefault(namespace, (agent_id, path))
        if owner == agent_id:
            return
        source = self.draft.source
        if source.key(earlier) > source.key(path):
            self.owners[namespace] = (agent_id, path)
            owner, earlier, path = agent_id, path, earlier
        line = source.line(earlier)
        fault = f"the memory namespace {shown(namespace)} belongs to {shown(owner)} (line {line})"
        # an agent that names no namespace claims the one of its own id: its key says so
        report = self.draft.findings.error if len(path) > 2 else self.draft.findings.key_error
        report(path, fault, "give each agent a namespace of its own")


def resolve_agents(draft: Draft, cards: Cards, rulesets: Rulesets, models: Mapping[str, ModelSpec]) -> Agents:
    """Resolve the agents of the file, then those written in place under channels."""
    section = _Section(draft, cards, rulesets, models)
    section.agents.ids.update(draft.known("agents"))
    for path, entry in draft.named("agents"):
        _declared(section, str(path[-1]), entry, path)
    in_place: dict[str, tuple[AgentSpec | None, Path]] = {}
    for path, entry in draft.listed("channels"):
        if "agent_id" not in entry and "memory_namespace" in entry:
            _in_place(section, text(entry["memory_namespace"]), entry, path, in_place)
    return section.agents


def _declared(section: _Section, agent_id: str, entry: dict[str, Any], path: Path) -> None:
    draft, key = section.draft, (*path, "memory_namespace")
    if draft.doubtful(path):
        return
    draft.check_name(path, agent_id, at_key=True)
    if "memory_namespace" in entry:
        namespace = text(entry["memory_namespace"])
        if draft.check_name(key, namespace):
            section.claim(namespace, agent_id, key)
    elif not draft.doubtful(key):
        section.claim(agent_id, agent_id, path)
    if (spec := section.build(agent_id, entry, path)) is not None:
        section.agents.specs[agent_id] = spec
    section.agents.paths[agent_id] = path


def _in_place(
    section: _Section,
    agent_id: str,
    entry: dict[str, Any],
    path: Path,
    known: dict[str, tuple[AgentSpec | None, Path]],
) -> None:
    """Resolve an agent written under a channel; entries with one namespace and equal keys are one agent."""
    findings, key = section.draft.findings, (*path, "memory_namespace")
    if agent_id in section.draft.known("agents"):
        line = findings.line(("agents", agent_id))
        fix = f"write agent_id: {agent_id} instead of an agent in place, or take another namespace"
        findings.error(key, f"{shown(agent_id)} is an agent already (line {line})", fix)
        return
    if not section.draft.check_name(key, agent_id):
        return
    spec = section.build(agent_id, entry, path)
    if agent_id in known:
        first, earlier = known[agent_id]
        if spec is not None and first is not None and replace(spec, path=first.path) != first:
            fault = (
                f"differs from the agent {shown(agent_id)} on line {findings.line(earlier)}: {_differing(spec, first)}"
            )
            findings.error(key, fault, "write equal keys, or take another namespace")
        return
    known[agent_id] = (spec, path)
    section.claim(agent_id, agent_id, key)
    section.agents.ids.add(agent_id)
    section.agents.paths[agent_id] = path
    if spec is not None:
        section.agents.specs[agent_id] = spec


def _differing(a: AgentSpec, b: AgentSpec) -> str:
    names = {"character": "character", "ruleset": "skill_ruleset", "model": "model"} | {key: key for key in _PLAIN}
    differing = [key for name, key in names.items() if getattr(a, name) != getattr(b, name)]
    if "character" in differing and "skill_ruleset" in differing:
        differing.remove("skill_ruleset")  # most likely the other card's own
    return ", ".join(differing)


def check_agent(draft: Draft, agents: Agents, path: Path, agent_id: str) -> None:
    """Report a reference to an agent that was not written."""
    if agent_id not in agents.ids and not draft.doubtful(("agents",)):
        draft.refers(path, agent_id, "agent", agents.ids, "add it under agents")
