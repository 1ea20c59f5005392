"""Random reloads under traffic, and what must hold all the while. Everything is drawn from one seed.

Tokens move between names, names and agents come and go, models and memories change, platforms hang, refuse, break and die,
the disk fills up, messages are delivered again: `Storm.run` returns every promise of design/architecture.md that was broken.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from unittest.mock import patch

from loguru import logger

from homunculus.errors import NotReady, Refused
from homunculus.model import Deployment, Message, ModelSpec
from tests.unit.runtime.fakes import World, adapter, agent, calm, deployment, rule

TOKENS, NAMES, AGENTS, PLACES = ("t0", "t1", "t2"), (None, "a", "b", "c"), ("a0", "a1", "a2"), ("p0", "p1")
T = TypeVar("T")
APPLY_SECONDS = 3.0  # of real time: preparing takes milliseconds, and nothing that hangs is ever released meanwhile


async def _soon(function: Callable[..., T], *arguments: Any) -> T:
    """Stand in for a thread, so that a seed says all: a thread would take a different time on each run."""
    await asyncio.sleep(0)
    result = function(*arguments)
    await asyncio.sleep(0)
    return result


class Storm:
    """One seeded run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World()
        self.said: list[tuple[Message, str]] = []

    async def run(self, steps: int = 40) -> list[str]:
        """Return the violations, as soon as there are any."""
        with patch.object(asyncio, "to_thread", _soon):
            return await self._run(steps)

    async def _run(self, steps: int) -> list[str]:
        world = self.world
        sink = logger.add(self._log, level="ERROR", format="{message}")
        try:
            world.slow, world.closing_steps = True, 12
            await self._apply(self._deployment())
            for _ in range(steps):
                await self._step()
                if world.violations:
                    return world.violations
            await self._let_all_end()
            self._check_ends()
            return world.violations
        finally:
            world.answer_all()
            world.store.commits.set()
            for server in world.servers.values():
                server.release()
            await world.stop()
            self._check_closed()
            logger.remove(sink)

    # -- what happens

    async def _step(self) -> None:
        draw = self.random
        action = draw.choices(
            (
                self._say,
                self._say_again,
                self._reload,
                self._mood,
                self._kill,
                self._think,
                self._pass,
                self._fill,
                self._commit,
            ),
            (14, 3, 5, 3, 2, 5, 4, 1, 3),
        )[0]
        await action()
        for _ in range(draw.choice((0, 1, 1, 60))):  # now and then the next thing happens in the midst of this one
            await asyncio.sleep(0)
        if draw.random() < 0.5:
            await self._calm()
            if self.world.store.commits.is_set():
                self._check_progress()

    async def _say(self) -> None:
        token, place = self.random.choice(TOKENS), self.random.choice(PLACES)
        if self.world.thinking and self.random.random() < 0.6:  # where somebody thinks, so that turns are joined
            busy = self.random.choice(sorted(self.world.thinking))
            token, place = busy.removeprefix("discord/bot-").split("/")
        for _ in range(self.random.choice((1, 1, 2, 3))):
            text = self.random.choice(("hello", "hello", "hello", "quiet"))
            self.said.append((self.world.say(token, place, text), token))

    async def _say_again(self) -> None:
        if self.said:
            message, token = self.random.choice(self.said[-6:])
            self.world.put(message, token)

    async def _reload(self) -> None:
        await self._apply(self._deployment())

    async def _reroute(self) -> None:
        """Change who answers where, and nothing else, while somebody thinks and somebody waits."""
        await self._say()
        await calm(20)
        now = self.world.supervisor.applied
        here = [spec.id for spec in now.agents]
        await self._apply(
            replace(now, bindings=tuple(replace(b, agent_id=self.random.choice(here)) for b in now.bindings))
        )
        await self._say()

    async def _flip(self) -> None:
        """Change something, and take it back at once."""
        before = self.world.supervisor.applied
        await self._apply(self._deployment())
        await self._apply(before)

    async def _mood(self) -> None:
        server = self.world.server(self.random.choice(TOKENS))
        server.open_mood = self.random.choice(("ok", "ok", "ok", "ok", "hang", "later", "refuse", "break"))
        server.send_mood = self.random.choice(("ok", "ok", "ok", "hang", "later", "refuse", "uncertain", "break"))
        server.after = self.random.choice((None, 3.0, 100.0))
        server.release()

    async def _kill(self) -> None:
        error = self.random.choice((None, NotReady("reset"), RuntimeError("bug"), Refused("revoked")))
        self.world.server(self.random.choice(TOKENS)).die(error)

    async def _think(self) -> None:
        for conversation in list(self.world.pondering):
            if self.random.random() < 0.5:
                self.world.answer(conversation)

    async def _pass(self) -> None:
        self.world.time.advance(self.random.choice((0.5, 1, 5, 11, 90)))
        self._wake()

    async def _fill(self) -> None:
        self.world.store.full = not self.world.store.full

    async def _commit(self) -> None:
        """Hold every commit, or let them go."""
        commits = self.world.store.commits
        commits.clear() if commits.is_set() else commits.set()

    async def _apply(self, wanted: Deployment) -> None:
        try:
            async with asyncio.timeout(APPLY_SECONDS):
                await self.world.apply(wanted)
        except TimeoutError:
            self.world.violations.append("apply waits for a network or a drain")
            return
        if self.world.supervisor.applied != wanted:
            self.world.violations.append("apply returned, and something else runs")

    def _deployment(self) -> Deployment:
        draw = self.random
        names = draw.sample(NAMES, len(TOKENS))
        adapters = [
            adapter(name, token if draw.random() < 0.95 else None, enabled=draw.random() < 0.93)
            for name, token in zip(names, TOKENS, strict=True)
            if draw.random() < 0.88
        ]
        if draw.random() < 0.5:  # the instances stay, or nobody would ever be connected for long
            adapters = list(self.world.supervisor.applied.adapters)
        here = draw.sample(AGENTS, draw.choice((1, 2, 3, 3)))
        models = tuple(
            ModelSpec(ident, "scripted", temperature=draw.choice((0.1, 0.2, 0.3))) for ident in ("default", "other")
        )
        rules = [
            rule(draw.choice(here), spec.name, place) for spec in adapters for place in PLACES if draw.random() < 0.8
        ]
        return deployment(
            adapters,
            [agent(ident, draw.randint(0, 2), model=draw.choice(("default", "other"))) for ident in here],
            rules,
            models=models,
            default_agent=draw.choice((None, None, here[0])),
        )

    async def _let_all_end(self) -> None:
        """Heal everything, and hear everywhere: what is still unconfirmed must now be answered."""
        world = self.world
        world.store.full = False
        world.store.commits.set()
        for server in world.servers.values():
            server.open_mood = server.send_mood = "ok"
            server.release()
        last = [adapter(name, token) for name, token in zip(NAMES, TOKENS, strict=False)]
        everything = deployment(last, [agent("a0")], [rule("a0", spec.name) for spec in last])
        await self._apply(replace(everything, adapters=(), bindings=()))  # ends what was refused for good
        await self._apply(everything)
        for _ in range(30):
            world.answer_all()
            await calm()
            world.time.advance(30)
            self._wake()

    def _wake(self) -> None:
        for server in self.world.servers.values():
            for session in server.live:
                session.wake()

    async def _calm(self) -> None:
        """Let everything run that can: until nothing is told any more."""
        before = -1
        while before != len(self.world.events):
            before = len(self.world.events)
            await calm()

    # -- what must hold

    def _log(self, line: str) -> None:
        if line.startswith("A background task died"):
            self.world.violations.append("a background task died")

    def _check_progress(self) -> None:
        """See that a message waits only for a turn of its own conversation, once all that can run has run."""
        world = self.world
        ended, busy = world.outcomes(), world.thinking.keys() | world.posting
        for row in world.store.inbox.values():
            conversation = row.message.address.conversation
            if row.message.id not in ended and conversation not in busy:
                world.violations.append(f"{row.message.id} waits, but nobody thinks in {conversation}")

    def _check_ends(self) -> None:
        world = self.world
        outcomes = world.outcomes()
        for row in world.store.inbox.values():
            # One that is delivered again once nobody listens there any more is ignored besides.
            ended = [outcome for outcome in outcomes.get(row.message.id, []) if outcome != "ignored"]
            if len(ended) != 1:
                world.violations.append(f"{row.message.id} was recorded and ended {len(ended)} times: {ended}")
        answers = Counter(
            (address.conversation, reply.quotes) for s in world.servers.values() for address, reply in s.posts
        )
        world.violations += [f"{message} has {n} replies" for (_, message), n in answers.items() if n > 1]
        for server in world.servers.values():
            world.violations += [f"{message.id} was lost" for message in server.unconfirmed]
        states = {status.runtime_key: status.state for status in world.supervisor.adapters()}
        if set(states.values()) != {"ready"}:
            world.violations.append(f"not everything is ready: {states}")
        open_models = [model.spec.id for model in world.models if not model.closed]
        if open_models != ["default"] or [key[0] for key in +world.owners] != ["a0"]:
            world.violations.append(f"left open: {open_models}, {dict(+world.owners)}")

    def _check_closed(self) -> None:
        world = self.world
        if any(server.live for server in world.servers.values()) or +world.owners:
            world.violations.append("something is still open after the stop")
        if not all(model.closed for model in world.models):
            world.violations.append("a model is still open after the stop")
