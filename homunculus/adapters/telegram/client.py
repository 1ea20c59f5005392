"""One bot's HTTP client: python-telegram-bot's, with the status of an answer kept and its limiter waiting within bounds.

Owns the requests of one session; never retries one, and never decides what a failure means for a reply.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import Any, Final

import httpx
from telegram.error import BadRequest, InvalidToken, NetworkError, TelegramError
from telegram.ext import AIORateLimiter, ExtBot
from telegram.request import HTTPXRequest

Json = dict[str, Any]
API_BASE: Final = "https://api.telegram.org/bot"
FILE_BASE: Final = "https://api.telegram.org/file/bot"
KINDS: Final = ("message", "edited_message")
CONNECT_SECONDS, ANSWER_SECONDS = 8.0, 30.0
LIMITED_SECONDS = 5.0  # to wait where Telegram says "too many requests" and not for how long
# A post may wait so long for its turn; with connecting and answering that stays under the minute after which a send counts
# as in doubt. Then it queues up again at once: nothing was asked of Telegram.
LIMITER_SECONDS, AGAIN_SECONDS = 20.0, 1.0
_COUNTED: Final = frozenset({"sendMessage", "editMessageText"})
# Telegram's only sign that a text is there already: it has no code for it.
_NOT_MODIFIED: Final = "Bad Request: message is not modified"


class Unauthorized(InvalidToken):
    """Say that Telegram does not accept the token (401); a 404 is an InvalidToken to the library as well."""


class Failed(NetworkError):
    """Say that Telegram answered with a failure of its own (5xx)."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Limited(TelegramError):
    """Say for how many seconds Telegram, or the library's limiter, wants no such request.

    The library's own error of that kind warns of its future each time it is made.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"too many requests for {seconds:g} s")
        self.seconds = seconds


class NotModified(BadRequest):
    """Say that a post has this text already."""


class _Wire(HTTPXRequest):
    """Tell apart what the library does not."""

    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        status, body = await super().do_request(*args, **kwargs)
        if status == 401:
            raise Unauthorized
        if status >= 500:
            raise Failed(status)
        if status == 429:
            raise Limited(_wait(_read(body)))
        if status == 400 and str(_read(body).get("description", "")).startswith(_NOT_MODIFIED):
            raise NotModified(_NOT_MODIFIED)
        return status, body


def _read(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _wait(body: Json) -> float:
    parameters = body.get("parameters")
    seconds = parameters.get("retry_after") if isinstance(parameters, dict) else None
    return float(seconds) if isinstance(seconds, int | float) else LIMITED_SECONDS


class _Pace(AIORateLimiter):
    """The library's limiter for what Telegram counts: posts and edits, not signs of writing and reactions.

    It waits a little and then says how much longer it would: whoever repeats requests waits better. It repeats none.
    """

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> Any:
        async def begun(*some: Any, **more: Any) -> Any:
            patience.reschedule(None)
            return await callback(*some, **more)

        counted = data if endpoint in _COUNTED else {}
        try:
            async with asyncio.timeout(LIMITER_SECONDS) as patience:
                return await super().process_request(begun, args, kwargs, endpoint, counted, rate_limit_args)
        except TimeoutError:
            raise Limited(AGAIN_SECONDS) from None


class Client(ExtBot[None]):
    """One bot of python-telegram-bot. `initialize` logs in, `shutdown` frees everything."""

    def __init__(self, token: str, api_base: str, file_base: str) -> None:
        super().__init__(
            token,
            base_url=api_base or API_BASE,
            base_file_url=file_base or FILE_BASE,
            request=_wire(32),
            get_updates_request=_wire(2),
            rate_limiter=_Pace(),  # type: ignore[arg-type]  # its parameter is the type of the limiter's own arguments
        )

    def __repr__(self) -> str:
        return f"<Client of {self._bot_user.id if self._bot_user else 'a bot'}>"  # the library's own shows the token

    async def fetch(self, offset: int, seconds: int, patience: float, limit: int = 100) -> list[Json]:
        """Confirm what lies before the offset (0 confirms nothing) and return what comes next, as Telegram sent it.

        Waits up to `seconds` for something to come, and `patience` longer for the answer. The library's own method would
        raise away a whole batch for one update that it cannot read.
        """
        asked: Json = {"timeout": seconds, "limit": limit, "allowed_updates": list(KINDS)}
        if offset:
            asked["offset"] = offset
        found = await self._post("getUpdates", asked, read_timeout=seconds + patience)
        return found if isinstance(found, list) else []


def _wire(connections: int) -> _Wire:
    return _Wire(
        connection_pool_size=connections,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        write_timeout=ANSWER_SECONDS,
        pool_timeout=CONNECT_SECONDS,
        httpx_kwargs={"verify": _trust()},
    )


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    """Return the certificates to trust: reading them takes 20 ms and a megabyte, so all clients share them."""
    return httpx.create_ssl_context()
