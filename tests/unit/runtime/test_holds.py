"""An agent can be held: what it says ends, what comes next waits and is not lost, and patience has an end."""

from __future__ import annotations

import asyncio

import pytest

from homunculus.errors import NotReady
from homunculus.interfaces import Desk, Order, Response
from homunculus.runtime.holds import Holds
from tests.unit.runtime.fakes import adapter, agent, calm, deployment, rule, running

ONE = deployment(
    [adapter(None, "t")], [agent("kovach"), agent("mara")], [rule("kovach", None, "1", "2"), rule("mara", None, "3")]
)


async def test_a_held_agent_finishes_its_turn_and_keeps_the_next_ones_waiting() -> None:
    async with running() as world:
        await world.supervisor.apply(ONE)
        await calm()
        world.slow = True
        first = world.say("t", "1")
        await calm()
        held, over = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with world.supervisor.holds.held("kovach", 30):
                held.set()
                await over.wait()

        holding = asyncio.create_task(hold())
        await calm()
        assert not held.is_set()  # it is still answering
        second, other = world.say("t", "2"), world.say("t", "3")
        await calm()
        assert [turn.agent.id for turn in world.thinking.values()] == ["kovach", "mara"]
        world.answer_all()
        await calm()
        assert held.is_set()
        assert world.outcomes() == {first.id: ["answered"], other.id: ["answered"]}
        # What waits is answered by whoever the agent is once it is let go.
        await world.supervisor.apply(deployment(ONE.adapters, [agent("kovach", 7), agent("mara")], ONE.bindings))
        await calm()
        assert second.id not in world.outcomes()
        over.set()
        await holding
        await calm()
        world.answer_all()
        await calm()
        assert world.outcomes()[second.id] == ["answered"]
        assert world.turns[-1].agent.spec == agent("kovach", 7)


async def test_impatience_lets_everything_go_on() -> None:
    holds = Holds()
    with holds.taken("kovach"):
        with pytest.raises(NotReady, match="still answering"):
            async with holds.held("kovach", 0):
                raise AssertionError("held while it speaks")
        assert not holds.is_held("kovach")
    async with asyncio.timeout(5), holds.held("kovach", 0):
        await holds.passed("mara")
        with pytest.raises(NotReady, match="already"):
            async with holds.held("kovach", 0):
                raise AssertionError("held twice")
        assert holds.is_held("kovach")
    await holds.passed("kovach")


async def test_a_turn_within_a_turn_counts_as_speaking() -> None:
    """What is learned after a turn begins before the turn has ended: there is no gap between them."""
    holds = Holds()
    held = asyncio.Event()

    async def hold() -> None:
        async with holds.held("kovach", 30):
            held.set()

    with holds.taken("kovach"):
        with holds.taken("kovach"):
            holding = asyncio.create_task(hold())
            await calm()
        await calm()
        assert not held.is_set()
    await holding
    assert held.is_set()


async def test_what_is_changed_by_command_is_not_swapped_away() -> None:
    did: list[str] = []

    async def remember(order: Order, desk: Desk) -> Response:
        async with desk.tended(order):
            did.append("changed")
        return Response("done")

    async with running() as world:
        await world.supervisor.apply(ONE)
        await calm()
        world.command = remember
        async with world.supervisor.holds.held("kovach", 30):
            world.say("t", "1", "!remember")
            world.say("t", "3", "!remember")
            await calm()
            assert did == ["changed"]  # the other agent's
            did.append("swapped")
        await calm()
        assert did == ["changed", "swapped", "changed"]
