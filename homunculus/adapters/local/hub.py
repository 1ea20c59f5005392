"""The rooms of the local platform and the callers who wait in them. Outlives every reload and every adapter.

Owns what was said and who waits; never routes, never answers, never stores: after a restart the rooms are empty.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Protocol

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Clock
from homunculus.model import Address, Author, Event, Message, Receipt, Reply, TurnEnded

POSTS_A_ROOM = 500
ROOMS = 1_000
LONGEST = 16_000  # characters of one message, a person's or an NPC's
_PRIVATE = "dm:"
TURNS = 1_024  # whose replies can still be told apart, for late retries and waiting callers


@dataclass(frozen=True, slots=True)
class LocalPost:
    """One line of a room; `time` in seconds since the epoch.

    A person's has `user`, an NPC's `agent_id`; the program's own word, such as the answer to a command, has neither.
    """

    id: str
    chat: str
    author: str
    user: str | None
    agent_id: str | None
    text: str
    time: float
    quotes: str | None = None


def _room(address: Address) -> str:
    return f"{_PRIVATE}{address.place}" if address.direct else address.place


class Attached(Protocol):
    """What the hub needs of an open adapter: its name, and a way in for what people say."""

    @property
    def key(self) -> str: ...

    def address(self, place: str, *, direct: bool) -> Address: ...

    async def hear(self, message: Message) -> Receipt: ...


class _Ids:
    """Mint ids that sort by time, never repeat, and stay unique across processes.

    Layout as UUIDv7 without its marks: 48 bits of milliseconds, 16 bits of counter, 64 random bits, as 32 hex digits.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def mint(self) -> str:
        # Two within a millisecond, or a clock that steps back, count on from the last one.
        self._last = max(int(self._clock() * 1000) << 16, self._last + 1)
        return f"{self._last:016x}{secrets.token_hex(8)}"


class LocalHub:
    """Hold the rooms, hand what people say to the attached adapter, and tell waiting callers what was answered.

    A direct message lives in the room `dm:<user>`, whatever room it was typed in; nobody else can speak there.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._ids = _Ids(clock)
        # All the mutable state that outlives a message:
        self._adapters: dict[str, Attached] = {}
        self._rooms: OrderedDict[str, deque[LocalPost]] = OrderedDict()
        self._turns: OrderedDict[str, dict[str, LocalPost]] = OrderedDict()  # turn id → reply id → post
        self._waiting: dict[str, asyncio.Future[tuple[LocalPost, ...]]] = {}

    # -- what people do

    async def say(self, chat: str, *, user: str, text: str, mention: bool = True, dm: bool = False) -> str:
        """Post as a user and deliver it; return its id. Raise NotReady when nobody can take it, and leave no trace then."""
        message_id, _ = await self._say(self._ids.mint(), chat, user, text, mention, dm)
        return message_id

    async def ask(
        self, chat: str, *, user: str, text: str, mention: bool = True, dm: bool = False
    ) -> tuple[str, tuple[LocalPost, ...]]:
        """Post as a user and wait until the turn is over; return the id and that turn's replies, in order.

        Returns at once, with no replies, when nobody is going to answer. Messages answered by one turn all get its replies.
        """
        message_id = self._ids.mint()
        # Registered first: the turn may be over before the delivery returns.
        waiting = self._waiting[message_id] = asyncio.get_running_loop().create_future()
        try:
            _, receipt = await self._say(message_id, chat, user, text, mention, dm)
            return message_id, await waiting if receipt is Receipt.RECORDED else ()
        finally:
            del self._waiting[message_id]

    def posts(self, chat: str, after: str | None = None) -> tuple[LocalPost, ...]:
        """Return what was said in a room, oldest first; only what came after the post `after`, when given."""
        return tuple(post for post in self._rooms.get(chat, ()) if after is None or post.id > after)

    def rooms(self) -> tuple[str, ...]:
        """Return the rooms in which something was said, the latest last."""
        return tuple(self._rooms)

    # -- what the program does

    def observe(self, event: Event) -> None:
        """Take notice of an event: the end of a turn ends the waiting for every message it names."""
        if not isinstance(event, TurnEnded):
            return
        replies = tuple(self._turns.get(event.trace.turn_id, {}).values())
        for message_id in event.trace.message_ids:
            waiting = self._waiting.get(message_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(replies)

    def attach(self, adapter: Attached) -> None:
        """Let an open adapter take what is said; the default instance goes before a named one."""
        self._adapters[adapter.key] = adapter

    def detach(self, adapter: Attached) -> None:
        """Forget an adapter; its successor, attached already under the same name, stays.

        Without any adapter nobody will be answered any more: who waits is told so.
        """
        if self._adapters.get(adapter.key) is adapter:
            del self._adapters[adapter.key]
        for waiting in self._waiting.values() if not self._adapters else ():
            if not waiting.done():
                waiting.set_exception(NotReady("the local adapter was closed before the turn ended"))

    def post(self, address: Address, reply: Reply) -> str:
        """Post one part of a reply and return its id; the same reply again returns the first one's id."""
        turn_id = reply.id.rpartition(".")[0]
        parts = self._turns.setdefault(turn_id, {})
        if reply.id not in parts:
            parts[reply.id] = LocalPost(
                self._ids.mint(),
                _room(address),
                reply.author,
                None,
                reply.agent_id or None,
                reply.text,
                self._clock(),
                reply.quotes,
            )
            self._add(parts[reply.id])
        self._turns.move_to_end(turn_id)
        if len(self._turns) > TURNS:
            self._turns.popitem(last=False)
        return parts[reply.id].id

    # -- inside

    def _attached(self) -> Attached:
        adapter = self._adapters.get("local") or next(iter(self._adapters.values()), None)
        if adapter is None:
            raise NotReady("the local adapter is not connected; is messaging.local enabled in the deployment file?")
        return adapter

    async def _say(
        self, message_id: str, chat: str, user: str, text: str, mention: bool, dm: bool
    ) -> tuple[str, Receipt]:
        if not user or not chat:
            raise Refused("a local message needs a chat and a user")
        if len(text) > LONGEST:
            raise Refused(f"a local message has at most {LONGEST:,} characters, not {len(text):,}")
        if chat.startswith(_PRIVATE) and not dm:
            raise Refused(f"a local place cannot begin with {_PRIVATE}: it is where direct messages are")
        adapter = self._attached()
        address = adapter.address(user if dm else chat, direct=dm)
        post = LocalPost(message_id, _room(address), user, user, None, text, self._clock())
        # Before the delivery, or the answer could stand above the question.
        self._add(post)
        message = Message(post.id, address, Author(user, user), text, mentioned=mention, time=post.time)
        try:
            return message_id, await adapter.hear(message)
        except Exception:
            # Refused, so it was never said. A caller who merely left is another matter: it may still be answered.
            self._remove(post)
            raise

    def _add(self, post: LocalPost) -> None:
        self._rooms.setdefault(post.chat, deque(maxlen=POSTS_A_ROOM)).append(post)
        self._rooms.move_to_end(post.chat)
        if len(self._rooms) > ROOMS:
            self._rooms.popitem(last=False)

    def _remove(self, post: LocalPost) -> None:
        room = self._rooms.get(post.chat)
        if room is not None and post in room:
            room.remove(post)
            if not room:
                del self._rooms[post.chat]
