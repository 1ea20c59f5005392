"""Eight bots in one process, two on each platform, with the real client libraries: every message is answered once, by the right
character, through the bot that heard it; and what is saved touches the bot that it is about, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import eight
from tests.e2e.eight import Account, Verdict, World
from tests.e2e.serving import Serving, serving

MESSAGES = 2000
NOTHING_WRONG = Verdict(lost=(), doubled=(), astray=(), impostors=())


async def until_answered(world: World, seconds: float = 90.0) -> None:
    """Wait until every message is answered or time is up: the verdict says what is missing."""

    async def answered(server: Any) -> None:
        await server.wait_for(lambda _: not world.judge().lost, timeout=seconds)

    waiting = [asyncio.create_task(answered(server)) for server in world.servers.values()]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@asynccontextmanager
async def talk(world: World, pause: float = 0.02) -> AsyncIterator[None]:
    """Let people talk in every place for as long as the context lasts."""
    over = asyncio.Event()

    async def talking() -> None:
        while not over.is_set():
            world.speak()
            await asyncio.wait({asyncio.ensure_future(over.wait())}, timeout=pause)

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


def counts(world: World) -> dict[str, int]:
    return {f"{account.platform} {account.number}": account.connects for account in world.accounts}


@pytest.mark.timeout(240)
async def test_two_thousand_messages_are_each_answered_once_by_the_right_character_and_bot(tmp_path: Path) -> None:
    async with eight.world(tmp_path, seed=8) as world:
        world.save()
        async with serving(world.file) as server:
            await up(world, server)
            before = counts(world)
            for number in range(MESSAGES):
                world.speak()
                if number % 20 == 0:
                    await asyncio.sleep(0.05)  # people take their time; thousands of words at once are no talk
            await until_answered(world)
            assert world.judge() == NOTHING_WRONG
            assert counts(world) == before
            assert (await server.get("/api/status"))["uncertain"] == []


@pytest.mark.timeout(240)
async def test_instances_come_and_go_while_people_talk_and_only_the_touched_one_reconnects(tmp_path: Path) -> None:
    async with eight.world(tmp_path, seed=9) as world:
        world.save()
        async with serving(world.file) as server:
            await up(world, server)
            named = {account.platform: account for account in world.accounts if account.name is not None}

            async def touched(change: Callable[[], Account | None]) -> None:
                """Make a change while people talk; nobody but the account it is about may begin a session anew."""
                before = counts(world)
                async with talk(world):
                    account = change()
                    await saved(world, server)
                    if account is not None:
                        await server.ready(account.key, seconds=40)
                await until_answered(world, 60)
                after = counts(world)
                mine = f"{account.platform} {account.number}" if account is not None else ""
                assert {k: v for k, v in after.items() if k in before and k != mine} == {
                    k: v for k, v in before.items() if k in after and k != mine
                }

            def renamed(account: Account) -> Account:
                account.name = f"renamed{account.number}"
                return account

            for platform in eight.PLATFORMS:
                newcomer: list[Account] = []
                await touched(
                    lambda platform=platform, newcomer=newcomer: newcomer.append(world.add(platform)) or newcomer[0]
                )  # type: ignore[misc]
                await touched(lambda platform=platform: renamed(named[platform]))  # type: ignore[misc]
                # Nobody speaks to who is about to go, and what it was asked is answered.
                world.accounts.remove(newcomer[0])
                await touched(lambda: None)
            assert world.judge() == NOTHING_WRONG
