"""The state of the loopback Discord: people, bots, guilds, channels, messages and who may do what.

Owns every fact the server can answer with. Never touches a socket and never dispatches an event.
Ids are integers here, as in discord.py, and strings on the wire.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

DISCORD_EPOCH_MS: Final = 1_420_070_400_000

# The permissions this server knows, by Discord's own names and bits.
PERMISSIONS: Final[dict[str, int]] = {
    "add_reactions": 1 << 6,
    "view_channel": 1 << 10,
    "send_messages": 1 << 11,
    "send_tts_messages": 1 << 12,
    "manage_messages": 1 << 13,
    "embed_links": 1 << 14,
    "attach_files": 1 << 15,
    "read_message_history": 1 << 16,
    "mention_everyone": 1 << 17,
    "manage_webhooks": 1 << 29,
    "send_messages_in_threads": 1 << 38,
}
GRANTED_ON_INVITE: Final = frozenset(PERMISSIONS) - {"manage_messages", "send_tts_messages"}

TEXT, PRIVATE, PUBLIC_THREAD = 0, 1, 11


class Snowflakes:
    """Mint Discord ids: milliseconds since 2015, worker, process and a counter; each greater than the last."""

    def __init__(self) -> None:
        self._last = 0

    def mint(self) -> int:
        now = (int(time.time() * 1000) - DISCORD_EPOCH_MS) << 22 | 1 << 17
        # Time may stand still or step back (frozen clocks in tests); ids may not.
        self._last = max(now, self._last + 1)
        return self._last


def moment(snowflake: int) -> datetime:
    """Tell when an id was minted."""
    return datetime.fromtimestamp(((snowflake >> 22) + DISCORD_EPOCH_MS) / 1000, UTC)


@dataclass(eq=False, slots=True)
class User:
    """A person, or the account of a bot; `accepts_dms=False` refuses direct messages (50007)."""

    id: int
    name: str
    bot: bool = False
    accepts_dms: bool = True


@dataclass(eq=False, slots=True)
class Bot:
    """An application that may connect: its account, its token and the privileged intents its portal page grants."""

    user: User
    token: str = field(repr=False)
    application_id: int
    granted: int
    alive: bool = True

    @property
    def user_id(self) -> int:
        return self.user.id

    @property
    def name(self) -> str:
        return self.user.name


@dataclass(eq=False, slots=True)
class Guild:
    """A guild; `roles` maps each member bot's user id to its integration role's id. Everyone's role has the guild's id."""

    id: int
    name: str
    owner: User
    roles: dict[int, int] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Channel:
    """A text channel (type 0), a public thread (11, with `parent_id`) or a private channel (1, with `recipients`)."""

    id: int
    type: int
    name: str = ""
    guild_id: int | None = None
    parent_id: int | None = None
    owner_id: int | None = None
    recipients: tuple[User, ...] = ()
    log: dict[int, Message] = field(default_factory=dict, repr=False)

    @property
    def last_message_id(self) -> int | None:
        return next(reversed(self.log), None)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a message: its name, its bytes and its media type."""

    id: int
    filename: str
    data: bytes = field(repr=False)
    content_type: str = "application/octet-stream"
    description: str | None = None


@dataclass(eq=False, slots=True)
class Message:
    """A posted message; `pinged` are the users it notified, `mentions` those its payload lists.

    One that came through a webhook has its `webhook_id`, the `application_id` of the bot that made the webhook, and an
    `avatar`: the address it was sent with, or the hash of the webhook's own picture. One that answers a command has its
    `interaction`: the interaction's id, who gave it, and the id of its first answer where this is a later one.
    """

    id: int
    channel_id: int
    guild_id: int | None
    author: User
    content: str
    reference: int | None = None
    nonce: str | int | None = None
    allowed_mentions: dict[str, Any] | None = None
    flags: int = 0
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: tuple[Attachment, ...] = ()
    mentions: tuple[User, ...] = ()
    mention_roles: tuple[int, ...] = ()
    mention_everyone: bool = False
    reactions: dict[str, list[int]] = field(default_factory=dict)
    edited: datetime | None = None
    webhook_id: int | None = None
    application_id: int | None = None
    avatar: str | None = None
    interaction: tuple[int, User, int | None] | None = None

    @property
    def username(self) -> str:
        return self.author.name

    @property
    def pinged(self) -> frozenset[int]:
        return frozenset(user.id for user in self.mentions)

    @property
    def timestamp(self) -> datetime:
        return moment(self.id)


@dataclass(eq=False, slots=True)
class Webhook:
    """A webhook of a channel; `application_id` is that of the bot that made it, None where a person did."""

    id: int
    channel_id: int
    guild_id: int
    name: str
    user: User
    token: str = field(repr=False)
    application_id: int | None = None
    image: bytes | None = field(default=None, repr=False)

    @property
    def avatar(self) -> str | None:
        """Return the hash of the picture, as Discord names it."""
        return None if self.image is None else hashlib.blake2s(self.image, digest_size=16).hexdigest()


class World:
    """Hold everything that exists, and answer what a bot may see and do."""

    # All the state of the server that outlives a request or a socket:
    def __init__(self) -> None:
        self.snowflakes = Snowflakes()
        self.users: dict[int, User] = {}
        self.bots: dict[int, Bot] = {}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.webhooks: dict[int, Webhook] = {}
        self._overwrites: dict[tuple[int, int], dict[str, bool]] = {}

    # -- making things

    def add_user(self, name: str, *, bot: bool = False) -> User:
        user = User(self.snowflakes.mint(), name, bot=bot)
        self.users[user.id] = user
        return user

    def add_bot(self, token: str, name: str, granted: int) -> Bot:
        if self.bot_with(token):
            raise ValueError("this token already belongs to a bot of this server; give every bot its own")
        user = self.add_user(name, bot=True)
        bot = Bot(user, token, application_id=self.snowflakes.mint(), granted=granted)
        self.bots[user.id] = bot
        return bot

    def add_guild(self, name: str) -> Guild:
        guild = Guild(self.snowflakes.mint(), name, owner=self.add_user("owner"))
        self.guilds[guild.id] = guild
        return guild

    def add_channel(self, channel: Channel) -> Channel:
        if channel.id in self.channels:
            raise ValueError(f"channel {channel.id} exists already; leave `id` out to have one minted")
        self.channels[channel.id] = channel
        return channel

    def private_channel(self, bot: Bot, user: User) -> Channel:
        """Find or open the private channel of a bot and a user."""
        for channel in self.channels.values():
            if channel.type == PRIVATE and channel.recipients == (bot.user, user):
                return channel
        return self.add_channel(Channel(self.snowflakes.mint(), PRIVATE, recipients=(bot.user, user)))

    def join(self, guild: Guild, bot: Bot) -> None:
        guild.roles[bot.user_id] = self.snowflakes.mint()

    # -- who is who

    def bot_with(self, token: str) -> Bot | None:
        return next((bot for bot in self.bots.values() if bot.token == token), None)

    def channels_of(self, guild: Guild, kind: int) -> list[Channel]:
        return [c for c in self.channels.values() if c.guild_id == guild.id and c.type == kind]

    def webhooks_of(self, channel: Channel) -> list[Webhook]:
        return [hook for hook in self.webhooks.values() if hook.channel_id == channel.id]

    def message(self, message_id: int) -> Message | None:
        return next((c.log[message_id] for c in self.channels.values() if message_id in c.log), None)

    def guilds_of(self, bot: Bot) -> list[Guild]:
        return [guild for guild in self.guilds.values() if bot.user_id in guild.roles]

    # -- who may do what

    def overwrite(self, bot: Bot, channel: Channel, permission: str, *, allow: bool) -> None:
        if permission not in PERMISSIONS:
            raise ValueError(f"unknown permission {permission!r}; known are {', '.join(sorted(PERMISSIONS))}")
        self._overwrites.setdefault((bot.user_id, channel.id), {})[permission] = allow

    def overwrites(self, channel: Channel) -> dict[int, dict[str, bool]]:
        return {bot: rules for (bot, place), rules in self._overwrites.items() if place == channel.id}

    def may(self, bot: Bot, channel: Channel, permission: str) -> bool:
        """Answer for one permission; a thread follows its parent, a private channel its two recipients."""
        if channel.type == PRIVATE:
            return permission not in {"manage_messages", "manage_webhooks"}
        # A thread has no overwrites in Discord; one set on it here is an extra door, checked before the parent's.
        for place in filter(None, (channel.id, channel.parent_id)):
            rule = self._overwrites.get((bot.user_id, place), {}).get(permission)
            if rule is not None:
                return rule
        return permission in GRANTED_ON_INVITE

    def may_post(self, bot: Bot, channel: Channel) -> bool:
        needed = "send_messages_in_threads" if channel.type == PUBLIC_THREAD else "send_messages"
        return self.may(bot, channel, needed)

    def sees(self, bot: Bot, channel: Channel) -> bool:
        if channel.type == PRIVATE:
            return bot.user in channel.recipients
        guild = self.guilds[channel.guild_id or 0]
        return bot.user_id in guild.roles and self.may(bot, channel, "view_channel")

    def watchers(self, channel: Channel) -> list[Bot]:
        return [bot for bot in self.bots.values() if self.sees(bot, channel)]
