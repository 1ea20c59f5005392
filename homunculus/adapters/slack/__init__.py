"""Slack: what its part of a deployment file takes, and how an instance is built. Never imports slack-sdk by itself."""

from __future__ import annotations

from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec) -> Adapter:
    # slack-sdk and aiohttp are paid for only by a deployment with a Slack instance.
    from homunculus.adapters.slack.adapter import SlackAdapter

    return SlackAdapter(spec)


platform = Platform(
    name="slack",
    build=_build,
    credentials=("bot_token", "app_token"),
    required=("bot_token", "app_token"),
)
