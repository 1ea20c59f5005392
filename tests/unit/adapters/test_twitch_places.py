"""A channel of Twitch may be written in any case: rules hold it as the adapter delivers it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from homunculus.config import Loaded, Loader
from homunculus.errors import ConfigErrors
from homunculus.interfaces import Platform

PLATFORMS: dict[str, Platform] = {one.name: one.load() for one in entry_points(group="homunculus.platforms")}
HEAD = """version: 1
messaging: {twitch: {oauth_token: env:A}, discord: {token: env:B}}
models: {default: {provider: scripted}}
agents: {a: {character: kovach}, b: {character: kovach}}
"""


def load(folder: Path, text: str) -> Loaded:
    (folder / "characters").mkdir(exist_ok=True)
    (folder / "characters" / "kovach.yaml").write_text("name: Kovach\ndescription: A keeper.\n")
    (folder / "f.yaml").write_text(HEAD + text)
    loader = Loader(PLATFORMS, ("scripted",), ("sqlite",), {"coc7e": "Rules."}, {"A": "canary-a", "B": "canary-b"})
    return loader(folder / "f.yaml")


def test_channels_and_bindings_hold_logins_in_lower_case(tmp_path: Path) -> None:
    rules = """
channels: [{platform: twitch, channel_id: Some_Streamer, agent_id: a}]
bindings: [{channel: twitch, channel_ids: [OTHER, more], agent_id: b}]
"""
    found = load(tmp_path, rules).deployment.bindings
    assert [rule.channel_ids for rule in found if rule.platform == "twitch"] == [("some_streamer",), ("other", "more")]


def test_one_channel_in_two_spellings_is_one_place_with_two_npcs(tmp_path: Path) -> None:
    rules = """
channels:
  - {platform: twitch, channel_id: Tavern, agent_id: a}
  - {platform: twitch, channel_id: tavern, agent_id: b}
"""
    with pytest.raises(ConfigErrors, match="already has an entry on line"):
        load(tmp_path, rules)


def test_a_platform_whose_places_are_told_apart_by_case_keeps_them(tmp_path: Path) -> None:
    rules = "bindings: [{channel: discord, channel_ids: [AbC], agent_id: a}]\n"
    (rule,) = (one for one in load(tmp_path, rules).deployment.bindings if one.platform == "discord")
    assert rule.channel_ids == ("AbC",)
