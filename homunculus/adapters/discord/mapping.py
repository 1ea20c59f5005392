"""From discord.py's messages to ours. Owns addresses, mentions, readable text and who counts as whom; never does I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import discord

from homunculus.model import Address, Author, Message

Kind = Literal["posted", "edited", "deleted"]

_MARK = re.compile(r"<(?:@!?(?P<user>\d+)|@&(?P<role>\d+)|#(?P<channel>\d+)|a?:(?P<emoji>\w+):\d+)>")


def readable(text: str, own: frozenset[str], name: Callable[[str, int], str]) -> str:
    """Replace Discord's marks by names; drop those that only address us, at the start and the end.

    `own` are our own marks (`<@1>`, `<@&2>`); `name(kind, id)` names a `user`, `role` or `channel`.
    """
    if "<" not in text:
        return text
    if own:
        text = _addressing(own).sub("", text)

    def named(match: re.Match[str]) -> str:
        if emoji := match["emoji"]:
            return f":{emoji}:"
        kind = match.lastgroup or ""
        return ("#" if kind == "channel" else "@") + name(kind, int(match[kind]))

    return _MARK.sub(named, text)


@lru_cache(maxsize=256)
def _addressing(own: frozenset[str]) -> re.Pattern[str]:
    mark = "|".join(map(re.escape, sorted(own)))
    return re.compile(rf"\A(?:\s*(?:{mark})[\s,:]*)+|(?:\s*(?:{mark}))+\s*\Z")


class Mapping:
    """Turn what one instance hears into messages; `key` is its runtime key, `client` its connection after READY."""

    def __init__(self, key: str, client: discord.Client, account: int) -> None:
        self._key = key
        self._client = client
        self._account = account

    def message(self, message: discord.Message, kind: Kind = "posted") -> Message | None:
        """Return what was said, or None for Discord's own announcements (joins, pins, boosts)."""
        if message.is_system() or message.type is discord.MessageType.thread_starter_message:
            return None
        return Message(
            id=str(message.id),
            address=self._address_of(message),
            author=self._author(message),
            text=self._text(message),
            mentioned=self._mentioned(message),
            time=message.created_at.timestamp(),
            reply_to=_replied_to(message),
            attachments=(
                *(attachment.filename for attachment in message.attachments),
                *(sticker.name for sticker in message.stickers),
            ),
            kind=kind,
        )

    def command(self, interaction: discord.Interaction, line: str) -> Message | None:
        """Return a command that was given in Discord's own way, or None where we cannot tell in which place."""
        channel, guild_id = interaction.channel, interaction.guild_id
        if channel is None:
            return None
        parent_id = channel.parent_id if isinstance(channel, discord.Thread) else None
        return Message(
            id=str(interaction.id),
            address=self._address(channel.id, guild_id, parent_id, channel, interaction.user.id),
            author=Author(str(interaction.user.id), interaction.user.display_name, bot=interaction.user.bot),
            text=f"/{line}",
            mentioned=True,
            time=interaction.created_at.timestamp(),
            command=line,
        )

    def edit(self, event: discord.RawMessageUpdateEvent) -> Message | None:
        """Return the new version of a message, or None when only Discord changed it (a link's preview)."""
        return None if event.message.edited_at is None else self.message(event.message, "edited")

    def deletion(self, message_id: int, channel_id: int, guild_id: int | None) -> Message:
        """Return the notice that a message is gone; Discord does not say whose it was."""
        channel = self._client.get_channel(channel_id)
        address = self._address(channel_id, guild_id, getattr(channel, "parent_id", None), channel, None)
        return Message(id=str(message_id), address=address, author=Author("", ""), text="", kind="deleted")

    # -- where

    def place(self, channel: discord.abc.MessageableChannel) -> Address:
        """Return the address of a channel, a thread or a direct conversation."""
        guild = getattr(channel, "guild", None)
        parent_id = channel.parent_id if isinstance(channel, discord.Thread) else None
        other = channel.recipient.id if isinstance(channel, discord.DMChannel) and channel.recipient else None
        return self._address(channel.id, guild.id if guild else None, parent_id, channel, other)

    def _address_of(self, message: discord.Message) -> Address:
        channel = message.channel
        guild_id = message.guild.id if message.guild else getattr(channel, "guild_id", None)
        # Private channels come nameless with a message; what we know of them is in the cache.
        known = channel if guild_id else self._client.get_channel(channel.id) or channel
        parent_id = channel.parent_id if isinstance(channel, discord.Thread) else None
        other = None if self._own(message) else message.author.id
        return self._address(channel.id, guild_id, parent_id, known, other)

    def _address(
        self, channel_id: int, guild_id: int | None, parent_id: int | None, channel: object, other: int | None
    ) -> Address:
        direct = guild_id is None and not isinstance(channel, discord.GroupChannel)
        return Address(
            platform="discord",
            adapter=self._key,
            account=str(self._account),
            place=str(channel_id),
            space=str(guild_id) if guild_id else None,
            # Only a thread's parent: a channel's is its category, which is no place.
            parent=str(parent_id) if parent_id else None,
            direct=direct,
            label=f"{self._key}:{self._label(channel_id, guild_id, channel, other)}",
        )

    def _label(self, channel_id: int, guild_id: int | None, channel: object, other: int | None) -> str:
        if guild_id:
            return f"{guild_id}:{channel_id}"
        if isinstance(channel, discord.GroupChannel):
            return f"group:{channel_id}"
        recipient = channel.recipient if isinstance(channel, discord.DMChannel) else None
        return f"dm:{other or (recipient.id if recipient else channel_id)}"

    # -- who

    def _author(self, message: discord.Message) -> Author:
        webhook = message.webhook_id is not None
        # `allow_bot_messages` lists the applications that own webhooks, so that is whom such a post is by.
        author_id = (message.application_id if webhook else None) or message.author.id
        return Author(
            id=str(author_id),
            name=message.author.display_name,
            bot=message.author.bot or webhook,
            own=self._own(message),
        )

    def _own(self, message: discord.Message) -> bool:
        if message.webhook_id is not None:
            return message.application_id is not None and message.application_id == self._client.application_id
        return message.author.id == self._account

    # -- what

    def _mentioned(self, message: discord.Message) -> bool:
        return (
            any(user.id == self._account for user in message.mentions)
            or any(self._is_ours(role) for role in message.role_mentions)
            or self._answers_us(message)
        )

    def _is_ours(self, role: discord.Role) -> bool:
        return role.tags is not None and role.tags.bot_id == self._account

    def _answers_us(self, message: discord.Message) -> bool:
        reference = message.reference
        return (
            _replied_to(message) is not None
            and reference is not None
            and isinstance(reference.resolved, discord.Message)
            and self._own(reference.resolved)
        )

    def _text(self, message: discord.Message) -> str:
        roles = {role.id: role for role in message.role_mentions}
        users = {user.id: user.display_name for user in message.mentions}
        own = {f"<@&{role_id}>" for role_id, role in roles.items() if self._is_ours(role)}
        if self._account in users:
            own |= {f"<@{self._account}>", f"<@!{self._account}>"}

        def name(kind: str, number: int) -> str:
            if kind == "user":
                return users.get(number, "someone")
            if kind == "role":
                return roles[number].name if number in roles else "some-role"
            channel = self._client.get_channel(number)
            return getattr(channel, "name", None) or "some-channel"

        return readable(message.content, frozenset(own), name)


def _replied_to(message: discord.Message) -> str | None:
    reference = message.reference
    if reference is None or message.type is not discord.MessageType.reply or reference.message_id is None:
        return None
    return str(reference.message_id)
