"""What one account was granted: who it is, what it may, and a new token when the old has run out.

Owns the tokens in use; never speaks to a chat. A refresh token may be good for one use, so the next is on disk before
anything relies on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from loguru import logger

from homunculus.adapters.twitch import faults
from homunculus.adapters.twitch.api import Api, Failed
from homunculus.adapters.twitch.faults import READ, WRITE, BadToken
from homunculus.adapters.twitch.kept import Kept, Pair
from homunculus.errors import NotReady, Refused
from homunculus.logs import scrub

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Account:
    """Whose the token is."""

    id: str
    login: str
    scopes: frozenset[str]


class Grant:
    """The credentials of one instance, renewed when they run out."""

    def __init__(self, key: str, api: Api, written: Pair, kept: Kept) -> None:
        self.key, self._api, self._written, self._kept = key, api, written, kept
        # All the mutable state that outlives a request:
        self._pair = written
        self._renewing = asyncio.Lock()

    async def login(self) -> Account:
        """Find out who we are, with the kept tokens if there are some. Raise NotReady or Refused."""
        kept = await asyncio.to_thread(self._kept.read)
        if kept is not None and kept != self._written:
            self._use(kept)
            try:
                return await self._identified()
            except BadToken:
                logger.bind(adapter=self.key).info("The kept Twitch tokens are void; those of the deployment are tried")
        self._use(self._written)
        return await self._identified()

    async def ask(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make a request; where the token has run out, once more with a new one. Raise what the request raises."""
        used = self._api.access
        try:
            return await request()
        except Failed as error:
            if error.status != 401 or not await self._replaced(used):
                raise
        return await request()

    async def still_good(self) -> None:
        """Make sure that the token holds, as Twitch wants it done every hour. Raise NotReady or Refused."""
        await self._replaced(self._api.access)

    # -- inside

    async def _replaced(self, used: str) -> bool:
        # A failure here says nothing about the request that was turned away: that one had no effect.
        try:
            return await self._renewed(used)
        except Exception as error:
            raise faults.of_question(error, "whose the token is") from error

    def _use(self, pair: Pair) -> None:
        self._pair = pair
        self._api.access = pair.access

    async def _identified(self) -> Account:
        try:
            try:
                found = await self._api.validate_token(self._pair.access)
            except Failed as error:
                if error.status != 401:
                    raise
                await self._renew()
                found = await self._api.validate_token(self._pair.access)
        except Failed as error:
            if error.status == 401:
                raise BadToken from None
            raise faults.of_question(error, "whose the token is") from error
        except Exception as error:
            raise faults.of_question(error, "whose the token is") from error
        if not found.user_id or not found.login:
            raise Refused(
                "the token is an application's, not an account's; authorize the bot's account and use its token"
            )
        self._same_application(found.client_id)
        return Account(found.user_id, found.login.lower(), frozenset(found.scopes or ()))

    def _same_application(self, client_id: str) -> None:
        if self._api.client_id and self._api.client_id != client_id:
            raise Refused(
                "the token was made for another application than client_id names; correct or remove client_id"
            )
        self._api.identify(client_id)
        scrub.hide([client_id])

    async def _accepts(self, access: str) -> bool:
        try:
            await self._api.validate_token(access)
        except Failed as error:
            if error.status != 401:
                raise
            return False
        return True

    async def _renewed(self, used: str) -> bool:
        """Tell whether there is another token now than the one that was used; a good one is not renewed.

        A 401 may also mean that a good token is not allowed something.
        """
        async with self._renewing:
            if self._api.access != used:
                return True
            if await self._accepts(used):
                return False
            await self._renew()
            return True

    async def _renew(self) -> None:
        if not self._pair.refresh or not self._api.client_secret or not self._api.client_id:
            raise BadToken(
                "the token has run out or was revoked, and client_id, client_secret and refresh_token are not all there"
            )
        await self._keep(self._pair)  # a disk that takes nothing is found out before the only token is spent
        try:
            fresh = await self._api.refresh_token(self._pair.refresh)
        except Failed as error:
            if error.status in (400, 401, 403):
                raise BadToken(f"the token cannot be renewed: {error.said}") from None
            raise
        pair = Pair(fresh.access_token, fresh.refresh_token or self._pair.refresh)
        scrub.hide([pair.access, pair.refresh])
        # Shielded: a session that ends just now must not lose the only token that still works.
        await asyncio.shield(asyncio.ensure_future(self._keep(pair)))
        self._use(pair)
        logger.bind(adapter=self.key).info("The Twitch token was renewed")

    async def _keep(self, pair: Pair) -> None:
        try:
            await asyncio.to_thread(self._kept.write, pair)
        except Refused as error:
            # The disk may be emptied while we run, and then it goes on by itself.
            raise NotReady(f"the token cannot be renewed: {error.reason}") from error


def hindrances(account: Account) -> tuple[str, ...]:
    """Say what a missing scope keeps the account from; without the right to read it is no use at all (Refused)."""
    if READ not in account.scopes:
        raise BadToken(f"the token may not read chats: it lacks the scope {READ}")
    if WRITE not in account.scopes:
        return (f"nothing can be said on Twitch: the token lacks the scope {WRITE}; {faults.REMEDY}",)
    return ()
