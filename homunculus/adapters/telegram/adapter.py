"""The Telegram adapter: one bot, polled by one loop; its scope is a filter, so hearing elsewhere never reconnects.

Owns its session's life and its scope; never routes and never remembers what was said.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

from loguru import logger
from telegram import Chat, ChatFullInfo, ChatMember, ChatMemberRestricted, Update

from homunculus.adapters.telegram import faults, polling, posting
from homunculus.adapters.telegram.client import Client
from homunculus.adapters.telegram.mapping import Mapping
from homunculus.adapters.telegram.menu import menu
from homunculus.adapters.telegram.polling import Polling
from homunculus.adapters.telegram.posting import Posts
from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.interfaces import Deliver
from homunculus.model import AdapterSpec, Address, CommandSpec, Message, Reply, Scope

_TOKEN = re.compile(r"[A-Za-z0-9:_-]+")
OPEN_PATIENCE = 45.0  # seconds to log in
LOOKED_UP = 100  # places of a scope that are looked up; of the rest nothing is known
AT_ONCE = 8
LOOK_PATIENCE = 10.0  # seconds for all of them together
PRIVACY = (
    "Telegram's privacy mode hides from the bot what does not mention it, answer it or begin with /, so `respond: always`, "
    "`observe` and names cannot work in groups; send /setprivacy to @BotFather, choose the bot and Disable, then remove the "
    "bot from each group and add it again, or make it an administrator there"
)


class TelegramAdapter:
    """One Telegram bot: an `Adapter` with `typing`, `react`, `edit` and `commands`."""

    limit, edit_every = posting.LIMIT, posting.EDIT_EVERY
    abilities = frozenset({"typing", "react", "edit", "commands"})

    def __init__(self, spec: AdapterSpec) -> None:
        self.key = spec.key
        self.account = ""
        self.hindrances: tuple[str, ...] = ()
        self._token = (spec.credential("token") or "").strip()
        self._bases = (spec.setting("api_base"), spec.setting("file_base"))
        # All the mutable state that outlives a message:
        self._scope = Scope()
        self._client: Client | None = None
        self._mapping: Mapping | None = None  # there from the login on
        self._posts: Posts | None = None  # likewise
        self._polling: Polling | None = None  # likewise
        self._loop: asyncio.Task[None] | None = None
        self._hearing: bool | None = None  # None before the first `listen`
        self._seen: set[str] = set()  # places that were looked up or heard
        self._moved: set[int] = set()  # groups whose new id was told
        self._words: frozenset[str] | None = None  # the first words of our commands, once offered
        self._offered: tuple[CommandSpec, ...] | None = None
        self._ended = asyncio.Event()
        self._death: NotReady | Refused | None = None

    # -- life

    async def open(self, deliver: Deliver) -> None:
        """Log in; messages are fetched from the first `listen` on."""
        if not _TOKEN.fullmatch(self._token):
            raise Refused(f"the token of {self.key} is empty or holds characters that no Telegram token has")
        self._client = client = Client(self._token, *self._bases)
        try:
            async with asyncio.timeout(OPEN_PATIENCE):
                await client.initialize()
                await client.delete_webhook()
        except TimeoutError:
            await self.aclose()
            raise NotReady(f"Telegram did not let us in within {OPEN_PATIENCE:.0f} s") from None
        except Exception as error:  # noqa: BLE001 - sorted by what it means; the library's own text may hold the token
            await self.aclose()
            raise faults.of_opening(error) from None
        except BaseException:
            await self.aclose()
            raise
        me = client.bot
        self.account = str(me.id)
        self.hindrances = () if me.can_read_all_group_messages else (PRIVACY,)
        self._mapping = Mapping(self.key, me, self._knows)
        self._posts = Posts(client)
        self._polling = Polling(self.key, client, self._read, deliver)

    async def listen(self, scope: Scope) -> frozenset[str]:
        """Hear exactly this from now on; return the places that are unknown to the bot or closed to it."""
        self._scope = scope
        client = self._connected()
        await self._hear(bool(scope.places or scope.everything or scope.direct))
        return await self._unseen(client, sorted(scope.places - self._seen))

    async def closed(self) -> None:
        """Wait for the session's death; a revoked token is Refused, everything else NotReady."""
        await self._ended.wait()
        if self._death is not None:
            raise self._death

    async def aclose(self) -> None:
        """End the poll and free everything; messages that are just being recorded get a moment to finish."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if self._polling is not None:
                await self._still()
                if self._death is None:
                    await self._polling.confirm()
        finally:
            self._ended.set()
            await client.shutdown()

    # -- out

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply; the id Telegram gave it."""
        try:
            return await self._speaking().send(address, reply)
        except HomunculusError as fault:
            self._notice(fault)
            raise

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change the text of a post."""
        try:
            await self._speaking().edit(address, message_id, reply)
        except HomunculusError as fault:
            self._notice(fault)
            raise

    async def react(self, address: Address, message_id: str) -> None:
        """Put a 👌 on a message."""
        try:
            await self._speaking().react(address, message_id)
        except HomunculusError as fault:
            self._notice(fault)
            raise

    def typing(self, address: Address) -> AbstractAsyncContextManager[None]:
        """Show that the bot is writing; never delays or fails what happens inside."""
        return posting.typing(self._client, address)

    async def locate(self, target: str) -> Address:
        """Return a chat by its id or @name, with `#<topic>` a topic of it, with `dm:<user>` the chat with a user."""
        client = self._connected()
        direct = target.startswith("dm:")
        place, _, topic = target.removeprefix("dm:").partition("#")
        wanted = place if place.startswith("@") and len(place) > 1 and not direct else posting.number(place)
        if topic:
            posting.number(topic)
        try:
            chat = await client.get_chat(wanted)
            if chat.type != Chat.PRIVATE:
                await self._check_writable(client, chat, topic, target)
        except Exception as error:
            raise faults.of_question(error, f"to find {target}") from error
        if direct and chat.type != Chat.PRIVATE:
            raise Refused(f"{target} names no person")
        return self._mapped().address(chat, topic or None)

    @staticmethod
    async def _check_writable(client: Client, chat: ChatFullInfo, topic: str, target: str) -> None:
        if topic and not chat.is_forum:
            raise Refused(f"{target} has no topics")
        us = await client.get_chat_member(chat.id, client.bot.id)
        muted = isinstance(us, ChatMemberRestricted) and not us.can_send_messages
        if muted or us.status in (ChatMember.LEFT, ChatMember.BANNED):
            raise Refused(f"the bot may not write in {target}; let it send messages there")

    async def offer(self, commands: tuple[CommandSpec, ...]) -> None:
        """Show exactly these in the menu of commands; Telegram is asked once and written to only where they differ."""
        client = self._connected()
        self._words = frozenset(command.words[0] for command in commands)
        if commands == self._offered:
            return
        wanted = menu(commands)
        try:
            if list(await client.get_my_commands()) != wanted:
                await client.set_my_commands(wanted)
        except Exception as error:
            raise faults.of_request(error, "the menu of commands") from error
        self._offered = commands

    # -- hearing

    async def _hear(self, hears: bool) -> None:
        """Poll, or leave everything with Telegram while there is nothing to hear."""
        if hears == self._hearing or self._polling is None or self._ended.is_set():
            return
        before, self._hearing = self._hearing, None
        await self._still()
        if hears and before is False:
            # What was said while nothing was to be heard is nobody's, as on any platform.
            await self._polling.skip()
        self._hearing = hears
        loop = self._polling.run() if hears else self._polling.rest()
        self._loop = asyncio.create_task(loop, name=f"{self.key} {'polling' if hears else 'resting'}")
        self._loop.add_done_callback(self._loop_ended)

    async def _still(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and self._polling is not None:
            await self._polling.stop(loop)

    def _loop_ended(self, loop: asyncio.Task[None]) -> None:
        reason = polling.death(loop, self.key)
        if reason is not None:
            self._die(reason)

    def _read(self, update: Any) -> Message | None:
        """Make a message of an update; None where it is not for us. Raises whatever the library does on a broken one."""
        mapping, client = self._mapping, self._client
        if mapping is None or client is None:
            return None
        read = Update.de_json(update, client)
        posted = read.message or read.edited_message
        if posted is None:
            return None
        self._notice_move(posted.chat.id, posted.migrate_to_chat_id, posted.migrate_from_chat_id)
        message = mapping.message(posted, "edited" if read.edited_message else "posted")
        if message is None or not self._in_scope(message.address):
            return None
        self._seen.add(message.address.place)
        return message

    def _in_scope(self, address: Address) -> bool:
        scope = self._scope
        return (scope.direct if address.direct else scope.everything) or address.place in scope.places

    def _knows(self, word: str) -> bool:
        """Tell whether a command may be ours: any, until it is known which are."""
        return self._words is None or word.casefold() in self._words

    def _notice_move(self, here: int, to: int | None, came_from: int | None) -> None:
        old, new = (here, to) if to else (came_from, here)
        if old and new and old not in self._moved:
            self._moved.add(old)
            if str(old) in self._scope.places:
                logger.bind(adapter=self.key, chat=old).warning(
                    "A Telegram group moved: {what}", what=faults.moved(new)
                )

    async def _unseen(self, client: Client, places: Iterable[str]) -> frozenset[str]:
        """Return those places that Telegram says we are not in; one that it cannot tell of now is none."""
        unseen: set[str] = set()
        wanted = list(places)
        gate = asyncio.Semaphore(AT_ONCE)

        async def look(place: str) -> None:
            async with gate:
                try:
                    await client.get_chat(posting.number(place))
                    self._seen.add(place)
                except Exception as error:  # noqa: BLE001 - whatever keeps us from looking, it is not known to be closed
                    if isinstance(faults.of_request(error, place), Refused):
                        unseen.add(place)

        looks = [asyncio.create_task(look(place), name=f"{self.key} looks for {place}") for place in wanted[:LOOKED_UP]]
        if looks:
            try:
                await asyncio.wait(looks, timeout=LOOK_PATIENCE)
            finally:
                for task in looks:
                    task.cancel()
                await asyncio.wait(looks)
        return frozenset(unseen)

    # -- inside

    def _die(self, reason: NotReady | Refused) -> None:
        if not self._ended.is_set() and self._client is not None:
            self._death = reason
            self._ended.set()

    def _notice(self, fault: HomunculusError) -> None:
        if isinstance(fault, faults.BadToken):
            self._die(fault)

    def _connected(self) -> Client:
        if self._client is None or self._mapping is None:
            raise NotReady(f"{self.key} is not connected")
        return self._client

    def _mapped(self) -> Mapping:
        if self._mapping is None:
            raise NotReady(f"{self.key} is not connected")
        return self._mapping

    def _speaking(self) -> Posts:
        if self._client is None or self._posts is None:
            raise NotReady(f"{self.key} is not connected")
        return self._posts
