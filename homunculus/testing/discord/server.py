"""`DiscordServer`: what a test holds in its hands.

Owns the wiring and the life of the server. The rules are elsewhere: `rest`, `routes`, `message_routes`, `gateway`, `hub`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web

from homunculus.testing.discord.commands import CommandRoutes
from homunculus.testing.discord.faults import Fault, Faults
from homunculus.testing.discord.gateway import Gateway, GatewaySettings
from homunculus.testing.discord.hub import Hub, Typing
from homunculus.testing.discord.interactions import Interaction, Interactions
from homunculus.testing.discord.limits import Rate
from homunculus.testing.discord.mentions import Allowed, resolve
from homunculus.testing.discord.message_routes import MessageRoutes
from homunculus.testing.discord.rest import MAX_REQUEST, PREFIX, Front, Request
from homunculus.testing.discord.routes import Routes
from homunculus.testing.discord.session import GUILD_MEMBERS, GUILD_PRESENCES, MESSAGE_CONTENT
from homunculus.testing.discord.webhooks import WebhookRoutes, added
from homunculus.testing.discord.world import (
    PRIVATE,
    PUBLIC_THREAD,
    TEXT,
    Attachment,
    Bot,
    Channel,
    Guild,
    Message,
    User,
    Webhook,
    World,
)
from homunculus.testing.loopback import Loopback


class DiscordServer(Loopback):
    """Serve a loopback Discord; `async with DiscordServer() as server: ...`.

    `message_rate` is (messages, seconds) a channel for posting and for editing, Discord's own being about `(5, 5.0)`;
    None, the default, does not slow a throughput test down; `webhook_rate` is the same for posts through one webhook,
    Discord's own being `(5, 2.0)`. `heartbeat_interval`, `resume_window` and `nonce_window`
    are seconds; `session_limit` is IDENTIFYs a day and bot: one more resets the token, as Discord does.
    `interaction_patience` is the seconds in which a command is to be answered first, `interaction_life` those in which it can be.
    """

    def __init__(
        self,
        *,
        message_rate: Rate | None = None,
        webhook_rate: Rate | None = None,
        heartbeat_interval: float = 41.25,
        resume_window: float = 180.0,
        nonce_window: float = 180.0,
        session_limit: int = 1000,
        interaction_patience: float = 3.0,
        interaction_life: float = 900.0,
    ) -> None:
        super().__init__()
        settings = GatewaySettings(heartbeat_interval, resume_window, session_limit)
        self._world = World()
        self._gateway = Gateway(self._world, settings, self._changed)
        self._hub = Hub(self._world, self._gateway, self._changed, nonce_window)
        self._faults = Faults()
        self._front = Front(self._world, self._faults, message_rate, self._changed, webhook_rate)
        self._commands = CommandRoutes(self._front, self._world.snowflakes)
        patience, life = interaction_patience, interaction_life
        self._interactions = Interactions(self._hub, self._front, self._commands, patience, life)

    # -- life

    def _opening(self) -> None:
        self._gateway.url = self.gateway
        self._hub.base = f"http://127.0.0.1:{self._port}"

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._front.middleware], client_max_size=MAX_REQUEST)
        Routes(self._hub, self._gateway, self._front).add_to(app, PREFIX)
        MessageRoutes(self._hub, self._front).add_to(app, PREFIX)
        self._commands.add_to(app, PREFIX)
        self._interactions.add_to(app, PREFIX)  # before those of webhooks, which would take any token
        WebhookRoutes(self._hub, self._front).add_to(app, PREFIX)
        app.router.add_get("/attachments/{id:[0-9]+}/{filename}", self._download)
        app.router.add_get("/", self._gateway.handle)
        return app

    async def _download(self, request: web.Request) -> web.Response:
        wanted = int(request.match_info["id"])
        files = (file for c in self._world.channels.values() for m in c.log.values() for file in m.attachments)
        found = next((file for file in files if file.id == wanted), None)
        if found is None:
            raise web.HTTPNotFound
        return web.Response(body=found.data, content_type=found.content_type)

    @property
    def api_base(self) -> str:
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    @property
    def gateway(self) -> str:
        return f"ws://127.0.0.1:{self._port}/"

    # -- making the world

    def add_bot(
        self,
        token: str,
        name: str = "Homunculus",
        *,
        message_content: bool = True,
        guild_members: bool = False,
        presences: bool = False,
    ) -> Bot:
        """Register a bot; the flags are the privileged intents its portal page grants."""
        grants = ((message_content, MESSAGE_CONTENT), (guild_members, GUILD_MEMBERS), (presences, GUILD_PRESENCES))
        return self._world.add_bot(token, name, sum(bit for given, bit in grants if given))

    def add_user(self, name: str, *, bot: bool = False, accepts_dms: bool = True) -> User:
        """Register a person; with `bot=True` somebody else's bot."""
        user = self._world.add_user(name, bot=bot)
        user.accepts_dms = accepts_dms
        return user

    def add_guild(self, name: str, bots: Iterable[Bot] = ()) -> Guild:
        """Make a guild with these bots in it; connected ones get GUILD_CREATE."""
        guild = self._world.add_guild(name)
        for bot in bots:
            self.invite(guild, bot)
        return guild

    def invite(self, guild: Guild, bot: Bot) -> None:
        self._hub.guild_joined(guild, bot)

    def kick(self, guild: Guild, bot: Bot) -> None:
        self._hub.guild_left(guild, bot)

    def add_channel(self, guild: Guild, name: str, id: int | str | None = None) -> Channel:  # noqa: A002 - Discord's word
        """Make a text channel, with an id of your own if you need one; connected bots get CHANNEL_CREATE."""
        number = self._world.snowflakes.mint() if id is None else int(id)
        channel = self._world.add_channel(Channel(number, TEXT, name, guild_id=guild.id))
        self._hub.channel_event("CHANNEL_CREATE", channel)
        return channel

    def remove_channel(self, channel: Channel) -> None:
        """Delete a text channel with its messages; connected bots get CHANNEL_DELETE."""
        self._hub.channel_event("CHANNEL_DELETE", channel)
        for hook in self.webhooks(channel):
            self.remove_webhook(hook)
        del self._world.channels[channel.id]

    def add_thread(self, channel: Channel, name: str) -> Channel:
        """Make a public thread of a channel; connected bots get THREAD_CREATE."""
        owner = self._world.guilds[channel.guild_id or 0].owner.id
        number = self._world.snowflakes.mint()
        thread = Channel(number, PUBLIC_THREAD, name, channel.guild_id, parent_id=channel.id, owner_id=owner)
        self._world.add_channel(thread)
        self._hub.thread_created(thread)
        return thread

    def add_webhook(self, channel: Channel, name: str, author: User | Bot) -> Webhook:
        """Make a webhook as a person does in the channel's settings, or as a bot does over REST."""
        hook = added(self._world.webhooks, self._world.snowflakes.mint(), channel, name, _account(author))
        hook.application_id = author.application_id if isinstance(author, Bot) else None
        self._changed()
        return hook

    def remove_webhook(self, webhook: Webhook) -> None:
        """Delete a webhook as a person does in the channel's settings."""
        del self._world.webhooks[webhook.id]
        self._changed()

    def open_dm(self, bot: Bot, user: User) -> Channel:
        return self._world.private_channel(bot, user)

    def deny(self, bot: Bot, channel: Channel, permission: str) -> None:
        """Take a permission from a bot in a channel; unknown names raise ValueError with the known ones."""
        self._overwrite(bot, channel, permission, allow=False)

    def allow(self, bot: Bot, channel: Channel, permission: str) -> None:
        self._overwrite(bot, channel, permission, allow=True)

    def _overwrite(self, bot: Bot, channel: Channel, permission: str, *, allow: bool) -> None:
        if channel.type == PUBLIC_THREAD and permission == "send_messages":
            permission = "send_messages_in_threads"
        self._world.overwrite(bot, channel, permission, allow=allow)
        if channel.type == TEXT:
            self._hub.channel_event("CHANNEL_UPDATE", channel)

    # -- what people do

    def post(
        self,
        channel: Channel,
        author: User | Bot,
        content: str = "",
        *,
        mentions: Iterable[User | Bot] = (),
        reply_to: Message | None = None,
        attachments: Iterable[tuple[str, bytes]] = (),
    ) -> Message:
        """Post as a person and dispatch MESSAGE_CREATE to every bot that sees the channel.

        Whoever the content names (`<@id>`) is mentioned; those of `mentions` it does not name are put before it.
        A reply mentions the author it answers, as Discord's own client does.
        """
        person = _account(author)
        _check_presence(channel, person)
        missing = [one for one in map(_account, mentions) if f"<@{one.id}>" not in content]
        content = " ".join([*(f"<@{one.id}>" for one in missing), content]).strip()
        mint = self._world.snowflakes.mint
        found = resolve(self._world, channel, content, Allowed(), reply_to.author if reply_to else None)
        message = Message(
            id=mint(),
            channel_id=channel.id,
            guild_id=channel.guild_id,
            author=person,
            content=content,
            reference=reply_to.id if reply_to else None,
            mentions=found.users,
            mention_roles=found.roles,
            mention_everyone=found.everyone,
            attachments=tuple(Attachment(mint(), filename, data) for filename, data in attachments),
        )
        return self._hub.post(message)

    def edit(self, message: Message, content: str) -> None:
        message.content = content
        self._hub.edited(message)

    def delete(self, message: Message) -> None:
        self._hub.delete(message)

    def react(self, message: Message, author: User | Bot, emoji: str) -> None:
        self._hub.react(message, _account(author), emoji)

    def type(self, channel: Channel, author: User | Bot) -> None:
        """Begin to type as a person: connected bots with the typing intent get TYPING_START."""
        self._hub.typing(channel, _account(author))

    def command(
        self,
        channel: Channel,
        author: User,
        words: str,
        values: Mapping[str, str] | None = None,
        *,
        bot: Bot | None = None,
    ) -> Interaction:
        """Give a command (`npc mode`, `{"mode": "always"}`) as a person does with a `/`; ValueError where nobody offers it.

        `bot` names one where several offer it.
        """
        _check_presence(channel, author)
        guild = self._world.guilds.get(channel.guild_id or 0)
        here = [
            one
            for one in self._world.bots.values()
            if (one.user_id in guild.roles if guild else one.user in channel.recipients)
            and words in self._commands.words(one)
            and bot in (None, one)
        ]
        if len(here) != 1:
            raise ValueError(f"{len(here)} bots offer /{words} here; {bot.name if bot else 'one'} was to")
        return self._interactions.give(here[0], channel, author, words, values or {})

    # -- what the server saw

    @property
    def requests(self) -> list[Request]:
        """List the answered REST requests, oldest first."""
        return self._front.log

    def messages(self, channel: Channel) -> list[Message]:
        """List the messages of a channel that were not deleted, oldest first."""
        return list(channel.log.values())

    def webhooks(self, channel: Channel) -> list[Webhook]:
        """List the webhooks of a channel, oldest first."""
        return self._world.webhooks_of(channel)

    def commands(self, bot: Bot) -> list[str]:
        """List what people can complete of a bot's commands: `npc status`, `whoami`."""
        return self._commands.words(bot)

    def command_reads(self, bot: Bot) -> int:
        """Count how often a bot asked which commands it offers."""
        return self._commands.reads[bot.application_id]

    def command_writes(self, bot: Bot) -> int:
        """Count how often a bot changed which commands it offers."""
        return self._commands.writes[bot.application_id]

    def interactions(self, channel: Channel) -> list[Interaction]:
        """List the commands that were given in a channel, oldest first, each with the answers its author sees."""
        return [one for one in self._interactions.all if one.channel is channel]

    def whispers(self, channel: Channel, user: User) -> list[Message]:
        """List the answers in a channel that one person sees and nobody else, oldest first."""
        mine = (one.whispers for one in self.interactions(channel) if one.user is user)
        return sorted((message for messages in mine for message in messages), key=lambda message: message.id)

    def unanswered(self, interaction: Interaction) -> bool:
        """Tell whether its author reads that the application did not respond."""
        return self._interactions.failed(interaction)

    def reactions(self, message: Message) -> dict[str, list[int]]:
        """Map each emoji to the ids of the users who reacted with it."""
        return {name: list(who) for name, who in message.reactions.items()}

    def typings(self, channel: Channel) -> list[Typing]:
        return list(self._hub.typings.get(channel.id, ()))

    def identifies(self, token: str) -> int:
        """Count the IDENTIFYs that carried this token, refused ones too."""
        return self._gateway.identifies[token]

    def resumes(self, token: str) -> int:
        """Count the RESUMEs that carried this token, refused ones too."""
        return self._gateway.resumes[token]

    def connections(self, token: str) -> int:
        """Count the open gateway connections that authenticated with this token."""
        return sum(socket.bot is not None and socket.bot.token == token for socket in self._gateway.sockets)

    def _seen(self) -> str:
        bots = ", ".join(
            f"{bot.name}: {self.connections(bot.token)} open, {self.identifies(bot.token)} identified, "
            f"{self.resumes(bot.token)} resumed"
            for bot in self._world.bots.values()
        )
        places = ", ".join(f"{c.name or c.id}: {len(c.log)} messages" for c in self._world.channels.values() if c.log)
        last = ", ".join(f"{r.method} {r.path} -> {r.status}" for r in self.requests[-5:])
        return f"bots [{bots}]; channels [{places}]; last requests [{last}]"

    # -- faults

    def revoke(self, bot: Bot) -> None:
        """Kill the token: REST answers 401, the gateway closes with 4004."""
        self._gateway.revoke(bot)
        self._changed()

    def reset_token(self, bot: Bot, token: str) -> None:
        """Give a bot a new token, as its owner does in the portal; the old one is void at once."""
        self.revoke(bot)
        bot.token, bot.alive = token, True

    def disconnect(self, bot: Bot, code: int | None = None, *, resumable: bool = True) -> None:
        """Drop the bot's gateway connections: with a close code, or abruptly; `resumable=False` forgets the session."""
        if not resumable:
            self._gateway.forget_sessions(bot)
        for socket in self._gateway.sockets_of(bot):
            if code is None:
                socket.cut()
            else:
                socket.hang_up(code, "")

    def reconnect(self, bot: Bot) -> None:
        """Ask the bot to reconnect and resume (op 7)."""
        for socket in self._gateway.sockets_of(bot):
            socket.ask_to_reconnect()

    def invalidate(self, bot: Bot, resumable: bool) -> None:
        """Declare the bot's session invalid (op 9)."""
        for socket in self._gateway.sockets_of(bot):
            socket.invalidate(resumable=resumable)

    def mute(self, bot: Bot, *, new_connections: bool = False) -> None:
        """Fall silent on the bot's open connections: no acknowledgement, no event, nothing closed.

        A new connection works, as after a zombied one at Discord; with `new_connections=True` it falls silent as well.
        """
        if new_connections:
            self._gateway.muted_bots.add(bot.user_id)
        for socket in self._gateway.sockets_of(bot):
            socket.mute()

    def unmute(self, bot: Bot) -> None:
        """Speak again; what was held back arrives in order."""
        self._gateway.muted_bots.discard(bot.user_id)
        for socket in self._gateway.sockets_of(bot):
            socket.unmute()

    def duplicate(self, bot: Bot, n: int = 1) -> None:
        """Dispatch each of the next `n` messages or commands twice, under two sequence numbers."""
        for session in self._gateway.sessions_of(bot):
            session.doubling += n

    def reorder(self, bot: Bot, n: int = 1) -> None:
        """Dispatch each of the next `n` messages or commands after the one that follows it, a quarter of a second late at most."""
        for session in self._gateway.sessions_of(bot):
            session.swapping += n

    def fail_next(
        self,
        n: int = 1,
        status: int | None = 500,
        path_contains: str = "",
        *,
        method: str = "",
        retry_after: float = 0.5,
        via: bool = True,
        global_: bool = False,
        after: bool = False,
    ) -> None:
        """Fail the next `n` matching REST requests with a status, or cut their connection (`status=None`).

        429 carries Discord's JSON and headers; with `via=False` it is Cloudflare's ban instead, a bare text.
        `after=True` performs the request first and loses only its answer. Paths are without `/api/v10`.
        """
        if status not in (None, 429, 500, 502, 503, 504):
            raise ValueError(f"status {status} is no fault this server imitates; use 429, 500, 502, 503, 504 or None")
        self._faults.add(Fault(n, status, path_contains, method, retry_after, via, global_, after))

    @property
    def failures_left(self) -> int:
        """Count the failures that `fail_next` was asked for and that have not happened yet."""
        return self._faults.left

    def slow(self, path_contains: str, seconds: float) -> None:
        """Hold back the answers of matching requests, which take effect at once; 0 seconds ends it."""
        self._faults.slow(path_contains, seconds)


def _account(one: User | Bot) -> User:
    return one.user if isinstance(one, Bot) else one


def _check_presence(channel: Channel, person: User) -> None:
    if channel.type == PRIVATE and person not in channel.recipients:
        raise ValueError(f"{person.name} is not in this private channel; open one with server.open_dm(bot, user)")
