"""Our webhooks of one session: found again, made, given another name or picture, shared where a channel has no more room.

Owns what a channel's webhooks are; never posts, and never decides what a refusal means for a reply.

Ours are found again by the application that made them and by a mark in their name, `Kovach [1f0c9a2b.03af71]`: whose it
is and which picture it has. People see that name in the channel's settings only.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import discord
from discord.http import Route
from loguru import logger

from homunculus.adapters.discord import faces, faults
from homunculus.adapters.discord.faces import Face
from homunculus.adapters.discord.session import Session
from homunculus.model import Reply

MOST = 15  # webhooks that Discord keeps in a channel, whoever made them
KEPT = 12  # webhooks in a channel beyond which we make no more: the rest is left to people and other bots
LONGEST_NAME = 80

_MARK = re.compile(r".*\[(?P<whose>[0-9a-f]{8})\.(?P<face>[0-9a-f]{6})\]", re.DOTALL)
_SHARED = "0" * 8  # whose the one webhook is that all those share for whom there is no room
_INCOMING = 1
GONE = {10015, faults.BAD_WEBHOOK_TOKEN}  # unknown webhook, or no longer with this token
_BAD_PICTURE = {40005, 50045, 50046}
_BAD_FORM = 50035
_FULL = 30007


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook of ours; `label` is its name in the channel's settings."""

    id: int
    token: str = field(repr=False)
    label: str


@dataclass(slots=True)
class Place:
    """A channel: our webhooks by whose they are, how many there are in all, and when that was looked up."""

    id: int
    hooks: dict[str, Hook] = field(default_factory=dict)
    total: int = 0
    looked: float | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Webhooks:
    """Keep the webhooks of one application, channel by channel. Whoever claims one holds the channel's lock."""

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session, self._clock = session, clock
        self._places: dict[int, Place] = {}

    def place(self, number: int) -> Place:
        """Return what is known of a channel."""
        return self._places.setdefault(number, Place(number))

    async def claimed(self, place: Place, reply: Reply, face: Face, patience: float) -> Hook | None:
        """Return the webhook that a reply leaves through, made or changed where need be; None where there is no room.

        How many there are is looked up again when that is `patience` seconds old. Raises what the request raises.
        """
        whose = _digest(reply.agent_id)
        label = _label(reply.author, whose, face)
        if place.looked is None or (whose not in place.hooks and place.looked + patience < self._clock()):
            await self.look(place)
        mine = place.hooks.get(whose)
        if mine is not None and mine.label != label:
            mine = await self._relabelled(place, whose, label, face, mine)
        return mine or await self._made(place, whose, label, face) or await self._shared(place)

    async def _relabelled(self, place: Place, whose: str, label: str, face: Face, old: Hook) -> Hook | None:
        """Give one of ours another name and face; None where it was deleted meanwhile."""
        try:
            return await self._write(place, whose, label, face, old)
        except discord.HTTPException as error:
            if error.code not in GONE:
                raise
            await self.look(place)
            return None

    async def _made(self, place: Place, whose: str, label: str, face: Face) -> Hook | None:
        """Make a webhook; None where there is no room. The last that may be made is the one that is shared."""
        if place.total >= KEPT - (whose != _SHARED and _SHARED not in place.hooks):
            return None
        try:
            return await self._write(place, whose, label, face)
        except discord.HTTPException as error:
            if error.code != _FULL:
                raise
            place.total = MOST
            return None

    async def _shared(self, place: Place) -> Hook | None:
        label = _label("NPCs", _SHARED, faces.NONE)
        return place.hooks.get(_SHARED) or await self._made(place, _SHARED, label, faces.NONE)

    async def look(self, place: Place) -> None:
        """Look up the webhooks of a channel."""
        found = await self._session.once(Route("GET", "/channels/{channel_id}/webhooks", channel_id=place.id))
        place.hooks, place.total, place.looked = {}, len(found), self._clock()
        for body in found:
            mark = _MARK.fullmatch(body.get("name") or "")
            ours = body.get("application_id") == str(self._session.application_id)
            if mark and ours and body.get("token") and body["type"] == _INCOMING:
                place.hooks.setdefault(mark["whose"], Hook(int(body["id"]), body["token"], body["name"]))

    async def _write(self, place: Place, whose: str, label: str, face: Face, old: Hook | None = None) -> Hook:
        """Make a webhook, or give one of ours another name and face; without the face where Discord refuses it."""
        avatar = await asyncio.to_thread(faces.data_uri, face)
        try:
            body = await self._written(place, {"name": label, "avatar": avatar}, old)
        except discord.HTTPException as error:
            if avatar is None or not (error.code in _BAD_PICTURE or "avatar" in refused_fields(error)):
                raise
            # The label keeps the picture's digest: the same picture is not tried again.
            logger.bind(file=face.file, code=error.code).warning("Discord refuses the picture of an NPC")
            body = await self._written(place, {"name": label, "avatar": None}, old)
        hook = place.hooks[whose] = Hook(int(body["id"]), body["token"], label)
        place.total += old is None
        return hook

    async def _written(self, place: Place, body: dict[str, Any], old: Hook | None) -> Any:
        if old is None:
            route = Route("POST", "/channels/{channel_id}/webhooks", channel_id=place.id)
        else:
            route = Route("PATCH", "/webhooks/{webhook_id}", webhook_id=old.id)
        return await self._session.once(route, json=body)


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()


def _label(name: str, whose: str, face: Face) -> str:
    mark = f" [{whose}.{face.digest}]"
    return name.strip()[: LONGEST_NAME - len(mark)] + mark


def refused_fields(error: discord.HTTPException) -> frozenset[str]:
    """Return the fields of a form that Discord refused."""
    return frozenset(error._errors or ()) if error.code == _BAD_FORM else frozenset()
