"""The REST routes: accounts, guilds, channels and reactions. Those of messages are in `message_routes.py`.

Owns which route needs which permission. Never stores anything itself.
Those of webhooks are in `webhooks.py`.
"""

from __future__ import annotations

import json
from typing import Final

import regex
from aiohttp import web

from homunculus.testing.discord import refusals, wire
from homunculus.testing.discord.forms import parse_object
from homunculus.testing.discord.gateway import Gateway
from homunculus.testing.discord.hub import Hub
from homunculus.testing.discord.mentions import snowflake
from homunculus.testing.discord.refusals import invalid_form, refuse
from homunculus.testing.discord.rest import Answer, Call, Front
from homunculus.testing.discord.world import PUBLIC_THREAD, TEXT, Channel, Guild, Message

MAX_REACTIONS: Final = 20
# One emoji as Unicode composes it: a flag, a keycap, or pictographs joined with their modifiers.
_EMOJI: Final = regex.compile(
    r"\p{RI}\p{RI}|[0-9#*]\uFE0F?\u20E3"
    r"|\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?[\U000E0020-\U000E007F]*"
    r"(?:\u200D\p{Extended_Pictographic}(?:\uFE0F|\p{Emoji_Modifier})?)*"
)


def seen_channel(hub: Hub, call: Call, *needed: str) -> Channel:
    """Find the channel of the path; refuse unknown (10003), unseen (50001) and not permitted (50013)."""
    channel = hub.world.channels.get(call.id("channel_id"))
    if channel is None:
        raise refuse(refusals.UNKNOWN_CHANNEL)
    if not hub.world.sees(call.bot, channel):
        raise refuse(refusals.MISSING_ACCESS)
    if not all(hub.world.may(call.bot, channel, permission) for permission in needed):
        raise refuse(refusals.MISSING_PERMISSIONS)
    return channel


def seen_message(channel: Channel, call: Call) -> Message:
    message = channel.log.get(call.id("message_id"))
    if message is None:
        raise refuse(refusals.UNKNOWN_MESSAGE)
    return message


class Routes:
    """Answer the routes that discord.py calls for accounts, guilds, channels and reactions."""

    def __init__(self, hub: Hub, gateway: Gateway, front: Front) -> None:
        self._hub = hub
        self._world = hub.world
        self._gateway = gateway
        self._front = front

    def add_to(self, app: web.Application, prefix: str) -> None:
        app.router.add_get(prefix + "/gateway", self._open_gateway)
        table = [
            ("GET", "/users/@me", self.me),
            ("GET", "/users/@me/guilds", self.my_guilds),
            ("POST", "/users/@me/channels", self.open_dm),
            ("GET", "/users/{user_id}", self.user),
            ("GET", "/oauth2/applications/@me", self.application),
            ("GET", "/applications/@me", self.application),
            ("GET", "/gateway/bot", self.gateway_bot),
            ("GET", "/guilds/{guild_id}", self.guild),
            ("GET", "/guilds/{guild_id}/channels", self.guild_channels),
            ("GET", "/guilds/{guild_id}/roles", self.guild_roles),
            ("GET", "/guilds/{guild_id}/members/{user_id}", self.guild_member),
            ("GET", "/guilds/{guild_id}/threads/active", self.active_threads),
            ("GET", "/channels/{channel_id}", self.channel),
            ("POST", "/channels/{channel_id}/typing", self.typing),
            ("PUT", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me", self.react),
            ("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/@me", self.unreact),
        ]
        for method, template, handler in table:
            app.router.add_route(method, prefix + template, self._front.wrap(template, handler))

    async def _open_gateway(self, _: web.Request) -> web.Response:
        """Answer `GET /gateway`, the one route that needs no token."""
        body = json.dumps({"url": self._gateway.url}).encode()
        return web.Response(body=body, headers={"Content-Type": "application/json"})

    # -- accounts

    async def me(self, call: Call) -> Answer:
        return 200, wire.own_user(call.bot)

    async def my_guilds(self, call: Call) -> Answer:
        return 200, [{"id": str(g.id), "name": g.name, "owner": False} for g in self._world.guilds_of(call.bot)]

    async def application(self, call: Call) -> Answer:
        return 200, wire.application(call.bot)

    async def gateway_bot(self, call: Call) -> Answer:
        left, reset = self._gateway.starts_left(call.bot)
        limit = {
            "total": self._gateway.settings.session_limit,
            "remaining": left,
            "reset_after": int(reset * 1000),
            "max_concurrency": 1,
        }
        return 200, {"url": self._gateway.url, "shards": 1, "session_start_limit": limit}

    async def user(self, call: Call) -> Answer:
        person = self._world.users.get(call.id("user_id"))
        if person is None:
            raise refuse(refusals.UNKNOWN_USER)
        return 200, wire.user(person)

    async def open_dm(self, call: Call) -> Answer:
        body = call.note(parse_object(await json_body(call.request)))
        if "recipient_id" not in body:
            raise invalid_form("recipient_id", "BASE_TYPE_REQUIRED", "This field is required")
        person = self._world.users.get(snowflake(body["recipient_id"], "recipient_id"))
        if person is None or person is call.bot.user:
            raise refuse(refusals.INVALID_RECIPIENT)
        return 200, wire.channel(self._world, self._world.private_channel(call.bot, person), call.bot)

    # -- guilds

    def _guild(self, call: Call) -> Guild:
        guild = self._world.guilds.get(call.id("guild_id"))
        if guild is None or call.bot.user_id not in guild.roles:
            raise refuse(refusals.UNKNOWN_GUILD)
        return guild

    async def guild(self, call: Call) -> Answer:
        return 200, wire.guild(self._world, self._guild(call))

    async def guild_roles(self, call: Call) -> Answer:
        return 200, wire.roles(self._world, self._guild(call))

    async def guild_channels(self, call: Call) -> Answer:
        channels = self._world.channels_of(self._guild(call), TEXT)
        return 200, [wire.channel(self._world, channel, call.bot) for channel in channels]

    async def guild_member(self, call: Call) -> Answer:
        guild, person = self._guild(call), self._world.users.get(call.id("user_id"))
        if person is None:
            raise refuse(refusals.UNKNOWN_USER)
        # People belong to every guild of this server; a bot to those it was invited to.
        if person.id in self._world.bots and person.id not in guild.roles:
            raise refuse(refusals.UNKNOWN_MEMBER)
        return 200, wire.member(guild, person)

    async def active_threads(self, call: Call) -> Answer:
        threads = self._world.channels_of(self._guild(call), PUBLIC_THREAD)
        seen = [wire.channel(self._world, one, call.bot) for one in threads if self._world.sees(call.bot, one)]
        return 200, {"threads": seen, "members": []}

    # -- channels

    async def channel(self, call: Call) -> Answer:
        return 200, wire.channel(self._world, seen_channel(self._hub, call), call.bot)

    async def typing(self, call: Call) -> Answer:
        channel = seen_channel(self._hub, call)
        if not self._world.may_post(call.bot, channel):
            raise refuse(refusals.MISSING_PERMISSIONS)
        self._hub.typing(channel, call.bot.user)
        return 204, None

    # -- reactions

    async def react(self, call: Call) -> Answer:
        channel = seen_channel(self._hub, call, "read_message_history")
        message, name = seen_message(channel, call), _emoji(call)
        if name not in message.reactions:
            seen_channel(self._hub, call, "add_reactions")
            if len(message.reactions) >= MAX_REACTIONS:
                raise refuse(refusals.TOO_MANY_REACTIONS)
        self._hub.react(message, call.bot.user, name)
        return 204, None

    async def unreact(self, call: Call) -> Answer:
        message, name = seen_message(seen_channel(self._hub, call), call), _emoji(call)
        if name not in message.reactions:
            raise refuse(refusals.UNKNOWN_EMOJI)
        self._hub.unreact(message, call.bot.user, name)
        return 204, None


def _emoji(call: Call) -> str:
    """Read the emoji of the path; custom ones are unknown, as no guild here has any."""
    name = call.request.match_info["emoji"]
    if not _EMOJI.fullmatch(name):
        raise refuse(refusals.UNKNOWN_EMOJI)
    return name


async def json_body(request: web.Request) -> bytes:
    if request.headers.get("Content-Type") != "application/json":
        text = "Expected \"Content-Type\" header to be one of {'application/json'}."
        raise invalid_form("", "CONTENT_TYPE_INVALID", text)
    return await request.read()
