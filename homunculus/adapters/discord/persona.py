"""Under which name and face a reply leaves: through a webhook of ours, or by the bot itself where that may not be.

Owns who posts and what was refused, for one session. Never repeats a post whose fate is unknown, for no webhook knows a
nonce; never quotes, for no webhook can reply.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import discord
from discord.http import Route
from loguru import logger

from homunculus.adapters.discord import faces, faults, posting
from homunculus.adapters.discord.faces import Face, Faces
from homunculus.adapters.discord.session import Session
from homunculus.adapters.discord.webhooks import GONE, LONGEST_NAME, Hook, Place, Webhooks, refused_fields
from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import Address, Reply

GRUDGE = 600.0  # seconds a refusal is remembered before it is tried again
SULK = 60.0  # seconds without webhooks in a channel after Discord failed at them
_REMEMBERED = 256  # posts whose maker is known, for edits


class _Unsuitable(Exception):
    """Say that this reply cannot go through a webhook now; nothing was posted."""


class Personas:
    """Send replies of one session, each under its author's own name where that may be."""

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session, self._clock = session, clock
        self._faces = Faces()
        self._webhooks = Webhooks(session, lambda: self._clock())
        self._grudges: dict[Hashable, float] = {}  # what was refused → until when it is not tried again
        # The latest posts → the webhook that made them, None for the bot itself: whoever made one can edit it.
        self._spoken: OrderedDict[str, Hook | None] = OrderedDict()
        self._plain: set[str] = set()  # replies in doubt that left by the bot itself, with a nonce

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply and return its id."""
        if reply.persona not in ("webhook", "auto"):
            return await posting.send(self._session, address, reply)
        plain = posting.plain(reply)
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
        return await posting.edit(self._session, address, message_id, posting.plain(reply))

    async def _author(self, address: Address, message_id: str) -> Hook | None:
        """Return the webhook that made a post; None where the bot made it. A new session asks Discord."""
        if message_id in self._spoken:
            return self._spoken[message_id]
        body = await self._session.http.get_message(posting.number(address.place), posting.number(message_id))
        place, hook_id = self._place(address), body.get("webhook_id")
        if place is None or hook_id is None:
            return None
        if place.looked is None:
            await self._webhooks.look(place)
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
        inside = place is not None and _thread(place, address)
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
        return self._webhooks.place(number)

    # -- speaking

    async def _speak(self, place: Place, address: Address, reply: Reply) -> str:
        if not 1 <= len(reply.author.strip()) <= LONGEST_NAME:
            raise _Unsuitable
        face = faces.NONE if not reply.avatar else await asyncio.to_thread(self._faces.of, reply.avatar)
        for _ in range(3):
            self._check(place, address, reply)
            hook = await self._hook(place, reply, face)
            try:
                return self._remembered(await self._execute(hook, place, address, reply, face), hook)
            except discord.HTTPException as error:
                self._learn(error, place, reply, face)
        raise _Unsuitable

    def _check(self, place: Place, address: Address, reply: Reply) -> None:
        """Leave it to the bot where something is resented, and where it may not write itself: no webhook is a way round."""
        allowed = self._session.may_use_webhooks(place.id, inside=_thread(place, address))
        if not allowed or self._resents(place.id) or self._resents(reply.author):
            raise _Unsuitable

    def _learn(self, error: discord.HTTPException, place: Place, reply: Reply, face: Face) -> None:
        """Draw the lesson from a refused post: look again, do without the name or the face, or give up."""
        fields = refused_fields(error)
        if error.code in GONE:
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
        if _thread(place, address):
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

    async def _hook(self, place: Place, reply: Reply, face: Face) -> Hook:
        """Find or make the webhook for a reply; what goes wrong here has said nothing yet."""
        async with place.lock:
            try:
                hook = await self._webhooks.claimed(place, reply, face, GRUDGE)
            except Exception as error:
                place.looked = None  # it may have been made all the same
                self._take(error, place, reply)
                raise _Unsuitable from error
            except asyncio.CancelledError:
                place.looked = None
                raise
        if hook is None:
            raise _Unsuitable
        return hook

    def _take(self, error: Exception, place: Place, reply: Reply) -> None:
        """Draw the lesson from a webhook that could not be looked up, made or changed."""
        fault = faults.of_request(error, "a webhook")
        if isinstance(error, discord.HTTPException) and "name" in refused_fields(error):
            self._resent(reply.author, GRUDGE, "Discord refuses the name of an NPC; it stands before the text", reply)
        elif isinstance(error, discord.RateLimited):
            self._resent(place.id, error.retry_after, "Discord's rate limit holds back a webhook", reply)
        elif isinstance(fault, NotReady | faults.BadToken):
            raise fault from error
        elif isinstance(fault, Uncertain):
            self._resent(place.id, SULK, "Discord failed at webhooks; names stand before the text", reply)
        else:
            self._resent(place.id, GRUDGE, "No webhook may be had in a channel; names stand before the text", reply)

    # -- what was refused

    def _resents(self, what: Hashable) -> bool:
        return self._grudges.get(what, 0.0) > self._clock()

    def _resent(self, what: Hashable, seconds: float, why: str, reply: Reply) -> None:
        """Remember a refusal, and say it once."""
        self._grudges[what] = self._clock() + seconds
        logger.bind(agent=reply.agent_id, what=what, seconds=round(seconds)).info(why)


def _thread(place: Place, address: Address) -> bool:
    """Tell whether an address is a thread of a channel."""
    return posting.number(address.place) != place.id
