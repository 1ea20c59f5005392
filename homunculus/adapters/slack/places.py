"""The conversations of a workspace: which of them the bot is in, and which one a person means.

Owns what is known of them, and of what was said in them only how to ask for it.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

from homunculus.adapters.slack.commands import since
from homunculus.adapters.slack.mapping import Mapping, thread_of
from homunculus.adapters.slack.web import Web
from homunculus.errors import Refused
from homunculus.model import Address, Message

PAGE = 200  # messages or conversations asked for at once
MOST_PAGES = 50
# Each kind of conversation can be listed with a scope of its own.
_TYPES = {
    "channels:read": "public_channel",
    "groups:read": "private_channel",
    "mpim:read": "mpim",
    "im:read": "im",
}
_ID = re.compile(r"[CDG][A-Z0-9]{6,}")
_USER = re.compile(r"[UW][A-Z0-9]{6,}")
_TS = re.compile(r"\d+\.\d{6}")

Body = dict[str, Any]


class Places:
    """Know the conversations that the bot is in."""

    def __init__(self, web: Web, mapping: Mapping) -> None:
        self._web, self._mapping = web, mapping
        self._mine: dict[str, Body] = {}

    async def unseen(self, places: Iterable[str]) -> frozenset[str]:
        """Return those places that the bot is not in; looked up again when one is not known. Raises NotReady or Refused."""
        wanted = frozenset(places)
        if not wanted <= self._mine.keys():
            await self._look()
        return wanted - self._mine.keys() if self._types() else frozenset()

    async def locate(self, target: str) -> Address:
        """Return where a person means: an id, `#name`, `dm:<user>`, each of the channels with `#<thread>` behind it."""
        if target.startswith("dm:"):
            return await self._direct(target.removeprefix("dm:"))
        name, _, thread = target.removeprefix("#").partition("#")
        found = await self._info(name) if _ID.fullmatch(name) else await self._called(name)
        if not (found.get("is_member") or found.get("is_im") or found.get("is_mpim")):
            raise Refused(f"the bot is not in {target}; type /invite @<the bot> there")
        if found.get("is_archived"):
            raise Refused(f"{target} is archived")
        if thread and not _TS.fullmatch(thread):
            raise Refused(f"{thread!r} is no thread; the ts of its first message is, such as 1732650000.000100")
        if found.get("is_im"):
            self._mapping.met(str(found["id"]), str(found.get("user", "")))
        return self._mapping.address(str(found["id"]), "im" if found.get("is_im") else "channel", thread or None)

    async def history(self, address: Address, after: str | None, limit: int) -> list[Message]:
        """Return what was said, oldest first: the first `limit` after a message, or the last `limit` of all."""
        oldest = since(after) if after else None
        bodies = [body async for body in self._said(address, oldest, limit)]
        bodies.sort(key=lambda body: float(body["ts"]))
        kind = "im" if address.direct else "channel"
        found = [await self._mapping.message(body, address.place, kind) for body in bodies]
        told = [message for message in found if message is not None and message.id != after]
        return told[:limit] if after else told[-limit:]

    # -- inside

    async def _said(self, address: Address, oldest: str | None, limit: int) -> AsyncIterator[Body]:
        """Ask page by page: a channel is told newest first, a thread oldest first with its root."""
        what = f"the history of {address.label or address.place}"
        method = "conversations.replies" if address.thread else "conversations.history"
        # The newest of a channel stand on its first page; everything else may need them all.
        enough = not address.thread and oldest is None
        size = min(limit, PAGE) if enough else PAGE
        asked = {"channel": address.place, "ts": address.thread, "oldest": oldest, "limit": size}
        count = 0
        async for page in self._pages(method, what, **asked):
            for body in page.get("messages", ()):
                if (thread_of(body) or address.thread) == address.thread and body.get("ts") != address.thread:
                    count += 1
                    yield body
            if enough and count >= limit:
                return

    async def _pages(self, method: str, what: str, **arguments: Any) -> AsyncIterator[Body]:
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._web.call(method, what, reads=True, cursor=cursor, **arguments)
            yield page
            cursor = (page.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return

    def _types(self) -> str:
        return ",".join(kind for scope, kind in _TYPES.items() if scope in self._web.scopes)

    async def _look(self) -> None:
        found: dict[str, Body] = {}
        if types := self._types():
            what = "the bot's conversations"
            async for page in self._pages(
                "users.conversations", what, types=types, limit=PAGE, exclude_archived="true"
            ):
                found |= {str(one["id"]): one for one in page.get("channels", ())}
        self._mine = found
        for one in found.values():
            if one.get("is_im"):
                self._mapping.met(str(one["id"]), str(one.get("user", "")))

    async def _info(self, place: str) -> Body:
        found = await self._web.call("conversations.info", f"to find {place}", reads=True, channel=place)
        return dict(found.get("channel", {}))

    async def _called(self, name: str) -> Body:
        await self._look()
        found = next((one for one in self._mine.values() if one.get("name") == name), None)
        if found is None:
            raise Refused(f"the bot is in no channel called {name!r}; give its id (C…), #name, or dm:<user id>")
        return {**found, "is_member": True}

    async def _direct(self, user: str) -> Address:
        if not _USER.fullmatch(user):
            raise Refused(f"{user!r} is no Slack user; their ids begin with U (profile → ⋮ → Copy member ID)")
        found = await self._web.call("conversations.open", f"to write to {user}", harmless=True, users=user)
        place = str(found.get("channel", {}).get("id", ""))
        self._mapping.met(place, user)
        return self._mapping.address(place, "im")
