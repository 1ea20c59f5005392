"""Whatever happens to the network, every message is answered once; and what a person must see to is said in `status`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from homunculus.testing.discord import DiscordServer
from homunculus.testing.model import ModelServer
from tests.e2e import lives, outages
from tests.e2e.serving import Serving, serving


@pytest.mark.timeout(120)
async def test_a_connection_that_fails_again_and_again_loses_nothing_and_says_nothing_twice(tmp_path: Path) -> None:
    world, verdict = await outages.run(tmp_path, seconds=12, count=6, seed=4)
    assert len(world.struck) == 6
    assert any(fault.identifies for fault in world.struck)
    assert any(fault.resumes and not fault.identifies for fault in world.struck)
    assert verdict.good, (
        f"{verdict}; {verdict.lost[:5]} {verdict.doubled[:5]} {verdict.unhappy[:5]}; {[fault.name for fault in world.struck]}"
    )


async def test_what_was_said_while_the_program_was_down_is_answered_at_its_next_start(tmp_path: Path) -> None:
    async with outages.unlucky(tmp_path, seed=1) as (world, server):
        assert await server.stopped() == 0
        for place in (*world.public, world.private):
            for _ in range(3):
                world.speak(place, world.whisperer)
        world.discord.post(world.public[0], world.crowd[0], "nobody is meant")
        async with serving(world.file) as again:
            await again.ready("discord")
            await world.settled(20)
            for place in (*world.public, world.private):
                world.speak(place, world.whisperer)
            await world.settled(20)
            verdict = outages.judge(world, again)
    assert (verdict.lost, verdict.doubled, verdict.astray, verdict.foreign) == ((), (), (), 0)
    order = [name for _, text in world.posts() for name in lives.SAID.findall(text)]
    for place in (*world.public, world.private):
        here = [name for name in order if world.said[name] is place]
        assert here == [name for name, where in world.said.items() if where is place]


async def adapter(server: Serving) -> dict[str, Any]:
    (found,) = [one for one in (await server.get("/api/status"))["adapters"] if one["runtime_key"] == "discord"]
    return dict(found)


@pytest.mark.parametrize(
    ("harm", "remedy"),
    [
        (lambda world: world.discord.revoke(world.bot), "Reset Token"),
        (lambda world: world.discord.disconnect(world.bot, 4014), "Message Content Intent"),
    ],
    ids=["revoked", "intent"],
)
async def test_what_a_person_must_see_to_is_said_in_status_with_the_remedy(
    tmp_path: Path, harm: Callable[[outages.World], None], remedy: str
) -> None:
    async with outages.unlucky(tmp_path, seed=2) as (world, server):
        harm(world)
        await server.event("adapter", runtime_key="discord", state="failed")
        status = await adapter(server)
        assert status["state"] == "failed"
        assert remedy in status["reason"]
        assert "discord.com/developers" in status["reason"]
        assert outages.TOKEN not in "\n".join(server.log)


async def test_a_first_connection_that_fails_is_tried_again_and_said_in_status(tmp_path: Path) -> None:
    async with DiscordServer() as discord, ModelServer() as model:
        world = outages.World(discord, model, tmp_path, random.Random(3))
        discord.refuse_connections()
        async with serving(world.file) as server:
            await server.event("adapter", runtime_key="discord", state="retrying")
            assert (
                "cannot be reached" in (await adapter(server))["reason"]
                or "failed" in (await adapter(server))["reason"]
            )
            discord.accept_connections()
            await server.ready("discord")
            assert discord.identifies(outages.TOKEN) == 1
