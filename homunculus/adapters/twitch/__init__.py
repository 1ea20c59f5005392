"""Twitch: what its part of a deployment file takes. Owns the descriptor; connects nothing yet."""

from __future__ import annotations

from homunculus.errors import Refused
from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec) -> Adapter:
    raise Refused(f"twitch is not available yet in this version; remove {spec.key}, or set its enabled to false")


platform = Platform(
    name="twitch",
    build=_build,
    credentials=("oauth_token", "client_id", "client_secret", "refresh_token"),
    required=("oauth_token",),
    endpoints=("api_base", "auth_base", "gateway"),
    login=("username",),
    options=("channels", "trigger_prefix"),
)
