"""The Web API of one workspace, on slack-sdk's AsyncWebClient: one try a call, and every failure said by its type.

Owns the HTTP session and the scopes of the bot's token; never decides what is asked and never tries again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient

from homunculus.adapters.slack import faults

DEFAULT_BASE = AsyncWebClient.BASE_URL
PATIENCE = aiohttp.ClientTimeout(total=30.0, sock_connect=10.0)

# It says of its own accord what we say better, some of it with addresses that hold one-time tickets.
QUIET = logging.getLogger("homunculus.slack-sdk")
QUIET.setLevel(logging.CRITICAL + 1)

Found = dict[str, Any]


class Web:
    """Call Slack's methods with one bot's token. Raises NotReady, Refused (BadToken for a dead one) or Uncertain."""

    def __init__(self, bot_token: str, api_base: str, dead: Callable[[faults.BadToken], None]) -> None:
        # A connection of its own for each call: a post on one that Slack is just closing would be in doubt for nothing.
        self.session = aiohttp.ClientSession(timeout=PATIENCE, connector=aiohttp.TCPConnector(force_close=True))
        self.client = AsyncWebClient(
            token=bot_token,
            base_url=api_base or DEFAULT_BASE,
            session=self.session,
            # Its handler repeats what broke off, which would say a thing twice.
            retry_handlers=[],
            logger=QUIET,
        )
        if api_base:
            self.client.proxy = None  # another server is reached as its address says
        self.scopes: frozenset[str] = frozenset()
        self._dead = dead

    async def call(
        self, method: str, what: str, *, reads: bool = False, harmless: bool = False, **arguments: Any
    ) -> Found:
        """Call a method once; `what` names it for people.

        What `reads`, or is `harmless` to do twice, is never Uncertain.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            if reads:
                response = await self.client.api_call(method, http_verb="GET", params=given)
            else:
                response = await self.client.api_call(method, json=given)
        except Exception as error:
            raise self._fault(error, what, reads=reads or harmless) from error
        return dict(response.data) if isinstance(response.data, dict) else {}

    async def who(self) -> Found:
        """Return who the token is, and learn what it may do."""
        try:
            response = await self.client.auth_test()
        except Exception as error:
            raise self._fault(error, "the bot's token", reads=True) from error
        self.scopes = frozenset(filter(None, response.headers.get("x-oauth-scopes", "").replace(" ", "").split(",")))
        return dict(response.data) if isinstance(response.data, dict) else {}

    async def socket(self, app_token: str) -> str:
        """Return an address for one Socket Mode connection."""
        try:
            response = await self.client.apps_connections_open(app_token=app_token)
        except Exception as error:
            raise faults.of_call(error, "a connection", reads=True, key="app_token") from error
        return str(response["url"])

    async def respond(self, url: str, body: Found, what: str) -> bool:
        """Post to a slash command's response_url; False where it takes nothing any more."""
        try:
            async with self.session.post(url, json=body, proxy=self.client.proxy) as response:
                if response.status in (404, 410):
                    return False
                response.raise_for_status()
        except aiohttp.ClientResponseError as error:
            raise faults.of_status(error, what) from error
        except Exception as error:
            raise faults.of_call(error, what) from error
        return True

    def _fault(self, error: BaseException, what: str, *, reads: bool) -> Exception:
        fault = faults.of_call(error, what, reads=reads)
        if isinstance(fault, faults.BadToken):
            self._dead(fault)
        return fault

    async def aclose(self) -> None:
        """Close the HTTP session. Safe twice."""
        await self.session.close()
