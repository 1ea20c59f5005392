"""The manifest that the documentation offers to paste is the one that the adapter needs."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from homunculus.adapters.slack import scopes
from homunculus.testing.slack import EVENTS, SCOPES

PAGE = Path(__file__).parents[3] / "docs" / "platforms" / "slack.md"


def manifest() -> dict[str, Any]:
    block = re.search(r"( +)```yaml\n(?P<text>.*?)\n\1```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    return dict(YAML(typ="safe", pure=True).load(textwrap.dedent(block["text"])))


def test_the_manifest_asks_for_what_the_adapter_uses_and_for_nothing_else() -> None:
    asked = manifest()["oauth_config"]["scopes"]["bot"]
    # The loopback server refuses every call that lacks its scope; this is what it knows, but for the right to post anywhere.
    assert set(asked) == SCOPES - {"chat:write.public"}
    assert asked == sorted(asked)
    assert scopes.hindrances(frozenset(asked)) == ()


def test_the_manifest_subscribes_to_every_kind_of_message_over_socket_mode() -> None:
    settings = manifest()["settings"]
    assert set(settings["event_subscriptions"]["bot_events"]) == EVENTS
    assert settings["socket_mode_enabled"] is True
    assert settings["token_rotation_enabled"] is False
    assert [one["command"] for one in manifest()["features"]["slash_commands"]] == ["/npc", "/session"]
    assert manifest()["features"]["app_home"]["messages_tab_read_only_enabled"] is False
