"""Eight bots in one process, two on each platform, with the real client libraries.

Every message is answered once, by the right character, through the bot that heard it; and what is saved touches the bot that it
is about, and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e import eight
from tests.e2e.eight import Account, Verdict, World
from tests.e2e.serving import Serving, serving

MESSAGES = 2000
AT_ONCE = 80  # whose names are more than a post on Twitch holds
NOTHING_WRONG = Verdict(lost=(), doubled=(), astray=(), impostors=())


async def settled(world: World, seconds: float = 90.0) -> Verdict:
    """Wait until every message is answered or time is up: the verdict says what is missing."""
    waiting = [
        asyncio.create_task(server.wait_for(lambda _: not world.judge().lost, timeout=seconds))
        for server in world.servers.values()
    ]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    return world.judge()


@asynccontextmanager
async def talk(world: World, pause: float = 0.02) -> AsyncIterator[None]:
    """Let people talk in every place for as long as the context lasts."""
    over = asyncio.Event()

    async def talking() -> None:
        while not over.is_set():
            world.speak()
            try:
                await asyncio.wait_for(over.wait(), pause)
            except TimeoutError:
                continue

    task = asyncio.create_task(talking(), name="people talk")
    try:
        yield
    finally:
        over.set()
        await task


async def up(world: World, server: Serving) -> None:
    for account in world.accounts:
        await server.ready(account.key, seconds=40)


async def saved(world: World, server: Serving) -> None:
    after = len(server.events)
    world.save()
    event = await server.event("reload", after=after)
    assert event["result"] == "applied", event


@pytest.mark.timeout(240)
async def test_two_thousand_messages_are_each_answered_once_by_the_right_character_and_bot(tmp_path: Path) -> None:
    async with eight.world(tmp_path, seed=8) as world:
        world.save()
        async with serving(world.file) as server:
            await up(world, server)
            before = world.connects()
            for number in range(MESSAGES):
                world.speak()
                if number % 20 == 0:
                    await asyncio.sleep(0.05)  # people take their time; thousands of words at once are no talk
            assert await settled(world) == NOTHING_WRONG
            assert world.connects() == before
            assert (await server.get("/api/status"))["uncertain"] == []


async def test_who_talk_while_an_answer_is_thought_are_all_answered_though_it_takes_two_posts(tmp_path: Path) -> None:
    async with eight.world(tmp_path, seed=10) as world:
        world.accounts = [account for account in world.accounts if account.platform == "twitch"][:1]
        world.model.slow(0.5)
        world.save()
        async with serving(world.file) as server:
            await up(world, server)
            place = world.places()[0]
            for _ in range(AT_ONCE):
                world.speak(place)
            await world.servers["twitch"].wait_for(lambda _: place.account.posts(place))
            world.model.heal()
            assert await settled(world, seconds=20) == NOTHING_WRONG
            assert len(place.account.posts(place)) < AT_ONCE / 2  # most were answered together


@pytest.mark.timeout(240)
@pytest.mark.parametrize("platform", eight.PLATFORMS)
async def test_instances_come_and_go_while_people_talk_and_only_the_touched_one_reconnects(
    tmp_path: Path, platform: str
) -> None:
    async with eight.world(tmp_path, seed=9) as world:
        world.save()
        async with serving(world.file) as server:
            await up(world, server)
            veteran = next(a for a in world.accounts if a.platform == platform and a.name is not None)

            @asynccontextmanager
            async def touching(account: Account) -> AsyncIterator[None]:
                """Change something about an account while people talk; nobody else may begin a session anew."""
                before = world.connects()
                async with talk(world):
                    yield
                    await saved(world, server)
                    if account in world.accounts:
                        # Whoever was ready a moment ago may not know yet that its token is void: a new session is the proof.
                        wanted = before.get(account, 0) + account.connects_a_session
                        await world.servers[platform].wait_for(lambda _: account.connects >= wanted, timeout=40)
                        await server.ready(account.key, seconds=40)
                assert await settled(world) == NOTHING_WRONG
                after = world.connects()
                assert {a: n for a, n in after.items() if a is not account} == {
                    a: n for a, n in before.items() if a is not account
                }

            for place in world.places():
                world.speak(place)  # what is fetched later is fetched from the last recorded message on
            assert await settled(world) == NOTHING_WRONG
            newcomer = world.create(platform)
            async with touching(newcomer):
                world.accounts.append(newcomer)
                world.quiet.add(newcomer)  # nobody speaks to who is not there yet
            # What is said to it while it reconnects Twitch tells nobody later; the others keep it.
            world.quiet = {veteran} if platform == "twitch" else set()
            async with touching(veteran):
                veteran.name = "renamed"
            async with touching(veteran):
                veteran.renew()
            world.quiet.clear()
            async with touching(newcomer):
                world.accounts.remove(newcomer)
