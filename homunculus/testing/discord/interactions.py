"""Interactions: a person gives a command, the bot answers it with the token that came along.

Owns each interaction's life (three seconds to the first answer, fifteen minutes for the rest), who sees what of its answers,
and their REST routes. Never checks what a command may look like: that is `commands.py`.
Source: Discord's "Receiving and Responding to Interactions". Not modelled: components, modals, autocompletion, uploads, answers
of the callback itself (`with_response`).
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from homunculus.testing.discord import refusals, wire
from homunculus.testing.discord.commands import BOT_DM, GUILD, STRING, SUBCOMMAND, CommandRoutes
from homunculus.testing.discord.forms import Draft, parse_object, read_draft
from homunculus.testing.discord.hub import Hub
from homunculus.testing.discord.mentions import resolve, snowflake
from homunculus.testing.discord.refusals import Json, invalid_form, refuse
from homunculus.testing.discord.rest import Answer, Front
from homunculus.testing.discord.routes import json_body
from homunculus.testing.discord.world import GRANTED_ON_INVITE, PERMISSIONS, PRIVATE, Bot, Channel, Message, User

ANSWER, DEFER = 4, 5
EPHEMERAL, LOADING = 1 << 6, 1 << 7
_ORIGINAL: Final = "@original"
# What every token of an interaction begins with, as base64; none of a webhook does.
_TOKEN: Final = base64.b64encode(b"interaction:").decode()


@dataclass(eq=False, slots=True)
class Interaction:
    """One command that a person gave; `messages` are its answers that exist, by id, the deferred one included."""

    id: int
    token: str = field(repr=False)
    bot: Bot
    channel: Channel
    user: User
    words: str
    given: float
    acknowledged: float | None = None
    original: int | None = None  # the id of the first answer, also when it is gone
    messages: dict[int, Message] = field(default_factory=dict, repr=False)

    def message(self, number: int) -> Message | None:
        """Find an answer by its id; one that all see may have been deleted by whoever may delete messages there."""
        message = self.messages.get(number)
        gone = message is not None and not message.flags & EPHEMERAL and number not in self.channel.log
        return None if gone else message

    @property
    def thinking(self) -> bool:
        """Tell whether people see `… is thinking`."""
        return any(message.flags & LOADING for message in self._present())

    @property
    def answers(self) -> list[Message]:
        """List what its author sees by way of an answer, oldest first."""
        return [message for message in self._present() if not message.flags & LOADING]

    @property
    def whispers(self) -> list[Message]:
        """List those answers that nobody but its author sees."""
        return [message for message in self.answers if message.flags & EPHEMERAL]

    def _present(self) -> list[Message]:
        return [message for number, message in self.messages.items() if self.message(number)]


class Interactions:
    """Keep the interactions, and answer the routes under `/interactions` and those of `/webhooks` that carry their tokens.

    `patience` is the seconds to the first answer, `life` those for which the token is good.
    """

    def __init__(self, hub: Hub, front: Front, commands: CommandRoutes, patience: float, life: float) -> None:
        self._hub, self._world, self._front, self._commands = hub, hub.world, front, commands
        self._patience, self._life = patience, life
        self.all: list[Interaction] = []

    def add_to(self, app: web.Application, prefix: str) -> None:
        """Add the routes; before those of webhooks, which would take any token."""
        tokened = f"/webhooks/{{webhook_id}}/{{webhook_token:{_TOKEN}[^/]*}}"
        message = tokened + "/messages/{message_id}"
        callback = "/interactions/{webhook_id}/{webhook_token}/callback"
        app.router.add_post(prefix + callback, self._front.open(callback, self.callback))
        for method, template, handler in (
            ("POST", tokened, self.follow_up),
            ("GET", message, self.get),
            ("PATCH", message, self.edit),
            ("DELETE", message, self.delete),
        ):
            app.router.add_route(method, prefix + template, self._front.open(template, self._tokened(handler)))

    # -- a person gives a command

    def give(self, bot: Bot, channel: Channel, user: User, words: str, values: Mapping[str, str]) -> Interaction:
        """Dispatch a command as Discord's client lets a person give it; ValueError for one that it would not let through."""
        data = self._filled_in(bot, channel, words.split(), values)
        number = self._world.snowflakes.mint()
        token = base64.b64encode(f"interaction:{number}:{secrets.token_urlsafe(96)}".encode()).decode().rstrip("=")
        one = Interaction(number, token, bot, channel, user, words, time.monotonic())
        self.all.append(one)
        body = self._word(one, data)
        # No intent asks for interactions, and no permission in the channel keeps them from the bot.
        self._hub.gateway.dispatch("INTERACTION_CREATE", 0, [bot], channel.guild_id, lambda _: body)
        self._front.changed()
        return one

    def failed(self, one: Interaction) -> bool:
        """Tell whether its author reads that the application did not respond."""
        return one.acknowledged is None and time.monotonic() - one.given > self._patience

    def _filled_in(self, bot: Bot, channel: Channel, words: list[str], values: Mapping[str, str]) -> Json:
        command = next((one for one in self._commands.of(bot) if one["name"] == words[0]), None)
        context = BOT_DM if channel.type == PRIVATE else GUILD
        if command is None or context not in command["contexts"]:
            raise ValueError(f"{bot.name} offers no /{words[0]} here; it offers {self._commands.words(bot)}")
        options = command.get("options", [])
        data: Json = {"id": command["id"], "type": command["type"], "name": command["name"]}
        subcommands = {one["name"]: one for one in options if one["type"] == SUBCOMMAND}
        if bool(subcommands) != (len(words) == 2) or not set(words[1:]) <= set(subcommands):
            raise ValueError(f"/{' '.join(words)} is none of {self._commands.words(bot)}")
        if not subcommands:
            return {**data, "options": _chosen(options, values)}
        inner = subcommands[words[1]]
        chosen = _chosen(inner.get("options", []), values)
        return {**data, "options": [{"type": SUBCOMMAND, "name": inner["name"], "options": chosen}]}

    def _word(self, one: Interaction, data: Json) -> Json:
        guild = self._world.guilds.get(one.channel.guild_id or 0)
        granted = {name for name in PERMISSIONS if self._world.may(one.bot, one.channel, name)}
        body: Json = {
            "id": str(one.id),
            "application_id": str(one.bot.application_id),
            "type": 2,
            "data": data,
            "channel": {**wire.channel(self._world, one.channel, one.bot), "permissions": "0"},
            "channel_id": str(one.channel.id),
            "token": one.token,
            "version": 1,
            "app_permissions": wire.bits(granted),
            "locale": "en-US",
            "entitlements": [],
            "authorizing_integration_owners": {"0": str(one.channel.guild_id or 0)},
            "context": BOT_DM if guild is None else GUILD,
            "attachment_size_limit": 10 * 1024 * 1024,
        }
        if guild is None:
            return {**body, "user": wire.user(one.user)}
        member = {**wire.member(guild, one.user), "permissions": wire.bits(GRANTED_ON_INVITE)}
        told = {"id": str(guild.id), "locale": "en-US", "features": []}
        return {**body, "guild": told, "guild_id": str(guild.id), "guild_locale": "en-US", "member": member}

    # -- the bot answers

    async def callback(self, request: web.Request) -> Answer:
        number = snowflake(request.match_info["webhook_id"], "interaction_id")
        one = next((one for one in self.all if one.id == number), None)
        if one is None or not secrets.compare_digest(one.token, request.match_info["webhook_token"]):
            raise refuse(refusals.UNKNOWN_INTERACTION)
        if one.acknowledged is not None:
            raise refuse(refusals.ALREADY_ANSWERED)
        if self.failed(one):
            raise refuse(refusals.UNKNOWN_INTERACTION)
        if request.query.get("with_response", "false") != "false":
            raise invalid_form("with_response", "LOOPBACK_NOT_MODELLED", "this loopback server answers 204")
        body = self._front.note(request, parse_object(await json_body(request)))
        draft, flags = _read_callback(body)
        one.acknowledged = time.monotonic()
        one.original = self._posted(one, draft, flags).id
        return 204, None

    def _tokened(
        self, handler: Callable[[web.Request, Interaction], Awaitable[Answer]]
    ) -> Callable[[web.Request], Awaitable[Answer]]:
        async def route(request: web.Request) -> Answer:
            application = snowflake(request.match_info["webhook_id"], "webhook_id")
            token = request.match_info["webhook_token"]
            one = next((one for one in self.all if secrets.compare_digest(one.token, token)), None)
            if one is None or one.bot.application_id != application or one.acknowledged is None:
                raise refuse(refusals.UNKNOWN_WEBHOOK)
            if time.monotonic() - one.given > self._life:
                raise refuse(refusals.BAD_WEBHOOK_TOKEN)
            return await handler(request, one)

        return route

    async def follow_up(self, request: web.Request, one: Interaction) -> Answer:
        draft, flags = _read_answer(self._front.note(request, parse_object(await json_body(request))))
        original = one.message(one.original or 0)
        if original is not None and original.flags & LOADING:
            # The first one takes the place of what is being thought about, and is seen by whom that was.
            self._fill(one, original, draft)
            return 200, self._told(one, original)
        return 200, self._told(one, self._posted(one, draft, flags))

    async def get(self, request: web.Request, one: Interaction) -> Answer:
        return 200, self._told(one, _message(request, one))

    async def edit(self, request: web.Request, one: Interaction) -> Answer:
        message = _message(request, one)
        draft = read_draft(self._front.note(request, parse_object(await json_body(request))))
        self._fill(one, message, draft)
        return 200, self._told(one, message)

    async def delete(self, request: web.Request, one: Interaction) -> Answer:
        message = _message(request, one)
        del one.messages[message.id]
        if not message.flags & EPHEMERAL:
            self._hub.delete(message)
        self._front.changed()
        return 204, None

    def _posted(self, one: Interaction, draft: Draft, flags: int) -> Message:
        """Show an answer: to everybody there, or, unknown to the channel, to who gave the command."""
        content = draft.content or ""
        mentions = resolve(self._world, one.channel, content, draft.allowed, None)
        message = Message(
            id=self._world.snowflakes.mint(),
            channel_id=one.channel.id,
            guild_id=one.channel.guild_id,
            author=one.bot.user,
            content=content,
            allowed_mentions=draft.sent.get("allowed_mentions"),
            flags=(draft.flags or 0) | flags,
            embeds=draft.embeds or [],
            components=draft.components or [],
            mentions=mentions.users,
            mention_roles=mentions.roles,
            mention_everyone=mentions.everyone,
            webhook_id=one.bot.application_id,
            application_id=one.bot.application_id,
            interaction=(one.id, one.user, one.original),
        )
        one.messages[message.id] = message
        if not flags & EPHEMERAL:
            self._hub.post(message)
        self._front.changed()
        return message

    def _fill(self, one: Interaction, message: Message, draft: Draft) -> None:
        """Change an answer; the first text of a deferred one is no edit."""
        loading = bool(message.flags & LOADING)
        content = (draft.content or "") if "content" in draft.sent else message.content
        embeds = (draft.embeds or []) if "embeds" in draft.sent else message.embeds
        if not (content or embeds or message.components):
            raise refuse(refusals.EMPTY_MESSAGE)
        message.content, message.embeds = content, embeds
        kept = message.flags & EPHEMERAL
        message.flags = kept | (message.flags & ~LOADING if draft.flags is None else draft.flags)
        if loading:
            found = resolve(self._world, one.channel, content, draft.allowed, None)
            message.allowed_mentions = draft.sent.get("allowed_mentions")
            message.mentions, message.mention_roles, message.mention_everyone = found.users, found.roles, found.everyone
        if not kept:
            self._hub.edited(message, mark=not loading)
        self._front.changed()

    def _told(self, one: Interaction, message: Message) -> Json:
        return self._hub.word(message, one.bot, content=True)


def _message(request: web.Request, one: Interaction) -> Message:
    written = request.match_info["message_id"]
    number = one.original if written == _ORIGINAL else snowflake(written, "message_id")
    message = one.message(number or 0)
    if message is None:
        raise refuse(refusals.UNKNOWN_MESSAGE)
    return message


def _chosen(options: list[Json], values: Mapping[str, str]) -> list[Json]:
    """Fill in arguments in the order a person gives them; Discord's client checks them before it sends."""
    known = {option["name"]: option for option in options}
    missing = [name for name, option in known.items() if option.get("required") and not values.get(name)]
    wrong = [
        name
        for name, value in values.items()
        if name not in known or value not in [one["value"] for one in known[name].get("choices", [{"value": value}])]
    ]
    if missing or wrong:
        raise ValueError(f"Discord's client does not send this: missing {missing}, unknown or no choice {wrong}")
    return [{"type": STRING, "name": name, "value": value} for name, value in values.items()]


def _read_callback(body: Json) -> tuple[Draft, int]:
    kind, data = body.get("type"), body.get("data")
    if kind not in (ANSWER, DEFER) or isinstance(kind, bool):
        text = "Only 4 and 5 answer a command here."
        raise invalid_form("type", "BASE_TYPE_CHOICES", text)
    if data is not None and not isinstance(data, dict):
        raise invalid_form("data", "MODEL_TYPE_CONVERT", "Expected an object/dictionary.")
    if kind == ANSWER:
        return _read_answer(data or {})
    flags = _flags(data or {})
    if flags & ~EPHEMERAL:
        raise invalid_form("data.flags", "MESSAGE_FLAGS_INVALID", "Only 64 can be set.")
    return read_draft({}), flags | LOADING


def _read_answer(data: Json) -> tuple[Draft, int]:
    """Read a message whose flags may make it one person's; the flag and the rest of it."""
    flags = _flags(data)
    draft = read_draft({**data, "flags": flags & ~EPHEMERAL} if "flags" in data else data)
    if not (draft.content or draft.embeds or draft.components):
        raise refuse(refusals.EMPTY_MESSAGE)
    return draft, flags & EPHEMERAL


def _flags(data: Json) -> int:
    value: Any = data.get("flags", 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_form("flags", "NUMBER_TYPE_COERCE", f'Value "{value}" is not int.')
    return value
