"""What happens in the loopback Telegram: a message is posted, edited, reacted to; a group becomes a supergroup.

Owns the pairing of a change of state with the updates it makes. Never reads a request and checks no permission: the
methods check theirs before, and a test may do what it likes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

from homunculus.testing.telegram import wire
from homunculus.testing.telegram.updates import Updates
from homunculus.testing.telegram.world import Bot, Chat, Message, Topic, User, World

Json = dict[str, Any]
_MARKS: Final = {
    "mention": re.compile(r"(?<![A-Za-z0-9_@])@[A-Za-z][A-Za-z0-9_]{3,31}"),
    "bot_command": re.compile(
        r"(?:(?<=\s)|(?<=\A))/[A-Za-z0-9_]{1,64}(?:@[A-Za-z][A-Za-z0-9_]{3,31})?(?![A-Za-z0-9_/])"
    ),
}


class Hub:
    """Change the world and tell the bots that may know."""

    # The state beside the world's: a queue for each bot, and who was shown as typing.
    def __init__(self, world: World, changed: Callable[[], None], retention: float) -> None:
        self.world = world
        self.updates: dict[int, Updates] = {}
        self.typings: dict[tuple[int, int | None], list[tuple[int, float]]] = {}
        self.changed, self._retention = changed, retention

    def queue(self, bot: Bot) -> Updates:
        found = self.updates.get(bot.id)
        if found is None:
            found = self.updates[bot.id] = Updates(700_000_001 + bot.id % 1000, self._retention, self.changed)
        return found

    def post(
        self,
        chat: Chat,
        author: User | None,
        text: str,
        *,
        entities: tuple[Json, ...] = (),
        reply_to: Message | None = None,
        topic: Topic | None = None,
        sender_chat: Chat | None = None,
        more: Json | None = None,
        sent: Json | None = None,
        to: frozenset[int] | None = None,
    ) -> Message:
        """Post a message and queue its update for every bot that sees it; `to` limits that to some."""
        one = Message(
            next(chat.numbers),
            chat,
            author,
            text,
            entities=(*marks(text), *entities),
            reply_to=reply_to,
            topic=topic,
            sender_chat=sender_chat,
            more=more or {},
            sent=sent or {},
        )
        chat.log[one.id] = one
        if author is not None and author.bot and sender_chat is None:
            chat.last_bot = author.id
        self._tell("channel_post" if chat.kind == "channel" else "message", one, to)
        return one

    def edited(self, one: Message, text: str, entities: tuple[Json, ...] = ()) -> None:
        one.text, one.entities, one.edited = text, (*marks(text), *entities), int(time.time())
        self._tell("edited_channel_post" if one.chat.kind == "channel" else "edited_message", one, None)

    def topic(self, chat: Chat, name: str, author: User) -> Topic:
        """Begin a topic: its id is that of the service message that says so."""
        began = self.post(chat, author, "", more={"forum_topic_created": {"name": name, "icon_color": 0x6FB9F0}})
        began.topic = chat.topics[began.id] = Topic(began.id, name)
        return began.topic

    def migrate(self, group: Chat, supergroup: Chat) -> None:
        """Move everybody into the supergroup; both sides get a service message."""
        supergroup.members |= group.members
        supergroup.admins |= group.admins
        group.migrated_to = supergroup.id
        self.post(group, None, "", more={"migrate_to_chat_id": supergroup.id})
        self.post(supergroup, None, "", more={"migrate_from_chat_id": group.id})

    def react(self, one: Message, person: User, emoji: list[str]) -> None:
        if emoji:
            one.reactions[person.id] = emoji
        else:
            one.reactions.pop(person.id, None)
        self.changed()

    def typing(self, chat: Chat, topic: int | None, person: User) -> None:
        self.typings.setdefault((chat.id, topic), []).append((person.id, time.monotonic()))
        self.changed()

    def _tell(self, kind: str, one: Message, to: frozenset[int] | None) -> None:
        for bot in self.world.bots.values():
            if self.world.sees(bot, one) and (to is None or bot.id in to):
                self.queue(bot).put(kind, wire.message(one))
        self.changed()


def marks(text: str) -> tuple[Json, ...]:
    """Find what Telegram marks by itself in a text: mentions and commands, with offsets in UTF-16 units."""

    def units(index: int) -> int:
        return len(text[:index].encode("utf-16-le")) // 2

    found = [
        {"type": kind, "offset": units(match.start()), "length": units(match.end()) - units(match.start())}
        for kind, pattern in _MARKS.items()
        for match in pattern.finditer(text)
    ]
    return tuple(sorted(found, key=lambda entity: (entity["offset"], -entity["length"])))
