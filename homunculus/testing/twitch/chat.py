"""The rules of a chat: who may say what, and why a message is dropped although the request was good.

Owns the drops. Never answers a request and never delivers an event. Source: Twitch's "Send Chat Message"; the codes of
drops are not documented and are those that Twitch is seen to send.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from homunculus.testing.twitch.limits import ChatRate, Rate
from homunculus.testing.twitch.world import Channel, ChatMessage, User, World

LONGEST = 500  # characters
SAME_AGAIN = 30.0  # seconds in which the same text is not taken twice


@dataclass(frozen=True, slots=True)
class Drop:
    """Why a message that was asked for is not in the chat."""

    code: str
    message: str


class Chat:
    """Take what bots say into the chats of a world; `rate` is messages in seconds, None does not slow anybody down."""

    def __init__(self, world: World, rate: Rate | None, same_again: float) -> None:
        self._world, self._rate, self._same_again = world, ChatRate(rate), same_again
        self.asked: list[Drop] = []  # drops that a test wants to see, first come first

    def say(self, channel: Channel, author: User, text: str, reply_to: ChatMessage | None) -> ChatMessage | Drop:
        """Say something, or tell why it was dropped."""
        # A line ends a message, as it always did in this chat.
        line = text.splitlines()[0].rstrip() if text.strip() else ""
        return self._dropped(channel, author, line) or self._world.said(channel, author, line, reply_to)

    def _dropped(self, channel: Channel, author: User, text: str) -> Drop | None:
        if self.asked:
            return self.asked.pop(0)
        if author.id in channel.silenced:
            return Drop("user_timed_out", "You are timed out from talking in the room.")
        if text.startswith(("/", ".")):
            channel.commands.append(text)
            return Drop("msg_command", "That was taken as a chat command.")
        if any(word in text.casefold() for word in channel.forbidden):
            return Drop("msg_rejected", "Your message is being checked by mods and has not been sent.")
        return self._too_soon(channel, author, text)

    def _too_soon(self, channel: Channel, author: User, text: str) -> Drop | None:
        moderates = bool(channel.badges_of(author))
        now = time.time()
        last = next((message for message in reversed(channel.log) if message.author is author), None)
        if last is not None and not moderates and now - last.time < channel.slow:
            return Drop("msg_slowmode", "This room is in slow mode and you are sending messages too quickly.")
        same = last is not None and last.text == text and now - last.time < self._same_again
        if same and not moderates:
            return Drop("msg_duplicate", "Your message is identical to the one you sent less than 30 seconds ago.")
        if not self._rate.take(author.id, moderates=moderates):
            return Drop("msg_ratelimit", "You are sending messages too quickly.")
        return None
