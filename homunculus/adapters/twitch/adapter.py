"""The Twitch adapter: one account, its line to EventSub, and the chats that it hears; hearing others never reconnects.

Owns its session's life and its scope; never routes and never remembers what was said.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from loguru import logger
from twitchio.models.eventsub_ import ChatMessage

from homunculus.adapters.twitch import faults, posting
from homunculus.adapters.twitch.api import Api
from homunculus.adapters.twitch.grant import Account, Grant, hindrances
from homunculus.adapters.twitch.inbound import Inbound
from homunculus.adapters.twitch.kept import Kept, Pair
from homunculus.adapters.twitch.line import Hooks, Line
from homunculus.adapters.twitch.mapping import Mapping
from homunculus.adapters.twitch.pace import Pace
from homunculus.adapters.twitch.posting import Posting
from homunculus.adapters.twitch.subscriptions import Subscriptions
from homunculus.adapters.twitch.users import Users
from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.interfaces import Deliver
from homunculus.model import AdapterSpec, Address, Reply, Scope

_CREDENTIALS = ("oauth_token", "client_id", "client_secret", "refresh_token")


class TwitchAdapter:
    """One Twitch account: an `Adapter` with no abilities, for Twitch has no typing, edits, reactions or history."""

    limit = posting.LIMIT
    abilities: frozenset[str] = frozenset()

    def __init__(self, spec: AdapterSpec, folder: Path) -> None:
        self.key = spec.key
        self.account = ""
        self.aliases: frozenset[str] = frozenset()  # our login: by that people are known on Twitch
        self.hindrances: tuple[str, ...] = ()
        self._username = spec.setting("username").lower()
        self._options = spec.options
        written = tuple((spec.credential(key) or "").strip() for key in _CREDENTIALS)
        self._written = Pair(written[0].removeprefix("oauth:"), written[3])
        bases = (spec.setting("api_base"), spec.setting("auth_base"))
        self._api = Api(*bases, client_id=written[1], client_secret=written[2])
        self._gateway = spec.setting("gateway")
        self._grant = Grant(self.key, self._api, self._written, Kept(folder, self.key, written))
        self._users = Users(self._api, self._grant)
        # All the mutable state that outlives a message:
        self._prefix = ""
        self._heard: frozenset[str] = frozenset()
        self._inbound: Inbound | None = None
        self._line: Line | None = None
        self._subscriptions: Subscriptions | None = None
        self._mapping: Mapping | None = None
        self._posting: Posting | None = None
        self._pace = Pace()
        self._ended = asyncio.Event()
        self._death: NotReady | Refused | None = None
        self._closed = False

    # -- life

    async def open(self, deliver: Deliver) -> None:
        """Find out who we are and connect."""
        if not self._written.access or not self._written.access.isascii() or not self._written.access.isalnum():
            raise Refused(f"the oauth_token of {self.key} is empty or holds characters that no Twitch token has")
        try:
            account = await self._grant.login()
            self._know(account)
            self._inbound = Inbound(self.key, deliver)
            self._mapping = Mapping(self.key, account)
            subscriptions = Subscriptions(self.key, self._api, self._grant, account.id, self._die)
            hooks = Hooks(
                message=self._on_message,
                revoked=subscriptions.revoked,
                fresh=subscriptions.look,
                moved=subscriptions.look,
                dead=self._die,
                needed=lambda: bool(subscriptions.wanted),
            )
            self._subscriptions = subscriptions
            self._line = subscriptions.line = Line(self.key, self._api, self._gateway, hooks)
            await self._line.open()
            self._posting = Posting(self._api, self._grant, account.id, self._pace)
        except BaseException:
            await self.aclose()
            raise

    async def listen(self, scope: Scope) -> frozenset[str]:
        """Hear exactly the places of the scope and the channels of its options; return those that cannot be heard."""
        subscriptions = self._hearing()
        # The scope carries the live options; whoever asks for everything without any means those of the file.
        options = dict(scope.options or (self._options if scope.everything else ()))
        self._prefix = options.get("trigger_prefix", "")
        channels = options.get("channels", "").split("\n")
        asked = {name.lower(): name for name in (*channels, *scope.places) if name}
        self._heard = frozenset(asked)
        try:
            numbers = await self._users.numbers(asked)
            refused = await subscriptions.want({number: login for login, number in numbers.items()})
        except HomunculusError as fault:
            self._notice(fault)
            raise
        return frozenset(name for login, name in asked.items() if login not in numbers or login in refused)

    async def closed(self) -> None:
        """Wait for the session's death; a token that no longer holds is Refused, everything else NotReady."""
        await self._ended.wait()
        if self._death is not None:
            raise self._death

    async def aclose(self) -> None:
        """Hang up; messages that are just being recorded get a moment to finish."""
        self._closed = True
        self._posting = None
        try:
            if self._subscriptions is not None:
                await self._subscriptions.aclose()
            if self._line is not None:
                await self._line.aclose()
            if self._inbound is not None:
                await self._inbound.aclose()
        finally:
            self._ended.set()
            await self._api.close()

    # -- out

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply; the id Twitch gave it."""
        speaking = self._speaking()
        try:
            return await speaking.send(address, await self._broadcaster(address), reply)
        except HomunculusError as fault:
            self._notice(fault)
            raise

    async def locate(self, target: str) -> Address:
        """Return a channel by its login."""
        mapping, login = self._mapped(), target.lower()
        if login.startswith("dm:"):
            raise Refused(f"{self.key} cannot write to a person: whispers are not used; name a channel instead")
        if login not in await self._users.numbers([login]):
            raise Refused(f"there is no channel {target!r} on Twitch; name it by its login")
        return mapping.address(login)

    async def _broadcaster(self, address: Address) -> str:
        if address.direct:
            raise Refused("nobody can be written to directly on Twitch: whispers are not used")
        numbers = await self._users.numbers([address.place])
        if address.place not in numbers:
            raise Refused(f"there is no channel {address.place!r} on Twitch")
        return numbers[address.place]

    # -- in

    def _on_message(self, message: ChatMessage) -> None:
        if self._mapping is None or self._inbound is None:
            return
        try:
            mapped = self._mapping.message(message, self._prefix, time.time())
        except Exception as error:  # noqa: BLE001 - one odd message must not end the connection
            logger.bind(adapter=self.key, error=type(error).__name__).opt(exception=True).error(
                "A Twitch message could not be read; it is skipped"
            )
            return
        if mapped is None or mapped.address.place not in self._heard:
            return
        if mapped.author.own:
            self._pace.moderates(mapped.address.place, frozenset(badge.set_id for badge in message.badges))
        self._inbound.put(mapped)

    # -- inside

    def _know(self, account: Account) -> None:
        if self._username and self._username != account.login:
            raise Refused(
                f"the token belongs to the account {account.login!r}, the file says username: {self._username}; correct one of them"
            )
        self.hindrances = hindrances(account)
        self.account, self.aliases = account.id, frozenset({account.login})

    def _notice(self, fault: HomunculusError) -> None:
        if isinstance(fault, faults.BadToken):
            self._die(fault)

    def _die(self, reason: NotReady | Refused) -> None:
        if not self._ended.is_set() and not self._closed:
            self._death = reason
        self._ended.set()

    def _hearing(self) -> Subscriptions:
        if self._subscriptions is None or self._closed:
            raise NotReady(f"{self.key} is not connected")
        return self._subscriptions

    def _mapped(self) -> Mapping:
        if self._mapping is None or self._closed:
            raise NotReady(f"{self.key} is not connected")
        return self._mapping

    def _speaking(self) -> Posting:
        if self._posting is None:
            raise NotReady(f"{self.key} is not connected")
        return self._posting
