"""What a save changes, as data. `plan(applied, wanted)` is pure: it awaits nothing, reads nothing and decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

from homunculus.model import AdapterSpec, AgentSpec, BindingSpec, Character, Deployment

Kind = Literal[
    "adapter", "agent", "channel", "binding", "model", "memory", "server", "character", "ruleset", "settings"
]
Action = Literal["add", "change", "remove"]
Spec = TypeVar("Spec")

_SIGNS = {"add": "+", "change": "~", "remove": "-"}
_SETTINGS = {"bot_name": "process", "data_home": "process", "log_level": "hot", "default_agent": "hot"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `effect` is `hot`, `restart <adapter>`, `memory` or `process`; `detail` names what differs."""

    kind: Kind
    action: Action
    name: str
    effect: str = "hot"
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{_SIGNS[self.action]} {self.kind} {self.name}{detail}  [{self.effect}]"


@dataclass(frozen=True, slots=True)
class Plan:
    """Every change from one deployment to the next, in a fixed order; empty when nothing would change."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no changes"

    def of(self, kind: Kind, action: Action | None = None) -> tuple[Change, ...]:
        """Return the changes of one kind, and of one action when given."""
        return tuple(c for c in self.changes if c.kind == kind and action in (None, c.action))

    @property
    def removes(self) -> bool:
        """Tell whether anything would be taken away: a torn save usually looks like that."""
        return any(change.action == "remove" for change in self.changes)

    @property
    def needs_process(self) -> bool:
        """Tell whether it cannot be applied to a running program."""
        return any(change.effect == "process" for change in self.changes)


def nothing(wanted: Deployment) -> Deployment:
    """Return the same settings with nothing named in them: what a start-up is planned from."""
    return replace(wanted, default_agent=None, adapters=(), models=(), agents=(), bindings=(), rulesets=())


def plan(applied: Deployment, wanted: Deployment) -> Plan:
    """List what must change for `wanted` to run where `applied` runs.

    Named things are compared by name, so moving a block plans nothing. Rules have no names and their order is meaning:
    they are compared as a multiset, plus one change named `order`.
    """
    return Plan(
        (
            *_settings(applied, wanted),
            *_server(applied, wanted),
            *_named("adapter", applied.adapters, wanted.adapters, lambda a: a.key, _adapter_effect),
            *_named("model", applied.models, wanted.models, lambda m: m.id),
            *_memory(applied, wanted),
            *_named("ruleset", applied.rulesets, wanted.rulesets, lambda r: r.name),
            *_characters(applied, wanted),
            *_named("agent", *_agents_beside_cards(applied, wanted), lambda a: a.id, _agent_effect),
            *_rules("channel", applied, wanted),
            *_rules("binding", applied, wanted),
        )
    )


def _settings(applied: Deployment, wanted: Deployment) -> Iterator[Change]:
    for name, effect in _SETTINGS.items():
        old, new = getattr(applied, name), getattr(wanted, name)
        if old != new:
            yield Change("settings", "change", name, effect, f"{_shown(old)} → {_shown(new)}")


def _shown(value: object) -> str:
    return "none" if value is None else str(value)


def _server(applied: Deployment, wanted: Deployment) -> Iterator[Change]:
    if applied.server != wanted.server:
        yield Change("server", "change", "server", "hot", _differing(applied.server, wanted.server))


def _memory(applied: Deployment, wanted: Deployment) -> Iterator[Change]:
    if applied.memory != wanted.memory:
        yield Change("memory", "change", "memory", "memory", _differing(applied.memory, wanted.memory))


def _named(
    kind: Kind,
    applied: Iterable[Spec],
    wanted: Iterable[Spec],
    name: Callable[[Spec], str],
    effect: Callable[[Spec, Spec], str] = lambda old, new: "hot",
) -> Iterator[Change]:
    old, new = {name(spec): spec for spec in applied}, {name(spec): spec for spec in wanted}
    yield from (Change(kind, "remove", key) for key in old if key not in new)
    yield from (
        Change(kind, "change", key, effect(old[key], spec), _differing(old[key], spec))
        for key, spec in new.items()
        if key in old and old[key] != spec
    )
    yield from (Change(kind, "add", key) for key in new if key not in old)


def _differing(old: Any, new: Any) -> str:
    """Name the fields in which two specs differ; never their values, which may be secret."""
    return ", ".join(f.name for f in fields(old) if f.compare and getattr(old, f.name) != getattr(new, f.name))


def _adapter_effect(old: AdapterSpec, new: AdapterSpec) -> str:
    return "hot" if old.identity == new.identity else f"restart {new.key}"


def _agent_effect(old: AgentSpec, new: AgentSpec) -> str:
    return "hot" if old.namespace == new.namespace else "memory"


def _characters(applied: Deployment, wanted: Deployment) -> Iterator[Change]:
    old = {agent.character.stem: agent.character for agent in applied.agents}
    new = {agent.character.stem: agent.character for agent in wanted.agents}
    yield from _named("character", old.values(), new.values(), lambda card: card.stem)


def _agents_beside_cards(applied: Deployment, wanted: Deployment) -> tuple[Iterable[AgentSpec], Iterable[AgentSpec]]:
    """Return both sides with cards reduced to their stems: an edited card is a change of the character alone."""
    return [_cardless(agent) for agent in applied.agents], [_cardless(agent) for agent in wanted.agents]


def _cardless(agent: AgentSpec) -> AgentSpec:
    return replace(agent, character=Character(stem=agent.character.stem, name=""))


def _rules(kind: Literal["channel", "binding"], applied: Deployment, wanted: Deployment) -> Iterator[Change]:
    old, new = _differing_run(
        [rule for rule in applied.bindings if rule.kind == kind],
        [rule for rule in wanted.bindings if rule.kind == kind],
    )
    gone, come = Counter(old) - Counter(new), Counter(new) - Counter(old)
    kept_old, kept_new = _without(old, gone), _without(new, come)
    pairs = _pairs(gone, come)
    yield from (Change(kind, "remove", _rule_name(rule)) for rule in gone.elements())
    yield from (Change(kind, "change", _rule_name(rule), "hot", _differing(before, rule)) for before, rule in pairs)
    yield from (Change(kind, "add", _rule_name(rule)) for rule in come.elements())
    if kept_old != kept_new:
        yield Change(kind, "change", "order")


def _differing_run(old: list[BindingSpec], new: list[BindingSpec]) -> tuple[list[BindingSpec], list[BindingSpec]]:
    """Leave out what both tables begin and end with: one edited rule of ten thousand costs no hashing of the others."""
    shorter = min(len(old), len(new))
    start = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    end = next((n for n in range(shorter - start) if old[-1 - n] != new[-1 - n]), shorter - start)
    return old[start : len(old) - end], new[start : len(new) - end]


def _pairs(gone: Counter[BindingSpec], come: Counter[BindingSpec]) -> list[tuple[BindingSpec, BindingSpec]]:
    """Take out of both sides what is one rule changed: rules for the same place, or with the same written id."""
    waiting = {_same(rule): rule for rule in gone if _same(rule)}
    pairs = []
    for rule in list(come):
        before = waiting.pop(_same(rule), None)
        if before is not None:
            pairs.append((before, rule))
            gone[before] -= 1
            come[rule] -= 1
    return pairs


def _same(rule: BindingSpec) -> tuple[object, ...]:
    if rule.id:
        return (rule.id,)
    return (rule.key, rule.channel_ids, rule.chat_id) if rule.kind == "channel" else ()


def _without(rules: list[BindingSpec], taken: Counter[BindingSpec]) -> list[BindingSpec]:
    """Return the rules that both sides have, in their order; of equal ones the later are the ones taken."""
    left, kept = Counter(rules) - taken, []
    for rule in rules:
        if left[rule] > 0:
            left[rule] -= 1
            kept.append(rule)
    return kept


def _rule_name(rule: BindingSpec) -> str:
    filters = (rule.guild_id, rule.workspace_id, rule.chat_id, ",".join(rule.channel_ids))
    place = " ".join(part for part in filters if part) or "everywhere"
    return rule.id or f"{rule.key} {place} → {rule.agent_id}"
