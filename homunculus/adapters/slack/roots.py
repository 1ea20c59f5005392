"""Whose the first message of a thread is: ours or somebody else's. Owns what is remembered of that; asks Slack when unsure."""

from __future__ import annotations

from collections import OrderedDict

from homunculus.adapters.slack.web import Web
from homunculus.errors import Refused

_REMEMBERED = 8_192  # messages whose author is known


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
            found = await self._web.call(
                "conversations.replies", "the beginning of a thread", reads=True, channel=place, ts=ts, limit=1
            )
        except Refused:
            return self._remember((place, ts), ours=False)
        root: dict[str, object] = next(iter(found.get("messages", ())), {})
        return self._remember((place, ts), ours=self.by_us(root))

    def by_us(self, message: dict[str, object]) -> bool:
        """Tell whether a message as Slack words it is ours: by its user, or, under another name, by its app's bot."""
        return message.get("user") == self._user_id or message.get("bot_id") == self._bot_id

    def _remember(self, root: tuple[str, str], *, ours: bool) -> bool:
        self._ours[root] = ours
        if len(self._ours) > _REMEMBERED:
            self._ours.popitem(last=False)
        return ours
