"""How people and channels of a workspace are called, looked up once and remembered for a while.

Owns that memory; never fails: whoever cannot be looked up is called by their id.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from loguru import logger

from homunculus.adapters.slack.web import Web
from homunculus.errors import HomunculusError

REMEMBERED = 3600.0  # seconds
SULK = 60.0  # seconds until one who could not be looked up is looked up again
PATIENCE = 1.5  # seconds for all names of one message: Slack wants to hear of it within three
_MOST = 20_000  # names; forgotten all at once beyond that

Look = Callable[[str], Any]


class People:
    """Name users and channels by their ids."""

    def __init__(self, web: Web, clock: Callable[[], float] = time.monotonic) -> None:
        self._web, self._clock = web, clock
        self._names: dict[str, tuple[str, float]] = {}  # id → its name, and until when
        self._asking: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()

    async def names(self, users: Iterable[str], channels: Iterable[str] = ()) -> dict[str, str]:
        """Return the name of each id; what is not known yet is asked of Slack."""
        wanted = [*((user, self._user) for user in users), *((channel, self._channel) for channel in channels)]
        unknown = [(one, look) for one, look in wanted if not self._known(one)]
        try:
            async with asyncio.timeout(PATIENCE if unknown else None):
                for one, look in unknown:
                    async with self._asking.setdefault(one, asyncio.Lock()):
                        await self._learn(one, look)
        except TimeoutError:
            logger.bind(names=len(unknown)).info("Slack is slow to say how people are called; ids stand in for names")
        return {one: self._names[one][0] if one in self._names else one for one, _ in wanted}

    def _known(self, one: str) -> bool:
        return self._names.get(one, ("", 0.0))[1] >= self._clock()

    async def _learn(self, one: str, look: Look) -> None:
        if self._known(one):
            return  # somebody else asked meanwhile
        if len(self._names) >= _MOST:
            self._names.clear()
        try:
            self._names[one] = (str(await look(one) or one), self._clock() + REMEMBERED)
        except HomunculusError as error:
            logger.bind(id=one, reason=str(error)).debug("A name could not be looked up")
            self._names[one] = (self._names.get(one, (one, 0.0))[0], self._clock() + SULK)

    async def _user(self, user: str) -> str:
        found = (await self._web.call("users.info", "a name", reads=True, user=user)).get("user", {})
        profile = found.get("profile", {})
        return profile.get("display_name") or found.get("real_name") or found.get("name") or ""

    async def _channel(self, channel: str) -> str:
        found = await self._web.call("conversations.info", "a channel's name", reads=True, channel=channel)
        return found.get("channel", {}).get("name") or ""
