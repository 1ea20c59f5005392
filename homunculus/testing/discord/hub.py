"""What happens in the loopback Discord: a message is posted, edited, deleted, reacted to; a channel appears.

Owns the pairing of a change of state with the events it dispatches. Never reads a request and checks no permission:
the REST routes check theirs before, and a test may do what it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from homunculus.testing.discord import session as intents
from homunculus.testing.discord import wire
from homunculus.testing.discord.gateway import Gateway
from homunculus.testing.discord.session import Session
from homunculus.testing.discord.world import PRIVATE, Bot, Channel, Guild, Message, User, World

Json = dict[str, Any]
_MESSAGES: Final = (intents.GUILD_MESSAGES, intents.DIRECT_MESSAGES)
_REACTIONS: Final = (intents.GUILD_REACTIONS, intents.DIRECT_REACTIONS)
_TYPING: Final = (intents.GUILD_TYPING, intents.DIRECT_TYPING)


@dataclass(frozen=True, slots=True)
class Typing:
    """One typing trigger: who, and when by the monotonic clock."""

    user_id: int
    time: float


class Hub:
    """Change the world and tell everyone who may know."""

    # The state beside the world's: typing triggers, and nonces for as long as Discord remembers them.
    def __init__(self, world: World, gateway: Gateway, changed: Callable[[], None], nonce_window: float) -> None:
        self.world = world
        self.gateway = gateway
        self.base = ""
        self.typings: dict[int, list[Typing]] = {}
        self._changed = changed
        self._nonce_window = nonce_window
        self._nonces: dict[tuple[int, str], tuple[float, Message]] = {}

    # -- messages

    def post(self, message: Message) -> Message:
        self.world.channels[message.channel_id].log[message.id] = message
        self._tell_message("MESSAGE_CREATE", message)
        return message

    def edited(self, message: Message, *, mark: bool = True) -> None:
        """Tell of a change; without the mark where people do not see it as one."""
        if mark:
            message.edited = datetime.now(UTC)
        self._tell_message("MESSAGE_UPDATE", message)

    def delete(self, message: Message) -> None:
        place = self.world.channels[message.channel_id]
        del place.log[message.id]
        body = wire.placed(self.world, {"id": str(message.id), "channel_id": str(place.id)}, place, None)
        self._tell("MESSAGE_DELETE", _MESSAGES, place, lambda _: body)

    def _tell_message(self, event: str, message: Message) -> None:
        place = self.world.channels[message.channel_id]

        def word(session: Session) -> Json:
            body = self.word(message, session.bot, content=session.reads_content())
            # A webhook is no member of the guild.
            member = message.author if message.webhook_id is None else None
            return wire.placed(self.world, body, place, member)

        self._tell(event, _MESSAGES, place, word)

    def word(self, message: Message, reader: Bot, *, content: bool | None = None) -> Json:
        """Word a message for a bot; over REST the intent granted in the portal decides what content it sees."""
        shown = bool(reader.granted & intents.MESSAGE_CONTENT) if content is None else content
        return wire.message(self.world, message, reader, content=shown, base=self.base)

    def remembered(self, author: User, nonce: str | int) -> Message | None:
        """Find the message this author posted with this nonce in the last few minutes."""
        posted, message = self._nonces.get((author.id, str(nonce)), (0.0, None))
        return message if message and time.monotonic() - posted < self._nonce_window else None

    def remember(self, message: Message) -> None:
        if message.nonce is not None:
            self._nonces[message.author.id, str(message.nonce)] = (time.monotonic(), message)

    # -- reactions and typing

    def react(self, message: Message, person: User, name: str) -> None:
        who = message.reactions.setdefault(name, [])
        if person.id not in who:
            who.append(person.id)
            extra = {"message_author_id": str(message.author.id)}
            self._tell_reaction("MESSAGE_REACTION_ADD", message, person, name, member=True, extra=extra)

    def unreact(self, message: Message, person: User, name: str) -> None:
        who = message.reactions.get(name, [])
        if person.id not in who:
            return
        who.remove(person.id)
        if not who:
            del message.reactions[name]
        self._tell_reaction("MESSAGE_REACTION_REMOVE", message, person, name, member=False, extra={})

    def _tell_reaction(
        self, event: str, message: Message, person: User, name: str, *, member: bool, extra: Json
    ) -> None:
        place = self.world.channels[message.channel_id]
        body = {
            "user_id": str(person.id),
            "channel_id": str(place.id),
            "message_id": str(message.id),
            "emoji": wire.emoji(name),
            "burst": False,
            "type": 0,
            **extra,
        }
        body = wire.placed(self.world, body, place, None)
        guild = self.world.guilds.get(place.guild_id or 0)
        if guild and member:
            body["member"] = wire.member(guild, person)
        self._tell(event, _REACTIONS, place, lambda _: body)

    def typing(self, place: Channel, person: User) -> None:
        self.typings.setdefault(place.id, []).append(Typing(person.id, time.monotonic()))
        body: Json = {"channel_id": str(place.id), "user_id": str(person.id), "timestamp": int(time.time())}
        body = wire.placed(self.world, body, place, None)
        guild = self.world.guilds.get(place.guild_id or 0)
        if guild:
            body["member"] = wire.member(guild, person)
        self._tell("TYPING_START", _TYPING, place, lambda _: body)

    # -- guilds and channels

    def guild_joined(self, guild: Guild, bot: Bot) -> None:
        self.world.join(guild, bot)
        self._dispatch("GUILD_CREATE", [bot], guild.id, lambda _: wire.guild_create(self.world, guild, bot))

    def guild_left(self, guild: Guild, bot: Bot) -> None:
        del guild.roles[bot.user_id]
        self._dispatch("GUILD_DELETE", [bot], guild.id, lambda _: {"id": str(guild.id)})

    def channel_event(self, event: str, place: Channel) -> None:
        """Tell every bot of the guild: bots are told of channels they may not view, too."""
        guild = self.world.guilds[place.guild_id or 0]
        bots = [self.world.bots[user_id] for user_id in guild.roles]
        self._dispatch(event, bots, guild.id, lambda s: wire.channel(self.world, place, s.bot))

    def thread_created(self, place: Channel) -> None:
        def word(session: Session) -> Json:
            return {**wire.channel(self.world, place, session.bot), "newly_created": True}

        self._dispatch("THREAD_CREATE", self.world.watchers(place), place.guild_id, word)

    def _tell(self, event: str, pair: tuple[int, int], place: Channel, payload: Callable[[Session], Json]) -> None:
        intent = pair[place.type == PRIVATE]
        self.gateway.dispatch(event, intent, self.world.watchers(place), place.guild_id, payload)
        self._changed()

    def _dispatch(self, event: str, bots: list[Bot], guild_id: int | None, payload: Callable[[Session], Json]) -> None:
        self.gateway.dispatch(event, intents.GUILDS, bots, guild_id, payload)
        self._changed()
