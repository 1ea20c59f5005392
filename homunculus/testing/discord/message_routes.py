"""The REST routes of messages: list, get, create, edit, delete.

Owns the rules that need both the form and the world: emptiness, permissions, replies, nonces. Never dispatches itself.
"""

from __future__ import annotations

from aiohttp import web

from homunculus.testing.discord import refusals
from homunculus.testing.discord.forms import Draft, Upload, read_draft, read_form
from homunculus.testing.discord.hub import Hub
from homunculus.testing.discord.mentions import may_ping_everyone, resolve, snowflake
from homunculus.testing.discord.refusals import Json, invalid_form, refuse
from homunculus.testing.discord.rest import Answer, Call, Front
from homunculus.testing.discord.routes import seen_channel, seen_message
from homunculus.testing.discord.world import PRIVATE, Attachment, Bot, Channel, Message, User


class MessageRoutes:
    """Answer the routes under `/channels/{channel_id}/messages`."""

    def __init__(self, hub: Hub, front: Front) -> None:
        self._hub = hub
        self._world = hub.world
        self._front = front

    def add_to(self, app: web.Application, prefix: str) -> None:
        every, one = "/channels/{channel_id}/messages", "/channels/{channel_id}/messages/{message_id}"
        table = [
            ("GET", every, self.history),
            ("POST", every, self.create),
            ("GET", one, self.fetch),
            ("PATCH", one, self.edit),
            ("DELETE", one, self.delete),
        ]
        for method, template, handler in table:
            app.router.add_route(method, prefix + template, self._front.wrap(template, handler))

    async def history(self, call: Call) -> Answer:
        channel = seen_channel(self._hub, call)
        chosen = _page(list(channel.log.values()), call)
        if not self._world.may(call.bot, channel, "read_message_history"):
            chosen = []
        return 200, [self._hub.word(message, call.bot) for message in chosen]

    async def fetch(self, call: Call) -> Answer:
        message = seen_message(seen_channel(self._hub, call, "read_message_history"), call)
        return 200, self._hub.word(message, call.bot)

    async def create(self, call: Call) -> Answer:
        channel = seen_channel(self._hub, call)
        if not self._world.may_post(call.bot, channel):
            raise refuse(refusals.MISSING_PERMISSIONS)
        if any(not person.accepts_dms or person.bot for person in _others(channel, call.bot)):
            raise refuse(refusals.CANNOT_DM_USER)
        body, uploads = await read_form(call.request)
        draft = read_draft(call.note(body))
        earlier = draft.enforce_nonce and self._hub.remembered(call.bot.user, draft.nonce or "")
        if earlier:
            return 200, self._hub.word(earlier, call.bot)
        message = self._compose(call.bot, channel, draft, uploads)
        self._hub.remember(message)
        return 200, self._hub.word(self._hub.post(message), call.bot)

    def _compose(self, bot: Bot, channel: Channel, draft: Draft, uploads: list[Upload]) -> Message:
        self._check_content(bot, channel, draft, uploads)
        replied = self._replied(bot, channel, draft)
        content = draft.content or ""
        mentions = resolve(self._world, channel, content, draft.allowed, replied.author if replied else None)
        mentions = may_ping_everyone(self._world, bot, channel, mentions)
        return Message(
            id=self._world.snowflakes.mint(),
            channel_id=channel.id,
            guild_id=channel.guild_id,
            author=bot.user,
            content=content,
            reference=replied.id if replied else None,
            nonce=draft.nonce,
            allowed_mentions=draft.sent.get("allowed_mentions"),
            flags=draft.flags or 0,
            embeds=draft.embeds or [],
            components=draft.components or [],
            attachments=self._attachments(draft, uploads),
            mentions=mentions.users,
            mention_roles=mentions.roles,
            mention_everyone=mentions.everyone,
        )

    def _check_content(self, bot: Bot, channel: Channel, draft: Draft, uploads: list[Upload]) -> None:
        if not (draft.content or draft.embeds or draft.components or uploads):
            raise refuse(refusals.EMPTY_MESSAGE)
        if uploads and not self._world.may(bot, channel, "attach_files"):
            raise refuse(refusals.MISSING_PERMISSIONS)
        if draft.tts and not self._world.may(bot, channel, "send_tts_messages"):
            raise refuse(refusals.MISSING_PERMISSIONS)

    def _replied(self, bot: Bot, channel: Channel, draft: Draft) -> Message | None:
        if draft.reference is None:
            return None
        if not self._world.may(bot, channel, "read_message_history"):
            raise refuse(refusals.NO_HISTORY_NO_REPLY)
        reference: Json = draft.sent["message_reference"]
        for key, own in (("channel_id", channel.id), ("guild_id", channel.guild_id)):
            if reference.get(key) is not None and snowflake(reference[key], f"message_reference.{key}") != own:
                text = "Cannot reply to a message in a different channel"
                raise invalid_form("message_reference", "REPLIES_CANNOT_REFERENCE_OTHER_CHANNEL", text)
        replied = channel.log.get(draft.reference)
        if replied is None and draft.fail_if_not_exists:
            raise invalid_form("message_reference", "MESSAGE_REFERENCE_UNKNOWN_MESSAGE", "Unknown message")
        return replied

    def _attachments(self, draft: Draft, uploads: list[Upload]) -> tuple[Attachment, ...]:
        notes = {str(note.get("id")): note for note in draft.notes}
        mint = self._world.snowflakes.mint
        return tuple(
            Attachment(mint(), one.filename, one.data, one.content_type, notes.get(str(i), {}).get("description"))
            for i, one in enumerate(uploads)
        )

    async def edit(self, call: Call) -> Answer:
        channel = seen_channel(self._hub, call)
        message = seen_message(channel, call)
        if message.author is not call.bot.user:
            raise refuse(refusals.NOT_YOUR_MESSAGE)
        body, uploads = await read_form(call.request)
        draft = read_draft(call.note(body))
        content = (draft.content or "") if "content" in body else message.content
        embeds = (draft.embeds or []) if "embeds" in body else message.embeds
        files = message.attachments + self._attachments(draft, uploads)
        if not (content or embeds or files or message.components):
            raise refuse(refusals.EMPTY_MESSAGE)
        # An edit notifies nobody: `mentions` stay those of the first posting.
        message.content, message.embeds, message.attachments = content, embeds, files
        message.flags = message.flags if draft.flags is None else draft.flags
        self._hub.edited(message)
        return 200, self._hub.word(message, call.bot)

    async def delete(self, call: Call) -> Answer:
        channel = seen_channel(self._hub, call)
        message = seen_message(channel, call)
        if message.author is not call.bot.user:
            if channel.type == PRIVATE:
                raise refuse(refusals.NOT_IN_A_DM)
            seen_channel(self._hub, call, "manage_messages")
        self._hub.delete(message)
        return 204, None


def _others(channel: Channel, bot: Bot) -> list[User]:
    return [person for person in channel.recipients if person is not bot.user]


def _page(log: list[Message], call: Call) -> list[Message]:
    """Choose the messages that `limit` and one of `before`, `after`, `around` ask for; newest first."""
    query = call.request.query
    limit = _limit(query.get("limit", "50"))
    marks = [(name, snowflake(query[name], name)) for name in ("before", "after", "around") if name in query]
    if len(marks) > 1:
        text = "before, after and around are mutually exclusive"
        raise invalid_form(marks[1][0], "BASE_TYPE_EXCLUSIVE", text)
    name, mark = marks[0] if marks else ("before", 1 << 64)
    older = [message for message in log if message.id < mark]
    newer = [message for message in log if message.id > mark]
    if name == "before":
        chosen = older[-limit:]
    elif name == "after":
        chosen = newer[:limit]
    else:
        centre = [message for message in log if message.id == mark]
        half = limit // 2
        chosen = older[max(0, len(older) - half) :] + centre + newer[: limit - half - len(centre)]
    return chosen[::-1]


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise invalid_form("limit", "NUMBER_TYPE_COERCE", f'Value "{text}" is not int.')
    if not 1 <= int(text) <= 100:
        raise invalid_form("limit", "NUMBER_TYPE_MAX", "int value should be between 1 and 100.")
    return int(text)
