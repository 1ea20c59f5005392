"""Warnings about a deployment that is valid but probably not what was meant. Never an error; changes nothing.

Linear in the number of rules: ten thousand channels are ordinary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from homunculus.config.adapters import Adapters
from homunculus.config.agents import Agents
from homunculus.config.draft import Draft
from homunculus.config.routing import Rule
from homunculus.config.words import listed, shown
from homunculus.interfaces import Platform
from homunculus.model import BindingSpec

Filters = tuple[str | None, str | None, str | None]  # guild, workspace, chat
EVERYBODY = "*"


def lint(draft: Draft, adapters: Adapters, agents: Agents, rules: Sequence[Rule], default_agent: str | None) -> None:
    """Report every warning that needs the whole deployment."""
    _dead_rules(draft, rules)
    _unreached_agents(draft, agents, rules, default_agent)
    if default_agent is None:
        _unanswered_direct_messages(draft, adapters, rules)


# --- rules that never win -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Covered:
    """What the rules of one instance so far take: by their filters, and by channel; and whose direct messages."""

    anywhere: dict[Filters, Rule] = field(default_factory=dict)
    channels: dict[tuple[Filters, str], Rule] = field(default_factory=dict)
    people: dict[str, Rule] = field(default_factory=dict)

    def add(self, rule: Rule) -> None:
        spec = rule.spec
        for channel in spec.channel_ids:
            self.channels.setdefault((_filters(spec), channel), rule)
        if not spec.channel_ids:
            self.anywhere.setdefault(_filters(spec), rule)
        for person in spec.dm_allowed_users:
            self.people.setdefault(person, rule)

    def winner(self, spec: BindingSpec) -> Rule | None:
        """Return an earlier rule that takes what this one would (all of it, together with others), or None."""
        broader = _broader(_filters(spec))
        for filters in broader if self.anywhere else ():
            if found := self.anywhere.get(filters):
                return found
        found_all: list[Rule] = []
        for channel in spec.channel_ids:
            keys = ((filters, channel) for filters in broader)
            found = next((self.channels[key] for key in keys if key in self.channels), None)
            if found is None:
                return None
            found_all.append(found)
        return found_all[-1] if found_all else None

    def admits(self, person: str) -> Rule | None:
        """Return an earlier rule that takes this person's direct messages, or None."""
        return self.people.get(EVERYBODY) or self.people.get(person)


def _filters(spec: BindingSpec) -> Filters:
    return spec.guild_id, spec.workspace_id, spec.chat_id


def _broader(filters: Filters) -> list[Filters]:
    """List these filters and all that take at least as much, the narrowest first."""
    guild, workspace, chat = filters
    found = [filters]
    if chat is not None:
        found.append((guild, workspace, None))
    if workspace is not None:
        found += [(guild, None, chat) for _, _, chat in found]
    if guild is not None:
        found += [(None, workspace, chat) for _, workspace, chat in found]
    return found


def _dead_rules(draft: Draft, rules: Sequence[Rule]) -> None:
    covered: dict[str, _Covered] = {}
    for rule in rules:
        taken = covered.setdefault(rule.spec.key, _Covered())
        if rule.spec.kind != "agent" and not _never_matches(draft, rule):
            winner = taken.winner(rule.spec)
            people = [(person, taken.admits(person)) for person in rule.spec.dm_allowed_users]
            if winner is not None and all(earlier for _, earlier in people):
                _warn_dead(draft, rule, winner)
            else:
                _warn_shadowed_people(draft, rule, people)
        taken.add(rule)


def _warn_dead(draft: Draft, rule: Rule, winner: Rule) -> None:
    if winner.spec.kind == "agent":
        fault = f"never used: {shown(winner.spec.chat_id)} is the own place of {shown(winner.spec.agent_id)}"
        draft.findings.key_warn(rule.path, fault, "drop it")
    else:
        earlier = f"{winner.spec.path} (line {draft.findings.line(winner.path)})"
        draft.findings.key_warn(rule.path, f"never used: {earlier} always wins", "move it up, or drop it")


def _warn_shadowed_people(draft: Draft, rule: Rule, people: Sequence[tuple[str, Rule | None]]) -> None:
    lost = [(person, earlier) for person, earlier in people if earlier is not None]
    if not lost or rule.spec.dm_allowed_users == ():
        return
    person, earlier = lost[0]
    who = "everybody's" if person == EVERYBODY else f"{shown(person)}'s"
    fault = (
        f"{who} direct messages go to {earlier.spec.path} (line {draft.findings.line(earlier.path)}), which is first"
    )
    draft.findings.warn((*rule.path, "dm_allowed_users"), fault, "take them from one of the lists")


def _never_matches(draft: Draft, rule: Rule) -> bool:
    """Tell whether a filter belongs to another kind of platform, and warn."""
    spec = rule.spec
    platform: Platform = draft.platforms[spec.platform]
    wrong = [key for key in ("guild_id", "workspace_id") if getattr(spec, key) and platform.place == "chat_id"]
    wrong += ["chat_id"] if spec.chat_id and platform.place != "chat_id" else []
    if wrong:
        fault = f"never matches: messages of {spec.platform} have no {listed(wrong)}"
        draft.findings.warn((*rule.path, wrong[0]), fault, "drop the filter, or use channel_ids")
    return bool(wrong)


# --- agents and people that nothing leads to ------------------------------------------------------------------------


def _unreached_agents(draft: Draft, agents: Agents, rules: Sequence[Rule], default_agent: str | None) -> None:
    reached = {rule.spec.agent_id for rule in rules if rule.spec.kind != "agent"} | {default_agent}
    own = {rule.spec.agent_id: rule.spec for rule in rules if rule.spec.kind == "agent"}
    for agent_id, path in agents.paths.items():
        if agent_id not in reached:
            place = own.get(agent_id)
            besides = f" besides its own place, {place.platform} {place.chat_id}" if place else ""
            draft.findings.key_warn(path, f"nothing routes to this agent{besides}", "add a channel or a binding for it")


def _unanswered_direct_messages(draft: Draft, adapters: Adapters, rules: Sequence[Rule]) -> None:
    """Warn of people whom only an instance's own list admits: without a default agent nobody answers them."""
    admitted: dict[str, set[str]] = {}
    for rule in rules:
        if rule.spec.dm_allowed_users:
            admitted.setdefault(rule.spec.key, set()).update(rule.spec.dm_allowed_users)
    for key, instance in adapters.instances.items():
        people = admitted.get(key, set())
        lost = [person for person in instance.spec.dm_allowed_users if person not in people]
        if lost and instance.spec.enabled and EVERYBODY not in people:
            fault = (
                f"direct messages of {_people(lost)} are ignored: no binding lists them and there is no default_agent"
            )
            fix = "set default_agent, or add them to a binding's dm_allowed_users"
            draft.findings.warn((*instance.path, "dm_allowed_users"), fault, fix)


def _people(people: Sequence[str]) -> str:
    if EVERYBODY in people:
        return "everybody else"
    several = f" and {len(people) - 3} more" if len(people) > 3 else ""
    return ", ".join(map(shown, people[:3])) + several
