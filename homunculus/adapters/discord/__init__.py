"""Discord: what its part of a deployment file takes, and how an instance is built. Never imports discord.py by itself."""

from __future__ import annotations

from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec) -> Adapter:
    # discord.py costs half a CPU-second and 40 MiB: only a deployment with a Discord instance pays for it.
    from homunculus.adapters.discord.adapter import DiscordAdapter

    return DiscordAdapter(spec)


platform = Platform(name="discord", build=_build, endpoints=("api_base", "gateway"))
