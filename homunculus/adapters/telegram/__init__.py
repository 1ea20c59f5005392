"""Telegram: what its part of a deployment file takes. Owns the descriptor; connects nothing yet."""

from __future__ import annotations

from homunculus.errors import Refused
from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec) -> Adapter:
    raise Refused(f"telegram is not available yet in this version; remove {spec.key}, or set its enabled to false")


platform = Platform(name="telegram", build=_build, endpoints=("api_base", "file_base"), place="chat_id")
