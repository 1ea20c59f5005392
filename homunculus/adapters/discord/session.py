"""One connection to a Discord server, on discord.py: where it connects, what it remembers, how it ends.

Owns the client's settings, its endpoints and its complete shutdown; never reads a message and never decides what to do next.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import yarl
from discord.gateway import DiscordWebSocket, KeepAliveHandler
from discord.http import HTTPClient, Route
from loguru import logger

from homunculus.errors import NotReady, Uncertain

HEARTBEAT_TIMEOUT = 50.0  # seconds of silence; Discord's own beat is 41, and a dead socket must be noticed in a minute
LONGEST_RATE_LIMIT = 30.0  # seconds discord.py may sleep by itself; beyond that the caller is told to come back
RECONNECT_EVERY = 1.0  # seconds between two tries to reach a gateway that was reached before
CLOSE_PATIENCE = 3.0  # seconds for each of the two polite goodbyes

# We never speak; its two warnings about missing voice libraries would stand at the top of every log.
discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False

_ONCE = object()  # marks a request that must not be repeated when its fate is unknown
_TOKEN = re.compile(r"(/(?:webhooks|interactions)/\d+/|\b\d{15,}\+)[^/?\s+]+")

Listener = Callable[..., None]


class _Discreet(logging.Filter):
    """Takes the tokens of webhooks and commands out of what discord.py logs: they stand in addresses, answers and events."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(map(_discreet, record.args))
        return True


def _discreet(one: object) -> object:
    if isinstance(one, str):
        return _TOKEN.sub(r"\1<secret>", one)
    return "…" if isinstance(one, dict | list) else one


for _talker in ("discord.http", "discord.gateway"):
    logging.getLogger(_talker).addFilter(_Discreet())


def intents() -> discord.Intents:
    """Return what we ask to hear: messages with their content, and the guilds they are said in."""
    return discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=True)


class _Api(HTTPClient):
    """The REST half, bound to one server.

    discord.py keeps its endpoints in class attributes, one pair a process; here each client has its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, api_base: str, gateway: str) -> None:
        super().__init__(loop, max_ratelimit_timeout=LONGEST_RATE_LIMIT, http_trace=_watch())
        self._api_base = api_base.rstrip("/")
        self._gateway = yarl.URL(gateway) if gateway else DiscordWebSocket.DEFAULT_GATEWAY
        self._socket: aiohttp.ClientWebSocketResponse | None = None  # the latest

    async def request(self, route: Route, **kwargs: Any) -> Any:
        """Ask our own server instead of the default one."""
        if self._api_base:
            route.url = self._api_base + route.url.removeprefix(Route.BASE)
        return await super().request(route, **kwargs)

    async def ws_connect(self, url: str, *, compress: int = 0) -> aiohttp.ClientWebSocketResponse:
        """Connect to our own gateway instead of the default one; an address for resuming is the server's word, and kept.

        Once connected before, try again and again: discord.py's own back-off may sleep until the session cannot be resumed.
        """
        asked, default = yarl.URL(url), DiscordWebSocket.DEFAULT_GATEWAY
        if asked.origin() == default.origin():
            asked = self._gateway.with_query(asked.query)
        while True:
            try:
                self._socket = await super().ws_connect(str(asked), compress=compress)
                break
            except (OSError, aiohttp.ClientError) as error:
                if self._socket is None:
                    # Left to itself, discord.py sleeps and then fails over a connection that it never had.
                    raise NotReady(f"the gateway {asked.origin()} cannot be reached: {type(error).__name__}") from error
            await asyncio.sleep(RECONNECT_EVERY)
        return self._socket

    async def hang_up(self) -> None:
        """Close the latest socket, which nobody else knows when a connect was cut off."""
        if self._socket is not None:
            await self._socket.close()


def _watch() -> aiohttp.TraceConfig:
    """Cut off discord.py's own second tries where a request is to be made once: after a 5xx or a broken connection."""

    async def ended(_: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        if context.trace_request_ctx is _ONCE and end.response.status >= 500:
            raise Uncertain(f"Discord failed: HTTP {end.response.status}", final=True)

    async def broke(
        _: aiohttp.ClientSession, context: SimpleNamespace, failure: aiohttp.TraceRequestExceptionParams
    ) -> None:
        error = failure.exception
        certain = isinstance(error, aiohttp.ClientConnectorError)
        if context.trace_request_ctx is _ONCE and isinstance(error, OSError) and not certain:
            raise Uncertain(f"the connection broke: {type(error).__name__}", final=True) from error

    trace = aiohttp.TraceConfig()
    trace.on_request_end.append(ended)
    trace.on_request_exception.append(broke)
    return trace


class Session(discord.Client):
    """A client that remembers next to nothing and tells `listeners` (event name → function) what happens, in order."""

    def __init__(self, api_base: str, gateway: str, listeners: Mapping[str, Listener]) -> None:
        super().__init__(
            intents=intents(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
            allowed_mentions=discord.AllowedMentions.none(),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            guild_ready_timeout=0,  # the adapter counts guilds itself, and no timer outlives us
        )
        self._api = self.http = self._connection.http = _Api(self.loop, api_base, gateway)
        self._listeners_by_event = listeners
        self.fell_silent = False  # the last disconnect was our own, after HEARTBEAT_TIMEOUT without a word
        parsers = self._connection.parsers
        for event in parsers.keys() - {"READY", "RESUMED"}:
            parsers[event] = _guarded(event, parsers[event])

    def dispatch(self, event: str, /, *args: Any) -> None:
        """Call the listener of an event at once: in the order of arrival, and without a task for each event."""
        if event == "disconnect":
            # Told in the handler of what ended the connection: a receive that timed out, or a closed socket.
            ended = sys.exception()
            self.fell_silent = isinstance(ended.__context__ if ended else None, TimeoutError)
        listener = self._listeners_by_event.get(event)
        if listener is None:
            return
        try:
            listener(*args)
        except Exception as error:  # noqa: BLE001 - it would end the whole connection for one odd message
            logger.bind(event=event, error=type(error).__name__).opt(exception=True).error(
                "A Discord event could not be handled; it is skipped"
            )

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """End here rather than begin a second session: a new life of the adapter fetches what was said in between."""
        if not initial:
            raise NotReady("Discord could not resume the session; what was said meanwhile has to be fetched")

    async def once(self, route: Route, **kwargs: Any) -> Any:
        """Make a request that discord.py does not repeat by itself; Uncertain when nobody can tell whether it arrived."""
        return await self.http.request(route, trace_request_ctx=_ONCE, **kwargs)

    @property
    def awaited(self) -> frozenset[int]:
        """Return the guilds that were announced and have not arrived."""
        return frozenset(guild.id for guild in self.guilds if guild.unavailable)

    def said_since(self, place: int, message_id: int) -> bool:
        """Tell whether anything was said in a place after a message; yes where we do not know."""
        channel = self.get_channel(place)
        if not isinstance(channel, (discord.Thread, discord.TextChannel, discord.VoiceChannel)):
            return True
        return (channel.last_message_id or 0) > message_id

    def may_read_history(self, place: int) -> bool:
        """Tell whether the bot may read what was said before in a place; without leave Discord shows it as empty."""
        channel = self.get_channel(place)
        if not isinstance(channel, (discord.Thread, discord.abc.GuildChannel)):
            return True
        me = channel.guild.get_member(self.user.id) if self.user else None
        orphan = isinstance(channel, discord.Thread) and channel.parent is None
        return me is None or orphan or channel.permissions_for(me).read_message_history

    def sees(self, place: str) -> bool | None:
        """Tell whether messages of a channel or thread can reach us; None when we do not know that place."""
        channel = self.get_channel(int(place)) if place.isascii() and place.isdecimal() else None
        return None if channel is None else self.may_view(channel)

    def may_view(self, channel: discord.abc.GuildChannel | discord.abc.PrivateChannel | discord.Thread) -> bool:
        """Tell whether the bot may view a channel; a thread follows its parent, a private channel is always ours."""
        if not isinstance(channel, (discord.Thread, discord.abc.GuildChannel)):
            return True
        me = channel.guild.get_member(self.user.id) if self.user else None
        orphan = isinstance(channel, discord.Thread) and channel.parent is None
        return me is None or orphan or channel.permissions_for(me).view_channel

    def may_use_webhooks(self, channel_id: int, *, inside: bool) -> bool:
        """Tell whether the bot may have webhooks in a channel, and write there itself, or `inside` its threads.

        Yes where we do not know the channel.
        """
        channel = self.get_channel(channel_id)
        if not isinstance(channel, discord.abc.GuildChannel):
            return True
        me = channel.guild.get_member(self.user.id) if self.user else None
        if me is None:
            return True
        mine = channel.permissions_for(me)
        return mine.manage_webhooks and (mine.send_messages_in_threads if inside else mine.send_messages)

    async def shut(self, running: asyncio.Task[None]) -> None:
        """End the connection and everything that belongs to it, whatever state it is in."""
        try:
            await self._patiently(self.close())
            running.cancel()
            await asyncio.wait({running})
            await self._patiently(self._api.hang_up())
        finally:
            running.cancel()
            self._stop_hearts()
            # Once more: a goodbye that took too long did not come this far.
            await self.http.close()

    async def _patiently(self, goodbye: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CLOSE_PATIENCE):
                await goodbye
        except TimeoutError:
            logger.info("Discord did not answer our goodbye; hanging up")

    def _stop_hearts(self) -> None:
        # A connect that is cut off between HELLO and its return leaves a heart beating that no attribute of ours knows.
        for thread in threading.enumerate():
            if isinstance(thread, KeepAliveHandler) and thread.ws._connection is self._connection:
                thread.stop()


def _guarded(event: str, parse: Callable[[Any], None]) -> Callable[[Any], None]:
    """Let an event that discord.py cannot read cost itself alone, not the connection."""

    def guarded(data: Any) -> None:
        try:
            parse(data)
        except Exception as error:  # noqa: BLE001 - whatever it stumbles over, the next event is another one
            logger.bind(event=event, error=type(error).__name__).opt(exception=True).error(
                "Discord sent an event that the client cannot read; it is skipped"
            )

    return guarded
