"""Which chats an account hears: what is wanted, what is subscribed, and the way from one to the other.

Owns the subscriptions of one line; never reads a message. A subscription may end without a word, so what Twitch lists is
held against what is wanted every half minute, and after each new connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from loguru import logger
from twitchio.eventsub.enums import SubscriptionType

from homunculus.adapters.twitch import faults
from homunculus.adapters.twitch.api import Api, Failed
from homunculus.adapters.twitch.grant import Grant
from homunculus.adapters.twitch.line import Line
from homunculus.errors import NotReady, Refused

CHECK_EVERY = 30.0  # seconds between two looks at what Twitch lists
VALIDATE_EVERY = 3300.0  # seconds; Twitch wants a token looked at every hour
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between two tries to subscribe, doubled each time
ASK_AGAIN = 600.0  # seconds until a chat is asked for again that was refused: a ban may be lifted
LISTEN_PATIENCE = 20.0  # seconds until what is asked for must be heard
AT_ONCE = 8  # requests
KIND = "channel.chat.message"


class Subscriptions:
    """Hear these chats and no others; `dead` is told of a token that no longer holds."""

    def __init__(self, key: str, api: Api, grant: Grant, account: str, dead: Callable[[Refused], None]) -> None:
        self.key, self._api, self._grant, self._account, self._dead = key, api, grant, account, dead
        self.line: Line | None = None
        # All the mutable state that outlives a request:
        self._wanted: dict[str, str] = {}  # the broadcaster's id → login
        self._held: dict[str, str] = {}  # the broadcaster's id → the subscription's id
        self._refused: dict[str, str] = {}  # the broadcaster's id → why
        self._session: str | None = None  # the one that `_held` belongs to
        self._changing = asyncio.Lock()
        self._road = asyncio.Semaphore(AT_ONCE)
        self._look = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._validated = self._asked = time.monotonic()

    @property
    def wanted(self) -> Mapping[str, str]:
        """Return the chats that are to be heard, login by broadcaster's id."""
        return self._wanted

    async def want(self, channels: Mapping[str, str]) -> frozenset[str]:
        """Hear exactly these chats, given as login by broadcaster's id; return the logins that Twitch refuses.

        Raise NotReady or Refused.
        """
        self._wanted = dict(channels)
        self._refused = {}
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name=f"{self.key} subscriptions")
        if self._wanted and self.line is not None:
            self.line.wake()
        deadline, wait = time.monotonic() + LISTEN_PATIENCE, FIRST_WAIT
        while True:
            try:
                await self._agree()
                break
            except NotReady as error:
                if time.monotonic() + wait > deadline:
                    raise
                await asyncio.sleep(max(wait, min(error.after or 0.0, LISTEN_PATIENCE)))
                wait *= 2
        return frozenset(channels[number] for number in self._refused if number in channels)

    def look(self) -> None:
        """Hold what Twitch lists against what is wanted, soon."""
        self._look.set()

    def revoked(self, subscription_id: str, status: str) -> None:
        """Take note that Twitch ended a subscription."""
        found = next((number for number, held in self._held.items() if held == subscription_id), None)
        if found is None:
            return
        del self._held[found]
        logger.bind(adapter=self.key, channel=self._wanted.get(found, found), status=status).warning(
            "Twitch ended a subscription"
        )
        self._validated = 0.0  # the whole authorization may be gone
        self.look()

    async def aclose(self) -> None:
        """Stop looking. Safe twice. What is subscribed ends with its connection."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait({keeper})

    # -- keeping it so

    async def _keep(self) -> None:
        wait = CHECK_EVERY
        while True:
            await self._looked_for(wait)
            try:
                await self._validate()
                await self._check()
                wait = CHECK_EVERY
            except Refused as error:
                self._dead(error)
                return
            except NotReady as error:
                logger.bind(adapter=self.key, reason=error.reason).info("Twitch's subscriptions could not be looked at")
                wait = min(2 * wait, LONGEST_WAIT) if wait < CHECK_EVERY else FIRST_WAIT
            except Exception as error:  # noqa: BLE001 - it must go on looking
                logger.bind(adapter=self.key).opt(exception=error).error("Looking at subscriptions failed unexpectedly")
                wait = CHECK_EVERY

    async def _looked_for(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._look.wait()
        except TimeoutError:
            return
        self._look.clear()

    async def _validate(self) -> None:
        if time.monotonic() - self._validated >= VALIDATE_EVERY or not self._validated:
            await self._grant.still_good()
            self._validated = time.monotonic()

    async def _check(self) -> None:
        """Find out what was lost without a word, then agree again."""
        if not self._wanted and not self._held:
            return
        if time.monotonic() - self._asked >= ASK_AGAIN:
            self._asked, self._refused = time.monotonic(), {}
        async with self._changing:
            lost = await self._unlisted()
            for number in lost:
                del self._held[number]
        if lost:
            logger.bind(adapter=self.key, channels=[self._wanted.get(number, number) for number in lost]).warning(
                "Twitch lost subscriptions without a word; subscribing again"
            )
        await self._agree()

    async def _unlisted(self) -> list[str]:
        if self.line is None or self.line.session != self._session:
            return []  # what a new session holds is found out when it is agreed on
        listed = {one["id"] for one in await self._listed()}
        return [number for number, held in self._held.items() if held not in listed]

    # -- agreeing

    async def _agree(self) -> None:
        """Subscribe to what is wanted, then let go of the rest: an idle connection would be closed."""
        async with self._changing:
            session = self.line.session if self.line is not None else None
            if session is None:
                if self._wanted:
                    raise NotReady("the connection to EventSub is being made anew")
                return
            if session != self._session:
                self._held = await self._found(session)  # everything after a move, nothing after a loss
                self._session, self._refused = session, {}
            missing = [one for one in self._wanted if one not in self._held and one not in self._refused]
            await self._all(partial(self._subscribe, session), missing)
            await self._all(self._unsubscribe, [one for one in self._held if one not in self._wanted])

    async def _all(self, request: Callable[[str], Awaitable[None]], numbers: Iterable[str]) -> None:
        """Make requests beside one another, for until the last the bot is deaf somewhere; raise the first failure."""

        async def in_turn(number: str) -> None:
            async with self._road:
                await request(number)

        for outcome in await asyncio.gather(*map(in_turn, numbers), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _found(self, session: str) -> dict[str, str]:
        """Return what Twitch lists for a session: the broadcaster's id → the subscription's id."""
        here = [one for one in await self._listed() if one["transport"].get("session_id") == session]
        return {one["condition"]["broadcaster_user_id"]: one["id"] for one in here}

    async def _subscribe(self, session: str, number: str) -> None:
        what = f"to let us hear {self._wanted[number]}"
        wish: Any = {
            "type": SubscriptionType(KIND),
            "version": "1",
            "condition": {"broadcaster_user_id": number, "user_id": self._account},
            "transport": {"method": "websocket", "session_id": session},
            "token_for": self._account,
        }
        try:
            made = await self._grant.ask(lambda: self._api.create_eventsub_subscription(**wish))
            self._held[number] = made["data"][0]["id"]
        except Failed as error:
            if error.status == 409:
                self._held |= await self._found(session)  # an earlier try arrived, and its answer did not
            elif error.status == 403 or (error.status == 429 and error.after is None):
                self._refuse(number, error.said)  # banned there, or more chats than Twitch lets one account hear
            elif error.status == 400:
                raise NotReady(f"Twitch refused {what}: {error.said}") from error  # the session has just ended
            else:
                raise faults.of_question(error, what) from error
        except Exception as error:
            raise faults.of_question(error, what) from error

    def _refuse(self, number: str, why: str) -> None:
        self._refused[number] = why
        logger.bind(adapter=self.key, channel=self._wanted.get(number, number), reason=why).warning(
            "Twitch does not let us hear a channel"
        )

    async def _unsubscribe(self, number: str) -> None:
        try:
            await self._grant.ask(lambda: self._api.delete_eventsub_subscription(self._held[number]))
        except Failed as error:
            if error.status != 404:
                raise faults.of_question(error, "to end a subscription") from error
        except Exception as error:
            raise faults.of_question(error, "to end a subscription") from error
        self._held.pop(number, None)

    async def _listed(self) -> list[dict[str, Any]]:
        try:
            return await self._grant.ask(lambda: self._api.listing("eventsub/subscriptions", status="enabled"))
        except Exception as error:
            raise faults.of_question(error, "to list what is subscribed") from error
