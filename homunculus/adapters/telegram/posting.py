"""What leaves through one Telegram session: posts, edits, reactions, the sign of writing.

Owns how a reply looks there; never tries again, and never decides who speaks.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from loguru import logger
from telegram import LinkPreviewOptions, MessageEntity, ReactionTypeEmoji, ReplyParameters
from telegram.constants import ChatAction

from homunculus.adapters.telegram import faults
from homunculus.adapters.telegram.client import Client, NotModified
from homunculus.errors import HomunculusError, Refused, Uncertain
from homunculus.model import Address, Reply

LIMIT = 4096
EDIT_EVERY = 4.0  # seconds; Telegram takes about twenty posts and edits a minute in a group, and a reply needs some
TYPING_EVERY = 4.5  # seconds; Telegram shows it for five
SEEN = "👌"
_REMEMBERED = 256  # posts whose second half is known, for edits
_ID = re.compile(r"-?[0-9]{1,19}")
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True, slots=True)
class Part:
    """One post: its text, and how many UTF-16 units of its beginning are a name in bold."""

    text: str
    bold: int = 0

    @property
    def entities(self) -> list[MessageEntity]:
        return [MessageEntity(MessageEntity.BOLD, 0, self.bold)] if self.bold else []


def shown(reply: Reply) -> tuple[Part, ...]:
    """Return what to post: the name before the text where the persona asks for it, and nothing that notifies anybody.

    It is one part, unless Telegram might count the text as too long: its documents say characters, its clients UTF-16
    units, of which an emoji is two.
    """
    head = f"{reply.author}: " if reply.persona in ("prefix", "webhook") else ""
    for silent, name in (("@\u2060", head), ("＠", head), ("＠", "")):
        named, text = name.replace("@", silent), reply.text.replace("@", silent)
        if units(named + text) <= LIMIT:
            return (Part(named + text, units(named.rstrip())),)
        if len(named + text) <= LIMIT:
            first, *rest = _cut(named + text)
            return (Part(first, units(named.rstrip())), *map(Part, rest))
    return tuple(map(Part, _cut(reply.text.replace("@", "＠"))))


def units(text: str) -> int:
    """Count as Telegram's entities are counted: in UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut(text: str) -> list[str]:
    """Cut a text into parts of at most LIMIT units, at a line or a word where one ends in the last half of a part."""
    parts = []
    while units(text) > LIMIT:
        room = len(text.encode("utf-16-le", "surrogatepass")[: 2 * LIMIT].decode("utf-16-le", "ignore"))
        at = max(text.rfind("\n", room // 2, room), text.rfind(" ", room // 2, room))
        at = at if at > 0 else room
        parts.append(text[:at].rstrip())
        text = text[at:].lstrip()
    return [*parts, text]


class Posts:
    """Send and change the posts of one session."""

    def __init__(self, client: Client) -> None:
        self._client = client
        # The latest posts that took a second one → those, None where nobody knows whether it arrived.
        self._tails: OrderedDict[tuple[str, str], list[int | None]] = OrderedDict()

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply and return its id; one try."""
        first, *rest = shown(reply)
        quotes = reply.quotes if reply.quotes and reply.quotes.isdecimal() else None
        posted = await self._post(address, first, quotes)
        try:
            for part in rest:
                await self._follow(address, str(posted), part)
        except HomunculusError as error:
            raise Uncertain(f"its beginning arrived, the rest may not have: {error}", final=True) from error
        return str(posted)

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change the text of a post of ours; twice does no harm."""
        first, *rest = shown(reply)
        await self._change(address, number(message_id), first)
        tail = self._tails.get((address.place, message_id), [])
        for ordinal, part in enumerate(rest):
            if ordinal >= len(tail):
                await self._follow(address, message_id, part)
            elif (known := tail[ordinal]) is not None:
                await self._change(address, known, part)
            else:
                raise Refused("the second half of a post may have arrived, and is not sent again")

    async def react(self, address: Address, message_id: str) -> None:
        """Put a 👌 on a message."""
        try:
            await self._client.set_message_reaction(
                number(address.place), number(message_id), [ReactionTypeEmoji(SEEN)]
            )
        except Exception as error:
            raise _fault(error, f"a reaction in {_where(address)}") from error

    async def _post(self, address: Address, part: Part, quotes: str | None) -> int:
        try:
            posted = await self._client.send_message(
                number(address.place),
                part.text,
                entities=part.entities,
                message_thread_id=number(address.thread) if address.thread else None,
                reply_parameters=ReplyParameters(int(quotes), allow_sending_without_reply=True) if quotes else None,
                link_preview_options=_NO_PREVIEW,
            )
        except Exception as error:
            raise _fault(error, f"a message in {_where(address)}") from error
        return posted.message_id

    async def _follow(self, address: Address, message_id: str, part: Part) -> None:
        tail = self._tails.setdefault((address.place, message_id), [])
        if len(self._tails) > _REMEMBERED:
            self._tails.popitem(last=False)
        tail.append(None)
        try:
            tail[-1] = await self._post(address, part, None)
        except Uncertain:
            raise
        except HomunculusError:
            tail.pop()
            raise

    async def _change(self, address: Address, message_id: int, part: Part) -> None:
        try:
            await self._client.edit_message_text(
                part.text,
                chat_id=number(address.place),
                message_id=message_id,
                entities=part.entities,
                link_preview_options=_NO_PREVIEW,
            )
        except NotModified:
            return
        except Exception as error:
            raise _fault(error, f"an edit in {_where(address)}") from error


@asynccontextmanager
async def typing(client: Client | None, address: Address) -> AsyncIterator[None]:
    """Show that the bot is writing; never delays or fails what happens inside."""
    shown = asyncio.create_task(_keep_typing(client, address), name=f"{address.adapter} typing")
    try:
        yield
    finally:
        shown.cancel()
        await asyncio.wait({shown})


async def _keep_typing(client: Client | None, address: Address) -> None:
    try:
        while client is not None:
            topic = number(address.thread) if address.thread else None
            await client.send_chat_action(number(address.place), ChatAction.TYPING, message_thread_id=topic)
            await asyncio.sleep(TYPING_EVERY)
    except Exception as error:  # noqa: BLE001 - a sign of life is not worth a failure
        logger.bind(adapter=address.adapter, error=type(error).__name__).info("Typing could not be shown")


def number(text: str) -> int:
    """Read an id; anything that Telegram could not have given is Refused before it reaches a request."""
    if not _ID.fullmatch(text):
        raise Refused(f"{text!r} is no Telegram id; they are whole numbers, those of groups with a minus before them")
    return int(text)


def _where(address: Address) -> str:
    return address.label or address.place


def _fault(error: Exception, what: str) -> HomunculusError:
    fault = faults.of_request(error, what)
    if faults.is_odd(error):
        logger.opt(exception=error).warning("The Telegram client failed in its own code")
    return fault
