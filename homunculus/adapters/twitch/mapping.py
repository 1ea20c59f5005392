"""From Twitch's chat messages to ours. Owns addresses, mentions, readable text and who counts as whom; never does I/O."""

from __future__ import annotations

import re
from functools import lru_cache

from twitchio.models.eventsub_ import ChatMessage

from homunculus.adapters.twitch.grant import Account
from homunculus.model import Address, Author, Message

_WORD = "A-Za-z0-9_"  # of ASCII alone: Chinese is written without spaces around a name


class Mapping:
    """Turn what one instance hears into messages; `key` is its runtime key."""

    def __init__(self, key: str, account: Account) -> None:
        self._key, self._account = key, account

    def address(self, login: str) -> Address:
        """Return the address of a channel by its login."""
        place = login.lower()
        return Address("twitch", self._key, self._account.id, place, label=f"{self._key}:{place}")

    def message(self, message: ChatMessage, prefix: str, heard: float) -> Message | None:
        """Return what was said, or None for an echo of another chat.

        `prefix` is the trigger prefix, "" for none; `heard` the time that counts where Twitch names none.
        """
        if message.source_broadcaster is not None and message.source_broadcaster.id != message.broadcaster.id:
            return None  # several channels share a chat: it is heard where it was said, and answered once
        text, prefixed = without_prefix(message.text, prefix)
        own = str(message.chatter.id) == self._account.id
        login = (message.chatter.name or "").lower()
        return Message(
            id=message.id,
            address=self.address(message.broadcaster.name or ""),
            author=Author(login, message.chatter.display_name or login, own=own),
            text=without_addressing(text, self._account.login),
            mentioned=prefixed or self._mentioned(message),
            time=message.timestamp.timestamp() if message.timestamp is not None else heard,
            reply_to=message.reply.parent_message_id if message.reply is not None else None,
        )

    def _mentioned(self, message: ChatMessage) -> bool:
        answers_us = message.reply is not None and str(message.reply.parent_user.id) == self._account.id
        return answers_us or _mark(self._account.login).search(message.text) is not None


def without_prefix(text: str, prefix: str) -> tuple[str, bool]:
    """Take the trigger prefix from the beginning of a text, where it stands as a word; tell whether it did."""
    found = _prefix(prefix).match(text) if prefix else None
    return (text[found.end() :], True) if found else (text, False)


def without_addressing(text: str, login: str) -> str:
    """Drop the marks that only address us, at the start and the end."""
    return _addressing(login).sub("", text) if "@" in text else text


@lru_cache(maxsize=64)
def _mark(login: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![{_WORD}@])@{re.escape(login)}(?![{_WORD}])", re.IGNORECASE)


@lru_cache(maxsize=64)
def _addressing(login: str) -> re.Pattern[str]:
    mark = _mark(login).pattern
    return re.compile(rf"\A(?:\s*{mark}[\s,:]*)+|(?:\s*{mark})+\s*\Z", re.IGNORECASE)


@lru_cache(maxsize=64)
def _prefix(prefix: str) -> re.Pattern[str]:
    end = rf"(?![{_WORD}])" if re.match(rf"[{_WORD}]", prefix[-1]) else ""
    return re.compile(rf"\s*{re.escape(prefix)}{end}[\s,:]*", re.IGNORECASE)
