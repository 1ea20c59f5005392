"""The Discord adapter: one bot account, connected once; its scope is a filter, so hearing elsewhere never reconnects.

Owns its session's life, its scope and the messages on their way in; never routes and never remembers what was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import replace

import discord
from loguru import logger

from homunculus.adapters.discord import faults, posting
from homunculus.adapters.discord.commands import Catalogue
from homunculus.adapters.discord.inbound import Inbound
from homunculus.adapters.discord.interactions import Interactions
from homunculus.adapters.discord.mapping import Mapping
from homunculus.adapters.discord.persona import Personas
from homunculus.adapters.discord.session import Session
from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.interfaces import Deliver
from homunculus.model import AdapterSpec, Address, CommandSpec, Message, Reply, Scope

OPEN_PATIENCE = 60.0  # seconds from the first request to READY
GUILD_PATIENCE = 2.0  # seconds without a new guild after which one in an outage no longer holds up the rest
LOST_PATIENCE = 50.0  # seconds without a gateway in which the session may still be resumed
SILENT_PATIENCE = 9.0  # the same after a silence that took 50 to notice: a death is told within a minute
FETCH_PATIENCE = 10.0  # seconds to look up one unknown place
FETCHES = 20  # unknown places looked up one by one; beyond that they count as unseen


class DiscordAdapter:
    """One Discord bot: an `Adapter` with every ability, and a nonce that Discord enforces."""

    limit, edit_every = posting.LIMIT, posting.EDIT_EVERY
    abilities = frozenset({"typing", "react", "edit", "history", "nonce", "persona", "commands", "private"})

    def __init__(self, spec: AdapterSpec) -> None:
        self.key = spec.key
        self.account = ""
        self.aliases: frozenset[str] = frozenset()  # our application, in whose name our webhooks post
        self._token = (spec.credential("token") or "").strip()
        self._endpoints = (spec.setting("api_base"), spec.setting("gateway"))
        # All the mutable state that outlives a message:
        self._scope = Scope()
        self._inbound: Inbound | None = None
        self._session: Session | None = None
        self._catalogue: Catalogue | None = None
        self._interactions: Interactions | None = None
        self._running: asyncio.Task[None] | None = None
        self._mapping: Mapping | None = None  # there from READY on
        self._personas: Personas | None = None  # likewise
        self._progress = asyncio.Event()  # something happened that may end `open`
        self._ended = asyncio.Event()
        self._death: NotReady | Refused | None = None
        self._lost: asyncio.TimerHandle | None = None

    # -- life

    async def open(self, deliver: Deliver) -> None:
        """Log in and return once the guilds have arrived."""
        if not self._token or not self._token.isascii() or not self._token.isprintable() or " " in self._token:
            raise Refused(f"the token of {self.key} is empty or holds characters that no Discord token has")
        self._session = session = Session(*self._endpoints, self._listeners())
        self._catalogue, self._interactions = Catalogue(session), Interactions(session, self.key)
        self._inbound = Inbound(self.key, self._interactions.watched(deliver))
        self._running = asyncio.create_task(session.start(self._token), name=f"{self.key} session")
        self._running.add_done_callback(self._session_ended)
        try:
            async with asyncio.timeout(OPEN_PATIENCE):
                await self._until_ready(session)
        except TimeoutError:
            await self.aclose()
            raise NotReady(f"Discord did not let us in within {OPEN_PATIENCE:.0f} s") from None
        except BaseException:
            await self.aclose()
            raise

    async def listen(self, scope: Scope) -> frozenset[str]:
        """Hear exactly this from now on; return the places that are unknown to the bot or closed to it."""
        self._scope = scope
        session = self._connected()
        seen = {place: session.sees(place) for place in sorted(scope.places)}
        unknown = [place for place, answer in seen.items() if answer is None]
        # A private channel or an archived thread may be unknown to a fresh session and still be ours.
        found = {place for place in unknown[:FETCHES] if await self._fetched(session, place)}
        return frozenset(place for place, answer in seen.items() if not answer and place not in found)

    async def closed(self) -> None:
        """Wait for the session's death; a revoked token is Refused, everything else NotReady."""
        await self._ended.wait()
        if self._death is not None:
            raise self._death

    async def aclose(self) -> None:
        """Log out; messages that are just being recorded get a moment to finish."""
        session, self._session = self._session, None
        if session is None or self._running is None:
            return
        self._calm()
        try:
            if self._interactions is not None:
                await self._interactions.let_go()
            await session.shut(self._running)
        finally:
            self._ended.set()
            if self._interactions is not None:
                await self._interactions.aclose()
            if self._inbound is not None:
                await self._inbound.aclose()

    # -- out

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply, as the answer of the command that it quotes where it quotes one; the id Discord gave it."""
        with self._noticing():
            personas, interactions = self._speaking()
            return await interactions.answer(reply) or await personas.send(address, reply)

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change the text of a post."""
        with self._noticing():
            personas, interactions = self._speaking()
            if not await interactions.edit(message_id, reply):
                await personas.edit(address, message_id, reply)

    async def whisper(self, message: Message, text: str) -> bool:
        """Answer a command so that its author alone sees it; False for what was typed: Discord has nothing private for that."""
        with self._noticing():
            _, interactions = self._speaking()
            return await interactions.whisper(message.id, text)

    async def offer(self, commands: tuple[CommandSpec, ...]) -> None:
        """Make exactly these the commands that Discord completes after a `/`."""
        with self._noticing():
            self._connected()
            if self._catalogue is not None:
                await self._catalogue.offer(commands)

    async def locate(self, target: str) -> Address:
        """Return a channel or thread by its id, or with `dm:<user>` the direct conversation with a user."""
        session, mapping = self._connected(), self._mapped()
        try:
            if target.startswith("dm:"):
                user = await session.fetch_user(posting.number(target.removeprefix("dm:")))
                return mapping.place(user.dm_channel or await user.create_dm())
            number = posting.number(target)
            channel = session.get_channel(number) or await session.fetch_channel(number)
        except Exception as error:
            raise faults.of_request(error, f"to find {target}") from error
        if not isinstance(channel, discord.abc.Messageable) or not session.may_view(channel):
            raise Refused(f"the bot cannot write in {target}: it is no channel of text, or closed to it")
        return mapping.place(channel)

    def typing(self, address: Address) -> AbstractAsyncContextManager[None]:
        """Show that the bot is writing; never delays or fails what happens inside."""
        return posting.typing(self._session, address)

    async def react(self, address: Address, message_id: str) -> None:
        """Put a ✅ on a message."""
        with self._noticing():
            await posting.react(self._connected(), address, message_id)

    async def history(self, address: Address, after: str | None, limit: int) -> AsyncIterator[Message]:
        """Yield what was said, oldest first: the first `limit` after a message, or the last `limit` of all."""
        session, mapping = self._connected(), self._mapping
        space = posting.number(address.space) if address.space else None
        place = session.get_partial_messageable(posting.number(address.place), guild_id=space)
        since = discord.Object(posting.number(after)) if after else None
        if since is not None and not session.said_since(place.id, since.id):
            return
        if not session.may_read_history(place.id):
            raise Refused(f"the bot may not read the history of {address.label}; give it Read Message History there")
        try:
            found = [message async for message in place.history(limit=limit, after=since, oldest_first=bool(since))]
        except Exception as error:
            raise faults.of_request(error, f"the history of {address.label or address.place}") from error
        for message in found if since else reversed(found):
            mapped = mapping.message(message) if mapping else None
            if mapped is not None:
                yield replace(mapped, address=address)

    # -- opening

    async def _until_ready(self, session: Session) -> None:
        while not self._ended.is_set() and (self._mapping is None or session.awaited):
            self._progress.clear()
            try:
                async with asyncio.timeout(GUILD_PATIENCE if self._mapping else None):
                    await self._progress.wait()
            except TimeoutError:
                logger.bind(adapter=self.key, guilds=len(session.awaited)).warning(
                    "Some Discord guilds are unavailable"
                )
                break
        if self._death is not None:
            raise self._death

    def _listeners(self) -> dict[str, Callable[..., None]]:
        return {
            "connect": self._on_session,
            "ready": self._progress.set,
            "guild_available": lambda _: self._progress.set(),
            "guild_join": lambda _: self._progress.set(),
            "resumed": self._calm,
            "disconnect": self._on_disconnect,
            "message": self._on_message,
            "interaction": self._on_interaction,
            "raw_message_edit": self._on_edit,
            "raw_message_delete": lambda event: self._on_delete(event, [event.message_id]),
            "raw_bulk_message_delete": lambda event: self._on_delete(event, sorted(event.message_ids)),
        }

    def _on_session(self) -> None:
        self._calm()
        if self._session is not None and self._session.user is not None:
            self.account = str(self._session.user.id)
            self.aliases = frozenset({str(self._session.application_id)} if self._session.application_id else ())
            self._mapping = Mapping(self.key, self._session, self._session.user.id)
            self._personas = self._personas or Personas(self._session)
        self._progress.set()

    # -- dying

    def _on_disconnect(self) -> None:
        if self._lost is None and self._session is not None:
            patience = SILENT_PATIENCE if self._session.fell_silent else LOST_PATIENCE
            reason = NotReady(f"the connection to Discord was lost and not restored within {patience:.0f} s")
            self._lost = asyncio.get_running_loop().call_later(patience, self._die, reason)

    def _calm(self) -> None:
        if self._lost is not None:
            self._lost.cancel()
            self._lost = None

    def _session_ended(self, running: asyncio.Task[None]) -> None:
        if running.cancelled():
            return
        error = running.exception()
        if faults.is_odd(error):
            logger.bind(adapter=self.key).opt(exception=error).warning("The Discord client failed in its own code")
        self._die(faults.of_session(error))

    def _die(self, reason: NotReady | Refused) -> None:
        if not self._ended.is_set() and self._session is not None:
            self._death = reason
        self._ended.set()
        self._progress.set()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except HomunculusError as fault:
            self._notice(fault)
            raise

    def _notice(self, fault: HomunculusError) -> None:
        if isinstance(fault, faults.BadToken):
            # Discord may leave the socket of a revoked token open for a while.
            self._die(fault)

    # -- in

    def _on_message(self, message: discord.Message) -> None:
        # An answer to a command that is still thought about says nothing yet, and a private one is not for the others.
        unsaid = message.flags.loading or message.flags.ephemeral
        if self._mapping is not None and not unsaid and self._hears(message.channel):
            self._hand_over(self._mapping.message(message))

    def _on_interaction(self, interaction: discord.Interaction) -> None:
        catalogue, interactions = self._catalogue, self._interactions
        if interaction.type is not discord.InteractionType.application_command or catalogue is None:
            return
        line, private = catalogue.read(interaction.data or {})
        message = self._mapping.command(interaction, line) if self._mapping is not None else None
        heard = message if message is not None and self._admits(message.address) else None
        if interactions is not None:
            interactions.receive(interaction, heard, self._hand_over, private=private)

    def _on_edit(self, event: discord.RawMessageUpdateEvent) -> None:
        if self._mapping is not None and self._hears(event.message.channel):
            self._hand_over(self._mapping.edit(event))

    def _on_delete(
        self, event: discord.RawMessageDeleteEvent | discord.RawBulkMessageDeleteEvent, message_ids: Iterable[int]
    ) -> None:
        if self._mapping is None:
            return
        for message_id in message_ids:
            message = self._mapping.deletion(message_id, event.channel_id, event.guild_id)
            if self._admits(message.address):
                self._hand_over(message)

    def _hears(self, channel: discord.abc.MessageableChannel) -> bool:
        parent = str(channel.parent_id) if isinstance(channel, discord.Thread) else None
        direct = isinstance(channel, discord.DMChannel) and not self._is_group(channel.id)
        return self._in_scope(str(channel.id), parent, direct=direct)

    def _admits(self, address: Address) -> bool:
        return self._in_scope(address.place, address.parent, direct=address.direct)

    def _in_scope(self, place: str, parent: str | None, *, direct: bool) -> bool:
        scope = self._scope
        return (scope.direct if direct else scope.everything) or place in scope.places or parent in scope.places

    def _is_group(self, channel_id: int) -> bool:
        return self._session is not None and isinstance(self._session.get_channel(channel_id), discord.GroupChannel)

    def _hand_over(self, message: Message | None) -> None:
        if message is not None and self._inbound is not None:
            self._inbound.put(message)

    # -- inside

    def _connected(self) -> Session:
        if self._session is None or self._mapping is None:
            raise NotReady(f"{self.key} is not connected")
        return self._session

    def _mapped(self) -> Mapping:
        if self._mapping is None:
            raise NotReady(f"{self.key} is not connected")
        return self._mapping

    def _speaking(self) -> tuple[Personas, Interactions]:
        if self._session is None or self._personas is None or self._interactions is None:
            raise NotReady(f"{self.key} is not connected")
        return self._personas, self._interactions

    async def _fetched(self, session: Session, place: str) -> bool:
        try:
            async with asyncio.timeout(FETCH_PATIENCE):
                return session.may_view(await session.fetch_channel(posting.number(place)))
        except Exception as error:  # noqa: BLE001 - whatever keeps us from looking, we cannot see it now
            logger.bind(adapter=self.key, place=place, error=type(error).__name__).debug("A place cannot be seen")
            return False
