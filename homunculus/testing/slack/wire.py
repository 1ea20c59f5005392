"""Slack's JSON: how users, conversations, messages and events look on the wire. Pure words, no decisions.

Source: Slack's "Message event", "Conversation object", "User object" and "Events API: callback field overview".
"""

from __future__ import annotations

from homunculus.testing.slack.refusals import Json
from homunculus.testing.slack.world import Bot, Channel, Message, User, World


def user(one: User) -> Json:
    return {
        "id": one.id,
        "team_id": one.workspace.id,
        "name": one.name.lower().replace(" ", "."),
        "real_name": one.name,
        "deleted": False,
        "is_bot": one.bot,
        "profile": {"real_name": one.name, "display_name": "" if one.bot else one.name},
    }


def conversation(world: World, one: Channel, reader: Bot) -> Json:
    body: Json = {
        "id": one.id,
        "is_channel": one.kind == "channel",
        "is_group": one.kind == "group",
        "is_im": one.kind == "im",
        "is_mpim": one.kind == "mpim",
        "is_private": one.kind != "channel",
        "is_archived": one.archived,
        "context_team_id": one.workspace.id,
    }
    if one.kind == "im":
        return {**body, "user": world.peer(one, reader), "is_open": True}
    return {**body, "name": one.name, "name_normalized": one.name, "is_member": reader.user_id in one.members}


def message(one: Message) -> Json:
    """Word a message as history does; an event adds the channel."""
    body: Json = {"type": "message", "text": one.text, "ts": one.ts}
    subtype = one.subtype or ("file_share" if one.files else None)
    if subtype:
        body["subtype"] = subtype
    body |= _author(one)
    if one.thread_ts:
        body["thread_ts"] = one.thread_ts
    if one.is_reply:
        root = one.channel.log.get(one.thread_ts or "")
        # A root under a name of its own has no user, so nobody is told whose it is.
        if root is not None and "user" in _author(root):
            body["parent_user_id"] = root.user.id
    elif one.thread_ts:
        replies = [reply for reply in one.channel.log.values() if reply.is_reply and reply.thread_ts == one.ts]
        body |= {"reply_count": len(replies), "latest_reply": replies[-1].ts if replies else one.ts}
    if one.files:
        body["files"] = [{"id": f"F0{n:09X}", "name": name, "title": name} for n, name in enumerate(one.files)]
    if one.edited:
        body["edited"] = {"user": one.user.id, "ts": one.edited}
    if one.reactions:
        body["reactions"] = [
            {"name": name, "users": list(who), "count": len(who)} for name, who in one.reactions.items()
        ]
    return body


def _author(one: Message) -> Json:
    if one.bot is None:
        return {"user": one.user.id, "team": one.channel.workspace.id}
    origin = {"bot_id": one.bot.bot_id, "app_id": one.bot.app_id, "team": one.channel.workspace.id}
    if one.username is None:
        return {**origin, "user": one.user.id, "bot_profile": {"id": one.bot.bot_id, "name": one.bot.name}}
    # Under a name of its own a post has no user: that of the app is not what people see.
    icons = {"icons": {"image_48": one.icon_url}} if one.icon_url else {}
    return {**origin, "subtype": "bot_message", "username": one.username, **icons}


def placed(one: Channel, body: Json, event_ts: str) -> Json:
    """Turn a message's body into the event that tells of it."""
    return {**body, "channel": one.id, "channel_type": one.kind, "event_ts": event_ts}


def callback(bot: Bot, event: Json, event_id: str, at: float) -> Json:
    return {
        "token": "verification-token",
        "team_id": bot.workspace.id,
        "context_team_id": bot.workspace.id,
        "api_app_id": bot.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": event_id,
        "event_time": int(at),
        "authorizations": [
            {"team_id": bot.workspace.id, "user_id": bot.user_id, "is_bot": True, "is_enterprise_install": False}
        ],
        "is_ext_shared_channel": False,
        "event_context": f"4-{event_id}",
    }
