"""What happens in the loopback Slack: a message is posted, changed, deleted; a command is given.

Owns the pairing of a change with the events that tell of it, and who hears them. Never reads a request and checks no
permission: the methods check theirs before, and a test may do what it likes.
Source: Slack's "Message event" and its subtypes, "app_mention", "Slash commands".
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from homunculus.testing.slack import wire
from homunculus.testing.slack.refusals import Json
from homunculus.testing.slack.sockets import Sockets
from homunculus.testing.slack.world import Bot, Channel, Command, Message, User, Whisper, World

_USER: Final = re.compile(r"<@(U\w+)(?:\|[^>]*)?>")
_GROUP: Final = re.compile(r"<!(channel|here|everyone)(?:\|[^>]*)?>")
_PLAIN_GROUP: Final = re.compile(r"(?<!\w)@(channel|here|everyone)\b")


class Hub:
    """Change the world and tell the apps that may know."""

    def __init__(self, world: World, sockets: Sockets, changed: Callable[[], None]) -> None:
        self.world, self.sockets, self._changed = world, sockets, changed
        self.base = ""

    # -- messages

    def post(self, message: Message, *, link_names: bool = False) -> Message:
        channel = message.channel
        channel.log[message.ts] = message
        root = channel.log.get(message.thread_ts or "")
        if root is not None:
            root.thread_ts = root.ts
        message.pinged = pings(message.text, link_names=link_names)
        body = wire.placed(channel, wire.message(message), message.ts)
        self._tell(channel, f"message.{channel.plural}", lambda _: body)
        if channel.kind != "im":
            self._tell_mentioned(message)
        self._changed()
        return message

    def retell(self, message: Message) -> None:
        """Tell of a message once more, as Slack does when it does not know that it was heard."""
        body = wire.placed(message.channel, wire.message(message), message.ts)
        self._tell(message.channel, f"message.{message.channel.plural}", lambda _: body)

    def edit(self, message: Message, text: str, *, link_names: bool = False) -> None:
        before = wire.message(message)
        message.texts.append(message.text)
        message.text, message.edited = text, self.world.mint_ts(message.channel)
        message.pinged |= pings(text, link_names=link_names)
        event = {
            "type": "message",
            "subtype": "message_changed",
            "hidden": True,
            "ts": message.edited,
            "message": wire.message(message),
            "previous_message": before,
        }
        self._tell_hidden(message.channel, event)

    def unfurl(self, message: Message) -> None:
        """Let Slack add the preview of a link: an event that looks like a change and changes no word."""
        body = wire.message(message)
        event = {
            "type": "message",
            "subtype": "message_changed",
            "hidden": True,
            "ts": self.world.mint_ts(message.channel),
            "message": {**body, "attachments": [{"fallback": "a page"}]},
            "previous_message": body,
        }
        self._tell_hidden(message.channel, event)

    def delete(self, message: Message) -> None:
        channel, before = message.channel, wire.message(message)
        at = self.world.mint_ts(channel)
        replied = any(one.thread_ts == message.ts for one in channel.log.values() if one is not message)
        event: Json = {"type": "message", "hidden": True, "ts": at, "previous_message": before}
        if replied:
            # The root of a thread stays as a tombstone for as long as somebody answered it.
            message.texts.append(message.text)
            message.text, message.subtype = "This message was deleted.", "tombstone"
            event |= {"subtype": "message_changed", "message": {**wire.message(message), "user": "USLACKBOT"}}
        else:
            del channel.log[message.ts]
            event |= {"subtype": "message_deleted", "deleted_ts": message.ts}
        self._tell_hidden(channel, event)

    def _tell_hidden(self, channel: Channel, event: Json) -> None:
        body = wire.placed(channel, event, event["ts"])
        self._tell(channel, f"message.{channel.plural}", lambda _: body)
        self._changed()

    def _tell_mentioned(self, message: Message) -> None:
        named = set(_USER.findall(message.text))
        body = wire.message(message)
        event = {key: value for key, value in body.items() if key not in ("parent_user_id", "subtype")}
        event |= {"type": "app_mention", "channel": message.channel.id, "event_ts": message.ts}
        for bot in self.world.members(message.channel):
            if bot.user_id in named and bot is not message.bot and "app_mentions:read" in bot.scopes:
                self._send(bot, "app_mention", event)

    def _tell(self, channel: Channel, subscription: str, event: Callable[[Bot], Json]) -> None:
        for bot in self.world.members(channel):
            if f"{channel.plural}:history" in bot.scopes:
                self._send(bot, subscription, event(bot))

    def _send(self, bot: Bot, subscription: str, event: Json) -> None:
        if subscription in bot.events and bot.alive:
            payload = wire.callback(bot, event, f"Ev0{secrets.token_hex(5).upper()}", time.time())
            self.sockets.send(bot, "events_api", payload)

    # -- reactions, whispers, commands

    def react(self, message: Message, user: User, name: str) -> None:
        message.reactions.setdefault(name, []).append(user.id)
        self._changed()

    def whisper(self, whisper: Whisper) -> None:
        self.world.whispers.append(whisper)
        self._changed()

    def command(self, command: Command) -> Command:
        self.world.commands[command.token] = command
        bot, channel = command.bot, command.channel
        names = {"im": "directmessage", "group": "privategroup", "mpim": "privategroup"}
        payload = {
            "token": "verification-token",
            "team_id": bot.workspace.id,
            "team_domain": bot.workspace.name.lower(),
            "channel_id": channel.id,
            "channel_name": names.get(channel.kind, channel.name),
            "user_id": command.user.id,
            "user_name": command.user.name.lower(),
            "command": command.command,
            "text": command.text,
            "api_app_id": bot.app_id,
            "is_enterprise_install": "false",
            "response_url": f"{self.base}/commands/{bot.workspace.id}/{command.token}",
            "trigger_id": f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}",
        }
        self.sockets.send(bot, "slash_commands", payload, command)
        return command


def pings(text: str, *, link_names: bool) -> frozenset[str]:
    """Return whom a text notifies: users by id, groups by name. Names without marks only where `link_names` says so."""
    plain = _PLAIN_GROUP.findall(text) if link_names else []
    return frozenset({*_USER.findall(text), *_GROUP.findall(text), *plain})
