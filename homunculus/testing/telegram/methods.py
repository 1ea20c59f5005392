"""The methods of the Bot API that this server knows. Owns the rules that need both the request and the world.

Never sends an update itself: the hub does. Source: the Bot API's "Available methods".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from homunculus.testing.telegram import refusals, wire
from homunculus.testing.telegram.forms import boolean, integer, parsed, text_of
from homunculus.testing.telegram.hub import Hub, marks
from homunculus.testing.telegram.limits import Rate, Windows
from homunculus.testing.telegram.refusals import Json, bad, limited, migrated, refuse
from homunculus.testing.telegram.world import Bot, Chat, Message

_ACTIONS: Final = frozenset(
    (
        *("typing", "upload_photo", "record_video", "upload_video", "record_voice", "upload_voice", "upload_document"),
        *("choose_sticker", "find_location", "record_video_note", "upload_video_note"),
    )
)
_COMMAND: Final = re.compile(r"[a-z0-9_]{1,32}")
MOST_COMMANDS: Final = 100
# Source: the Bot API's "ReactionTypeEmoji".
REACTIONS: Final = frozenset(
    (
        *"❤👍👎🔥🥰👏😁🤔🤯😱🤬😢🎉🤩🤮💩🙏👌🕊🤡🥱🥴😍🐳🌚🌭💯🤣⚡🍌🏆💔🤨😐🍓🍾💋🖕😈😴😭🤓👻👀🎃🙈😇😨🤝✍🤗🫡🎅🎄☃💅🤪🗿🆒💘🙉🦄😘💊🙊😎👾🤷😡",
        *("❤\u200d🔥", "👨\u200d💻", "🤷\u200d♂", "🤷\u200d♀"),
    )
)


@dataclass(frozen=True, slots=True)
class Call:
    """What a method gets: the bot that calls and what it asks."""

    bot: Bot
    form: Json


Method = Callable[[Call], Awaitable[Any]]


class Methods:
    """Answer the methods by their names in lower case; `message_rate` is a bot's own, `group_rate` in each group."""

    def __init__(self, hub: Hub, message_rate: Rate | None, group_rate: Rate | None) -> None:
        self._hub, self._world = hub, hub.world
        self._rates, self._windows = (message_rate, group_rate), Windows()
        self.table: dict[str, Method] = {
            "getme": self.get_me,
            "getupdates": self.get_updates,
            "getwebhookinfo": self.webhook_info,
            "deletewebhook": self.delete_webhook,
            "sendmessage": self.send_message,
            "editmessagetext": self.edit_message_text,
            "sendchataction": self.send_chat_action,
            "setmessagereaction": self.set_message_reaction,
            "setmycommands": self.set_my_commands,
            "getmycommands": self.get_my_commands,
            "getchat": self.get_chat,
            "getchatmember": self.get_chat_member,
        }

    # -- the bot itself

    async def get_me(self, call: Call) -> Json:
        return wire.me(call.bot)

    async def get_updates(self, call: Call) -> list[Json]:
        form = call.form
        allowed = parsed(form, "allowed_updates", list)
        timeout = max(0, integer(form, "timeout"))
        queue, kinds = self._hub.queue(call.bot), None if allowed is None else frozenset(map(str, allowed))
        return await queue.get(integer(form, "offset"), integer(form, "limit", 100), timeout, kinds)

    async def webhook_info(self, call: Call) -> Json:
        waiting = self._hub.queue(call.bot).waiting
        return {"url": "", "has_custom_certificate": False, "pending_update_count": waiting}

    async def delete_webhook(self, call: Call) -> bool:
        return True

    async def get_my_commands(self, call: Call) -> list[Json]:
        return call.bot.commands

    async def set_my_commands(self, call: Call) -> bool:
        commands = parsed(call.form, "commands", list)
        if commands is None:
            raise bad("can't parse commands JSON object")
        if len(commands) > MOST_COMMANDS:
            raise refuse(refusals.TOO_MANY_COMMANDS)
        for command in commands:
            if not isinstance(command, dict) or not _COMMAND.fullmatch(str(command.get("command", ""))):
                raise refuse(refusals.COMMAND_INVALID)
            if not 1 <= len(str(command.get("description", ""))) <= 256:
                raise refuse(refusals.COMMAND_DESCRIPTION)
        call.bot.commands = [{"command": c["command"], "description": c["description"]} for c in commands]
        call.bot.command_writes += 1
        self._hub.changed()
        return True

    # -- chats

    async def get_chat(self, call: Call) -> Json:
        return wire.full_chat(self._seen(call))

    async def get_chat_member(self, call: Call) -> Json:
        person = self._world.users.get(integer(call.form, "user_id"))
        if person is None:
            raise refuse(refusals.USER_NOT_FOUND)
        return wire.member(self._seen(call), person)

    def _seen(self, call: Call) -> Chat:
        """Find the chat of a request; refuses one that the bot is not in, as Telegram does."""
        wanted = str(call.form.get("chat_id", "")).strip()
        if not wanted:
            raise refuse(refusals.CHAT_EMPTY)
        number = int(wanted) if re.fullmatch(r"-?[0-9]{1,19}", wanted) else 0
        chat = self._world.chat_named(wanted) if wanted.startswith("@") else self._world.chats.get(number)
        if chat is None and (other := self._world.bots.get(number)) is not None and other is not call.bot:
            raise refuse(refusals.BOT_TO_BOT)
        if chat is not None and call.bot.id in chat.kicked:
            kicked = refusals.KICKED_GROUP if chat.kind == "group" else refusals.KICKED_SUPERGROUP
            raise refuse(kicked)
        if chat is None or call.bot.id not in chat.members:
            raise refuse(refusals.CHAT_NOT_FOUND)
        return chat

    def _writable(self, call: Call) -> Chat:
        chat = self._seen(call)
        if chat.migrated_to is not None:
            raise migrated(chat.migrated_to)
        if call.bot.id in chat.blocked:
            raise refuse(refusals.BLOCKED)
        if call.bot.id in chat.muted:
            raise refuse(refusals.NO_RIGHTS)
        return chat

    def _topic(self, call: Call, chat: Chat) -> int | None:
        if call.form.get("message_thread_id") in (None, ""):
            return None
        topic = chat.topics.get(integer(call.form, "message_thread_id"))
        if topic is None:
            raise refuse(refusals.THREAD_NOT_FOUND)
        if topic.closed and call.bot.id not in chat.admins:
            raise refuse(refusals.TOPIC_CLOSED)
        return topic.id

    # -- messages

    def _count(self, call: Call, chat: Chat) -> None:
        of_bot, of_group = self._rates
        waits = [self._windows.take(call.bot.id, of_bot)]
        if chat.kind != "private" and waits[0] is None:
            waits.append(self._windows.take((call.bot.id, chat.id), of_group))
        for wait in waits:
            if wait is not None:
                raise limited(wait)

    async def send_message(self, call: Call) -> Json:
        chat = self._writable(call)
        text, entities = text_of(call.form)
        topic = self._topic(call, chat)
        answered = self._answered(call, chat)
        self._count(call, chat)
        sent = {**call.form, "link_preview_options": parsed(call.form, "link_preview_options", dict)}
        posted = self._hub.post(
            chat,
            call.bot.user,
            text,
            entities=entities,
            reply_to=answered,
            topic=chat.topics[topic] if topic is not None else None,
            sent=sent,
        )
        return wire.message(posted)

    def _answered(self, call: Call, chat: Chat) -> Message | None:
        wanted = parsed(call.form, "reply_parameters", dict)
        if wanted is None:
            return None
        found = chat.log.get(integer(wanted, "message_id"))
        if found is None and not boolean(wanted.get("allow_sending_without_reply")):
            raise refuse(refusals.REPLY_NOT_FOUND)
        return found

    async def edit_message_text(self, call: Call) -> Json:
        chat = self._writable(call)
        found = chat.log.get(integer(call.form, "message_id"))
        if found is None:
            raise refuse(refusals.EDIT_NOT_FOUND)
        if found.author is not call.bot.user:
            raise refuse(refusals.NOT_EDITABLE)
        text, entities = text_of(call.form)
        self._count(call, chat)
        if (text, (*marks(text), *entities)) == (found.text, found.entities):
            raise refuse(refusals.NOT_MODIFIED)
        self._hub.edited(found, text, entities)
        return wire.message(found)

    async def set_message_reaction(self, call: Call) -> bool:
        chat = self._writable(call)
        found = chat.log.get(integer(call.form, "message_id"))
        if found is None:
            raise refuse(refusals.REACT_NOT_FOUND)
        wanted = parsed(call.form, "reaction", list) or []
        if len(wanted) > 1:
            raise refuse(refusals.TOO_MANY_REACTIONS)
        emoji = [str(one.get("emoji", "")) for one in wanted if isinstance(one, dict) and one.get("type") == "emoji"]
        allowed = REACTIONS if chat.reactions is None else chat.reactions & REACTIONS
        if len(emoji) != len(wanted) or not set(emoji) <= allowed:
            raise refuse(refusals.REACTION_INVALID)
        self._hub.react(found, call.bot.user, emoji)
        return True

    async def send_chat_action(self, call: Call) -> bool:
        chat = self._writable(call)
        if call.form.get("action") not in _ACTIONS:
            raise refuse(refusals.WRONG_ACTION)
        self._hub.typing(chat, self._topic(call, chat), call.bot.user)
        return True
