"""Every file that is shipped loads without a fault, and the people in it are worth talking to."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.characters.lorebook import select
from homunculus.characters.macros import expand
from homunculus.config.load import Loader
from homunculus.container import BACKENDS, PLATFORMS, PROVIDERS
from homunculus.model import Agent, Deployment, RulesetSpec
from homunculus.pipelines.prompt import BuildPrompt
from homunculus.rules import excerpts

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = sorted((ROOT / "deployments").glob("*.yaml"))
CHARACTERS = sorted((ROOT / "characters").glob("*.yaml"))


def load(path: Path) -> Deployment:
    loader = Loader(platforms=PLATFORMS, providers=PROVIDERS, backends=BACKENDS, rulesets=excerpts(), environ={})
    loaded = loader(path)
    unexpected = [str(w) for w in loaded.warnings if "is not set" not in w.message]
    assert unexpected == []
    return loaded.deployment


@pytest.mark.parametrize("path", DEPLOYMENTS, ids=lambda path: path.name)
def test_a_shipped_deployment_loads_and_only_waits_for_tokens(path: Path) -> None:
    assert load(path).agents


def test_every_shipped_character_is_used_by_a_shipped_deployment() -> None:
    used = {agent.character.stem for path in DEPLOYMENTS for agent in load(path).agents}
    assert used == {path.stem for path in CHARACTERS}


def test_the_first_deployment_is_two_campaigns_on_three_platforms() -> None:
    deployment = load(ROOT / "deployments" / "campaigns.yaml")
    assert {adapter.key for adapter in deployment.adapters} == {"local", "discord", "discord:keeper", "telegram"}
    assert [a.key for a in deployment.adapters if not a.unresolved and a.enabled] == ["local"]
    languages = {agent.character.language: agent.model for agent in deployment.agents}
    assert languages == {"en": "default", "zh": "chaguan"}
    providers = {model.id: model.provider for model in deployment.models}
    assert providers == {"default": "embedded", "chaguan": "scripted"}
    assert {agent.ruleset for agent in deployment.agents} == {"coc7e", "dnd5e"}


@pytest.mark.parametrize("path", [*DEPLOYMENTS, *CHARACTERS], ids=lambda path: path.name)
def test_every_shipped_file_tells_the_editor_its_schema(path: Path) -> None:
    kind = "deployment" if path in DEPLOYMENTS else "character"
    assert path.read_text("utf-8").startswith(f"# yaml-language-server: $schema=../schemas/{kind}.schema.json\n")
    assert (ROOT / "schemas" / f"{kind}.schema.json").is_file()


async def test_lore_of_the_game_master_reaches_no_prompt() -> None:
    deployment = load(ROOT / "deployments" / "campaigns.yaml")
    secrets = [lore.content for a in deployment.agents for lore in a.character.knowledge if lore.scope == "gm"]
    assert secrets
    build = BuildPrompt(expand, select)
    prompts = str([build.warm(Agent(spec, RulesetSpec(spec.ruleset), ())) for spec in deployment.agents])
    assert all(secret not in prompts for secret in secrets)
