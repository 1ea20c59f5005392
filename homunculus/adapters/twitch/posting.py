"""What leaves for a Twitch chat: one line of at most 500 characters that pings nobody and commands nothing.

Owns the shape of a post and what its answer means; never splits a text and never tries again, except that a message may
be gone that was to be answered.
"""

from __future__ import annotations

import re
import time
from typing import Any

from homunculus.adapters.twitch import faults
from homunculus.adapters.twitch.api import Api, Failed
from homunculus.adapters.twitch.grant import Grant
from homunculus.adapters.twitch.pace import Pace
from homunculus.errors import NotReady, Refused
from homunculus.model import Address, Reply

LIMIT = 500
JOINER = "\u2060"  # shows nothing; keeps an @ from being a mention and a / from being a command
_WIDE = {"@": "＠", "/": "／", ".": "．"}  # the same signs where there is no room for a joiner
_BREAKS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# What Twitch drops because of the moment, not of the text: certainly not sent, and welcome later.
_PASSING = {"msg_ratelimit": 30.0, "msg_slowmode": 10.0}  # code → seconds


class Posting:
    """Say things for one account."""

    def __init__(self, api: Api, grant: Grant, account: str, pace: Pace) -> None:
        self._api, self._grant, self._account, self._pace = api, grant, account, pace

    async def send(self, address: Address, broadcaster: str, reply: Reply) -> str:
        """Post one reply and return its id. Raise NotReady, Refused or Uncertain."""
        text = shown(reply)
        if not text:
            raise Refused("there is nothing to say: the text is blank")
        self._pace.count(address.place, time.monotonic())
        what = f"a message in {address.label or address.place}"
        try:
            return await self._posted(broadcaster, text, reply.quotes, what)
        except Exception as error:
            raise faults.of_request(error, what) from error

    async def _posted(self, broadcaster: str, text: str, quotes: str | None, what: str) -> str:
        try:
            answer = await self._post(broadcaster, text, quotes)
        except Failed as error:
            if error.status != 400 or quotes is None:
                raise
            # What is to be answered may be deleted: then it is said without it.
            answer = await self._post(broadcaster, text, None)
        said = answer["data"][0]
        if said["is_sent"]:
            return str(said["message_id"])
        reason = said.get("drop_reason") or {}
        code, words = str(reason.get("code", "")), str(reason.get("message", "no reason"))[:300]
        if code in _PASSING:
            raise NotReady(f"Twitch dropped {what}: {words} ({code})", after=_PASSING[code])
        raise Refused(f"Twitch dropped {what}: {words} ({code or 'no code'})")

    async def _post(self, broadcaster: str, text: str, quotes: str | None) -> Any:
        me = self._account
        return await self._grant.ask(
            lambda: self._api.post_chat_message(broadcaster, me, text, me, reply_to_message_id=quotes)
        )


def shown(reply: Reply) -> str:
    """Return the line to post: with the character's name before it for personas with a name, where there is room.

    `webhook` asks for a name of its own, which nobody has on Twitch; `auto` does without.
    """
    text = flat(reply.text)
    named = f"{flat(reply.author)}: {text}" if text and reply.persona in ("prefix", "webhook") else text
    return harmless(named if len(named) <= LIMIT else text)


def flat(text: str) -> str:
    """Put a text on one line: Twitch's chat has no line breaks, and no control characters."""
    return _CONTROLS.sub(" ", _BREAKS.sub(" ", text)).strip()


def harmless(text: str) -> str:
    """Keep a line from pinging anybody and from being taken as a chat command, within the limit."""
    calm = text.replace("@", f"@{JOINER}")
    if calm.startswith(("/", ".")):
        calm = JOINER + calm
    if len(calm) <= LIMIT:
        return calm
    wide = text.replace("@", _WIDE["@"])
    return _WIDE[wide[0]] + wide[1:] if wide.startswith(("/", ".")) else wide
