"""The methods that write: chat.postMessage, chat.update, chat.postEphemeral, reactions.add, and a command's response_url.

Owns the rules of posts. Never sends an event itself.
Source: Slack's page of each method. A name or picture without `chat:write.customize` is ignored, not refused (papercups pull
request 522, dewy pull request 362). chat.update takes 4,000 characters (its `msg_too_long`), chat.postMessage 40,000.
Not documented, and chosen: a thread that is not there is `thread_not_found`, a reply in place of its root
`cannot_reply_to_message`; a response_url that is used up answers 404 with `used_url`, an expired one `expired_url`.
"""

from __future__ import annotations

import json
import re
import time
from typing import Final

from aiohttp import web

from homunculus.testing.slack import wire
from homunculus.testing.slack.front import Call
from homunculus.testing.slack.hub import Hub
from homunculus.testing.slack.refusals import Json, Refusal
from homunculus.testing.slack.world import Channel, Command, Message, Whisper

LONGEST_POST: Final = 40_000
LONGEST_UPDATE: Final = 4_000
ANSWERS: Final = 5
ANSWER_SECONDS: Final = 1_800.0
_EMOJI: Final = re.compile(r"[a-z0-9_+'\-]{1,100}(::skin-tone-[2-6])?")


class ChatMethods:
    """Answer what puts words into a conversation."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._world = hub, hub.world

    def post(self, call: Call) -> Json:
        call.needs("chat:write")
        channel = self._writable(call)
        text = _text(call, LONGEST_POST)
        own = "chat:write.customize" in call.bot.scopes
        message = Message(
            ts="",
            channel=channel,
            user=call.bot.user,
            bot=call.bot,
            text=text,
            thread_ts=self._root(call, channel),
            username=str(call.arguments.get("username") or "") or None if own else None,
            icon_url=str(call.arguments.get("icon_url") or "") or None if own else None,
            unfurl=call.flag("unfurl_links", default=True) or call.flag("unfurl_media", default=True),
        )
        message.ts = self._world.mint_ts(channel)
        self._hub.post(message, link_names=call.flag("link_names") or call.arguments.get("parse") == "full")
        return {"channel": channel.id, "ts": message.ts, "message": wire.message(message)}

    def update(self, call: Call) -> Json:
        call.needs("chat:write")
        channel = call.channel()
        message = channel.log.get(call.text("ts"))
        if message is None:
            raise Refusal("message_not_found")
        if message.bot is not call.bot:
            raise Refusal("cant_update_message")
        window = channel.workspace.edit_window
        if window is not None and time.time() > float(message.ts) + window:
            raise Refusal("edit_window_closed")
        text = _text(call, LONGEST_UPDATE)
        # Unlike chat.postMessage it reads a text as people type it unless told otherwise.
        typed = call.arguments.get("parse", "client") in ("client", "full")
        self._hub.edit(message, text, link_names=typed)
        return {"channel": channel.id, "ts": message.ts, "text": text, "message": wire.message(message)}

    def whisper(self, call: Call) -> Json:
        call.needs("chat:write")
        channel, user_id = self._writable(call), call.text("user")
        if user_id not in channel.members:
            raise Refusal("user_not_in_channel")
        text = _text(call, LONGEST_POST)
        self._hub.whisper(Whisper(channel, user_id, text, self._root(call, channel)))
        return {"message_ts": self._world.mint_ts(channel)}

    def react(self, call: Call) -> Json:
        call.needs("reactions:write")
        channel, name = call.channel(), call.text("name")
        timestamp = call.text("timestamp")
        if not _EMOJI.fullmatch(name):
            raise Refusal("invalid_name")
        if not re.fullmatch(r"\d+\.\d{6}", timestamp):
            raise Refusal("bad_timestamp")
        message = channel.log.get(timestamp)
        if message is None:
            raise Refusal("message_not_found")
        if call.bot.user_id not in channel.members:
            raise Refusal("not_in_channel")
        if call.bot.user_id in message.reactions.get(name, []):
            raise Refusal("already_reacted")
        self._hub.react(message, call.bot.user, name)
        return {}

    # -- a command's own way back

    async def respond(self, request: web.Request) -> web.Response:
        """Take what is posted to a response_url: `in_channel` for all to see, else for the person alone."""
        command = self._world.commands.get(request.match_info["token"])
        if command is None:
            return web.Response(status=404, text="no_service")
        if time.time() > command.given + ANSWER_SECONDS:
            return web.Response(status=404, text="expired_url")
        if len(command.answers) >= ANSWERS:
            return web.Response(status=404, text="used_url")
        try:
            body = json.loads(await request.read())
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        if not isinstance(body, dict) or not str(body.get("text") or "").strip():
            return web.Response(status=500, text="no_text")
        self._answered(command, body)
        return web.Response(text="ok")

    def _answered(self, command: Command, body: Json) -> None:
        command.answers.append(body)
        text, channel = str(body["text"]), command.channel
        if body.get("response_type") != "in_channel":
            self._hub.whisper(Whisper(channel, command.user.id, text))
            return
        # A response is always the app's own: a name given with it is not looked at.
        message = Message(self._world.mint_ts(channel), channel, command.bot.user, text, bot=command.bot)
        self._hub.post(message)

    # -- what holds for all

    def _writable(self, call: Call) -> Channel:
        channel = call.channel()
        if channel.archived:
            raise Refusal("is_archived")
        if call.bot.user_id not in channel.members and "chat:write.public" not in call.bot.scopes:
            raise Refusal("not_in_channel")
        if channel.read_only:
            raise Refusal("restricted_action")
        return channel

    def _root(self, call: Call, channel: Channel) -> str | None:
        ts = call.arguments.get("thread_ts")
        if ts is None:
            return None
        root = channel.log.get(str(ts))
        if root is None:
            raise Refusal("thread_not_found")
        if root.is_reply:
            raise Refusal("cannot_reply_to_message")
        return root.ts


def _text(call: Call, longest: int) -> str:
    text = call.arguments.get("text")
    if not isinstance(text, str) or not text.strip():
        raise Refusal("no_text")
    if len(text) > longest:
        raise Refusal("msg_too_long")
    return text
