"""`TelegramServer`: what a test holds in its hands.

Owns the wiring and the life of the server. The rules are elsewhere: `front`, `methods`, `updates`, `hub`, `world`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from aiohttp import web

from homunculus.testing.loopback import Loopback
from homunculus.testing.telegram.faults import STATUSES, Fault, Faults
from homunculus.testing.telegram.front import MAX_REQUEST, Front, Request
from homunculus.testing.telegram.hub import Hub
from homunculus.testing.telegram.limits import Rate
from homunculus.testing.telegram.methods import Methods
from homunculus.testing.telegram.refusals import Json
from homunculus.testing.telegram.updates import Updates
from homunculus.testing.telegram.world import Bot, Chat, Kind, Message, Topic, User, World

DAY = 86_400.0


class TelegramServer(Loopback):
    """Serve a loopback Telegram; `async with TelegramServer() as server: ...`.

    `message_rate` is (posts, seconds) of a bot, Telegram's own being about `(30, 1.0)`, `group_rate` of a bot in each
    group, about `(20, 60.0)`; None, the default, does not slow a throughput test down. `retention` is how many seconds an
    update is kept that nobody confirms.
    """

    def __init__(
        self, *, message_rate: Rate | None = None, group_rate: Rate | None = None, retention: float = DAY
    ) -> None:
        super().__init__()
        self._world = World()
        self._hub = Hub(self._world, self._changed, retention)
        self._faults = Faults()
        methods = Methods(self._hub, message_rate, group_rate)
        self._front = Front(self._world, methods, self._faults, self._changed)

    # -- life

    # A poll whose client hung up is over: its handler is cancelled.
    _ending: ClassVar[dict[str, Any]] = {"shutdown_timeout": 0.1, "handler_cancellation": True}

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST)
        app.router.add_route("*", "/bot{token}/{method}", self._front.handle)
        return app

    @property
    def api_base(self) -> str:
        """Return what stands before the token in an address."""
        return f"http://127.0.0.1:{self._port}/bot"

    # -- making the world

    def add_bot(self, token: str, name: str = "Homunculus", username: str = "", *, privacy: bool = True) -> Bot:
        """Register a bot as BotFather does, with privacy mode on unless told otherwise; its id is the token's number."""
        return self._world.add_bot(token, name, username, privacy=privacy)

    def add_user(self, name: str, *, username: str = "", bot: bool = False) -> User:
        """Register a person; with `bot=True` somebody else's bot."""
        return self._world.add_user(name, bot=bot, username=username)

    def add_chat(
        self,
        kind: Kind,
        title: str,
        bots: Iterable[Bot] = (),
        *,
        forum: bool = False,
        username: str = "",
        id: int | None = None,  # noqa: A002 - Telegram's word
    ) -> Chat:
        """Make a group, a supergroup or a channel with these bots in it, with an id of your own if you need one."""
        chat = self._world.add_chat(kind, title, forum=forum, number=id)
        chat.username = username
        chat.members.update(bot.id for bot in bots)
        return chat

    def open_private(self, bot: Bot, user: User) -> Chat:
        """Let a person press *Start*: only then may the bot write to them."""
        chat = self._world.private(user)
        chat.members.add(bot.id)
        return chat

    def invite(self, chat: Chat, bot: Bot) -> None:
        chat.kicked.discard(bot.id)
        chat.members.add(bot.id)

    def kick(self, chat: Chat, bot: Bot) -> None:
        chat.members.discard(bot.id)
        chat.kicked.add(bot.id)

    def promote(self, chat: Chat, bot: Bot) -> None:
        """Make a bot an administrator: it sees everything, privacy mode or not."""
        chat.admins.add(bot.id)

    def mute(self, chat: Chat, bot: Bot) -> None:
        """Take a bot's right to write."""
        chat.muted.add(bot.id)

    def block(self, user: User, bot: Bot) -> None:
        """Let a person block a bot."""
        self._world.private(user).blocked.add(bot.id)

    def add_topic(self, chat: Chat, name: str, author: User) -> Topic:
        """Begin a topic of a forum."""
        if not chat.forum:
            raise ValueError(f"{chat.title} is no forum; make it with add_chat(..., forum=True)")
        return self._hub.topic(chat, name, author)

    def migrate(self, group: Chat) -> Chat:
        """Let a group become a supergroup, with a new id."""
        supergroup = self._world.add_chat("supergroup", group.title)
        self._hub.migrate(group, supergroup)
        return supergroup

    # -- what people do

    def post(
        self,
        chat: Chat,
        author: User | None,
        text: str = "",
        *,
        reply_to: Message | None = None,
        topic: Topic | None = None,
        sender_chat: Chat | None = None,
        mentions: Iterable[Bot] = (),
        entities: Iterable[Json] = (),
        more: Json | None = None,
    ) -> Message:
        """Post as a person and queue an update for every bot that sees it.

        @names and /commands in the text are marked as Telegram does; `mentions` are put before it; `more` is media or
        anything else, as it stands in the Bot API's Message: the text is its caption then.
        """
        if chat.kind == "private" and author is not chat.person:
            raise ValueError(
                "only its own person writes in a private chat; open one with server.open_private(bot, user)"
            )
        text = " ".join([*(f"@{bot.username}" for bot in mentions), text]).strip()
        return self._hub.post(
            chat,
            author,
            text,
            entities=tuple(entities),
            reply_to=reply_to,
            topic=topic,
            sender_chat=sender_chat,
            more=more,
        )

    def tell(self, bot: Bot, user: User, text: str) -> Message:
        """Write as a person to one bot alone."""
        chat = self.open_private(bot, user)
        return self._hub.post(chat, user, text, to=frozenset({bot.id}))

    def edit(self, message: Message, text: str) -> None:
        self._hub.edited(message, text)

    def queue_raw(self, bot: Bot, body: Json) -> None:
        """Queue an update of a kind that nobody knows, or a broken one."""
        self._hub.queue(bot).put_raw(body)

    # -- what the server saw

    @property
    def requests(self) -> list[Request]:
        """List the answered calls, oldest first."""
        return self._front.log

    def messages(self, chat: Chat) -> list[Message]:
        """List the messages of a chat, service messages included, oldest first."""
        return list(chat.log.values())

    def sent(self, bot: Bot, chat: Chat, topic: Topic | None = None) -> list[Message]:
        """List what a bot posted in a chat, or in a topic of it."""
        return [one for one in chat.log.values() if one.author is bot.user and one.topic is topic]

    def typings(self, chat: Chat, topic: Topic | None = None) -> list[tuple[int, float]]:
        """List who was shown as typing, and when by the monotonic clock."""
        return list(self._hub.typings.get((chat.id, topic.id if topic else None), ()))

    def updates(self, bot: Bot) -> Updates:
        """Return a bot's queue, which counts polls and conflicts."""
        return self._hub.queue(bot)

    def calls(self, method: str, bot: Bot | None = None) -> int:
        """Count the answered calls of a method."""
        return sum(one.method == method and bot in (None, self._world.bots.get(one.bot)) for one in self.requests)

    def _seen(self) -> str:
        queues = [(bot.user.name, self._hub.queue(bot)) for bot in self._world.bots.values()]
        bots = ", ".join(f"{name}: {q.polls} polls, {q.open} open, {q.waiting} waiting" for name, q in queues)
        places = ", ".join(f"{c.title or c.id}: {len(c.log)} messages" for c in self._world.chats.values() if c.log)
        last = ", ".join(f"{r.method} -> {r.status}" for r in self.requests[-5:])
        return f"bots [{bots}]; chats [{places}]; last calls [{last}]"

    # -- faults

    def revoke(self, bot: Bot) -> None:
        """Kill the token: every call answers 401, the open poll included."""
        bot.alive = False
        self._hub.queue(bot).hang_up()
        self._changed()

    def reset_token(self, bot: Bot, token: str) -> None:
        """Give a bot a new token, as BotFather does; the old one is void at once, and what waits for the bot stays."""
        self.revoke(bot)
        bot.token, bot.alive = token, True

    def fail_next(
        self,
        n: int = 1,
        status: int | None = 500,
        method: str = "",
        *,
        retry_after: float = 1.0,
        after: bool = False,
        bot: Bot | None = None,
    ) -> None:
        """Fail the next `n` calls of a method with a status, or cut their connection (`status=None`).

        `after=True` performs the call first and loses only its answer.
        """
        if status not in STATUSES:
            raise ValueError(f"status {status} is no fault this server imitates; use one of {STATUSES}")
        self._faults.add(Fault(n, status, method, retry_after, after, bot.id if bot else 0))

    @property
    def failures_left(self) -> int:
        """Count the failures that `fail_next` was asked for and that have not happened yet."""
        return self._faults.left

    def heal(self) -> None:
        """Forget the faults that have not happened."""
        self._faults.clear()

    def slow(self, method: str, seconds: float) -> None:
        """Hold back the answers of a method ("" is any), which takes effect at once; 0 seconds ends it."""
        self._faults.slow(method, seconds)

    def redeliver(self, bot: Bot, times: int = 1) -> None:
        """Lose the bot's next `times` confirmations: what it confirmed comes again."""
        self._hub.queue(bot).forget_confirmations(times)

    def drop(self) -> None:
        """Cut every open connection; new ones are accepted at once."""
        if self._door is not None:
            self._door.cut_all()
