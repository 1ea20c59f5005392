"""Slash commands: `/npc status` as a message, and the way back that comes with it.

Owns the addresses to answer at, for as long as Slack takes answers there; never runs a command.
Source: Slack's "Slash commands" and "Handling user interaction: response_url".
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from homunculus.adapters.slack.mapping import Mapping
from homunculus.adapters.slack.web import Web
from homunculus.model import Author, Message

SECONDS, ANSWERS = 1_790.0, 5  # for how long and how often Slack takes an answer
_REMEMBERED = 1_000


@dataclass(slots=True)
class _Way:
    url: str
    until: float
    left: int = ANSWERS


class Commands:
    """Turn commands into messages and answer them where they came from."""

    def __init__(self, web: Web, mapping: Mapping, clock: Callable[[], float] = time.time) -> None:
        self._web, self._mapping, self._clock = web, mapping, clock
        self._ways: OrderedDict[str, _Way] = OrderedDict()  # a command's id → where to answer
        self._ids: dict[str, str] = {}  # Slack's trigger → the id it has here

    async def message(self, payload: dict[str, Any]) -> Message:
        """Return a command as a message; a command delivered twice is one message."""
        now, trigger = self._clock(), str(payload.get("trigger_id", ""))
        # It begins like a message's ts, so that what was said since can be asked for.
        message_id = self._ids.setdefault(trigger, f"{now:.6f}-{trigger}")
        self._remember(message_id, trigger, _Way(str(payload.get("response_url", "")), now + SECONDS))
        given = await self._mapping.read(str(payload.get("text", "")))
        command = f"{str(payload.get('command', '')).lstrip('/')} {given}".strip()
        place, user = str(payload.get("channel_id", "")), str(payload.get("user_id", ""))
        direct = payload.get("channel_name") == "directmessage"
        if direct:
            self._mapping.met(place, user)
        return Message(
            id=message_id,
            address=self._mapping.address(place, "im" if direct else "channel"),
            author=Author(user, await self._mapping.name(user)),
            text=f"/{command}",
            mentioned=True,
            time=now,
            command=command,
        )

    async def answer(self, message_id: str, said: str, *, aloud: bool) -> bool:
        """Answer a command with escaped text, to its author or to all; False where it is none, or takes no more answers.

        Raises NotReady, Refused or Uncertain.
        """
        way = self._ways.get(message_id)
        if way is None or not way.url or way.left < 1 or way.until < self._clock():
            return False
        way.left -= 1
        body = {
            "response_type": "in_channel" if aloud else "ephemeral",
            "text": said,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        return await self._web.respond(way.url, body, "the answer to a command")

    def _remember(self, message_id: str, trigger: str, way: _Way) -> None:
        self._ways.setdefault(message_id, way)
        if len(self._ways) > _REMEMBERED:
            old, _ = self._ways.popitem(last=False)
            self._ids = {trigger: known for trigger, known in self._ids.items() if known != old}


def is_command(message_id: str) -> bool:
    """Tell whether an id is that of a command: nothing on Slack that could be marked or changed."""
    return "-" in message_id


def since(message_id: str) -> str:
    """Return the moment of a message or a command as Slack's ts."""
    return message_id.partition("-")[0]
