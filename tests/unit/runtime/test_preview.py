"""A reply may be read while it is thought: one post that grows at a measured pace, durable before it is visible."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from homunculus.interfaces import Turn
from homunculus.model import Message, Reply
from homunculus.runtime.preview import FIRST_SECONDS, PACE_SECONDS
from tests.unit.runtime.fakes import World, adapter, agent, calm, deployment, rule, running

ONE = deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1")])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running() as world:
        world.abilities, world.slow = {"edit"}, True
        await world.supervisor.apply(ONE)
        await calm()
        yield world
        world.answer_all()
        await calm()


async def begun(world: World) -> tuple[Message, Turn]:
    said = world.say("t", "1")
    await calm()
    [turn] = world.thinking.values()
    return said, turn


async def shows(world: World, turn: Turn, text: str, seconds: float) -> None:
    assert turn.preview is not None
    turn.preview.show(lambda: Reply(f"{turn.id}.0", turn.agent.id, "Kovach", text))
    await calm()
    world.time.advance(seconds)
    await calm()


def answer(world: World) -> None:
    for conversation in list(world.pondering):
        world.answer(conversation)


async def test_a_quick_answer_is_posted_once_and_never_edited(world: World) -> None:
    said, turn = await begun(world)
    await shows(world, turn, "v", FIRST_SECONDS / 2)
    answer(world)
    await calm()
    server = world.server("t")
    assert ([reply.text for _, reply in server.posts], server.edits) == (["v0.7"], [])
    assert world.outcomes() == {said.id: ["answered"]}


async def test_a_slow_answer_grows_in_one_post_and_ends_with_its_final_text(world: World) -> None:
    said, turn = await begun(world)
    server = world.server("t")
    await shows(world, turn, "The cellar", FIRST_SECONDS)
    assert [reply.text for _, reply in server.posts] == ["The cellar"]
    await shows(world, turn, "The cellar is", PACE_SECONDS)
    await shows(world, turn, "The cellar is shut", PACE_SECONDS / 3)
    assert [text for _, text in server.edits] == ["The cellar is"]  # not faster than its pace
    world.parts = 2
    answer(world)
    await calm()
    assert server.edits == [("post-1", "The cellar is"), ("post-1", "v0.7")]
    assert [reply.text for _, reply in server.posts] == ["The cellar", "v0.7"]
    assert world.outcomes() == {said.id: ["answered"]}
    assert set(world.store.outbox.values()) == {"sent"}
    assert [line.text for _, _, line in world.store.lines if line.agent_id] == ["v0.7", "v0.7"]


async def test_nothing_is_shown_before_the_turn_is_durably_over(world: World) -> None:
    _, turn = await begun(world)
    world.store.commits.clear()
    await shows(world, turn, "The cellar", FIRST_SECONDS)
    assert world.server("t").posts == []
    world.store.commits.set()
    await calm()
    assert len(world.server("t").posts) == 1


async def test_what_is_half_said_is_uncertain_after_a_crash_and_what_is_whole_is_not(world: World) -> None:
    _, turn = await begun(world)
    await shows(world, turn, "The cellar", FIRST_SECONDS)
    assert len(world.server("t").posts) == 1
    assert world.store.outbox == {f"{turn.id}.0": "sending"}  # the next start reads it as uncertain
    answer(world)
    await calm()
    assert world.store.outbox == {f"{turn.id}.0": "sent"}


async def test_an_early_edit_that_fails_is_passed_over_and_the_last_is_tried_again(world: World) -> None:
    said, turn = await begun(world)
    server = world.server("t")
    await shows(world, turn, "The", FIRST_SECONDS)
    server.edit_mood = "refuse"
    await shows(world, turn, "The cellar", PACE_SECONDS)
    server.edit_mood = "later"
    answer(world)
    await calm()
    server.edit_mood = "ok"
    world.time.advance(60)
    await calm()
    assert server.edits == [("post-1", "v0.7")]
    assert world.outcomes() == {said.id: ["answered"]}


@pytest.mark.parametrize(("mood", "outcome"), [("refuse", "failed"), ("uncertain", "uncertain")])
async def test_a_beginning_that_does_not_arrive_ends_the_turn_and_says_nothing_twice(
    world: World, mood: str, outcome: str
) -> None:
    said, turn = await begun(world)
    server = world.server("t")
    server.send_mood = mood  # type: ignore[assignment]
    await shows(world, turn, "The cellar", FIRST_SECONDS)
    server.send_mood = "ok"
    answer(world)
    await calm()
    assert (server.posts, server.edits) == ([], [])
    assert world.outcomes() == {said.id: [outcome]}
    assert world.store.outbox == {f"{turn.id}.0": outcome}


async def test_a_reply_that_breaks_off_says_so(world: World) -> None:
    said, turn = await begun(world)
    await shows(world, turn, "The cellar", FIRST_SECONDS)
    world.failing_models.add(turn.models[0].spec.id)
    answer(world)
    await calm()
    assert world.server("t").edits == [("post-1", "The cellar […]")]
    assert world.store.outbox == {f"{turn.id}.0": "sent"}
    assert world.outcomes() == {said.id: ["failed"]}


async def test_a_platform_that_cannot_edit_shows_only_whole_replies() -> None:
    async with running() as world:
        world.slow = True
        await world.supervisor.apply(ONE)
        await calm()
        _, turn = await begun(world)
        assert turn.preview is None
        world.answer_all()
        await asyncio.sleep(0)
        await calm()
