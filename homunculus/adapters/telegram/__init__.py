"""Telegram: what its part of a deployment file takes, and how an instance is built. Never imports the library by itself."""

from __future__ import annotations

from homunculus.interfaces import Adapter, Platform
from homunculus.model import AdapterSpec


def _build(spec: AdapterSpec) -> Adapter:
    # python-telegram-bot and httpx cost half a CPU-second: only a deployment with a Telegram instance pays for them.
    from homunculus.adapters.telegram.adapter import TelegramAdapter

    return TelegramAdapter(spec)


platform = Platform(name="telegram", build=_build, endpoints=("api_base", "file_base"), place="chat_id")
