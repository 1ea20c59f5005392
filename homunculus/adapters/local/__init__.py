"""The local platform: the web page and the terminal. Owns the descriptor; rooms are in `hub`, the adapter in `adapter`."""

from __future__ import annotations

from homunculus.adapters.local.adapter import LocalAdapter
from homunculus.adapters.local.hub import LocalHub, LocalPost
from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec

__all__ = ["LocalAdapter", "LocalHub", "LocalPost", "platform"]


def _build(spec: AdapterSpec, *, hub: LocalHub) -> Adapter:
    return LocalAdapter(spec, hub)


platform = Platform(
    name="local",
    build=_build,
    credentials=(),
    required=(),
    endpoints=(),
    place="chat_id",
    agent_places=True,
    default_on=True,
)
