"""Under which name and face a reply leaves: through a webhook of ours, or by the bot itself where that may not be.

Owns our webhooks for one session: finding, making, changing and sharing them. Never repeats a post whose fate is unknown,
for no webhook knows a nonce; never quotes, for no webhook can reply.

Our webhooks are found again by the application that made them and by a mark in their name, `Kovach [1f0c9a2b.03af71]`:
whose it is and which picture it has. People see that name in the channel's settings only.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import discord
from discord.http import Route
from loguru import logger

from homunculus.adapters.discord import faces, faults, posting
from homunculus.adapters.discord.faces import Face, Faces
from homunculus.adapters.discord.session import Session
from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import Address, Reply

MOST = 15  # webhooks that Discord keeps in a channel, whoever made them
KEPT = 12  # webhooks in a channel beyond which we make no more: the rest is left to people and other bots
GRUDGE = 600.0  # seconds a refusal is remembered before it is tried again
SULK = 60.0  # seconds without webhooks in a channel after Discord failed at them
LONGEST_NAME = 80
_REMEMBERED = 256

_MARK = re.compile(r".*\[(?P<whose>[0-9a-f]{8})\.(?P<face>[0-9a-f]{6})\]", re.DOTALL)
_SHARED = "0" * 8  # whose the one webhook is that all those share for whom there is no room
_INCOMING = 1
_GONE = {10015, faults.BAD_WEBHOOK_TOKEN}  # unknown webhook, or no longer with this token
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


class _Unsuitable(Exception):
    """Say that this reply cannot go through a webhook now; nothing was posted."""


class Personas:
    """Send replies of one session, each under its author's own name where that may be."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._clock = session, clock
        self._faces = Faces()
        self._places: dict[int, Place] = {}
        self._grudges: dict[Hashable, float] = {}  # what was refused → until when it is not tried again
        # The latest posts → the webhook that made them, None for the bot itself: whoever made one can edit it.
        self._spoken: OrderedDict[str, Hook | None] = OrderedDict()
        self._plain: set[str] = set()  # replies in doubt that left by the bot itself, with a nonce

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply and return its id."""
        if reply.persona not in ("webhook", "auto"):
            return await posting.send(self._session, address, reply)
        plain = replace(reply, persona="prefix" if reply.persona == "webhook" else "off")
        place = self._place(address)
        if place is None or reply.id in self._plain:
            return await self._send_plain(address, plain)
        if reply.retried:
            raise Uncertain("its first try may have arrived, and a webhook cannot tell a second one apart", final=True)
        try:
            return await self._speak(place, address, reply)
        except _Unsuitable:
            return await self._send_plain(address, plain)

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change the text of a post, by whom it was made."""
        if reply.persona not in ("webhook", "auto"):
            return await posting.edit(self._session, address, message_id, reply)
        try:
            hook = await self._author(address, message_id)
            if hook is not None:
                return await self._rewrite(hook, address, message_id, reply)
        except Exception as error:
            raise faults.of_request(error, f"an edit of {reply.author}") from error
        plain = replace(reply, persona="prefix" if reply.persona == "webhook" else "off")
        return await posting.edit(self._session, address, message_id, plain)

    async def _author(self, address: Address, message_id: str) -> Hook | None:
        """Return the webhook that made a post; None where the bot made it. A new session asks Discord."""
        if message_id in self._spoken:
            return self._spoken[message_id]
        body = await self._session.http.get_message(posting.number(address.place), posting.number(message_id))
        place, hook_id = self._place(address), body.get("webhook_id")
        if place is None or hook_id is None:
            return None
        if place.looked is None:
            await self._look(place)
        return next((hook for hook in place.hooks.values() if str(hook.id) == str(hook_id)), None)

    async def _rewrite(self, hook: Hook, address: Address, message_id: str, reply: Reply) -> None:
        route = Route(
            "PATCH",
            "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
            webhook_id=hook.id,
            webhook_token=hook.token,
            message_id=message_id,
        )
        place = self._place(address)
        inside = place is not None and posting.number(address.place) != place.id
        body = {"content": reply.text, "allowed_mentions": {"parse": []}}
        await self._session.once(route, json=body, params={"thread_id": address.place} if inside else {})

    async def _send_plain(self, address: Address, reply: Reply) -> str:
        self._plain.add(reply.id)
        try:
            posted = await posting.send(self._session, address, reply)
        except (NotReady, Refused):
            self._plain.discard(reply.id)
            raise
        # Left in the set when in doubt or cut short: a second try must go the same way, where its nonce is known.
        self._plain.discard(reply.id)
        return self._remembered(posted, None)

    def _remembered(self, posted: str, hook: Hook | None) -> str:
        self._spoken[posted] = hook
        if len(self._spoken) > _REMEMBERED:
            self._spoken.popitem(last=False)
        return posted

    # -- where

    def _place(self, address: Address) -> Place | None:
        """Return the channel whose webhooks speak at an address; None where none can."""
        number = posting.number(address.place)
        channel = self._session.get_channel(number)
        if address.direct or isinstance(channel, discord.abc.PrivateChannel):
            return None
        if address.parent:
            number = posting.number(address.parent)
        elif isinstance(channel, discord.Thread):
            number = channel.parent_id
        return self._places.setdefault(number, Place(number))

    # -- speaking

    async def _speak(self, place: Place, address: Address, reply: Reply) -> str:
        if not 1 <= len(reply.author.strip()) <= LONGEST_NAME:
            raise _Unsuitable
        face = faces.NONE if not reply.avatar else await asyncio.to_thread(self._faces.of, reply.avatar)
        for _ in range(3):
            self._check(place, reply)
            hook = await self._hook(place, reply, face)
            try:
                return self._remembered(await self._execute(hook, place, address, reply, face), hook)
            except discord.HTTPException as error:
                self._learn(error, place, reply, face)
        raise _Unsuitable

    def _check(self, place: Place, reply: Reply) -> None:
        if self._resents(place.id) or self._resents(reply.author) or not self._session.may_manage_webhooks(place.id):
            raise _Unsuitable

    def _learn(self, error: discord.HTTPException, place: Place, reply: Reply, face: Face) -> None:
        """Draw the lesson from a refused post: look again, do without the name or the face, or give up."""
        fields = _fields(error)
        if error.code in _GONE:
            place.looked = None
        elif "avatar_url" in fields and face.url:
            self._resent(face.url, GRUDGE, "Discord refuses the address of a picture", reply)
        elif "username" in fields:
            self._resent(reply.author, GRUDGE, "Discord refuses the name of an NPC; it stands before the text", reply)
        else:
            raise faults.of_request(error, f"a message of {reply.author}") from error

    async def _execute(self, hook: Hook, place: Place, address: Address, reply: Reply, face: Face) -> str:
        body: dict[str, Any] = {
            "content": reply.text,
            "username": reply.author.strip(),
            "allowed_mentions": {"parse": []},
            "flags": discord.MessageFlags(suppress_embeds=True).value,
        }
        if face.url and not self._resents(face.url):
            body["avatar_url"] = face.url
        params = {"wait": "true"}
        if posting.number(address.place) != place.id:
            params["thread_id"] = address.place
        route = Route("POST", "/webhooks/{webhook_id}/{webhook_token}", webhook_id=hook.id, webhook_token=hook.token)
        try:
            return str((await self._session.once(route, json=body, params=params))["id"])
        except discord.HTTPException as error:
            if error.status < 500 and error.status != 429:
                raise
            raise faults.of_request(error, f"a message of {reply.author}") from error
        except Exception as error:
            fault = faults.of_request(error, f"a message of {reply.author}")
            raise (Uncertain(fault.reason, final=True) if isinstance(fault, Uncertain) else fault) from error

    # -- our webhooks

    async def _hook(self, place: Place, reply: Reply, face: Face) -> Hook:
        """Find or make the webhook for a reply; what goes wrong here has said nothing yet."""
        async with place.lock:
            try:
                return await self._claimed(place, reply, face)
            except _Unsuitable:
                raise
            except Exception as error:
                place.looked = None  # it may have been made all the same
                self._take(error, place, reply)
                raise _Unsuitable from error
            except asyncio.CancelledError:
                place.looked = None
                raise

    def _take(self, error: Exception, place: Place, reply: Reply) -> None:
        """Draw the lesson from a webhook that could not be looked up, made or changed."""
        fault = faults.of_request(error, "a webhook")
        if isinstance(error, discord.HTTPException) and "name" in _fields(error):
            self._resent(reply.author, GRUDGE, "Discord refuses the name of an NPC; it stands before the text", reply)
        elif isinstance(error, discord.RateLimited):
            self._resent(place.id, error.retry_after, "Discord's rate limit holds back a webhook", reply)
        elif isinstance(fault, NotReady | faults.BadToken):
            raise fault from error
        elif isinstance(fault, Uncertain):
            self._resent(place.id, SULK, "Discord failed at webhooks; names stand before the text", reply)
        else:
            self._resent(place.id, GRUDGE, "No webhook may be had in a channel; names stand before the text", reply)

    async def _claimed(self, place: Place, reply: Reply, face: Face) -> Hook:
        whose = _digest(reply.agent_id)
        label = _label(reply.author, whose, face)
        if place.looked is None or (whose not in place.hooks and place.looked + GRUDGE < self._clock()):
            await self._look(place)
        mine = place.hooks.get(whose)
        if mine is not None and mine.label != label:
            mine = await self._relabelled(place, whose, label, face, mine)
        return mine or await self._made(place, whose, label, face) or await self._shared(place)

    async def _relabelled(self, place: Place, whose: str, label: str, face: Face, old: Hook) -> Hook | None:
        """Give one of ours another name and face; None where it was deleted meanwhile."""
        try:
            return await self._write(place, whose, label, face, old)
        except discord.HTTPException as error:
            if error.code not in _GONE:
                raise
            await self._look(place)
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

    async def _shared(self, place: Place) -> Hook:
        label = _label("NPCs", _SHARED, faces.NONE)
        hook = place.hooks.get(_SHARED) or await self._made(place, _SHARED, label, faces.NONE)
        if hook is None:
            raise _Unsuitable
        return hook

    async def _look(self, place: Place) -> None:
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
            if avatar is None or not (error.code in _BAD_PICTURE or "avatar" in _fields(error)):
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

    # -- what was refused

    def _resents(self, what: Hashable) -> bool:
        return self._grudges.get(what, 0.0) > self._clock()

    def _resent(self, what: Hashable, seconds: float, why: str, reply: Reply) -> None:
        """Remember a refusal, and say it once."""
        self._grudges[what] = self._clock() + seconds
        logger.bind(agent=reply.agent_id, what=what, seconds=round(seconds)).info(why)


def _digest(text: str) -> str:
    return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()


def _label(name: str, whose: str, face: Face) -> str:
    mark = f" [{whose}.{face.digest}]"
    return name.strip()[: LONGEST_NAME - len(mark)] + mark


def _fields(error: discord.HTTPException) -> frozenset[str]:
    """Return the fields of a form that Discord refused."""
    return frozenset(error._errors or ()) if error.code == _BAD_FORM else frozenset()
