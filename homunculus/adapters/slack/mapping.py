"""From Slack's events and history to our messages. Owns addresses, mentions, and who counts as whom.

Source: Slack's "Message event" with its subtypes, and "app_mention".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from homunculus.adapters.slack import text
from homunculus.adapters.slack.people import People
from homunculus.adapters.slack.roots import Roots
from homunculus.model import Address, Author, Message

Body = dict[str, Any]
Kind = Literal["posted", "edited", "deleted"]

# What people and apps say; everything else is Slack's own announcement (joins, topics, pins).
_SAID = {"", "file_share", "thread_broadcast", "me_message", "bot_message"}
_SLACKBOT = "USLACKBOT"


@dataclass(frozen=True, slots=True)
class Me:
    """Who this instance is in its workspace."""

    team_id: str
    user_id: str
    bot_id: str
    name: str


class Mapping:
    """Turn what one instance hears into messages; `key` is its runtime key."""

    def __init__(self, key: str, me: Me, people: People, roots: Roots) -> None:
        self._key, self._me, self._people, self._roots = key, me, people, roots
        self._peers: dict[str, str] = {}  # a direct conversation → the person in it

    async def event(self, event: Body) -> Message | None:
        """Return what an event tells, or None when it is nothing that anybody said. Raises NotReady."""
        place, kind = str(event.get("channel", "")), event.get("channel_type")
        subtype = event.get("subtype") or ""
        if event.get("type") not in ("message", "app_mention"):
            return None
        if subtype == "message_deleted":
            return self._deletion(place, kind, event.get("previous_message") or {}, str(event["deleted_ts"]))
        if subtype != "message_changed":
            return await self.message(event, place, kind)
        now, before = event.get("message") or {}, event.get("previous_message") or {}
        if now.get("subtype") == "tombstone":
            return self._deletion(place, kind, before, str(now["ts"]))
        if not now.get("edited") or now["edited"] == before.get("edited"):
            return None  # Slack itself changed it: the preview of a link, the count of its replies
        return await self.message(now, place, kind, "edited")

    async def message(self, body: Body, place: str, channel_type: str | None, kind: Kind = "posted") -> Message | None:
        """Return what was said, or None for Slack's own announcements. Raises NotReady."""
        if (body.get("subtype") or "") not in _SAID or not body.get("ts"):
            return None
        thread = thread_of(body)
        raw = str(body.get("text") or "")
        author = await self._author(body)
        address = self.address(place, channel_type, thread)
        if address.direct and not author.own:
            self.met(place, author.id)
            address = self.address(place, channel_type, thread)
        return Message(
            id=str(body["ts"]),
            address=address,
            author=author,
            text=await self.read(raw),
            mentioned=text.mentions(raw, self._me.user_id) or await self._answers_us(body, place, thread),
            time=float(body["ts"]),
            reply_to=thread,
            attachments=tuple(str(file.get("name") or file.get("title") or "file") for file in body.get("files") or ()),
            kind=kind,
        )

    async def read(self, raw: str) -> str:
        """Return a text as people read it."""
        users, channels = text.named(raw)
        names = await self._people.names(users - {self._me.user_id}, channels)
        return text.readable(raw, self._me.user_id, {**names, self._me.user_id: self._me.name}, names)

    async def name(self, user: str) -> str:
        """Return how a user is called."""
        return (await self._people.names([user]))[user]

    # -- where

    def address(self, place: str, channel_type: str | None = None, thread: str | None = None) -> Address:
        """Return the address of a conversation, or of a thread in it."""
        direct = channel_type == "im" or (not channel_type and place.startswith("D"))
        inner = f"dm:{self._peers.get(place, place)}" if direct else place
        return Address(
            platform="slack",
            adapter=self._key,
            account=self._me.user_id,
            place=place,
            space=self._me.team_id,
            thread=thread,
            direct=direct,
            label=f"{self._key}:{self._me.team_id}:{inner}" + (f"#{thread}" if thread else ""),
        )

    def met(self, place: str, user: str) -> None:
        """Remember with whom a direct conversation is."""
        self._peers[place] = user

    def _deletion(self, place: str, channel_type: str | None, before: Body, ts: str) -> Message:
        address = self.address(place, channel_type, thread_of(before) if before else None)
        return Message(id=ts, address=address, author=Author("", ""), text="", kind="deleted")

    # -- who

    async def _author(self, body: Body) -> Author:
        user, bot_id = str(body.get("user") or ""), str(body.get("bot_id") or "")
        shown = str(body.get("username") or "")
        if self._roots.by_us(body):
            return Author(self._me.user_id, shown or self._me.name, bot=True, own=True)
        if bot_id or body.get("subtype") == "bot_message" or user == _SLACKBOT:
            profile = body.get("bot_profile") or {}
            return Author(user or bot_id, shown or str(profile.get("name") or user or bot_id), bot=True)
        return Author(user, await self.name(user))

    async def _answers_us(self, body: Body, place: str, thread: str | None) -> bool:
        """Tell whether it stands in a thread that hangs from a message of ours: everything there answers that one."""
        if thread is None:
            return False
        if parent := body.get("parent_user_id"):
            return bool(parent == self._me.user_id)
        return await self._roots.ours(place, thread)


def thread_of(body: Body) -> str | None:
    """Return the thread that a message is inside; the one it begins is none."""
    thread = body.get("thread_ts")
    return str(thread) if thread and thread != body.get("ts") else None


def at(message: Message, address: Address) -> Message:
    """Return a message as said at an address that is known already, its words for people included."""
    return replace(message, address=address)
