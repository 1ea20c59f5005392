"""The schemas are readable in an editor, complete, and know the contract's own example."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from homunculus.config import schema_dir
from homunculus.config.schema import checker, deployment_schema
from homunculus.interfaces import Platform
from tests.unit.config.world import PLATFORMS, faults, load, loader

NAMES = ("deployment", "character")


def schema(name: str) -> Any:
    return json.loads((schema_dir() / f"{name}.schema.json").read_text(encoding="utf-8"))


def parts(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """List every part of a schema with its path."""
    if isinstance(node, dict):
        yield path, node
        for key, value in node.items():
            yield from parts(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from parts(value, f"{path}/{index}")


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_valid_2020_12(name: str) -> None:
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_key_tells_an_editor_what_it_is_for(name: str) -> None:
    whole = schema(name)
    for path, part in parts(whole):
        if path.endswith("/then/properties"):
            continue  # only forbids
        for key, value in part.get("properties", {}).items() if "type" in part else ():
            assert value.get("description"), f"{path}/properties/{key}"


@pytest.mark.parametrize("name", NAMES)
def test_every_mapping_refuses_unknown_keys_and_takes_notes(name: str) -> None:
    for path, part in parts(schema(name)):
        if part.get("type") == "object":
            assert part["patternProperties"] == {"^x-": True}, path
            assert "additionalProperties" in part, path


def test_references_are_all_local() -> None:
    for name in NAMES:
        for _, part in parts(schema(name)):
            assert str(part.get("$ref", "#/$defs/")).startswith("#/$defs/")


def test_no_default_contradicts_its_own_schema() -> None:
    for name in NAMES:
        whole = schema(name)
        for path, part in parts(whole):
            if "default" in part and isinstance(part.get("description"), str):
                assert not list(checker({**part, "$defs": whole["$defs"]})(part["default"])), path


def test_x_keys_are_ignored_everywhere(folder: Path) -> None:
    text = """
version: 1
x-note: {anything: [goes]}
server: {x-note: 1}
messaging: {x-note: 1, discord: {token: env:T1, x-note: 1, instances: [{name: a, token: env:T2, x-note: 1}]}}
models: {x-note: 1, default: {provider: scripted, x-note: 1, budget: {x-note: 1}, replies: [{when: a, say: b, x-n: 1}]}}
memory: {x-note: 1, qmd: {x-note: 1}}
rules: {x-note: 1, coc7e: {x-note: 1}}
agents: {x-note: 1, kovach: {character: kovach, x-note: 1}}
channels: [{platform: local, channel_id: a, agent_id: kovach, x-note: 1}]
bindings: [{channel: local, agent_id: kovach, x-note: 1}]
"""
    loaded = load(folder, text)
    assert [agent.id for agent in loaded.deployment.agents] == ["kovach"]
    assert [model.id for model in loaded.deployment.models] == ["default"]
    assert loaded.deployment.rulesets[0].options == ()


def _no_adapter(**_: Any) -> Any:
    raise AssertionError


IRC = Platform("irc", _no_adapter, ("password",), ("password",), ("server",), ("nick",), ("rooms", "prefix"))


def test_platform_from_elsewhere_is_checked_by_its_descriptor(folder: Path) -> None:
    (folder / "irc.yaml").write_text("""
version: 1
messaging:
  irc:
    password: env:T1
    server: irc.example:6697
    nick: kovach
    rooms: ["#arkham", "#boston"]
    prefix: 5
    persona: off
    instances: [{name: second, password: env:T2}]
agents: {kovach: {character: kovach}}
channels: [{platform: irc, adapter: second, channel_id: "#arkham", agent_id: kovach}]
bindings: [{channel: irc, agent_id: kovach}]
""")
    deployment = loader(irc=IRC)(folder / "irc.yaml").deployment
    default, second = (deployment.adapter(key) for key in ("irc", "irc:second"))
    assert default is not None
    assert second is not None
    assert default.connection == (("server", "irc.example:6697"), ("nick", "kovach"))
    assert default.options == (("rooms", "#arkham\n#boston"), ("prefix", "5"))
    assert default.credential("password") == "canary-1"
    assert second.connection == (("server", "irc.example:6697"),)


def test_platform_from_elsewhere_refuses_unknown_keys(folder: Path) -> None:
    whole = deployment_schema({**PLATFORMS, "irc": IRC})
    found = list(checker(whole)({"version": 1, "messaging": {"irc": {"pasword": "x"}}}))
    assert [error.validator for error in found] == ["additionalProperties"]
    assert faults(folder, "version: 1\nmessaging: {irc: {password: env:T1}}\n") == [
        'campaign.yaml:2:13: messaging: unknown key "irc"; known here: local, discord, telegram, slack, twitch'
    ]


def test_platform_that_is_not_installed_is_named(folder: Path) -> None:
    (folder / "few.yaml").write_text("version: 1\nmessaging: {slack: {bot_token: env:T1}}\n")
    some = loader()
    few = type(some)({"local": PLATFORMS["local"]}, some.providers, some.backends, some.rulesets, {})
    with pytest.raises(Exception, match='no adapter for "slack" is installed; installed here: local'):
        few(folder / "few.yaml")
