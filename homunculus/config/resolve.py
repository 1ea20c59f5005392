"""Turns the data of a deployment file into the frozen Deployment: names, references, defaults. Never touches YAML.

Each section has a module of its own; this one owns the root's own keys, the server, and the order in which sections need
one another.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from homunculus.config.adapters import resolve_adapters
from homunculus.config.agents import check_agent, resolve_agents
from homunculus.config.card import CardCache
from homunculus.config.cards import open_cards
from homunculus.config.draft import Draft, text
from homunculus.config.lint import lint
from homunculus.config.models import resolve_memory, resolve_models
from homunculus.config.routing import resolve_rules
from homunculus.config.rulesets import open_rulesets
from homunculus.config.secrets import blank
from homunculus.config.words import shown
from homunculus.errors import ConfigError
from homunculus.model import Deployment, ServerSpec


@dataclass(frozen=True, slots=True)
class Installed:
    """What this installation offers: names of model providers and memory backends, built-in rulesets, kept cards."""

    providers: Collection[str]
    backends: Collection[str]
    rulesets: Mapping[str, str]
    cards: CardCache
    requires: Callable[[str], tuple[str, ...]]  # a provider's name → the keys it cannot do without


@dataclass(frozen=True, slots=True)
class Resolved:
    """A deployment, None when the file has errors, and what the files besides the deployment file have to say."""

    deployment: Deployment | None
    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[ConfigError] = field(default_factory=list)


def resolve(draft: Draft, installed: Installed, shape_is_right: bool) -> Resolved:
    """Resolve everything; report into the draft's findings whatever refers to nothing."""
    bot_name, data_home = _bot_name(draft), _data_home(draft)
    default_agent = text(draft.data["default_agent"]) if "default_agent" in draft.data else None
    server = _server(draft)
    adapters = resolve_adapters(draft)
    models = resolve_models(draft, installed.providers, installed.requires)
    memory = resolve_memory(draft, models, installed.backends)
    cards = open_cards(draft, installed.cards)
    rulesets = open_rulesets(draft, installed.rulesets)
    agents = resolve_agents(draft, cards, rulesets, models)
    cards.check_unused()
    rules = resolve_rules(draft, adapters, agents)
    if default_agent is not None:
        check_agent(draft, agents, ("default_agent",), default_agent)
    _not_yet(draft)
    errors = [*cards.errors, *rulesets.errors]
    if errors or draft.findings.errors or not shape_is_right:
        return Resolved(None, errors, cards.warnings)
    lint(draft, adapters, agents, rules, default_agent)
    deployment = Deployment(
        bot_name=bot_name,
        data_home=data_home,
        log_level=draft.data.get("log_level", "INFO"),
        default_agent=default_agent,
        server=server,
        adapters=adapters.specs,
        models=tuple(models.values()),
        memory=memory,
        agents=tuple(agents.specs.values()),
        bindings=tuple(rule.spec for rule in rules),
        rulesets=rulesets.used,
        file=draft.files.file,
        text=draft.source.text,
    )
    return Resolved(deployment, [], cards.warnings)


def _bot_name(draft: Draft) -> str:
    if "bot_name" in draft.data:
        name = text(draft.data["bot_name"])
        draft.check_name(("bot_name",), name)
        return name
    stem = draft.files.file.stem
    if not draft.doubtful(("bot_name",)) and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", stem):
        slug = re.sub(r"[^a-z0-9_-]+", "-", stem.casefold()).strip("-_")[:63] or "campaigns"
        fault = f"the file's name, {shown(stem)}, cannot be the deployment's"
        draft.findings.key_error((), fault, f"add bot_name: {slug}")
    elif not draft.doubtful(("bot_name",)):
        draft.check_name((), stem)
    return stem


def _data_home(draft: Draft) -> FilePath:
    written = draft.data.get("data_home", "~/.homunculus")
    try:
        return draft.files.beside(written)
    except ValueError as error:
        draft.findings.error(("data_home",), str(error), "write the path of a folder")
        return draft.files.file.parent


def _server(draft: Draft) -> ServerSpec:
    entry = draft.section("server")
    enabled, host = entry.get("enabled", True), entry.get("host", "127.0.0.1")
    local = _loopback(host)
    waits = "one is made at first start" if local else "the server does not listen until it is"
    token = draft.secrets.resolve(entry.get("token"), ("server", "token"), needed=enabled, unresolved=waits)
    if enabled and not local and blank(entry.get("token")) and not draft.doubtful(("server", "token")):
        fault = f'missing key "token": anybody who reaches {shown(host)} could use the server'
        draft.findings.key_error(("server",), fault, "add token: env:HOMUNCULUS_API_TOKEN, or host: 127.0.0.1")
    return ServerSpec(
        enabled=enabled,
        host=host,
        port=entry.get("port", 8420),
        port_written="port" in entry,
        token=token,
        allowed_hosts=tuple(name for name in entry.get("allowed_hosts", ()) if name),
    )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.casefold().rstrip(".") == "localhost"


def _not_yet(draft: Draft) -> None:
    """Refuse what the format has and this version does not do."""
    for key, instead in (("include", "write everything into this file"), ("tests", "use homunculus route")):
        if draft.data.get(key):
            draft.findings.key_error((key,), "not available yet", instead)
