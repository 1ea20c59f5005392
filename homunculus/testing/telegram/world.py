"""The state of the loopback Telegram: people, bots, chats, topics, messages, and who is where.

Owns every fact the server can answer with. Never touches a socket and never makes an update.
Message ids count up in each chat, from a start of its own, and are the same for every bot in it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, Literal

Kind = Literal["private", "group", "supergroup", "channel"]
Json = dict[str, Any]

TOKEN: Final = re.compile(r"(?P<id>[0-9]{1,16}):[A-Za-z0-9_-]{3,}")
# What tells of something that happened rather than being said: every bot in the chat gets it.
_SERVICE: Final = frozenset(
    {
        "migrate_to_chat_id",
        "migrate_from_chat_id",
        "forum_topic_created",
        "new_chat_members",
        "left_chat_member",
        "pinned_message",
    }
)
_PING: Final = re.compile(r"(?<![A-Za-z0-9_])@([A-Za-z][A-Za-z0-9_]{3,31})")


@dataclass(eq=False, slots=True)
class User:
    """A person, or the account of a bot."""

    id: int
    name: str
    username: str = ""
    bot: bool = False


@dataclass(eq=False, slots=True)
class Bot:
    """A bot as BotFather made it: `privacy` hides from it what is not meant for it in groups."""

    user: User
    token: str = field(repr=False)
    privacy: bool = True
    alive: bool = True
    commands: list[Json] = field(default_factory=list)
    command_writes: int = 0

    @property
    def id(self) -> int:
        return self.user.id

    @property
    def username(self) -> str:
        return self.user.username


@dataclass(eq=False, slots=True)
class Topic:
    """A topic of a forum; its id is that of the service message that began it."""

    id: int
    name: str
    closed: bool = False


@dataclass(eq=False, slots=True)
class Chat:
    """A private chat (its id is the person's), a group, a supergroup (with `forum`, one of topics) or a channel.

    `members` are the bots in it, by user id; `admins` those who see everything; `kicked` and `muted` as the words say.
    `migrated_to` is set on a group that became a supergroup. `reactions` None allows every emoji of Telegram's list.
    """

    id: int
    kind: Kind
    title: str = ""
    username: str = ""
    forum: bool = False
    person: User | None = None
    members: set[int] = field(default_factory=set)
    admins: set[int] = field(default_factory=set)
    kicked: set[int] = field(default_factory=set)
    muted: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    topics: dict[int, Topic] = field(default_factory=dict)
    reactions: frozenset[str] | None = None
    migrated_to: int | None = None
    last_bot: int | None = None  # the bot that spoke last: general commands are for it
    log: dict[int, Message] = field(default_factory=dict, repr=False)
    numbers: count[int] = field(default_factory=lambda: count(1), repr=False)


@dataclass(eq=False, slots=True)
class Message:
    """A posted message. `sent` is what a bot's request said of it; `more` goes onto the wire as it is (photos, joins).

    `sender_chat` is set where somebody speaks in the name of a chat.
    """

    id: int
    chat: Chat
    author: User | None
    text: str
    entities: tuple[Json, ...] = ()
    reply_to: Message | None = None
    topic: Topic | None = None
    sender_chat: Chat | None = None
    more: Json = field(default_factory=dict)
    sent: Json = field(default_factory=dict)
    date: int = field(default_factory=lambda: int(time.time()))
    edited: int | None = None
    reactions: dict[int, list[str]] = field(default_factory=dict)  # by user id

    @property
    def pings(self) -> tuple[str, ...]:
        """Return the usernames that this text would notify."""
        return tuple(_PING.findall(self.text))

    @property
    def bold(self) -> str:
        """Return the parts that are shown in bold, in order, joined by "|"."""
        units = self.text.encode("utf-16-le")
        spans = [(e["offset"], e["offset"] + e["length"]) for e in self.entities if e["type"] == "bold"]
        return "|".join(units[2 * begin : 2 * end].decode("utf-16-le") for begin, end in spans)


class World:
    """Hold everything that exists."""

    # All the state of the server that outlives a request, but for the queues of updates:
    def __init__(self) -> None:
        self.users: dict[int, User] = {}
        self.bots: dict[int, Bot] = {}
        self.chats: dict[int, Chat] = {}
        self._people, self._groups, self._supergroups = count(5_100_000_001), count(4_200_001), count(1_900_000_001)

    def add_user(self, name: str, *, bot: bool = False, username: str = "") -> User:
        user = User(next(self._people), name, username, bot)
        self.users[user.id] = user
        return user

    def add_bot(self, token: str, name: str, username: str, *, privacy: bool) -> Bot:
        match = TOKEN.fullmatch(token)
        if match is None:
            raise ValueError(f"{token!r} is no Telegram token; they look like 123456:ABC-def")
        number = int(match["id"])
        if number in self.bots:
            raise ValueError(f"bot {number} exists already; give every bot a number of its own")
        user = self.users[number] = User(
            number, name, username or f"{re.sub(r'[^A-Za-z0-9]', '', name) or 'x'}_bot", bot=True
        )
        bot = self.bots[number] = Bot(user, token, privacy)
        return bot

    def add_chat(self, kind: Kind, title: str, *, forum: bool = False, number: int | None = None) -> Chat:
        if number is None:
            number = -next(self._groups) if kind == "group" else -1_000_000_000_000 - next(self._supergroups)
        if number in self.chats:
            raise ValueError(f"chat {number} exists already; leave `id` out to have one made")
        # A chat has a past: its next message is hardly ever the first.
        past = count(1_001 + 1_000 * len(self.chats))
        chat = self.chats[number] = Chat(number, kind, title, forum=forum, numbers=past)
        return chat

    def private(self, user: User) -> Chat:
        """Find or make the chat whose id is a person's; each bot sees only what it and the person say."""
        chat = self.chats.get(user.id)
        if chat is None:
            chat = self.chats[user.id] = Chat(user.id, "private", person=user)
        return chat

    def bot_with(self, token: str) -> Bot | None:
        return next((bot for bot in self.bots.values() if bot.token == token), None)

    def chat_named(self, name: str) -> Chat | None:
        """Find a public chat by its @name."""
        wanted = name.removeprefix("@").casefold()
        return next((chat for chat in self.chats.values() if chat.username.casefold() == wanted), None)

    def sees(self, bot: Bot, message: Message) -> bool:
        """Tell whether an update of a message reaches a bot. Source: "Bot features: privacy mode".

        No bot sees another bot's messages.
        """
        chat, author = message.chat, message.author
        if bot.id not in chat.members or (author is not None and author.bot and message.sender_chat is None):
            return False
        if chat.kind == "private" or not bot.privacy or bot.id in chat.admins or _SERVICE & message.more.keys():
            return True
        return self._meant_for(bot, message)

    def _meant_for(self, bot: Bot, message: Message) -> bool:
        if message.reply_to is not None and message.reply_to.author is bot.user:
            return True
        units = message.text.encode("utf-16-le")
        for entity in message.entities:
            begin, end = 2 * entity["offset"], 2 * (entity["offset"] + entity["length"])
            word = units[begin:end].decode("utf-16-le").casefold()
            if entity["type"] == "text_mention" and entity["user"]["id"] == bot.id:
                return True
            if entity["type"] == "mention" and word == f"@{bot.username}".casefold():
                return True
            if entity["type"] == "bot_command" and self._commands(bot, message.chat, word):
                return True
        return False

    def _commands(self, bot: Bot, chat: Chat, word: str) -> bool:
        _, _, whose = word.partition("@")
        return whose == bot.username.casefold() if whose else chat.last_bot in (None, bot.id)
