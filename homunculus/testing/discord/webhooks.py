"""Webhooks: a name and a face that a channel speaks with. Their state, their rules, their REST routes.

Owns what a webhook is and may be called, how many a channel holds, and who may change one. Never dispatches itself.
Source: Discord's "Webhook Resource". Not modelled: forum posts (`thread_name`), uploads, followed channels.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from homunculus.testing.discord import refusals, wire
from homunculus.testing.discord.forms import Draft, parse_object, read_draft
from homunculus.testing.discord.hub import Hub
from homunculus.testing.discord.mentions import resolve, snowflake
from homunculus.testing.discord.refusals import Json, invalid_form, refuse
from homunculus.testing.discord.rest import Answer, Call, Front
from homunculus.testing.discord.routes import json_body, seen_channel
from homunculus.testing.discord.world import PRIVATE, PUBLIC_THREAD, Bot, Channel, Message, User, Webhook

MOST: Final = 15  # webhooks a channel
LONGEST_NAME: Final = 80
LARGEST_AVATAR: Final = 10 * 1024 * 1024
_DATA_URI = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,(?P<data>[A-Za-z0-9+/]*={0,2})")
_URL = re.compile(r"https?://[^\s/]+\S*")


@dataclass(frozen=True, slots=True)
class Post:
    """One execution of a webhook, checked: the message's body, and the name and face it asks for."""

    draft: Draft
    username: str | None
    avatar_url: str | None


class WebhookRoutes:
    """Answer the routes under `/channels/{channel_id}/webhooks` and `/webhooks`."""

    def __init__(self, hub: Hub, front: Front) -> None:
        self._hub = hub
        self._world = hub.world
        self._front = front

    def add_to(self, app: web.Application, prefix: str) -> None:
        every, one = "/channels/{channel_id}/webhooks", "/webhooks/{webhook_id}"
        for method, template, handler in (
            ("GET", every, self.list),
            ("POST", every, self.create),
            ("GET", one, self.get),
            ("PATCH", one, self.modify),
            ("DELETE", one, self.delete),
        ):
            app.router.add_route(method, prefix + template, self._front.wrap(template, handler))
        tokened = one + "/{webhook_token}"
        message = tokened + "/messages/{message_id}"
        for method, template, with_token in (
            ("GET", tokened, self.get_with_token),
            ("PATCH", tokened, self.modify_with_token),
            ("DELETE", tokened, self.delete_with_token),
            ("POST", tokened, self.execute),
            ("GET", message, self.get_message),
            ("PATCH", message, self.edit_message),
            ("DELETE", message, self.delete_message),
        ):
            app.router.add_route(method, prefix + template, self._front.open(template, self._tokened(with_token)))

    # -- by a bot that may manage them

    async def list(self, call: Call) -> Answer:
        channel = self._manageable(call)
        return 200, [wire.webhook(hook, call.bot) for hook in self._world.webhooks_of(channel)]

    async def create(self, call: Call) -> Answer:
        channel = self._manageable(call)
        body = call.note(parse_object(await json_body(call.request)))
        if "name" not in body:
            raise invalid_form("name", "BASE_TYPE_REQUIRED", "This field is required")
        name, avatar = read_name(body["name"], "name"), _read_avatar(body.get("avatar"))
        if len(self._world.webhooks_of(channel)) >= MOST:
            raise refuse(refusals.TOO_MANY_WEBHOOKS)
        hook = added(self._world.webhooks, self._world.snowflakes.mint(), channel, name, call.bot.user)
        hook.application_id, hook.image = call.bot.application_id, avatar
        self._front.changed()
        return 200, wire.webhook(hook, call.bot)

    async def get(self, call: Call) -> Answer:
        return 200, wire.webhook(self._managed(call), call.bot)

    async def modify(self, call: Call) -> Answer:
        hook = self._managed(call)
        body = call.note(parse_object(await json_body(call.request)))
        if "channel_id" in body:
            raise invalid_form("channel_id", "LOOPBACK_NOT_MODELLED", "this loopback server moves no webhook")
        self._change(hook, body)
        return 200, wire.webhook(hook, call.bot)

    async def delete(self, call: Call) -> Answer:
        self._remove(self._managed(call))
        return 204, None

    def _manageable(self, call: Call) -> Channel:
        channel = seen_channel(self._hub, call)
        if channel.type == PRIVATE:
            raise refuse(refusals.NOT_IN_A_DM)
        seen_channel(self._hub, call, "manage_webhooks")
        if channel.type == PUBLIC_THREAD:
            raise refuse(refusals.WRONG_CHANNEL_TYPE)
        return channel

    def _managed(self, call: Call) -> Webhook:
        hook = self._world.webhooks.get(call.id("webhook_id"))
        if hook is None:
            raise refuse(refusals.UNKNOWN_WEBHOOK)
        channel = self._world.channels[hook.channel_id]
        if not (self._world.sees(call.bot, channel) and self._world.may(call.bot, channel, "manage_webhooks")):
            raise refuse(refusals.MISSING_PERMISSIONS)
        return hook

    def _change(self, hook: Webhook, body: Json) -> None:
        name = read_name(body["name"], "name") if "name" in body else hook.name
        image = _read_avatar(body["avatar"]) if "avatar" in body else hook.image
        hook.name, hook.image = name, image
        self._front.changed()

    def _remove(self, hook: Webhook) -> None:
        del self._world.webhooks[hook.id]
        self._front.changed()

    # -- by anybody who has its token

    def _tokened(
        self, handler: Callable[[web.Request, Webhook], Awaitable[Answer]]
    ) -> Callable[[web.Request], Awaitable[Answer]]:
        async def route(request: web.Request) -> Answer:
            hook = self._world.webhooks.get(snowflake(request.match_info["webhook_id"], "webhook_id"))
            if hook is None:
                raise refuse(refusals.UNKNOWN_WEBHOOK)
            if not secrets.compare_digest(hook.token, request.match_info["webhook_token"]):
                raise refuse(refusals.BAD_WEBHOOK_TOKEN)
            return await handler(request, hook)

        return route

    async def get_with_token(self, _: web.Request, hook: Webhook) -> Answer:
        return 200, wire.webhook(hook, None)

    async def modify_with_token(self, request: web.Request, hook: Webhook) -> Answer:
        # Whoever has only the token cannot move it: the field is ignored.
        self._change(hook, self._front.note(request, parse_object(await json_body(request))))
        return 200, wire.webhook(hook, None)

    async def delete_with_token(self, _: web.Request, hook: Webhook) -> Answer:
        self._remove(hook)
        return 204, None

    async def execute(self, request: web.Request, hook: Webhook) -> Answer:
        place = self._place(request, hook)
        post = _read_post(self._front.note(request, parse_object(await json_body(request))))
        draft = post.draft
        if not (draft.content or draft.embeds or draft.components):
            raise refuse(refusals.EMPTY_MESSAGE)
        content = draft.content or ""
        mentions = resolve(self._world, place, content, draft.allowed, None)
        message = Message(
            id=self._world.snowflakes.mint(),
            channel_id=place.id,
            guild_id=place.guild_id,
            author=User(hook.id, post.username or hook.name, bot=True),
            content=content,
            allowed_mentions=draft.sent.get("allowed_mentions"),
            flags=draft.flags or 0,
            embeds=draft.embeds or [],
            components=draft.components or [],
            mentions=mentions.users,
            mention_roles=mentions.roles,
            mention_everyone=mentions.everyone,
            webhook_id=hook.id,
            application_id=hook.application_id,
            avatar=post.avatar_url or hook.avatar,
        )
        self._hub.post(message)
        return (200, self._word(message)) if request.query.get("wait") in ("true", "1") else (204, None)

    async def get_message(self, request: web.Request, hook: Webhook) -> Answer:
        return 200, self._word(self._message(request, hook))

    async def edit_message(self, request: web.Request, hook: Webhook) -> Answer:
        message = self._message(request, hook)
        draft = read_draft(self._front.note(request, parse_object(await json_body(request))))
        content = (draft.content or "") if "content" in draft.sent else message.content
        embeds = (draft.embeds or []) if "embeds" in draft.sent else message.embeds
        if not (content or embeds or message.components):
            raise refuse(refusals.EMPTY_MESSAGE)
        message.content, message.embeds = content, embeds
        message.flags = message.flags if draft.flags is None else draft.flags
        self._hub.edited(message)
        return 200, self._word(message)

    async def delete_message(self, request: web.Request, hook: Webhook) -> Answer:
        self._hub.delete(self._message(request, hook))
        return 204, None

    def _place(self, request: web.Request, hook: Webhook) -> Channel:
        """Find where to post: the webhook's own channel, or a thread of it."""
        written = request.query.get("thread_id")
        place = self._world.channels.get(hook.channel_id if written is None else snowflake(written, "thread_id"))
        if place is None or hook.channel_id not in (place.id, place.parent_id):
            raise refuse(refusals.UNKNOWN_CHANNEL)
        return place

    def _message(self, request: web.Request, hook: Webhook) -> Message:
        place = self._place(request, hook)
        message = place.log.get(snowflake(request.match_info["message_id"], "message_id"))
        if message is None or message.webhook_id != hook.id:
            raise refuse(refusals.UNKNOWN_MESSAGE)
        return message

    def _word(self, message: Message) -> Json:
        """Word a message for its own webhook, which reads what it wrote."""
        reader = Bot(message.author, "", message.application_id or 0, granted=0)
        return self._hub.word(message, reader, content=True)


def added(webhooks: dict[int, Webhook], number: int, channel: Channel, name: str, user: User) -> Webhook:
    hook = webhooks[number] = Webhook(number, channel.id, channel.guild_id or 0, name, user, secrets.token_urlsafe(51))
    return hook


def read_name(value: Any, path: str) -> str:
    """Check a name: 1 to 80 characters, and nothing that passes for Discord itself."""
    if not isinstance(value, str):
        raise invalid_form(path, "STRING_TYPE_CONVERT", "Could not interpret value as string.")
    name = value.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise invalid_form(path, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {LONGEST_NAME} in length.")
    for word in ("clyde", "discord"):
        if word in name.casefold():
            raise invalid_form(path, "USERNAME_INVALID_CONTAINS", f'Username cannot contain "{word}"')
    if name.casefold() in ("everyone", "here"):
        raise invalid_form(path, "USERNAME_INVALID", f'Username cannot be "{name.casefold()}"')
    return name


def _read_avatar(value: Any) -> bytes | None:
    """Read a data URI; the picture must be one by its first bytes, whatever the URI says."""
    if value is None:
        return None
    match = _DATA_URI.fullmatch(value) if isinstance(value, str) else None
    try:
        image = base64.b64decode(match["data"], validate=True) if match else b""
    except binascii.Error:
        image = b""
    if not _is_picture(image):
        raise invalid_form("avatar", "IMAGE_INVALID", "Invalid image: expected PNG, JPEG, GIF or WebP as a data URI.")
    if len(image) > LARGEST_AVATAR:
        text = f"File cannot be larger than {LARGEST_AVATAR / 1024:.1f} kb."
        raise invalid_form("avatar", "BINARY_TYPE_MAX_SIZE", text)
    return image


def _is_picture(image: bytes) -> bool:
    return image.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")) or (
        image[:4] == b"RIFF" and image[8:12] == b"WEBP"
    )


def _read_post(body: Json) -> Post:
    if body.get("thread_name") is not None:
        raise refuse(refusals.NO_FORUM)
    username, url = body.get("username"), body.get("avatar_url")
    if url is not None and not (isinstance(url, str) and _URL.fullmatch(url)):
        raise invalid_form("avatar_url", "URL_TYPE_INVALID_URL", "Not a well formed URL.")
    # No webhook can reply and none has a nonce: Discord ignores both.
    heard = {key: value for key, value in body.items() if key not in ("message_reference", "nonce", "enforce_nonce")}
    return Post(read_draft(heard), None if username is None else read_name(username, "username"), url)
