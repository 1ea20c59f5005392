"""The id server: whose a token is, and a new one for a refresh token.

Owns `/oauth2/validate` and `/oauth2/token`. Never serves Helix. Source: Twitch's "Validating tokens", "Refreshing access tokens".
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from aiohttp import web

from homunculus.testing.twitch import refusals
from homunculus.testing.twitch.front import answered
from homunculus.testing.twitch.refusals import missing, refuse
from homunculus.testing.twitch.world import Bot, World


class Identity:
    """Answer for the tokens of a world; with `rotate` each refresh token is good for one use."""

    def __init__(self, world: World, *, rotate: bool, lifetime: float) -> None:
        self._world, self._rotate, self._lifetime = world, rotate, lifetime

    def add_to(self, app: web.Application) -> None:
        """Serve the routes."""
        app.router.add_get("/oauth2/validate", self.validate)
        app.router.add_post("/oauth2/token", self.token)

    async def validate(self, request: web.Request) -> web.StreamResponse:
        """Say whose a token is and what it may."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() not in ("oauth", "bearer") or not token:
            raise refuse(refusals.MISSING_AUTHORIZATION)
        now = time.time()
        bot = self._world.bot_with(token, now)
        if bot is None:
            raise refuse(refusals.INVALID_ACCESS_TOKEN)
        body = {
            "client_id": bot.client_id,
            "login": bot.login,
            "scopes": list(bot.scopes),
            "user_id": bot.user.id,
            "expires_in": int(bot.accepts(token, now) or 0),
        }
        return answered(200, body, {})

    async def token(self, request: web.Request) -> web.StreamResponse:
        """Trade a refresh token for a new pair."""
        form = {**request.query, **{key: str(value) for key, value in (await request.post()).items()}}
        bot = self._granted(form)
        bot.renew(rotate=self._rotate, lifetime=self._lifetime)
        body = {
            "access_token": bot.access,
            "expires_in": int(self._lifetime),
            "refresh_token": bot.refresh,
            "scope": list(bot.scopes),
            "token_type": "bearer",
        }
        return answered(200, body, {})

    def _granted(self, form: dict[str, Any]) -> Bot:
        if not form.get("client_id"):
            raise missing("client_id")
        mine = [bot for bot in self._world.bots if bot.client_id == form["client_id"]]
        if not mine:
            raise refuse(refusals.UNKNOWN_CLIENT)
        if not secrets.compare_digest(form.get("client_secret", ""), mine[0].client_secret):
            raise refuse(refusals.WRONG_SECRET)
        if form.get("grant_type") != "refresh_token":
            raise refuse(refusals.WRONG_GRANT)
        if not form.get("refresh_token"):
            raise refuse(refusals.NO_REFRESH_TOKEN)
        bot = next((bot for bot in mine if secrets.compare_digest(bot.refresh, form["refresh_token"])), None)
        if bot is None:
            raise refuse(refusals.BAD_REFRESH_TOKEN)
        if not bot.alive:
            raise refuse(refusals.DISCONNECTED_APP)
        return bot
