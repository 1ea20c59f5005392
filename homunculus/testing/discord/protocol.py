"""The gateway's frames and the rules that need no connection: what parses, what an IDENTIFY must carry.

Owns opcodes, close codes and the checks of one payload. Never holds state.
Source: Discord's "Gateway Events" and "Gateway Close Event Codes".
"""

from __future__ import annotations

import json
from typing import Any, Final

from homunculus.testing.discord.session import KNOWN_INTENTS, PRIVILEGED
from homunculus.testing.discord.world import Bot

HEARTBEAT, IDENTIFY, PRESENCE, RESUME, RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 1, 2, 3, 6, 7, 9, 10, 11
MAX_PAYLOAD: Final = 4_096
_STATUSES: Final = frozenset({"online", "dnd", "idle", "invisible", "offline"})


class Closing(Exception):
    """Close the connection with one of Discord's codes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def parse(text: str) -> tuple[int, Any]:
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PAYLOAD:
        raise Closing(4002, f"Error while decoding payload: longer than {MAX_PAYLOAD} bytes.")
    try:
        payload = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Closing(4002, "Error while decoding payload.") from exc
    op = payload.get("op") if isinstance(payload, dict) else None
    if isinstance(op, bool) or not isinstance(op, int):
        raise Closing(4002, "Error while decoding payload: op.")
    return op, payload.get("d")


def check_properties(properties: Any) -> None:
    names = ("os", "browser", "device")
    if not isinstance(properties, dict) or not all(isinstance(properties.get(name), str) for name in names):
        raise Closing(4002, "Error while decoding payload: properties need os, browser and device.")


def intents(value: Any, bot: Bot) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0 or value & ~KNOWN_INTENTS:
        raise Closing(4013, "Invalid intent(s).")
    if value & PRIVILEGED & ~bot.granted:
        raise Closing(4014, "Disallowed intent(s).")
    return value


def shard(value: Any) -> tuple[int, int]:
    whole = isinstance(value, list) and len(value) == 2 and all(type(part) is int for part in value)
    if not whole or not 0 <= value[0] < value[1]:
        raise Closing(4010, "Invalid shard.")
    return value[0], value[1]


def credential(data: Any) -> str:
    """Read the token of an IDENTIFY or RESUME."""
    token = data.get("token") if isinstance(data, dict) else None
    if not isinstance(token, str):
        raise Closing(4002, "Error while decoding payload: token.")
    return token


def sequence(value: Any, last: int) -> int:
    """Read the sequence number of a RESUME; one never sent is invalid."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= last:
        raise Closing(4007, "Invalid seq.")
    return value


def check_heartbeat(data: Any) -> None:
    if data is not None and (isinstance(data, bool) or not isinstance(data, int)):
        raise Closing(4002, "Error while decoding payload: a heartbeat's d is null or a sequence number.")


def check_presence(data: Any) -> None:
    if not isinstance(data, dict) or data.get("status") not in _STATUSES:
        raise Closing(4002, "Error while decoding payload: presence status.")
