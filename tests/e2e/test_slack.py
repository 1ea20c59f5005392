"""Slack from end to end: a real `homunculus serve` with the real slack-sdk against a loopback Slack, in two workspaces at once.

What should have happened is derived from what people posted and which faults were injected; what did happen is read from
the loopback server's own log and, for what nobody can know, from the program's own report.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from homunculus.testing.model import ModelServer
from homunculus.testing.slack import Bot, Channel, Message, SlackServer, User
from tests.e2e.lives import SAID, echo
from tests.e2e.serving import Serving, serving, write

CROWD = 40  # so many that nobody meets the limit of answered turns a minute
WHOLE = "The cellar has been nailed shut since nineteen nineteen, and whoever asks me twice does not ask a third time."


@dataclass
class Place:
    """Where people talk: a conversation, or a thread in it."""

    bot: Bot
    channel: Channel
    thread: Message | None = None


@dataclass
class World:
    """Two workspaces with a bot each, full of people who never stop talking."""

    slack: SlackServer
    model: ModelServer
    folder: Path
    rng: random.Random = field(default_factory=lambda: random.Random(20261127))
    said: dict[str, Place] = field(default_factory=dict)  # what addressed an NPC → where
    weather: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.bots = [self._bot(n, team) for n, team in enumerate(("Arkham", "Dunwich"))]
        self.people = {
            bot: [self.slack.add_user(bot.workspace, f"Player {n}") for n in range(CROWD)] for bot in self.bots
        }
        self.places = [place for bot in self.bots for place in self._rooms(bot)]
        self.file = self.folder / "deployments" / "slack.yaml"
        write(self.folder / "characters" / "kovach.yaml", "name: Kovach\ndescription: A keeper of a store.\n")
        write(self.file, self.text())

    def _bot(self, number: int, team: str) -> Bot:
        workspace = self.slack.add_workspace(team)
        return self.slack.add_bot(workspace, f"xoxb-{number}-SLACK", f"xapp-{number}-SLACK", name=f"Keeper {number}")

    def _rooms(self, bot: Bot) -> list[Place]:
        members: list[Bot | User] = [bot, *self.people[bot]]
        public = self.slack.add_channel(bot.workspace, "tavern", members)
        private = self.slack.add_channel(bot.workspace, "cellar", members, kind="group")
        root = self.slack.post(public, self.people[bot][0], "a thread begins", subtype="channel_topic")
        return [Place(bot, public), Place(bot, public, root), Place(bot, private)]

    def text(self, agent: str = "respond: mention, history_size: 0") -> str:
        first, second = self.bots
        channels = [
            f"  - {{platform: slack, {'adapter: dunwich, ' if place.bot is second else ''}"
            f"channel_id: {place.channel.id}, agent_id: npc-{number}}}"
            for number, place in enumerate(self.places)
            if place.thread is None
        ]
        agents = [
            f"  npc-{number}: {{character: kovach, model: m, {agent}}}"
            for number, place in enumerate(self.places)
            if place.thread is None
        ]
        return "\n".join(
            [
                "version: 1",
                "bot_name: slack",
                f"data_home: {self.file.parent / 'home'}",
                "server: {port: 0}",
                "messaging:",
                "  slack:",
                f"    api_base: {self.slack.api_base}",
                f"    bot_token: {first.token}",
                f"    app_token: {first.app_token}",
                f"    authority: [{self.people[first][0].id}]",
                "    instances:",
                f"      - {{name: dunwich, bot_token: {second.token}, app_token: {second.app_token}}}",
                "models:",
                f"  m: {{provider: openai, name: m, base_url: {self.model.base_url}, api_key: {self.model.key}}}",
                "agents:",
                *agents,
                "channels:",
                *channels,
                "",
            ]
        )

    # -- people and weather

    def speak(self, place: Place) -> str:
        """Let somebody address the NPC of a place: by a mention, or by its name."""
        name = f"said-{len(self.said)}"
        author = self.people[place.bot][len(self.said) % CROWD]
        text = f"<@{place.bot.user_id}> {name}" if self.rng.random() < 0.5 else f"{name}, Kovach"
        self.said[name] = place
        self.slack.post(place.channel, author, text, thread=place.thread)
        return name

    async def talk(self, over: asyncio.Event) -> None:
        while not over.is_set():
            for _ in range(self.rng.choice((1, 1, 2, 3))):
                self.speak(self.rng.choice(self.places))
            await pause(over, self.rng.uniform(0.1, 0.4))

    async def storm(self, over: asyncio.Event) -> None:
        """Let calls and events suffer beside the connections."""
        post, slack = "chat.postMessage", self.slack
        kinds = {
            "redelivered": lambda: slack.repeat(self.rng.choice(self.bots), self.rng.randint(1, 4)),
            "HTTP 429": lambda: slack.fail_next(status=429, retry_after=1, method=post),
            "HTTP 503": lambda: slack.fail_next(status=503, method=post),
            "HTTP 500 after the fact": lambda: slack.fail_next(status=500, method=post, after=True),
            "cut before": lambda: slack.fail_next(status=None, method=post),
            "cut after": lambda: slack.fail_next(status=None, method=post, after=True),
            "names refused": lambda: slack.fail_next(status=429, method="users.info"),
            "slow": lambda: slack.slow(post, self.rng.uniform(0.1, 0.5)),
        }
        while not over.is_set():
            kind = self.rng.choice(list(kinds))
            self.weather[kind] += 1
            if slack.failures_left < 2:
                kinds[kind]()
            await pause(over, self.rng.uniform(0.5, 1.5))
        slack.slow(post, 0)

    # -- faults

    async def back(self, bot: Bot, opened: int, seconds: float = 40) -> None:
        """Wait until a bot has a newer connection than its first so many."""
        await self.slack.wait_for(lambda s: s.opened(bot) > opened and s.connections(bot) == 1, timeout=seconds)

    async def strike(self, bot: Bot, fault: str) -> None:
        opened = self.slack.opened(bot)
        if fault == "silent":
            self.slack.mute(bot)
        elif fault == "half open":
            self.slack.mute(bot, half_open=True)
        elif fault == "refresh":
            self.slack.refresh(bot)
        elif fault == "warning":
            self.slack.refresh(bot, "warning", close=False)
        else:
            self.slack.disconnect(bot, politely=fault == "closed")
        await self.back(bot, opened)

    # -- what came of it

    def posts(self) -> list[tuple[Channel, str | None, str]]:
        """Return what the bots said: where, in which thread, and what."""
        channels = {place.channel for place in self.places}
        return [
            (channel, message.thread_ts if message.is_reply else None, message.text)
            for channel in channels
            for message in self.slack.messages(channel)
            if message.bot is not None
        ]

    def told(self) -> Counter[str]:
        """Count how often each message was answered."""
        return Counter(name for _, _, text in self.posts() for name in SAID.findall(text))

    async def unsure(self, server: Serving) -> set[str]:
        """Return the messages whose answers the program reports as uncertain."""
        status = await server.get("/api/status")
        return {name for unsure in status["uncertain"] for name in SAID.findall(unsure["text"])}

    async def first_words(self) -> None:
        """Be heard once in every place: what was never heard before cannot be caught up on."""
        wanted = {self.speak(place) for place in self.places}
        await self.slack.wait_for(lambda _: wanted <= self.told().keys(), timeout=30)

    async def settled(self, server: Serving) -> None:
        """Wait until everything is answered or reported."""
        async with asyncio.timeout(40):
            while missing := self.said.keys() - self.told().keys() - await self.unsure(server):
                with suppress(TimeoutError):
                    await self.slack.wait_for(partial(self._answered, missing), timeout=0.5)

    def _answered(self, names: set[str], _: SlackServer) -> bool:
        return names <= self.told().keys()


async def pause(over: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


@pytest.mark.timeout(150)
async def test_under_faults_of_every_kind_two_workspaces_lose_nothing_and_say_nothing_twice(tmp_path: Path) -> None:
    async with SlackServer(ack_seconds=1.5, retry_seconds=(0.0, 1.0, 4.0)) as slack, ModelServer() as model:
        model.script(echo)
        world = World(slack, model, tmp_path)
        over = asyncio.Event()
        async with serving(world.file) as server:
            await both_ready(server)
            await world.first_words()
            beside = [asyncio.create_task(world.talk(over)), asyncio.create_task(world.storm(over))]
            await asyncio.gather(unlucky(world, world.bots[0], 1), unlucky(world, world.bots[1], 0))
            await away(world)
            server.process.kill()
            await server.process.wait()
        async with serving(world.file) as server:
            await both_ready(server)
            over.set()
            await asyncio.gather(*beside)
            await world.first_words()
            await world.settled(server)
            unsure = await world.unsure(server)
            assert await server.stopped() == 0
        told = world.told()
        print(f"{len(world.said)} said, {len(world.posts())} posts, {len(unsure)} uncertain, {dict(world.weather)}")
        assert not [name for name in world.said if name not in told and name not in unsure]
        assert not [name for name, times in told.items() if times > 1]
        assert len(told) > len(world.said) / 2
        assert told.keys() <= world.said.keys()
        for channel, thread, text in world.posts():
            for name in SAID.findall(text):
                place = world.said[name]
                assert (channel, thread) == (place.channel, place.thread.ts if place.thread else None)


async def both_ready(server: Serving) -> None:
    await asyncio.gather(server.ready("slack"), server.ready("slack:dunwich"))


async def unlucky(world: World, bot: Bot, number: int) -> None:
    """Lose one bot's connection: a socket that falls silent takes as long to notice as the other's faults."""
    faults = [["silent"], ["refresh", "cut", "warning", "refresh"]][number == 0]
    for fault in faults:
        await world.strike(bot, fault)
        await asyncio.sleep(world.rng.uniform(0.1, 0.4))  # the moment of the next is what is being chosen


async def away(world: World) -> None:
    """Let the network be away for a second."""
    opened = [(bot, world.slack.opened(bot)) for bot in world.bots]
    world.slack.refuse_connections()
    await asyncio.sleep(1.0)
    world.slack.accept_connections()
    await asyncio.gather(*(world.back(bot, before) for bot, before in opened))


async def test_a_thread_a_slow_answer_and_a_command_on_slack(tmp_path: Path) -> None:
    async with SlackServer() as slack, ModelServer() as model:
        world = World(slack, model, tmp_path)
        model.reply(WHOLE)
        write(world.file, world.text("respond: mention"))
        arkham, ana = world.bots[0], world.people[world.bots[0]][0]
        tavern = world.places[0].channel
        async with serving(world.file) as server:
            await both_ready(server)
            # In a thread, under the NPC's own name, with a check mark on what is answered.
            root = slack.post(tavern, ana, "who keeps this place?")
            asked = slack.post(tavern, ana, f"<@{arkham.user_id}> you?", thread=root)
            await slack.wait_for(lambda _: len(thread_of(slack, tavern, root)) == 2)
            reply = thread_of(slack, tavern, root)[1]
            assert (reply.text, reply.shown_name) == (WHOLE, "Kovach")
            await slack.wait_for(lambda s: s.reactions(asked) == {"white_check_mark": [arkham.user_id]})
            # Answering it needs no mention: the thread of a post of ours is talking to us.
            model.slow(0.15)
            slack.post(tavern, ana, f"<@{arkham.user_id}> what is in the cellar?")
            await slack.wait_for(lambda _: grown(slack, tavern) is not None, timeout=20)
            assert grown(slack, tavern).texts[0] != WHOLE  # type: ignore[union-attr]  # there: it was waited for
            await slack.wait_for(lambda _: grown(slack, tavern).text == WHOLE, timeout=20)  # type: ignore[union-attr]
            model.slow(0)
            mine = grown(slack, tavern)
            assert mine is not None
            slack.post(tavern, ana, "is that so", thread=mine)
            await slack.wait_for(lambda _: len(thread_of(slack, tavern, mine)) == 2)
            # A slash command is answered through its own way back; an order to its author alone.
            await slack.wait_for(lambda s: len(s.calls("chat.postMessage")) == 3)
            status = slack.command(arkham, tavern, ana, "status")
            await slack.wait_for(lambda _: status.answers)
            assert "Kovach" in str(status.answers)
            order = slack.command(arkham, tavern, ana, "mode observe")
            await slack.wait_for(lambda _: order.answers)
            assert order.answers[0]["response_type"] == "ephemeral"
            assert status.acknowledged
            assert order.acknowledged
            assert len(slack.calls("chat.postMessage")) == 3
            assert not slack.calls("chat.postEphemeral")
            assert (await server.get("/api/status"))["overrides"]
            assert await server.stopped() == 0
        assert slack.undelivered == 0


def thread_of(slack: SlackServer, channel: Channel, root: Message) -> list[Message]:
    return [message for message in slack.messages(channel) if message.is_reply and message.thread_ts == root.ts]


def grown(slack: SlackServer, channel: Channel) -> Message | None:
    """Return the post of the bot that was changed."""
    return next((message for message in slack.messages(channel) if message.bot and message.texts), None)


async def test_what_a_person_must_see_to_on_slack_is_said_in_status_with_the_remedy(tmp_path: Path) -> None:
    async with SlackServer() as slack, ModelServer() as model:
        world = World(slack, model, tmp_path)
        slack.deny(world.bots[0], "reactions:write")
        slack.leave(world.places[0].channel, world.bots[0])
        async with serving(world.file) as server:
            await both_ready(server)
            after = len(server.events)
            slack.revoke(world.bots[1])
            failed = await server.event("adapter", after=after, runtime_key="slack:dunwich", state="failed")
            assert "make a new one at https://api.slack.com/apps" in failed["reason"]
            adapters = {one["runtime_key"]: one for one in (await server.get("/api/status"))["adapters"]}
            assert "reactions:write" in str(adapters["slack"]["hindrances"])
            assert world.places[0].channel.id in str(adapters["slack"])
            assert adapters["slack"]["state"] == "ready"
            assert "xoxb-1-SLACK" not in "\n".join(server.log)
