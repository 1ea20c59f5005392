"""The state of the loopback Slack: workspaces, people, apps, channels, messages and who is where.

Owns every fact the server can answer with. Never touches a socket and never sends an event.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["channel", "group", "im", "mpim"]
_LETTER: Final[dict[str, str]] = {"channel": "C", "group": "C", "im": "D", "mpim": "C"}

# What an app may be allowed, as far as this server knows it.
SCOPES: Final = frozenset(
    {
        *("app_mentions:read", "commands", "reactions:write", "users:read", "im:write"),
        *("chat:write", "chat:write.customize", "chat:write.public"),
        *(f"{kind}:history" for kind in ("channels", "groups", "im", "mpim")),
        *(f"{kind}:read" for kind in ("channels", "groups", "im", "mpim")),
    }
)
EVENTS: Final = frozenset({"app_mention", "message.channels", "message.groups", "message.im", "message.mpim"})
GRANTED: Final = SCOPES - {"chat:write.public"}
# Each kind of conversation, as scopes and event subscriptions name it.
PLURAL: Final[dict[str, str]] = {"channel": "channels", "group": "groups", "im": "im", "mpim": "mpim"}


class Ids:
    """Mint Slack's ids: a letter and digits, each another one."""

    def __init__(self) -> None:
        self._last = 0

    def mint(self, letter: str) -> str:
        self._last += 1
        return f"{letter}0{self._last:09X}"


@dataclass(eq=False, slots=True)
class Workspace:
    """A workspace; `edit_window` is for how many seconds messages may be changed, None for ever."""

    id: str
    name: str
    edit_window: float | None = None


@dataclass(eq=False, slots=True)
class User:
    """A person, or the user of a bot."""

    id: str
    name: str
    workspace: Workspace
    bot: bool = False


@dataclass(eq=False, slots=True)
class Bot:
    """An app installed in a workspace: its user, its two tokens, what it may do and what it subscribed to."""

    user: User
    token: str = field(repr=False)
    app_token: str = field(repr=False)
    app_id: str
    bot_id: str
    scopes: set[str]
    events: set[str]
    alive: bool = True
    socket_mode: bool = True

    @property
    def user_id(self) -> str:
        return self.user.id

    @property
    def name(self) -> str:
        return self.user.name

    @property
    def workspace(self) -> Workspace:
        return self.user.workspace


@dataclass(eq=False, slots=True)
class Channel:
    """A conversation: public (`channel`), private (`group`), direct (`im`) or a group's direct one (`mpim`).

    `read_only` refuses posts of apps (restricted_action). `log` holds channel and thread messages by their ts, in order.
    """

    id: str
    kind: Kind
    workspace: Workspace
    name: str = ""
    members: set[str] = field(default_factory=set)
    archived: bool = False
    read_only: bool = False
    log: dict[str, Message] = field(default_factory=dict, repr=False)
    last_ts: float = 0.0

    @property
    def plural(self) -> str:
        return PLURAL[self.kind]


@dataclass(eq=False, slots=True)
class Message:
    """A posted message: `text` as it goes over the wire (escaped, with Slack's marks); `bot` where an app posted it.

    `username` and `icon_url` are those that an app chose; `pinged` are the users and groups (`channel`, `here`) it notified.
    """

    ts: str
    channel: Channel
    user: User
    text: str
    thread_ts: str | None = None
    bot: Bot | None = None
    username: str | None = None
    icon_url: str | None = None
    subtype: str | None = None
    files: tuple[str, ...] = ()
    edited: str | None = None
    unfurl: bool = True
    pinged: frozenset[str] = frozenset()
    reactions: dict[str, list[str]] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)  # what it said before each change

    @property
    def shown_name(self) -> str:
        """Return the name people see above it."""
        return self.username or self.user.name

    @property
    def is_reply(self) -> bool:
        return self.thread_ts is not None and self.thread_ts != self.ts


@dataclass(frozen=True, slots=True)
class Whisper:
    """What one person alone was shown: by chat.postEphemeral, or as the private answer to a slash command."""

    channel: Channel
    user_id: str
    text: str
    thread_ts: str | None = None


@dataclass(eq=False, slots=True)
class Command:
    """A slash command that somebody gave; `token` opens its response_url, which takes five answers within half an hour."""

    bot: Bot
    channel: Channel
    user: User
    command: str
    text: str
    token: str = field(repr=False)
    given: float
    acknowledged: bool = False
    timed_out: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)


class World:
    """Hold everything that exists, and answer who is where."""

    # All the state of the server that outlives a request or a socket:
    def __init__(self) -> None:
        self.ids = Ids()
        self.workspaces: dict[str, Workspace] = {}
        self.users: dict[str, User] = {}
        self.bots: dict[str, Bot] = {}  # by user id
        self.channels: dict[str, Channel] = {}
        self.whispers: list[Whisper] = []
        self.commands: dict[str, Command] = {}  # by token

    # -- making things

    def add_workspace(self, name: str) -> Workspace:
        workspace = Workspace(self.ids.mint("T"), name)
        self.workspaces[workspace.id] = workspace
        return workspace

    def add_user(self, workspace: Workspace, name: str, *, bot: bool = False) -> User:
        user = User(self.ids.mint("U"), name, workspace, bot)
        self.users[user.id] = user
        return user

    def add_bot(self, workspace: Workspace, token: str, app_token: str, name: str) -> Bot:
        if self.bot_with(token) or self.bot_with_app_token(app_token):
            raise ValueError("one of these tokens already belongs to a bot of this server; give every bot its own")
        user = self.add_user(workspace, name, bot=True)
        bot = Bot(user, token, app_token, self.ids.mint("A"), self.ids.mint("B"), set(GRANTED), set(EVENTS))
        self.bots[user.id] = bot
        return bot

    def add_channel(self, workspace: Workspace, kind: Kind, name: str, members: set[str]) -> Channel:
        channel = Channel(self.ids.mint(_LETTER[kind]), kind, workspace, name, members)
        self.channels[channel.id] = channel
        return channel

    def direct(self, bot: Bot, user: User) -> Channel:
        """Find or open the direct conversation of a bot and a person."""
        members = {bot.user_id, user.id}
        for channel in self.channels.values():
            if channel.kind == "im" and channel.members == members:
                return channel
        return self.add_channel(bot.workspace, "im", "", members)

    def mint_ts(self, channel: Channel) -> str:
        """Mint a message's id: the time in microseconds, each later than the last of its channel."""
        # Time may stand still or step back; a ts may not.
        channel.last_ts = max(round(time.time(), 6), round(channel.last_ts + 0.000001, 6))
        return f"{channel.last_ts:.6f}"

    # -- who is who

    def bot_with(self, token: str) -> Bot | None:
        return next((bot for bot in self.bots.values() if bot.token == token), None)

    def bot_with_app_token(self, token: str) -> Bot | None:
        return next((bot for bot in self.bots.values() if bot.app_token == token), None)

    def channels_of(self, workspace: Workspace) -> Iterator[Channel]:
        return (channel for channel in self.channels.values() if channel.workspace is workspace)

    def members(self, channel: Channel) -> list[Bot]:
        """Return the bots in a channel."""
        return [bot for bot in self.bots.values() if bot.user_id in channel.members]

    def peer(self, channel: Channel, bot: Bot) -> str:
        """Return the other one of a direct conversation."""
        return next((one for one in channel.members if one != bot.user_id), bot.user_id)
