"""From Telegram's messages to ours. Owns addresses, mentions, commands, readable text and who counts as whom; no I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from telegram import Chat, ChatFullInfo, MessageEntity, User
from telegram import Message as Posted

from homunculus.model import Address, Author, Message

_AFTER_NAME = re.compile(r"[\s,:]*")
_START = "start"  # what the button of a fresh private chat says: a greeting, no command of ours


@dataclass(frozen=True, slots=True)
class _Span:
    """An entity of a text: where it lies in characters, and what it is."""

    begin: int
    end: int
    entity: MessageEntity

    def of(self, text: str) -> str:
        return text[self.begin : self.end]


class Mapping:
    """Turn what one instance hears into messages; `key` is its runtime key, `me` its account.

    `known` tells whether a command's first word is one of ours.
    """

    def __init__(self, key: str, me: User, known: Callable[[str], bool]) -> None:
        self._key, self._me, self._known = key, me, known
        self._name = f"@{me.username}".casefold()

    def message(self, posted: Posted, kind: Literal["posted", "edited"]) -> Message | None:
        """Return what was said, or None for Telegram's own announcements (joins, pins, topics)."""
        raw = posted.text or posted.caption or ""
        spans = _spans(raw, posted.entities or posted.caption_entities)
        attachments = _attachments(posted)
        if not raw and not attachments:
            return None
        command = self._command(raw, spans)
        return Message(
            id=str(posted.message_id),
            address=self.address(posted.chat, _topic(posted)),
            author=self._author(posted),
            text=self._text(raw, spans),
            mentioned=bool(command) or self._mentioned(posted, raw, spans),
            time=posted.date.timestamp(),
            reply_to=str(answered.message_id) if (answered := _answered(posted)) else None,
            attachments=attachments,
            kind=kind,
            command=command if kind == "posted" else "",
        )

    def address(self, chat: Chat | ChatFullInfo, topic: str | None) -> Address:
        """Return the address of a chat or of a topic in it; the General topic is the chat itself."""
        label = f"{self._key}:{chat.id}" + (f"#{topic}" if topic else "")
        return Address(
            platform="telegram",
            adapter=self._key,
            account=str(self._me.id),
            place=str(chat.id),
            thread=topic,
            direct=chat.type == Chat.PRIVATE,
            label=label,
        )

    # -- who

    def _author(self, posted: Posted) -> Author:
        # An anonymous administrator and a channel speak in the name of a chat; `from` is then a bot of Telegram's own.
        if (chat := posted.sender_chat) is not None:
            return Author(str(chat.id), chat.effective_name or str(chat.id))
        user = posted.from_user
        if user is None:
            return Author("", "")
        return Author(str(user.id), user.full_name, bot=user.is_bot, own=user.id == self._me.id)

    # -- what

    def _mentioned(self, posted: Posted, raw: str, spans: Sequence[_Span]) -> bool:
        answered = _answered(posted)
        ours = answered is not None and answered.from_user is not None and answered.from_user.id == self._me.id
        return ours or any(self._names_us(span, raw) for span in spans)

    def _names_us(self, span: _Span, raw: str) -> bool:
        match span.entity.type:
            case MessageEntity.MENTION:
                return span.of(raw).casefold() == self._name
            case MessageEntity.TEXT_MENTION:
                return span.entity.user is not None and span.entity.user.id == self._me.id
            case MessageEntity.BOT_COMMAND:
                return span.of(raw).casefold().endswith(self._name)
            case _:
                return False

    def _command(self, raw: str, spans: Sequence[_Span]) -> str:
        """Return the line of a command that is meant for us, without its sign and our name; "" where there is none."""
        first = spans[0] if spans else None
        if first is None or first.begin or first.entity.type != MessageEntity.BOT_COMMAND:
            return ""
        word, _, whose = first.of(raw).removeprefix("/").partition("@")
        if (whose and f"@{whose}".casefold() != self._name) or word.casefold() == _START or not self._known(word):
            return ""
        return f"{word}{raw[first.end :]}".strip()

    def _text(self, raw: str, spans: Sequence[_Span]) -> str:
        """Drop our name where it only addresses us: at the start, at the end, and behind a command."""
        begin, end = 0, len(raw)
        ours = [span for span in spans if self._names_us(span, raw)]
        if ours and ours[0].entity.type == MessageEntity.BOT_COMMAND and not ours[0].begin:
            return f"{ours[0].of(raw).partition('@')[0]}{raw[ours[0].end :]}"
        named = [span for span in ours if span.entity.type != MessageEntity.BOT_COMMAND]
        for span in named:
            if not raw[begin : span.begin].strip():
                match = _AFTER_NAME.match(raw, span.end)
                begin = match.end() if match else span.end
        for span in reversed(named):
            if span.begin >= begin and not raw[span.end : end].strip():
                end = len(raw[: span.begin].rstrip())
        return raw[begin : max(begin, end)]


def _spans(raw: str, entities: Sequence[MessageEntity]) -> list[_Span]:
    """Return entities with their offsets in characters: Telegram counts in UTF-16 units."""
    if not entities:
        return []
    units = raw.encode("utf-16-le", "surrogatepass")

    def characters(offset: int) -> int:
        return len(units[: 2 * offset].decode("utf-16-le", "ignore"))

    found = [_Span(characters(e.offset), characters(e.offset + e.length), e) for e in entities]
    return sorted(found, key=lambda span: span.begin)


def _topic(posted: Posted) -> str | None:
    # An answer outside of a forum has a thread id as well, of no conversation of its own.
    return str(posted.message_thread_id) if posted.is_topic_message and posted.message_thread_id else None


def _answered(posted: Posted) -> Posted | None:
    """Return the message that was answered; everything in a topic answers the message that began it, which is no answer."""
    answered = posted.reply_to_message
    if answered is None or answered.forum_topic_created or answered.message_id == posted.message_thread_id:
        return None
    return answered


def _attachments(posted: Posted) -> tuple[str, ...]:
    # An animation is a document as well, a venue a location: the first kind is the telling one.
    kind = next((kind for kind in _KINDS if getattr(posted, kind, None)), None)
    return (_KINDS[kind](posted),) if kind else ()


def _file(kind: str, otherwise: str) -> Callable[[Posted], str]:
    return lambda posted: str(getattr(getattr(posted, kind), "file_name", None) or otherwise)


_KINDS: dict[str, Callable[[Posted], str]] = {
    "photo": lambda _: "photo",
    "animation": _file("animation", "animation"),
    "document": _file("document", "document"),
    "video": _file("video", "video"),
    "video_note": lambda _: "video message",
    "voice": lambda _: "voice message",
    "audio": lambda posted: str((posted.audio and (posted.audio.file_name or posted.audio.title)) or "audio"),
    "sticker": lambda posted: f"sticker {(posted.sticker and posted.sticker.emoji) or ''}".strip(),
    "venue": lambda posted: f"place: {posted.venue.title}" if posted.venue else "place",
    "location": lambda _: "location",
    "contact": lambda _: "contact",
    "poll": lambda posted: f"poll: {posted.poll.question}" if posted.poll else "poll",
    "dice": lambda posted: f"{posted.dice.emoji} {posted.dice.value}" if posted.dice else "dice",
    "game": lambda posted: f"game: {posted.game.title}" if posted.game else "game",
    "story": lambda _: "story",
    "paid_media": lambda _: "paid media",
}
