"""What a loopback Twitch is made of: people with their channels, applications, grants, and what was said.

Owns ids, names and the log of each chat. Never answers a request and never sends an event.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
import uuid
from dataclasses import dataclass, field

ALL_SCOPES = ("user:read:chat", "user:write:chat", "user:bot")
FOUR_HOURS = 14_400  # seconds that an access token of Twitch lives
_LOGIN = re.compile(r"[a-z0-9_]{1,25}")
_MENTION = re.compile(r"(?<![\w@])@(\w{1,25})")


@dataclass(eq=False, slots=True)
class User:
    """A person, or a bot's account; `login` is the name in lower case, by which Twitch knows it and its channel."""

    id: str
    login: str
    name: str


@dataclass(eq=False, slots=True)
class ChatMessage:
    """One message of a chat; `mentions` are those whom Twitch highlights it to."""

    id: str
    author: User
    text: str
    time: float
    mentions: tuple[User, ...] = ()
    reply_to: ChatMessage | None = None
    badges: tuple[str, ...] = ()


@dataclass(eq=False, slots=True)
class Channel:
    """The chat of a broadcaster, and its house rules."""

    owner: User
    log: list[ChatMessage] = field(default_factory=list)
    moderators: set[str] = field(default_factory=set)  # user ids
    banned: set[str] = field(default_factory=set)
    silenced: set[str] = field(default_factory=set)  # timed out
    slow: float = 0.0  # seconds between two messages of one person
    forbidden: tuple[str, ...] = ()  # words that AutoMod holds back
    commands: list[str] = field(default_factory=list)  # texts that were taken as chat commands

    @property
    def login(self) -> str:
        """Return the name under which a deployment knows the channel."""
        return self.owner.login

    def badges_of(self, user: User) -> tuple[str, ...]:
        """Return the badges that stand beside a person's name here."""
        if user is self.owner:
            return ("broadcaster",)
        return ("moderator",) if user.id in self.moderators else ()

    def find(self, message_id: str) -> ChatMessage | None:
        """Return a message by its id."""
        return next((message for message in reversed(self.log) if message.id == message_id), None)


@dataclass(eq=False, slots=True)
class Bot:
    """An account that a program may use: its application, and the tokens that its owner was given.

    `access` and `refresh` are the newest pair; `past` holds access tokens that still work until they expire.
    """

    user: User
    client_id: str
    client_secret: str
    scopes: tuple[str, ...]
    access: str
    refresh: str
    expires: float
    alive: bool = True
    past: dict[str, float] = field(default_factory=dict)

    @property
    def login(self) -> str:
        """Return the account's login."""
        return self.user.login

    def accepts(self, access: str, now: float) -> float | None:
        """Return for how many seconds an access token still works; None when it does not."""
        if not self.alive:
            return None
        until = self.expires if secrets.compare_digest(access, self.access) else self.past.get(access)
        return until - now if until is not None and until > now else None

    def renew(self, *, rotate: bool, lifetime: float) -> None:
        """Mint a new access token, and with `rotate` a new refresh token: the one before is void from then on."""
        self.past[self.access] = self.expires
        self.access = secrets.token_hex(15)
        self.expires = time.time() + lifetime
        if rotate:
            self.refresh = secrets.token_hex(25)


class World:
    """Hold everybody and everything by its id."""

    def __init__(self) -> None:
        self._ids = itertools.count(100_000_001)
        self.users: dict[str, User] = {}
        self.by_login: dict[str, User] = {}
        self.channels: dict[str, Channel] = {}  # by the broadcaster's id
        self.bots: list[Bot] = []

    def add_user(self, name: str) -> User:
        """Register a person under a name; every person has a channel."""
        login = name.lower()
        if not _LOGIN.fullmatch(login):
            raise ValueError(f"{name!r} is no Twitch name; they have up to 25 letters, digits and underscores")
        if login in self.by_login:
            raise ValueError(f"the name {login!r} is taken")
        user = User(str(next(self._ids)), login, name)
        self.users[user.id] = self.by_login[login] = user
        self.channels[user.id] = Channel(user)
        return user

    def bot_with(self, access: str, now: float) -> Bot | None:
        """Return whose access token this is, if it still works."""
        return next((bot for bot in self.bots if bot.accepts(access, now) is not None), None)

    def mentioned(self, text: str) -> tuple[User, ...]:
        """Return whom a text names with an `@`."""
        found = (self.by_login.get(login.lower()) for login in _MENTION.findall(text))
        return tuple(dict.fromkeys(user for user in found if user is not None))

    def said(self, channel: Channel, author: User, text: str, reply_to: ChatMessage | None = None) -> ChatMessage:
        """Write a message into a chat's log."""
        message = ChatMessage(
            str(uuid.uuid4()),
            author,
            text,
            time.time(),
            self.mentioned(text),
            reply_to,
            channel.badges_of(author),
        )
        channel.log.append(message)
        return message


def is_login(text: str) -> bool:
    """Tell whether a text could be a login."""
    return _LOGIN.fullmatch(text.lower()) is not None
