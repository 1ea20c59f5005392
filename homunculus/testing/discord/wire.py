"""The shapes of Discord's JSON: users, members, roles, guilds, channels, messages, events.

Owns how state looks on the wire (ids are strings there). Never changes state and decides no permission.
"""

from __future__ import annotations

import hashlib
from typing import Any

from homunculus.testing.discord.world import (
    GRANTED_ON_INVITE,
    PERMISSIONS,
    PRIVATE,
    PUBLIC_THREAD,
    TEXT,
    Attachment,
    Bot,
    Channel,
    Guild,
    Message,
    User,
    Webhook,
    World,
    moment,
)

Json = dict[str, Any]
# The bot's portal page grants the content intent to an app of fewer than 100 guilds.
_FLAG_CONTENT_LIMITED = 1 << 19


def bits(permissions: frozenset[str] | set[str]) -> str:
    return str(sum(PERMISSIONS[name] for name in permissions))


def user(one: User) -> Json:
    return {
        "id": str(one.id),
        "username": one.name,
        "global_name": None if one.bot else one.name,
        "discriminator": "0000" if one.bot else "0",
        "avatar": None,
        "bot": one.bot,
        "system": False,
        "public_flags": 0,
    }


def own_user(bot: Bot) -> Json:
    return {**user(bot.user), "verified": True, "mfa_enabled": True, "email": None, "flags": 0, "locale": "en-US"}


def application(bot: Bot) -> Json:
    return {
        "id": str(bot.application_id),
        "name": bot.name,
        "icon": None,
        "description": "",
        "summary": "",
        "bot_public": False,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": _FLAG_CONTENT_LIMITED if bot.granted >> 15 & 1 else 0,
        "owner": {**user(bot.user), "bot": False},
        "team": None,
        "bot": user(bot.user),
    }


def member(guild: Guild, one: User, *, with_user: bool = True) -> Json:
    role = guild.roles.get(one.id)
    body: Json = {
        "nick": None,
        "avatar": None,
        "roles": [] if role is None else [str(role)],
        "joined_at": moment(guild.id).isoformat(),
        "premium_since": None,
        "deaf": False,
        "mute": False,
        "pending": False,
        "flags": 0,
        "communication_disabled_until": None,
    }
    return {**body, "user": user(one)} if with_user else body


def roles(world: World, guild: Guild) -> list[Json]:
    """List `@everyone` and the managed integration role of each bot."""
    everyone = _role(guild.id, "@everyone", position=0, managed=False)
    managed = [
        {**_role(role, world.bots[bot].name, position=1, managed=True), "tags": {"bot_id": str(bot)}}
        for bot, role in guild.roles.items()
    ]
    return [everyone, *managed]


def _role(role_id: int, name: str, *, position: int, managed: bool) -> Json:
    return {
        "id": str(role_id),
        "name": name,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": position,
        "permissions": bits(GRANTED_ON_INVITE),
        "managed": managed,
        "mentionable": False,
        "flags": 0,
    }


def guild(world: World, one: Guild) -> Json:
    return {
        "id": str(one.id),
        "name": one.name,
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "owner_id": str(one.owner.id),
        "afk_channel_id": None,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 1,
        "explicit_content_filter": 0,
        "roles": roles(world, one),
        "emojis": [],
        "stickers": [],
        "features": [],
        "mfa_level": 0,
        "nsfw_level": 0,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "vanity_url_code": None,
        "description": None,
        "banner": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "preferred_locale": "en-US",
        "public_updates_channel_id": None,
        "premium_progress_bar_enabled": False,
    }


def guild_create(world: World, one: Guild, bot: Bot) -> Json:
    """Word GUILD_CREATE for a bot without the members intent: of the members it sees itself alone."""
    threads = [c for c in world.channels_of(one, PUBLIC_THREAD) if world.sees(bot, c)]
    return {
        **guild(world, one),
        "joined_at": moment(one.id).isoformat(),
        "large": False,
        "unavailable": False,
        "member_count": len(world.users),
        "voice_states": [],
        "members": [member(one, bot.user)],
        "channels": [channel(world, c, bot) for c in world.channels_of(one, TEXT)],
        "threads": [channel(world, c, bot) for c in threads],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


def channel(world: World, one: Channel, reader: Bot) -> Json:
    last = one.last_message_id
    body: Json = {"id": str(one.id), "type": one.type, "last_message_id": None if last is None else str(last)}
    if one.type == PRIVATE:
        return {**body, "recipients": [user(person) for person in one.recipients if person is not reader.user]}
    body |= {"guild_id": str(one.guild_id), "name": one.name, "rate_limit_per_user": 0, "flags": 0}
    if one.type == PUBLIC_THREAD:
        return {**body, **_thread(one)}
    extra = {"position": 0, "parent_id": None, "topic": None, "nsfw": False}
    return {**body, **extra, "permission_overwrites": _overwrites(world, one)}


def _thread(one: Channel) -> Json:
    created = moment(one.id).isoformat()
    return {
        "parent_id": str(one.parent_id),
        "owner_id": str(one.owner_id),
        "message_count": len(one.log),
        "total_message_sent": len(one.log),
        "member_count": 1,
        "thread_metadata": {
            "archived": False,
            "auto_archive_duration": 1440,
            "archive_timestamp": created,
            "create_timestamp": created,
            "locked": False,
        },
    }


def _overwrites(world: World, one: Channel) -> list[Json]:
    return [
        {
            "id": str(bot),
            "type": 1,
            "allow": bits({name for name, allowed in rules.items() if allowed}),
            "deny": bits({name for name, allowed in rules.items() if not allowed}),
        }
        for bot, rules in world.overwrites(one).items()
    ]


def webhook(one: Webhook, reader: Bot | None) -> Json:
    """Word a webhook; for nobody (None) where it was asked for by its token.

    The token of one that a bot made is told to that bot alone, and to whoever has it already.
    """
    body: Json = {
        "id": str(one.id),
        "type": 1,
        "guild_id": str(one.guild_id),
        "channel_id": str(one.channel_id),
        "name": one.name,
        "avatar": one.avatar,
        "application_id": None if one.application_id is None else str(one.application_id),
    }
    if reader is None or one.application_id in (None, reader.application_id):
        body["token"] = one.token
    return body if reader is None else {**body, "user": user(one.user)}


def attachment(one: Attachment, base: str) -> Json:
    url = f"{base}/attachments/{one.id}/{one.filename}"
    body: Json = {
        "id": str(one.id),
        "filename": one.filename,
        "size": len(one.data),
        "url": url,
        "proxy_url": url,
        "content_type": one.content_type,
    }
    return body if one.description is None else {**body, "description": one.description}


def emoji(name: str) -> Json:
    return {"id": None, "name": name}


def message(world: World, one: Message, reader: Bot, *, content: bool, base: str, depth: int = 1) -> Json:
    """Word a message for one bot; without the content intent it is blank unless its own, direct, or naming the bot.

    Source: Discord's "Message Content Intent". `depth` is how many referenced messages are told in full.
    """
    shown = content or one.guild_id is None or one.author is reader.user or reader.user in one.mentions
    body: Json = {
        "id": str(one.id),
        "channel_id": str(one.channel_id),
        "type": _type(one),
        "author": _author(one),
        "content": one.content if shown else "",
        "embeds": one.embeds if shown else [],
        "components": one.components if shown else [],
        "attachments": [attachment(file, base) for file in one.attachments] if shown else [],
        "timestamp": one.timestamp.isoformat(),
        "edited_timestamp": one.edited and one.edited.isoformat(),
        "mentions": [user(person) for person in one.mentions],
        "mention_roles": [str(role) for role in one.mention_roles],
        "mention_everyone": one.mention_everyone,
        "pinned": False,
        "tts": False,
        "flags": one.flags,
        "reactions": [_reaction(name, who, reader) for name, who in one.reactions.items()],
    }
    if one.nonce is not None:
        body["nonce"] = one.nonce
    if one.webhook_id is not None:
        body["webhook_id"] = str(one.webhook_id)
    if one.application_id is not None:
        body["application_id"] = str(one.application_id)
    if one.interaction is not None:
        body["interaction_metadata"] = _interaction(one.interaction, one.guild_id)
    if one.reference is not None:
        body |= _reply(world, one, reader, content=content, base=base, depth=depth)
    return body


def _type(one: Message) -> int:
    if one.interaction is not None and one.interaction[2] is None:
        return 20
    return 0 if one.reference is None else 19


def _interaction(given: tuple[int, User, int | None], guild_id: int | None) -> Json:
    number, who, original = given
    body: Json = {"id": str(number), "type": 2, "user": user(who)}
    body["authorizing_integration_owners"] = {"0": str(guild_id or 0)}
    return body if original is None else {**body, "original_response_message_id": str(original)}


def _author(one: Message) -> Json:
    """Word who posted: for a webhook's post a user under the webhook's id, whose picture is always told as a hash."""
    if one.avatar is None:
        return user(one.author)
    return {**user(one.author), "avatar": hashlib.blake2s(one.avatar.encode(), digest_size=16).hexdigest()}


def _reply(world: World, one: Message, reader: Bot, *, content: bool, base: str, depth: int) -> Json:
    reference: Json = {"type": 0, "message_id": str(one.reference), "channel_id": str(one.channel_id)}
    if one.guild_id is not None:
        reference["guild_id"] = str(one.guild_id)
    body: Json = {"message_reference": reference}
    if depth:
        origin = world.message(one.reference or 0)
        # A deleted origin is told as null; one left out altogether would mean "not looked up".
        body["referenced_message"] = origin and message(
            world, origin, reader, content=content, base=base, depth=depth - 1
        )
    return body


def _reaction(name: str, who: list[int], reader: Bot) -> Json:
    mine = reader.user_id in who
    return {
        "emoji": emoji(name),
        "count": len(who),
        "count_details": {"burst": 0, "normal": len(who)},
        "me": mine,
        "me_burst": False,
        "burst_colors": [],
    }


def placed(world: World, body: Json, place: Channel, author: User | None) -> Json:
    """Add what only an event carries: the guild, and the author as a member of it."""
    one = world.guilds.get(place.guild_id or 0)
    if one is None:
        return body
    body = {**body, "guild_id": str(one.id)}
    return body if author is None else {**body, "member": member(one, author, with_user=False)}
