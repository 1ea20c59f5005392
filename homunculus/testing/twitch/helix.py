"""Helix: users, EventSub subscriptions, and what a bot says.

Owns the shape of requests and answers. The rules are in `eventsub` and `chat`. Source: Twitch's "Twitch API Reference".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from homunculus.testing.twitch import refusals
from homunculus.testing.twitch.chat import LONGEST, Chat, Drop
from homunculus.testing.twitch.eventsub import EventSub
from homunculus.testing.twitch.front import Answer, Call, Front
from homunculus.testing.twitch.refusals import malformed, missing, refuse
from homunculus.testing.twitch.world import Channel, ChatMessage, User, World, is_login

PREFIX: Final = "/helix"
MOST_USERS: Final = 100
PAGE: Final = 100


class Helix:
    """Serve the API of a world; `told` is called with each message that a bot said."""

    def __init__(
        self, world: World, chat: Chat, eventsub: EventSub, told: Callable[[Channel, ChatMessage], None]
    ) -> None:
        self._world, self._chat, self._eventsub, self._told = world, chat, eventsub, told

    def add_to(self, app: web.Application, front: Front) -> None:
        """Serve the routes."""
        app.router.add_get(f"{PREFIX}/users", front.helix(self._users))
        app.router.add_post(f"{PREFIX}/eventsub/subscriptions", front.helix(self._subscribe))
        app.router.add_get(f"{PREFIX}/eventsub/subscriptions", front.helix(self._subscriptions))
        app.router.add_delete(f"{PREFIX}/eventsub/subscriptions", front.helix(self._unsubscribe))
        app.router.add_post(f"{PREFIX}/chat/messages", front.helix(self._say))

    # -- users

    async def _users(self, call: Call) -> Answer:
        query = call.request.query
        logins, ids = query.getall("login", []), query.getall("id", [])
        if len(logins) + len(ids) > MOST_USERS:
            raise malformed("login")
        if not all(map(is_login, logins)):
            raise malformed("login")
        if not all(number.isdecimal() for number in ids):
            raise malformed("id")
        if not logins and not ids:
            return 200, {"data": [_user(call.bot.user)]}
        named = [self._world.by_login.get(login.lower()) for login in logins]
        numbered = [self._world.users.get(number) for number in ids]
        found = dict.fromkeys(user for user in (*named, *numbered) if user is not None)
        return 200, {"data": [_user(user) for user in found]}

    # -- subscriptions

    async def _subscribe(self, call: Call) -> Answer:
        body = await call.body()
        if body.get("type") != "channel.chat.message" or body.get("version") != "1":
            raise malformed("type" if body.get("type") != "channel.chat.message" else "version")
        transport, condition = body.get("transport"), body.get("condition")
        if not isinstance(transport, dict) or not isinstance(condition, dict):
            raise missing("condition" if isinstance(transport, dict) else "transport")
        if transport.get("method") != "websocket":
            raise refuse(refusals.WRONG_METHOD)
        where = _text(transport, "session_id")
        broadcaster, reader = _text(condition, "broadcaster_user_id"), _text(condition, "user_id")
        made = self._eventsub.subscribe(call.bot, where, broadcaster, reader)
        return 202, {"data": [made.shown()], **self._eventsub.costs(call.bot)}

    async def _subscriptions(self, call: Call) -> Answer:
        query = call.request.query
        found = [
            one
            for one in self._eventsub.subscriptions_of(call.bot)
            if query.get("status", one.status) == one.status and query.get("subscription_id", one.id) == one.id
        ]
        start = query.get("after", "0")
        if not start.isdecimal():
            raise malformed("after")
        first, last = int(start), int(start) + PAGE
        pagination = {"cursor": str(last)} if last < len(found) else {}
        page = [one.shown() for one in found[first:last]]
        return 200, {"data": page, "pagination": pagination, **self._eventsub.costs(call.bot)}

    async def _unsubscribe(self, call: Call) -> Answer:
        wanted = call.request.query.get("id")
        if not wanted:
            raise missing("id")
        self._eventsub.unsubscribe(call.bot, wanted)
        return 204, None

    # -- chat

    async def _say(self, call: Call) -> Answer:
        call.needs("user:write:chat")
        body = await call.body()
        broadcaster, sender = _text(body, "broadcaster_id"), _text(body, "sender_id")
        text = _text(body, "message")
        if sender != call.bot.user.id:
            raise refuse(refusals.OTHERS_NAME)
        channel = self._world.channels.get(broadcaster)
        if channel is None:
            raise malformed("broadcaster_id")
        if call.bot.user.id in channel.banned:
            raise refuse(refusals.BANNED)
        if len(text) > LONGEST:
            raise refuse(refusals.TOO_LARGE)
        said = self._chat.say(channel, call.bot.user, text, self._parent(channel, body))
        if isinstance(said, Drop):
            reason = {"code": said.code, "message": said.message}
            return 200, {"data": [{"message_id": "", "is_sent": False, "drop_reason": reason}]}
        self._told(channel, said)
        return 200, {"data": [{"message_id": said.id, "is_sent": True}]}

    def _parent(self, channel: Channel, body: dict[str, Any]) -> ChatMessage | None:
        if "reply_parent_message_id" not in body:
            return None
        parent = channel.find(_text(body, "reply_parent_message_id"))
        if parent is None:
            raise refuse(refusals.NO_PARENT)
        return parent


def _text(body: dict[str, Any], name: str) -> str:
    if name not in body or body[name] == "":
        raise missing(name)
    if not isinstance(body[name], str):
        raise malformed(name)
    return str(body[name])


def _user(user: User) -> dict[str, str]:
    return {
        "id": user.id,
        "login": user.login,
        "display_name": user.name,
        "type": "",
        "broadcaster_type": "",
        "description": "",
        "profile_image_url": "",
        "offline_image_url": "",
        "created_at": "2016-12-14T20:32:28Z",
    }
