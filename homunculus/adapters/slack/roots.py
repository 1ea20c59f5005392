"""Whose the first message of a thread is: ours or somebody else's. Owns what is remembered of that; asks Slack when unsure."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from homunculus.adapters.slack.web import Web
from homunculus.errors import NotReady, Refused

PATIENCE = 1.5  # seconds: Slack wants to hear of a message within three
_REMEMBERED = 8_192  # messages whose author is known


Body = dict[str, Any]


class Roots:
    """Tell whether a thread hangs from a message of this bot, whichever name it was posted under."""

    def __init__(self, web: Web, user_id: str, bot_id: str) -> None:
        self._web, self._user_id, self._bot_id = web, user_id, bot_id
        self._ours: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def posted(self, place: str, ts: str) -> None:
        """Remember a message of ours."""
        self._remember((place, ts), ours=True)

    async def ours(self, place: str, ts: str) -> bool:
        """Tell whether a message is ours. Raises NotReady when that cannot be found out now."""
        known = self._ours.get((place, ts))
        if known is not None:
            return known
        try:
            found = await self._asked(place, ts)
        except Refused:
            return self._remember((place, ts), ours=False)
        root: Body = next(iter(found.get("messages", ())), {})
        return self._remember((place, ts), ours=self.by_us(root))

    async def _asked(self, place: str, ts: str) -> Body:
        what = "the beginning of a thread"
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._web.call("conversations.replies", what, reads=True, channel=place, ts=ts, limit=1)
        except TimeoutError:
            raise NotReady(f"Slack is slow to tell {what}") from None

    def by_us(self, message: Body) -> bool:
        """Tell whether a message as Slack words it is ours: by its user, or, under another name, by its app's bot."""
        return message.get("user") == self._user_id or message.get("bot_id") == self._bot_id

    def _remember(self, root: tuple[str, str], *, ours: bool) -> bool:
        self._ours[root] = ours
        if len(self._ours) > _REMEMBERED:
            self._ours.popitem(last=False)
        return ours
