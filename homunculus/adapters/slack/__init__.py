"""Slack: what its part of a deployment file takes. Owns the descriptor; connects nothing yet."""

from __future__ import annotations

from homunculus.errors import Refused
from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec) -> Adapter:
    raise Refused(f"slack is not available yet in this version; remove {spec.key}, or set its enabled to false")


platform = Platform(
    name="slack",
    build=_build,
    credentials=("bot_token", "app_token"),
    required=("bot_token", "app_token"),
)
