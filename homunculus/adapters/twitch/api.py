"""Requests to one Twitch, on twitchio's HTTP client: where they go and what a bad answer carries.

Owns endpoints, time-outs and the one try of each request; never renews a token and never decides what an answer means.
"""

from __future__ import annotations

import time
from typing import Any

import aiohttp
from twitchio.authentication.oauth import OAuth
from twitchio.http import Route, json_or_text

from homunculus.errors import NotReady

REQUEST_PATIENCE = aiohttp.ClientTimeout(total=20.0, sock_connect=10.0)  # seconds


class Failed(Exception):
    """Carry an answer that is none: its status, Twitch's own words, and when to come back in seconds.

    twitchio's own exception words the whole address, which for a refresh holds the secret and the token.
    """

    def __init__(self, status: int, said: str, after: float | None = None) -> None:
        super().__init__(f"HTTP {status}")
        self.status, self.said, self.after = status, said, after


class Api(OAuth):
    """Helix and the id server of one instance.

    twitchio keeps its endpoints in class attributes, one set a process; here each client has its own. `access` is the
    token that is shown to Helix.
    """

    def __init__(self, api_base: str, auth_base: str, *, client_id: str = "", client_secret: str = "") -> None:
        super().__init__(client_id=client_id, client_secret=client_secret or None)
        self.access = ""
        self._shut = False
        self._bases = {Route.BASE: api_base or Route.BASE, Route.ID_BASE: auth_base or Route.ID_BASE}

    def identify(self, client_id: str) -> None:
        """Speak for this application from now on."""
        self.client_id = self._client_id = client_id

    def address(self, route: Route) -> str:
        """Return where a request goes."""
        default = Route.ID_BASE if route.use_id else Route.BASE
        return f"{self._bases[default].rstrip('/')}/{route.url.removeprefix(default)}"

    async def request(self, route: Route) -> Any:
        """Ask once. Raise Failed for a bad answer, or what the network raises.

        twitchio tries again by itself after a 503, and nobody knows whether the first try arrived.
        """
        if self._shut:
            raise NotReady("the connection to Twitch is closed")
        if not self._session_set:
            self._session = aiohttp.ClientSession(timeout=REQUEST_PATIENCE, cookie_jar=aiohttp.DummyCookieJar())
            self._session_set = True
        # A copy: twitchio shares one dictionary of headers between all of its refreshes.
        headers = {"Authorization": f"Bearer {self.access}", **self.headers, **route.headers}
        if route.use_id and "Authorization" not in route.headers:
            del headers["Authorization"]
        async with self._session.request(
            route.method, self.address(route), headers=headers, json=route.json or None
        ) as answer:
            body = await json_or_text(answer)
            if answer.status >= 400:
                raise Failed(answer.status, _words(body), _after(answer))
            return None if answer.status == 204 else body

    async def close(self) -> None:
        """Free everything; no request begins from now on. Safe twice."""
        self._shut = True
        await super().close()

    async def listing(self, path: str, **params: str) -> list[dict[str, Any]]:
        """Fetch every page of a list."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.request_json(Route("GET", path, params=dict(params)))
            found += page["data"]
            cursor = (page.get("pagination") or {}).get("cursor")
            if not cursor:
                return found
            params["after"] = cursor


def _words(body: Any) -> str:
    said = body.get("message") if isinstance(body, dict) else None
    return str(said)[:300] if said else "no reason"


def _after(answer: aiohttp.ClientResponse) -> float | None:
    """Read for how long Twitch wants to be left alone: it names the second at which points are there again.

    None where points are left: then another limit was met, and waiting does not help.
    """
    reset = answer.headers.get("Ratelimit-Reset", "")
    left = answer.headers.get("Ratelimit-Remaining", "0")
    if answer.status != 429 or not reset.isdecimal() or left != "0":
        return None
    return min(max(int(reset) - time.time(), 1.0), 120.0)
