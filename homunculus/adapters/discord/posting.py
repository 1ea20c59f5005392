"""What leaves through one Discord session: posts, reactions, the sign of writing.

Owns the nonce; never splits a text, never tries again and never decides who speaks.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import discord
from loguru import logger

from homunculus.adapters.discord import faults
from homunculus.adapters.discord.session import Session
from homunculus.errors import Refused, Uncertain
from homunculus.model import Address, Reply

LIMIT = 2000
EDIT_EVERY = 1.5  # seconds; Discord takes about one change a second in a place, its other posts included
TYPING_EVERY = 8.0  # seconds; Discord shows it for ten
SEEN = "✅"


async def send(session: Session, address: Address, reply: Reply) -> str:
    """Post one reply and return its id. One try: whoever repeats it after Uncertain has the nonce to keep it single."""
    try:
        return await _post(session, address, reply)
    except Exception as error:
        fault = faults.of_request(error, f"a message in {address.label or address.place}")
        if reply.retried and isinstance(fault, Refused):
            # Refused now says nothing about the first try, whose fate is unknown.
            raise Uncertain(f"{fault}, but an earlier try may have arrived") from error
        raise fault from error


async def edit(session: Session, address: Address, message_id: str, reply: Reply) -> None:
    """Change the text of a post of the bot's own."""
    try:
        place = session.get_partial_messageable(number(address.place))
        await place.get_partial_message(number(message_id)).edit(content=shown(reply))
    except Exception as error:
        raise faults.of_request(error, f"an edit in {address.label or address.place}") from error


async def react(session: Session, address: Address, message_id: str) -> None:
    """Put a ✅ on a message."""
    try:
        await session.http.add_reaction(number(address.place), number(message_id), SEEN)
    except Exception as error:
        raise faults.of_request(error, f"a reaction in {address.label or address.place}") from error


@asynccontextmanager
async def typing(session: Session | None, address: Address) -> AsyncIterator[None]:
    """Show that the bot is writing; never delays or fails what happens inside."""
    shown = asyncio.create_task(_keep_typing(session, address), name=f"{address.adapter} typing")
    try:
        yield
    finally:
        shown.cancel()
        await asyncio.wait({shown})


async def _keep_typing(session: Session | None, address: Address) -> None:
    try:
        while session is not None:
            await session.http.send_typing(number(address.place))
            await asyncio.sleep(TYPING_EVERY)
    except Exception as error:  # noqa: BLE001 - a sign of life is not worth a failure
        logger.bind(adapter=address.adapter, error=type(error).__name__).info("Typing could not be shown")


async def _post(session: Session, address: Address, reply: Reply) -> str:
    place = session.get_partial_messageable(number(address.place))
    text, key = shown(reply), nonce(reply.id)
    if reply.quotes is None or not reply.quotes.isdecimal():
        posted = await place.send(text, nonce=key, suppress_embeds=True)
    else:
        quoted = discord.MessageReference(message_id=int(reply.quotes), channel_id=place.id, fail_if_not_exists=False)
        posted = await place.send(text, nonce=key, suppress_embeds=True, reference=quoted, mention_author=False)
    return str(posted.id)


def number(place: str) -> int:
    """Read an id; anything that Discord could not have minted is Refused before it reaches a URL."""
    if not (place.isascii() and place.isdecimal()):
        raise Refused(f"{place!r} is no Discord id; they are decimal numbers")
    return int(place)


def nonce(reply_id: str) -> str:
    """Derive Discord's nonce (at most 25 characters) from a reply's id, the same for every try."""
    return hashlib.blake2s(reply_id.encode(), digest_size=12).hexdigest()


def plain(reply: Reply) -> Reply:
    """Return a reply as the bot itself can post it, without a name and face of its own."""
    return replace(reply, persona="prefix" if reply.persona in ("webhook", "prefix") else "off")


def shown(reply: Reply) -> str:
    """Return the text to post: with the character's name before it for persona `prefix`, where there is room for it."""
    if reply.persona != "prefix":
        return reply.text
    named = f"**{discord.utils.escape_markdown(reply.author)}:** {reply.text}"
    return named if len(named) <= LIMIT else reply.text
