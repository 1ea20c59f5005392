"""The Slack adapter: one app in one workspace, heard through Socket Mode; its scope is a filter.

Owns its connections' life, its scope and what it can do; never routes and never remembers what was said.

A connection that Slack is about to end is replaced before it goes. One that breaks or falls silent ends the session: the
next one fetches what was said meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine

from loguru import logger
from slack_sdk.socket_mode.request import SocketModeRequest

from homunculus.adapters.slack import faults, posting, scopes, text
from homunculus.adapters.slack.commands import Commands
from homunculus.adapters.slack.inbound import Inbound
from homunculus.adapters.slack.line import Line
from homunculus.adapters.slack.mapping import Mapping, Me, at
from homunculus.adapters.slack.people import People
from homunculus.adapters.slack.places import Places
from homunculus.adapters.slack.posting import Posting
from homunculus.adapters.slack.roots import Roots
from homunculus.adapters.slack.web import Web
from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Deliver
from homunculus.model import AdapterSpec, Address, Message, Reply, Scope

RENEW_EVERY = 1.0  # seconds between two tries to replace a connection
RENEW_PATIENCE = 15.0  # seconds in all; then a new session fetches what may have been missed
AUTOPSY_PATIENCE = 3.0  # seconds to find out whether a lost connection means a dead token
LEAVING = (
    60.0  # seconds after it was told to hear nothing any more in which what comes is left to whoever connects next
)
LAST_ATTEMPT = 3  # of Slack's deliveries of one event


class SlackAdapter:
    """One Slack app: an `Adapter` with `react`, `edit`, `history`, `private`, and `persona`, as far as its scopes go."""

    limit, edit_every = text.LIMIT, posting.EDIT_EVERY

    def __init__(self, spec: AdapterSpec) -> None:
        self.key = spec.key
        self.account = ""
        self.abilities: frozenset[str] = frozenset()
        self.aliases: frozenset[str] = frozenset()  # the id that our posts under other names have for an author
        self.hindrances: tuple[str, ...] = ()
        self._tokens = {key: (spec.credential(key) or "").strip() for key in ("bot_token", "app_token")}
        self._api_base = spec.setting("api_base")
        # All the mutable state that outlives a message:
        self._scope = Scope()
        self._emptied = float("-inf")  # when it was told to hear nothing any more
        self._early: list[tuple[Line, SocketModeRequest]] | None = []  # what came before anybody said what to hear
        self._web: Web | None = None
        self._inbound: Inbound | None = None
        self._parts: _Parts | None = None  # there once we know who we are
        self._line: Line | None = None  # the one that is to be heard
        self._lines: list[Line] = []  # all that are not closed yet
        self._gone: set[Line] = set()
        self._aside: set[asyncio.Task[None]] = set()
        self._renewing = False
        self._ended = asyncio.Event()
        self._death: NotReady | Refused | None = None

    # -- life

    async def open(self, deliver: Deliver) -> None:
        """Find out who we are, connect, and return when Slack has said hello."""
        for key, token in self._tokens.items():
            scopes.check_token(self.key, key, token)
        self._inbound = Inbound(self.key, deliver)
        self._web = web = Web(self._tokens["bot_token"], self._api_base, self._die)
        try:
            self._introduce(web, await web.who())
            self._line = await self._connected_line(web)
        except BaseException:
            await self.aclose()
            raise

    async def listen(self, scope: Scope) -> frozenset[str]:
        """Hear exactly this from now on; return the places that the bot is not in."""
        if scope == Scope() != self._scope:
            self._emptied = time.monotonic()
        self._scope = scope
        early, self._early = self._early, None
        for line, request in early or ():
            self._took(line, request)
        if not scope.places:
            return frozenset()
        try:
            return await self._live().places.unseen(scope.places)
        except (NotReady, Refused) as error:
            logger.bind(adapter=self.key, reason=error.reason).warning("Which channels the bot is in is not known")
            return frozenset()

    async def closed(self) -> None:
        """Wait for the session's death; a revoked token is Refused, a lost connection NotReady."""
        await self._ended.wait()
        if self._death is not None:
            raise self._death

    async def aclose(self) -> None:
        """Disconnect; messages that are just being recorded get a moment to finish."""
        web, self._web = self._web, None
        self._parts = self._line = None
        if web is None:
            return
        try:
            await _cancelled(self._aside)
            if self._inbound is not None:
                await self._inbound.aclose()
        finally:
            self._ended.set()
            lines, self._lines = self._lines, []
            try:
                await asyncio.gather(*(line.aclose() for line in lines))
            finally:
                await web.aclose()

    # -- out

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply; the ts Slack gave it."""
        return await self._live().posting.send(address, reply)

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change the text of a post."""
        await self._live().posting.edit(address, message_id, reply)

    async def react(self, address: Address, message_id: str) -> None:
        """Put a ✅ on a message."""
        await self._live().posting.react(address, message_id)

    async def whisper(self, message: Message, text: str) -> bool:
        """Show a text to the author of a message alone."""
        return await self._live().posting.whisper(message, text)

    async def locate(self, target: str) -> Address:
        """Return a channel by its id or `#name`, a thread as `<channel>#<ts>`, or the direct conversation `dm:<user>`."""
        return await self._live().places.locate(target)

    async def history(self, address: Address, after: str | None, limit: int) -> AsyncIterator[Message]:
        """Yield what was said, oldest first: the first `limit` after a message, or the last `limit` of all."""
        for message in await self._live().places.history(address, after, limit):
            yield at(message, address)

    # -- opening

    def _introduce(self, web: Web, who: dict[str, object]) -> None:
        me = Me(str(who["team_id"]), str(who["user_id"]), str(who.get("bot_id") or ""), str(who.get("user") or ""))
        if not me.bot_id:
            raise Refused(
                f"the bot_token of {self.key} is a person's; take the Bot User OAuth Token, which begins with xoxb-"
            )
        self.account, self.aliases = me.user_id, frozenset({me.bot_id})
        self.abilities, self.hindrances = scopes.abilities(web.scopes), scopes.hindrances(web.scopes)
        self._parts = _Parts(self.key, web, me)

    async def _connected_line(self, web: Web) -> Line:
        line = Line(self._tokens["app_token"], web, self._took, self._told, self._lost)
        self._lines.append(line)
        await line.open()
        return line

    # -- renewing and dying

    def _told(self, line: Line, reason: str) -> None:
        """Take note that Slack is about to end a connection."""
        if reason == "link_disabled":
            self._die(
                Refused(f"Socket Mode was switched off for the app; switch it on again at {faults.APPS} (Socket Mode)")
            )
        elif line is self._line and not self._renewing:
            self._renewing = True
            self._start(self._renew(line))

    async def _renew(self, old: Line) -> None:
        """Open the next connection, then let go of the old one."""
        try:
            async with asyncio.timeout(RENEW_PATIENCE):
                self._line = await self._next_line()
        except TimeoutError:
            self._die(NotReady(f"Slack ended the connection, and let no other in within {RENEW_PATIENCE:.0f} s"))
            return
        except (NotReady, Refused) as error:
            self._die(error)
            return
        finally:
            self._renewing = False
        if self._line in self._gone:
            self._lost(self._line, "was closed")
        if self._inbound is not None:
            await self._inbound.idle()
        await self._let_go(old)

    async def _next_line(self) -> Line:
        while self._web is not None:
            try:
                return await self._connected_line(self._web)
            except NotReady as error:
                logger.bind(adapter=self.key, reason=error.reason).info("A new connection to Slack is tried again")
                await self._let_go(self._lines[-1])
            await asyncio.sleep(RENEW_EVERY)
        raise NotReady(f"{self.key} is closing")

    async def _let_go(self, line: Line) -> None:
        await line.aclose()
        self._gone.discard(line)
        if line in self._lines:
            self._lines.remove(line)

    def _lost(self, line: Line, how: str) -> None:
        """Take note of a connection's end: that of the one we hear through is the session's."""
        self._gone.add(line)
        if line is self._line and not self._renewing and not self._ended.is_set():
            self._start(self._autopsy(f"the connection to Slack {how}"))

    async def _autopsy(self, reason: str) -> None:
        """Say why the connection went: a token that was revoked closes it as well."""
        try:
            async with asyncio.timeout(AUTOPSY_PATIENCE):
                if self._web is not None:
                    await self._web.who()
        except Refused as error:
            self._die(error)
        except (NotReady, TimeoutError):
            logger.bind(adapter=self.key).debug("Slack cannot be asked why the connection went")
        self._die(NotReady(reason))

    def _die(self, reason: NotReady | Refused) -> None:
        if not self._ended.is_set():
            self._death = reason
        self._ended.set()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name=f"{self.key} connection")
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    # -- in

    def _took(self, line: Line, request: SocketModeRequest) -> None:
        inbound, parts, payload = self._inbound, self._parts, request.payload
        if self._early is not None:
            self._early.append((line, request))
            return
        if inbound is None or parts is None:
            return
        if request.type == "slash_commands" and self._hears_command(payload):
            inbound.put(line, request, lambda: parts.commands.message(payload))
        elif request.type == "events_api" and self._hears_event(payload.get("event") or {}):
            event, last = payload["event"], (request.retry_attempt or 0) >= LAST_ATTEMPT
            inbound.put(line, request, lambda: parts.read(event, last=last))
        elif self._scope != Scope() or time.monotonic() > self._emptied + LEAVING:
            inbound.pass_over(line, request)

    def _hears_event(self, event: dict[str, object]) -> bool:
        place, kind = str(event.get("channel", "")), event.get("channel_type")
        return self._in_scope(place, direct=kind == "im" or (not kind and place.startswith("D")))

    def _hears_command(self, payload: dict[str, object]) -> bool:
        return self._in_scope(str(payload.get("channel_id", "")), direct=payload.get("channel_name") == "directmessage")

    def _in_scope(self, place: str, *, direct: bool) -> bool:
        return (self._scope.direct if direct else self._scope.everything) or place in self._scope.places

    def _live(self) -> _Parts:
        if self._parts is None or self._web is None:
            raise NotReady(f"{self.key} is not connected")
        return self._parts


class _Parts:
    """What works together once we know who we are."""

    def __init__(self, key: str, web: Web, me: Me) -> None:
        self._roots = Roots(web, me.user_id, me.bot_id)
        self._mapping = Mapping(key, me, People(web), self._roots)
        self.commands = Commands(web, self._mapping)
        self.places = Places(web, self._mapping)
        self.posting = Posting(web, self._roots, self.commands)

    async def read(self, event: dict[str, object], *, last: bool) -> Message | None:
        """Return what an event tells; on Slack's `last` delivery also what could not be read in full."""
        try:
            return await self._mapping.event(event)
        except NotReady:
            if not last:
                raise
            # Better heard without knowing whether its thread is ours than not at all.
            return await self._mapping.event({**event, "parent_user_id": "unknown"})


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
