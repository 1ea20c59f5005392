"""Two bots on each of four platforms, people who talk to them in many places, and what must be true of every word.

Owns the world around one deployment and the verdict. What the verdict knows comes from what people said and from the loopback
servers' own logs, never from the program's code.
"""

from __future__ import annotations

import random
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from homunculus.testing.discord import DiscordServer
from homunculus.testing.model import ModelServer
from homunculus.testing.slack import SlackServer
from homunculus.testing.telegram import TelegramServer
from homunculus.testing.twitch import TwitchServer
from tests.e2e.serving import write

PLATFORMS = ("discord", "telegram", "slack", "twitch")
PEOPLE = ("Kovach", "Agnes", "Mirren")  # who speak in the three places of a bot, in this order
CROWD = 60  # so many that nobody meets the limit of answered turns a minute
SAID = re.compile(r"\bsaid-\d+\b")
HEARD = re.compile(r"\b(?P<name>said-\d+)-heard-by-(?P<who>\w+)")  # no space in it: a long answer becomes several posts


def echo(body: dict[str, Any]) -> str:
    """Answer as whoever the system text names, to every message of the turn by its name."""
    system = next(message["content"] for message in body["messages"] if message["role"] == "system")
    who = re.search(r"^Name: (\w+)$", system, re.MULTILINE)
    assert who is not None, system
    return " ".join(f"{name}-heard-by-{who[1]}" for name in SAID.findall(body["messages"][-1]["content"]))


@dataclass(frozen=True)
class Place:
    """Where a bot listens: whom the file makes answer there."""

    account: Account
    id: str
    who: str


class Account(ABC):
    """One bot account from the side of its platform; `name` is the instance's, None the default one."""

    connects_a_session = 1  # how often `connects` counts one session

    def __init__(self, platform: str, number: int) -> None:
        self.platform, self.number = platform, number
        self.name: str | None = None
        self.token = ""
        self.crowd: list[Any] = []  # who speaks to it
        self.places: list[Place] = []

    @property
    def key(self) -> str:
        return self.platform if self.name is None else f"{self.platform}:{self.name}"

    def settle(self, ids: list[str]) -> None:
        """Give each place its character."""
        self.places = [Place(self, ident, PEOPLE[n % len(PEOPLE)]) for n, ident in enumerate(ids)]

    @property
    @abstractmethod
    def credentials(self) -> str:
        """Write the credentials as they stand in the file."""

    @property
    @abstractmethod
    def connects(self) -> int:
        """Count how often a session was begun with this account."""

    @abstractmethod
    def renew(self) -> None:
        """Give the account a new token; the old one is void."""

    @abstractmethod
    def say(self, place: Place, text: str, rng: random.Random) -> None:
        """Say something there as somebody, so that the bot is meant."""

    @abstractmethod
    def posts(self, place: Place) -> list[str]:
        """Return what this account posted there, names of characters included where the platform shows them apart."""


class Discord(Account):
    def __init__(self, server: DiscordServer, number: int) -> None:
        super().__init__("discord", number)
        self.server, self.token = server, f"EIGHT.discord.{number}"
        self.tokens = [self.token]
        self.bot = server.add_bot(self.token, name=f"Bot {number}")
        self.crowd = [server.add_user(f"Player {number} {n}") for n in range(CROWD)]
        guild = server.add_guild(f"Guild {number}", bots=[self.bot])
        self.channels = {str(c.id): c for c in (server.add_channel(guild, f"room-{n}") for n in range(3))}
        self.settle(list(self.channels))

    @property
    def credentials(self) -> str:
        return f"token: {self.token}"

    @property
    def connects(self) -> int:
        return sum(self.server.identifies(token) + self.server.resumes(token) for token in self.tokens)

    def renew(self) -> None:
        self.token += "-new"
        self.tokens.append(self.token)
        self.server.reset_token(self.bot, self.token)

    def say(self, place: Place, text: str, rng: random.Random) -> None:
        self.server.post(self.channels[place.id], rng.choice(self.crowd), text, mentions=[self.bot])

    def posts(self, place: Place) -> list[str]:
        log = self.server.messages(self.channels[place.id])
        return [m.content for m in log if m.author is self.bot.user or m.application_id == self.bot.application_id]


class Telegram(Account):
    def __init__(self, server: TelegramServer, number: int) -> None:
        super().__init__("telegram", number)
        self.server, self.token = server, f"80{number}:eight-telegram"
        self.bot = server.add_bot(self.token, name=f"Bot {number}")
        self.crowd = [server.add_user(f"Player {number} {n}") for n in range(CROWD)]
        self.chats = {
            str(c.id): c for c in (server.add_chat("supergroup", f"room-{n}", bots=[self.bot]) for n in range(3))
        }
        self.settle(list(self.chats))

    @property
    def credentials(self) -> str:
        return f'token: "{self.token}"'

    @property
    def connects(self) -> int:
        return self.server.calls("getMe", self.bot)

    def renew(self) -> None:
        self.token += "-new"
        self.server.reset_token(self.bot, self.token)

    def say(self, place: Place, text: str, rng: random.Random) -> None:
        self.server.post(self.chats[place.id], rng.choice(self.crowd), text, mentions=[self.bot])

    def posts(self, place: Place) -> list[str]:
        return [message.text for message in self.server.sent(self.bot, self.chats[place.id])]


class Slack(Account):
    def __init__(self, server: SlackServer, number: int) -> None:
        super().__init__("slack", number)
        self.server, self.token, self.app = server, f"xoxb-eight-{number}", f"xapp-eight-{number}"
        team = server.add_workspace(f"Team {number}")
        self.bot = server.add_bot(team, self.token, self.app, name=f"Bot {number}")
        self.crowd = [server.add_user(team, f"Player {number} {n}") for n in range(CROWD)]
        members: list[Any] = [self.bot, *self.crowd]
        self.channels = {c.id: c for c in (server.add_channel(team, f"room-{n}", members) for n in range(3))}
        self.settle(list(self.channels))

    @property
    def credentials(self) -> str:
        return f"bot_token: {self.token}, app_token: {self.app}"

    @property
    def connects(self) -> int:
        return self.server.opened(self.bot)

    def renew(self) -> None:
        self.token += "-new"
        self.server.reset_token(self.bot, self.token)

    def say(self, place: Place, text: str, rng: random.Random) -> None:
        self.server.post(self.channels[place.id], rng.choice(self.crowd), f"<@{self.bot.user_id}> {text}")

    def posts(self, place: Place) -> list[str]:
        return [message.text for message in self.server.messages(self.channels[place.id]) if message.bot is self.bot]


class Twitch(Account):
    connects_a_session = len(PEOPLE)

    def __init__(self, server: TwitchServer, number: int) -> None:
        super().__init__("twitch", number)
        self.server, self.token = server, f"eighttwitchtoken{number}"
        self.bot = server.add_bot(self.token, name=f"Bot_{number}")
        self.crowd = [server.add_user(f"Player_{number}_{n}") for n in range(CROWD)]
        self.channels = {c.login: c for c in (server.add_channel(f"Room_{number}_{n}") for n in range(3))}
        for channel in self.channels.values():
            server.promote(channel, self.bot)  # a moderator may say a hundred things in half a minute
        self.settle(list(self.channels))

    @property
    def credentials(self) -> str:
        return f"oauth_token: {self.token}"

    @property
    def connects(self) -> int:
        """Count the subscriptions that were ever made: with the same channels a new session makes them anew."""
        asked = (r for r in self.server.requests if (r.method, r.login) == ("POST", self.bot.user.login))
        return sum(r.path.endswith("/eventsub/subscriptions") for r in asked)

    def renew(self) -> None:
        self.token += "new"
        self.server.reset_token(self.bot, self.token)

    def say(self, place: Place, text: str, rng: random.Random) -> None:
        self.server.say(self.channels[place.id], rng.choice(self.crowd), f"@{self.bot.user.name} {text}")

    def posts(self, place: Place) -> list[str]:
        return [message.text for message in self.server.posts(self.channels[place.id], self.bot)]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of what was said: names of messages by what went wrong with them."""

    lost: tuple[str, ...]
    doubled: tuple[str, ...]
    astray: tuple[str, ...]  # answered in another place, or by another bot
    impostors: tuple[str, ...]  # answered by another character


@dataclass
class World:
    """Four platforms, a model that echoes, and one deployment file."""

    servers: dict[str, Any]
    model: ModelServer
    file: Path
    rng: random.Random
    accounts: list[Account] = field(default_factory=list)
    said: dict[str, Place] = field(default_factory=dict)
    model_lines: str = ""
    quiet: set[Account] = field(default_factory=set)  # nobody speaks to these
    _numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        endpoint = f"provider: openai, name: m, base_url: {self.model.base_url}, api_key: {self.model.key}"
        self.model_lines = f"models: {{default: {{{endpoint}}}}}"

    def create(self, platform: str) -> Account:
        """Make one more account on a platform: the first there is the default instance, others have names."""
        kinds: dict[str, Any] = {"discord": Discord, "telegram": Telegram, "slack": Slack, "twitch": Twitch}
        account: Account = kinds[platform](self.servers[platform], next(self._numbers))
        account.name = f"bot{account.number}" if any(a.platform == platform for a in self.accounts) else None
        return account

    def connects(self) -> dict[Account, int]:
        """Count, for each account of the file, how often a session was begun with it."""
        return {account: account.connects for account in self.accounts}

    def save(self) -> None:
        """Write the deployment as the accounts are now."""
        write(self.file, self.text())

    def text(self) -> str:
        """Word the deployment as the accounts are now."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "version: 1\nbot_name: eight"
        yield f"data_home: {self.file.parent / 'home'}\nserver: {{port: 0}}\nmessaging:"
        for platform in dict.fromkeys(account.platform for account in self.accounts):
            yield f"  {platform}:\n    acknowledge: off\n    persona: off"
            yield from self._endpoints(platform)
            mine = [account for account in self.accounts if account.platform == platform]
            yield from (f"    {pair}" for a in mine if a.name is None for pair in a.credentials.split(", "))
            if any(account.name is not None for account in mine):
                yield "    instances:"
            yield from (
                f"      - {{name: {a.name}, {a.credentials}, acknowledge: off, persona: off}}"
                for a in mine
                if a.name is not None
            )
        yield self.model_lines
        yield "memory: {backend: none}\nagents:"
        yield from (f"  {who.lower()}: {{character: {who.lower()}, history_size: 0, stream: false}}" for who in PEOPLE)
        yield "channels:"
        for place in self.places():
            adapter = f", adapter: {place.account.name}" if place.account.name else ""
            yield (
                f"  - {{platform: {place.account.platform}{adapter}, channel_id: '{place.id}', agent_id: {place.who.lower()}}}"
            )

    def _endpoints(self, platform: str) -> Iterator[str]:
        for key in ("api_base", "gateway", "auth_base"):
            if hasattr(self.servers[platform], key):
                yield f"    {key}: {getattr(self.servers[platform], key)}"

    def places(self) -> list[Place]:
        return [place for account in self.accounts for place in account.places]

    def speak(self, place: Place | None = None) -> None:
        """Say something new in a place, in any one unless it is named."""
        place = place or self.rng.choice([one for one in self.places() if one.account not in self.quiet])
        name = f"said-{len(self.said)}"
        self.said[name] = place
        place.account.say(place, f"{name} is what I say", self.rng)

    def judge(self) -> Verdict:
        """Hold what stands on the platforms against what was said."""
        named = [
            (match["name"], place, match["who"])
            for place in {*self.said.values()}
            for text in place.account.posts(place)
            for match in HEARD.finditer(text)
        ]
        times = Counter(name for name, _, _ in named)
        return Verdict(
            lost=tuple(name for name in self.said if name not in times),
            doubled=tuple(name for name, count in times.items() if count > 1),
            astray=tuple(name for name, place, _ in named if self.said[name] is not place),
            impostors=tuple(name for name, _, who in named if self.said[name].who != who),
        )


@asynccontextmanager
async def world(folder: Path, seed: int) -> AsyncIterator[World]:
    """Bring up the four loopback servers and the model; the deployment is not written yet."""
    async with AsyncExitStack() as stack:
        servers = {
            "discord": await stack.enter_async_context(DiscordServer()),
            "telegram": await stack.enter_async_context(TelegramServer()),
            "slack": await stack.enter_async_context(SlackServer()),
            "twitch": await stack.enter_async_context(TwitchServer()),
        }
        model = await stack.enter_async_context(ModelServer())
        model.script(echo)
        for who in PEOPLE:
            write(
                folder / "characters" / f"{who.lower()}.yaml",
                f"name: {who}\ndescription: Somebody of Arkham.\nlanguage: en\n",
            )
        made = World(servers, model, folder / "deployments" / "eight.yaml", random.Random(seed))
        for platform in PLATFORMS * 2:
            made.accounts.append(made.create(platform))
        yield made
