"""Commands that look and change nothing: check, plan, route, schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from homunculus.cli import output
from homunculus.cli.client import Server, server_of
from homunculus.config.identity import identify
from homunculus.config.load import Loaded, Loader
from homunculus.config.paths import schema_dir
from homunculus.config.redact import secret_values
from homunculus.container import BACKENDS, PLATFORMS, PROVIDERS, folds_case, read_foreign, required_keys
from homunculus.errors import ConfigErrors
from homunculus.logs import scrub
from homunculus.plan import nothing, plan
from homunculus.rules import excerpts
from homunculus.runtime.probe import Probe, ask
from homunculus.runtime.routes import Routes


def load(file: Path) -> Loaded:
    """Load a deployment file as `serve` would. Raise ConfigErrors."""
    loader = Loader(
        platforms=PLATFORMS,
        providers=PROVIDERS,
        backends=BACKENDS,
        rulesets=excerpts(),
        environ=dict(os.environ),
        requires=required_keys,
        foreign=read_foreign,
    )
    loaded = loader(file)
    scrub.hide(secret_values(loaded.deployment))
    return loaded


def server_for(file: Path) -> Server | None:
    """Return the running server of a file's `data_home` and `bot_name`. Raise ConfigErrors when there is no such file."""
    if not file.exists():
        load(file)
    identity = identify(file)
    return server_of(identity.data_home, identity.bot_name)


def check(file: Path, as_json: bool) -> int:
    """Print every error and warning; errors are exit code 1."""
    try:
        loaded = load(file)
    except ConfigErrors as faults:
        _show(faults.errors, faults.warnings, as_json)
        return 1
    _show((), loaded.warnings, as_json)
    return 0


def _show(errors: Any, warnings: Any, as_json: bool) -> None:
    if as_json:
        shown = {"errors": [*map(output.finding, errors)], "warnings": [*map(output.finding, warnings)]}
        output.show_json(shown)
        return
    output.show_findings(errors, warnings)
    output.note(f"{_count(len(errors), 'error')}, {_count(len(warnings), 'warning')}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def show_plan(file: Path, old: Path | None, as_json: bool) -> int:
    """Print what applying FILE would change; changes are exit code 2."""
    server = server_for(file) if old is None else None
    if server is not None:
        same = server.info.file == file.absolute()
        answer = server.post("/api/plan", {} if same else {"text": file.read_text("utf-8")}, timeout=60)
        changes, text = answer["changes"], answer["text"]
    else:
        wanted = load(file).deployment
        result = plan(load(old).deployment if old is not None else nothing(wanted), wanted)
        changes = [
            {"kind": c.kind, "action": c.action, "name": c.name, "effect": c.effect, "detail": c.detail}
            for c in result.changes
        ]
        text = str(result)
    if as_json:
        output.show_json({"changes": changes})
    else:
        output.say(text)
    return 2 if changes else 0


def route(file: Path, probe: Probe, as_json: bool) -> int:
    """Print every rule in order, the first failing condition of each, and who answers."""
    server = server_for(file)
    if server is not None:
        arguments = {name: getattr(probe, name) for name in probe.__dataclass_fields__}
        answer = server.post("/api/route", {name: value for name, value in arguments.items() if value})
    else:
        deployment = load(file).deployment
        answer = ask(Routes.of(deployment), deployment, probe, folds_case).shown()
    if as_json:
        output.show_json(answer)
        return 0
    for rule in answer["rules"]:
        verdict = "matches" if rule["matches"] else f"no: {rule['failing']}"
        output.say(f"{rule['path']} → {rule['agent_id']}: {verdict}", "green" if rule["matches"] else "")
    output.say(f"answers: {answer['agent_id'] or 'nobody'} ({answer['reason']})", "bold")
    return 0


def schema(name: str) -> int:
    """Print a JSON Schema."""
    output.say((schema_dir() / f"{name}.schema.json").read_text("utf-8").rstrip())
    return 0
