"""What leaves through one Slack session: posts, changes, reactions, words for one person alone.

Owns under which name a reply is shown; never splits a text and never tries again what may have arrived.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from loguru import logger

from homunculus.adapters.slack import faults, text
from homunculus.adapters.slack.commands import Commands, is_command
from homunculus.adapters.slack.roots import Roots
from homunculus.adapters.slack.web import Web
from homunculus.errors import Refused
from homunculus.model import Address, Message, Reply

EDIT_EVERY = 3.0  # seconds; Slack takes about fifty changes a minute of an app, in all places together
LONGEST_NAME = 80
GRUDGE = 600.0  # seconds a name is not tried again after Slack did not show it
CUSTOMIZE = "chat:write.customize"
SEEN = "white_check_mark"
_REMEMBERED = 256  # posts whose style is known, for their changes

# With these a post of a name of its own is refused over the name or the picture, not over the place.
_BAD_STYLE = {"invalid_arguments", "invalid_arg_name", "missing_scope"}
# The person or the bot is not where the words would appear.
_NOT_THERE = {"user_not_in_channel", "not_in_channel", "channel_not_found", "is_archived"}
_ANSWER = "answer-"  # of a command: a post that Slack gives no id of


class Posting:
    """Say things as the bot, or, where it may, under an NPC's own name."""

    def __init__(self, web: Web, roots: Roots, commands: Commands, clock: Callable[[], float] = time.monotonic) -> None:
        self._web, self._roots, self._commands, self._clock = web, roots, commands, clock
        self._resented_until = 0.0
        self._named: OrderedDict[str, bool] = OrderedDict()  # the latest posts → whether under a name of its own

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply and return its id; one that quotes a slash command goes where that one's answers go."""
        if reply.quotes and is_command(reply.quotes):
            plain = self._text(reply, named=False)
            if await self._commands.answer(reply.quotes, plain, aloud=True):
                return f"{_ANSWER}{reply.id}"
        if not self._may_be_named(address, reply):
            return await self._post(address, reply, named=False)
        try:
            return await self._post(address, reply, named=True)
        except faults.Denied as refused:
            if refused.code not in _BAD_STYLE:
                raise
            self._resent(reply, refused.code)
            return await self._post(address, reply, named=False)

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change the text of a post."""
        if not self._has_id(message_id):
            raise Refused("the answer to a slash command cannot be changed on Slack")
        named = self._named.get(message_id, self._may_be_named(address, reply))
        await self._web.call(
            "chat.update",
            f"a change in {address.label or address.place}",
            channel=address.place,
            ts=message_id,
            text=self._text(reply, named=named),
            parse="none",
            link_names=False,
        )

    async def react(self, address: Address, message_id: str) -> None:
        """Put a ✅ on a message; a command has nothing to put it on."""
        if is_command(message_id):
            return
        what = f"a reaction in {address.label or address.place}"
        try:
            await self._web.call("reactions.add", what, channel=address.place, timestamp=message_id, name=SEEN)
        except faults.Denied as refused:
            if refused.code != "already_reacted":
                raise

    async def whisper(self, message: Message, said: str) -> bool:
        """Show a text to the author of a message alone; False where Slack cannot."""
        shown, address = text.escaped(said), message.address
        if await self._commands.answer(message.id, shown, aloud=False):
            return True
        what = f"a private answer in {address.label or address.place}"
        try:
            await self._web.call(
                "chat.postEphemeral",
                what,
                channel=address.place,
                user=message.author.id,
                text=shown,
                thread_ts=address.thread,
                parse="none",
                link_names=False,
            )
        except faults.Denied as refused:
            if refused.code not in _NOT_THERE:
                raise
            return False
        return True

    # -- inside

    async def _post(self, address: Address, reply: Reply, *, named: bool) -> str:
        body: dict[str, Any] = {
            "channel": address.place,
            "thread_ts": address.thread,
            "text": self._text(reply, named=named),
            "parse": "none",
            "link_names": False,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if named:
            icon = reply.avatar if reply.avatar.startswith("https://") else None
            body |= {"username": reply.author.strip(), "icon_url": icon}
        posted = await self._web.call("chat.postMessage", f"a message in {address.label or address.place}", **body)
        ts = str(posted.get("ts", ""))
        self._roots.posted(address.place, ts)
        if named and not posted.get("message", {}).get("username"):
            self._resent(reply, "it was ignored")
        self._named[ts] = named
        if len(self._named) > _REMEMBERED:
            self._named.popitem(last=False)
        return ts

    def _text(self, reply: Reply, *, named: bool) -> str:
        """Return the text to post: with the NPC's name before it where it has no other, and there is room for it."""
        if named or reply.persona not in ("prefix", "webhook"):
            return text.escaped(reply.text)
        name = f"{text.bold(reply.author)} "
        room = text.LIMIT - len(name)
        return text.escaped(reply.text) if len(reply.text) > room else name + text.escaped(reply.text, room)

    def _may_be_named(self, address: Address, reply: Reply) -> bool:
        wanted = reply.persona in ("webhook", "auto") and 1 <= len(reply.author.strip()) <= LONGEST_NAME
        allowed = CUSTOMIZE in self._web.scopes and self._resented_until <= self._clock()
        return wanted and allowed and not address.direct

    def _resent(self, reply: Reply, why: str) -> None:
        self._resented_until = self._clock() + GRUDGE
        logger.bind(agent=reply.agent_id, why=why, seconds=GRUDGE).info(
            "Slack does not show the name of an NPC; it stands before the text"
        )

    def _has_id(self, message_id: str) -> bool:
        return not message_id.startswith(_ANSWER)
