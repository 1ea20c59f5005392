"""The methods that read and open: auth.test, apps.connections.open, conversations.*, users.*.

Owns visibility, paging and the scopes of reading. Never changes a message.
Source: Slack's page of each method and "Pagination". History is told newest first and paged backwards, replies oldest
first with their root; where `oldest` stands without `latest`, Slack's own documentation once said that what lies closest to
it comes first and no longer says anything: the harder reading, the newest first, is taken.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final, TypeVar

from homunculus.testing.slack import wire
from homunculus.testing.slack.front import Call
from homunculus.testing.slack.hub import Hub
from homunculus.testing.slack.refusals import Json, Refusal
from homunculus.testing.slack.sockets import Sockets
from homunculus.testing.slack.world import PLURAL, Channel, Message

_TYPES: Final = {"public_channel": "channel", "private_channel": "group", "mpim": "mpim", "im": "im"}
_TS: Final = re.compile(r"\d+(\.\d{1,6})?")
LARGEST_PAGE: Final = 999
T = TypeVar("T")


class ConversationMethods:
    """Answer who is where and what was said."""

    def __init__(self, hub: Hub, sockets: Sockets, socket_url: Callable[[str], str]) -> None:
        self._hub, self._world = hub, hub.world
        self._sockets, self._socket_url = sockets, socket_url

    def auth_test(self, call: Call) -> Json:
        bot = call.bot
        return {
            "url": f"https://{bot.workspace.name.lower()}.slack.com/",
            "team": bot.workspace.name,
            "user": bot.name,
            "team_id": bot.workspace.id,
            "user_id": bot.user_id,
            "bot_id": bot.bot_id,
            "is_enterprise_install": False,
        }

    def open_connection(self, call: Call) -> Json:
        """Hand out a WebSocket address that opens once."""
        if not call.bot.socket_mode:
            raise Refusal("forbidden_team")
        return {"url": self._socket_url(self._sockets.ticket(call.bot))}

    # -- conversations

    def history(self, call: Call) -> Json:
        channel = self._readable(call)
        told = [one for one in channel.log.values() if not one.is_reply]
        page, cursor = _page(_between(call, told)[::-1], call, _ts_of)
        return {"messages": [wire.message(one) for one in page], **_more(cursor)}

    def replies(self, call: Call) -> Json:
        channel = self._readable(call)
        asked = channel.log.get(call.text("ts"))
        root = channel.log.get(asked.thread_ts) if asked is not None and asked.thread_ts is not None else asked
        if root is None:
            raise Refusal("thread_not_found")
        inside = [one for one in channel.log.values() if one.is_reply and one.thread_ts == root.ts]
        page, cursor = _page(_between(call, inside), call, _ts_of)
        return {"messages": [wire.message(one) for one in (root, *page)], **_more(cursor)}

    def info(self, call: Call) -> Json:
        channel = call.channel()
        call.needs(f"{channel.plural}:read")
        return {"channel": wire.conversation(self._world, channel, call.bot)}

    def of_bot(self, call: Call) -> Json:
        """List the conversations that the bot is in (users.conversations)."""
        types = str(call.arguments.get("types") or "public_channel").split(",")
        if not set(types) <= _TYPES.keys():
            raise Refusal("invalid_types")
        for name in types:
            call.needs(f"{PLURAL[_TYPES[name]]}:read")
        kinds = {_TYPES[name] for name in types}
        mine = [one for one in self._world.channels_of(call.bot.workspace) if call.bot.user_id in one.members]
        if call.flag("exclude_archived"):
            mine = [one for one in mine if not one.archived]
        page, cursor = _page([one for one in mine if one.kind in kinds], call, _id_of)
        told = [wire.conversation(self._world, one, call.bot) for one in page]
        return {"channels": told, "response_metadata": {"next_cursor": cursor}}

    def open_direct(self, call: Call) -> Json:
        call.needs("im:write")
        people = call.text("users").split(",")
        if len(people) != 1:
            raise Refusal("too_many_users")
        user = self._world.users.get(people[0])
        if user is None or user.workspace is not call.bot.workspace:
            raise Refusal("user_not_found")
        if user.bot:
            raise Refusal("cannot_dm_bot")
        return {"channel": {"id": self._world.direct(call.bot, user).id}}

    def _readable(self, call: Call) -> Channel:
        channel = call.channel()
        call.needs(f"{channel.plural}:history")
        return call.joined()

    # -- people

    def user(self, call: Call) -> Json:
        call.needs("users:read")
        found = self._world.users.get(call.text("user"))
        if found is None or found.workspace is not call.bot.workspace:
            raise Refusal("user_not_found")
        return {"user": wire.user(found)}


def _between(call: Call, messages: list[Message]) -> list[Message]:
    """Choose what lies between `oldest` and `latest`, both excluded unless `inclusive`."""
    oldest, latest = _ts(call, "oldest", 0.0), _ts(call, "latest", float("inf"))
    if call.flag("inclusive"):
        return [one for one in messages if oldest <= float(one.ts) <= latest]
    return [one for one in messages if oldest < float(one.ts) < latest]


def _ts(call: Call, name: str, default: float) -> float:
    value = call.arguments.get(name)
    if value in (None, ""):
        return default
    if not _TS.fullmatch(str(value)):
        raise Refusal(f"invalid_ts_{name}")
    return float(str(value))


def _page(items: list[T], call: Call, key: Callable[[T], str]) -> tuple[list[T], str]:
    """Cut out the page that `limit` and `cursor` ask for; return it with the next page's cursor, "" after the last.

    A cursor names the last item told, so that what is said meanwhile shifts nothing.
    """
    limit = str(call.arguments.get("limit", "100"))
    if not limit.isdecimal() or not 1 <= int(limit) <= LARGEST_PAGE:
        raise Refusal("invalid_limit")
    start = _start(str(call.arguments.get("cursor") or ""), [key(item) for item in items])
    end = start + int(limit)
    page = items[start:end]
    cursor = base64.b64encode(f"next:{key(page[-1])}".encode()).decode() if end < len(items) else ""
    return page, cursor


def _start(cursor: str, keys: list[str]) -> int:
    if not cursor:
        return 0
    try:
        word, _, last = base64.b64decode(cursor, validate=True).decode().partition(":")
    except ValueError:
        raise Refusal("invalid_cursor") from None
    if word != "next" or last not in keys:
        raise Refusal("invalid_cursor")
    return keys.index(last) + 1


def _ts_of(message: Message) -> str:
    return message.ts


def _id_of(channel: Channel) -> str:
    return channel.id


def _more(cursor: str) -> Json:
    return {"has_more": bool(cursor), **({"response_metadata": {"next_cursor": cursor}} if cursor else {})}
