"""What EventSub says over a WebSocket, as JSON. Owns the wording; never decides who hears it.

Source: Twitch's "EventSub WebSocket reference" and "channel.chat.message".
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from homunculus.testing.twitch.world import Channel, ChatMessage, User, World

_MENTION = re.compile(r"(@\w{1,25})")


def moment(seconds: float | None = None) -> str:
    """Write a moment as Twitch does, in nanoseconds."""
    when = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def frame(kind: str, payload: dict[str, Any], *, message_id: str = "", **metadata: str) -> str:
    """Put a payload into the envelope that every message of EventSub has."""
    head = {"message_id": message_id or str(uuid.uuid4()), "message_type": kind, "message_timestamp": moment()}
    return json.dumps({"metadata": {**head, **metadata}, "payload": payload})


def session(identity: str, status: str, keepalive: int | None, reconnect_url: str | None) -> dict[str, Any]:
    """Describe a session."""
    return {
        "session": {
            "id": identity,
            "status": status,
            "keepalive_timeout_seconds": keepalive,
            "reconnect_url": reconnect_url,
            "connected_at": moment(),
        }
    }


def chat_message(world: World, channel: Channel, message: ChatMessage) -> dict[str, Any]:
    """Word a message of a chat as the event that its readers get."""
    author, owner = message.author, channel.owner
    parent = message.reply_to
    # Twitch puts whom it answers before an answer.
    text = f"@{parent.author.name} {message.text}" if parent is not None else message.text
    return {
        "broadcaster_user_id": owner.id,
        "broadcaster_user_login": owner.login,
        "broadcaster_user_name": owner.name,
        "chatter_user_id": author.id,
        "chatter_user_login": author.login,
        "chatter_user_name": author.name,
        "message_id": message.id,
        "message": {"text": text, "fragments": _fragments(world, text)},
        "color": "",
        "badges": [{"set_id": badge, "id": "1", "info": ""} for badge in message.badges],
        "message_type": "text",
        "cheer": None,
        "reply": _reply(parent),
        "channel_points_custom_reward_id": None,
        "channel_points_animation_id": None,
        "source_broadcaster_user_id": None,
        "source_broadcaster_user_login": None,
        "source_broadcaster_user_name": None,
        "source_message_id": None,
        "source_badges": None,
        "is_source_only": None,
    }


def _fragments(world: World, text: str) -> list[dict[str, Any]]:
    parts = [part for part in _MENTION.split(text) if part]
    return [_fragment(part, world.by_login.get(part[1:].lower()) if part[0] == "@" else None) for part in parts]


def _fragment(text: str, mentioned: User | None) -> dict[str, Any]:
    mention = None
    if mentioned is not None:
        mention = {"user_id": mentioned.id, "user_login": mentioned.login, "user_name": mentioned.name}
    kind = "mention" if mention else "text"
    return {"type": kind, "text": text, "cheermote": None, "emote": None, "mention": mention}


def _reply(parent: ChatMessage | None) -> dict[str, str] | None:
    if parent is None:
        return None
    thread = parent
    while thread.reply_to is not None:
        thread = thread.reply_to
    return {
        "parent_message_id": parent.id,
        "parent_message_body": parent.text,
        "parent_user_id": parent.author.id,
        "parent_user_login": parent.author.login,
        "parent_user_name": parent.author.name,
        "thread_message_id": thread.id,
        "thread_user_id": thread.author.id,
        "thread_user_login": thread.author.login,
        "thread_user_name": thread.author.name,
    }
