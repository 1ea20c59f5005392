"""Twitch: one account in the chats of several channels, on twitchio.

Owns the descriptor alone; the adapter is in `adapter`, its way out in `posting`, its hearing in `line` and
`subscriptions`, its credentials in `grant`.
"""

from __future__ import annotations

from pathlib import Path

from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec, *, folder: Path) -> Adapter:
    # twitchio costs most of a CPU-second: only a deployment with a Twitch instance pays for it.
    from homunculus.adapters.twitch.adapter import TwitchAdapter

    return TwitchAdapter(spec, folder)


platform = Platform(
    name="twitch",
    build=_build,
    credentials=("oauth_token", "client_id", "client_secret", "refresh_token"),
    required=("oauth_token",),
    endpoints=("api_base", "auth_base", "gateway"),
    login=("username",),
    options=("channels", "trigger_prefix"),
    keeps=True,
    folds_case=True,
)
