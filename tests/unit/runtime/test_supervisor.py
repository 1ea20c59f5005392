"""One owner applies one plan at a time: all of it or nothing, at once, and without waiting for any network."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from homunculus.errors import Refused
from homunculus.model import Deployment, ModelSpec
from tests.unit.runtime.fakes import START, World, adapter, agent, calm, deployment, rule, running

ONE = deployment([adapter(None, "t"), adapter("b", "u")], [agent("kovach")], [rule("kovach"), rule("kovach", "b")])


async def apply(world: World, wanted: Deployment) -> None:
    async with asyncio.timeout(5):
        await world.supervisor.apply(wanted)


async def test_what_changed_and_its_number_are_told() -> None:
    async with running() as world:
        first = await world.supervisor.apply(ONE)
        assert (first.generation, len(first.plan.of("adapter", "add"))) == (1, 2)
        same = await world.supervisor.apply(replace(ONE, digest="other"))
        assert (same.generation, bool(same.plan)) == (1, False)
        assert world.supervisor.applied.digest == "other"
        second = await world.supervisor.apply(replace(ONE, default_agent="kovach"))
        assert (second.generation, world.supervisor.generation) == (2, 2)


@pytest.mark.parametrize("mood", ["hang", "later", "refuse", "break"])
async def test_an_instance_that_cannot_connect_neither_blocks_nor_disturbs(mood: str) -> None:
    async with running() as world:
        world.server("t").open_mood = mood  # type: ignore[assignment]
        await apply(world, ONE)
        await calm()
        assert world.state("discord:b") == "ready"
        for version in range(3):
            await apply(world, replace(ONE, agents=(agent("kovach", version),)))
        said = world.say("u", "1")
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}
        assert world.server("u").opens == 1


async def test_a_drain_blocks_no_later_save() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        world.slow = True
        world.say("t", "1")
        await calm()
        await apply(world, replace(ONE, adapters=ONE.adapters[1:], bindings=ONE.bindings[1:]))
        await apply(world, ONE)
        assert len(world.thinking) == 1


async def test_what_cannot_be_prepared_leaves_everything_as_it_was() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        world.broken_namespaces.add("john")
        with pytest.raises(Refused):
            await apply(world, replace(ONE, agents=(agent("new"), agent("john")), bindings=(rule("john"),)))
        await calm()
        assert (world.supervisor.applied, world.supervisor.generation) == (ONE, 1)
        assert list((+world.owners).items()) == [(("kovach", ONE.memory), 1)]
        said = world.say("t", "1")
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}


@pytest.mark.parametrize("change", [{"bot_name": "other"}, {"data_home": Path("/elsewhere")}])
async def test_a_change_that_needs_a_new_process_is_refused(change: dict[str, object]) -> None:
    async with running() as world:
        await apply(world, ONE)
        with pytest.raises(Refused, match="restart"):
            await apply(world, replace(ONE, **change))  # type: ignore[arg-type]
        assert world.supervisor.applied == ONE


async def test_channels_bindings_agents_models_and_memory_touch_no_connection() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        for version in range(5):
            await apply(
                world,
                replace(
                    ONE,
                    agents=(agent("kovach", version), agent(f"a{version}")),
                    bindings=(rule(f"a{version}", None, "7"), *ONE.bindings),
                    models=(ModelSpec("default", "scripted", temperature=version / 10),),
                    memory=replace(ONE.memory, top_k=version + 1),
                ),
            )
            await calm()
        assert [server.opens for server in world.servers.values()] == [1, 1]


async def test_what_a_generation_no_longer_needs_is_closed_when_its_last_turn_ends() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        world.slow = True
        world.say("t", "1")
        await calm()
        old = world.models[0]
        await apply(world, replace(ONE, models=(ModelSpec("default", "scripted", temperature=0.1),)))
        await calm()
        before = old.closed
        world.answer_all()
        await calm()
        assert (before, old.closed) == (False, True)
        assert len([model for model in world.models if not model.closed]) == 1


async def test_fallbacks_come_after_the_agents_own_model_each_once() -> None:
    async with running() as world:
        chain = (
            ModelSpec("default", "scripted", fallback=("b",)),
            ModelSpec("b", "scripted", fallback=("c", "default")),
            ModelSpec("c", "scripted"),
            ModelSpec("unused", "scripted"),
        )
        await apply(world, replace(ONE, models=chain))
        assert [model.spec.id for model in world.supervisor.models("kovach")] == ["default", "b", "c"]
        assert len(world.models) == 3


async def test_unanswered_messages_of_a_crash_are_answered_once_their_account_is_back() -> None:
    async with running() as world:
        fresh, moved, quiet = world.message("t", "1"), world.message("u", "1"), world.message("t", "1", "quiet")
        stale = world.message("t", "2", time=START - 700)
        for said in (fresh, moved, quiet, stale):
            await world.store.record(said, "kovach")
        renamed = replace(
            ONE, adapters=(ONE.adapters[0], adapter("c", "u")), bindings=(rule("kovach"), rule("kovach", "c"))
        )
        world.server("u").open_mood = "later"
        await apply(world, renamed)
        await calm()
        assert world.outcomes() == {fresh.id: ["answered"], quiet.id: ["silent"]}
        world.server("u").open_mood = "ok"
        world.time.advance(1)
        await calm()
        assert world.outcomes()[moved.id] == ["answered"]
        assert world.turns[-1].address.adapter == "discord:c"
        assert stale.id not in world.outcomes()


async def test_a_message_found_too_late_after_a_crash_ends_failed() -> None:
    async with running() as world:
        said = world.message("t", "1")
        await world.store.record(said, "kovach")
        world.server("t").open_mood = "later"
        await apply(world, ONE)
        await calm()
        world.server("t").open_mood = "ok"
        world.time.advance(700)
        await calm()
        assert world.outcomes() == {said.id: ["failed"]}


async def test_stopping_finishes_what_is_held_then_closes_everything_and_is_safe_twice() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        world.slow = True
        world.say("t", "1")
        await calm()
        closing = asyncio.create_task(world.supervisor.aclose())
        await calm()
        assert world.live("discord").heard[-1].places == frozenset()
        world.answer_all()
        await closing
        assert world.outcomes() == {"m1": ["answered"]}
        await world.supervisor.aclose()
        with pytest.raises(Refused):
            await apply(world, replace(ONE, default_agent="kovach"))


async def test_what_stopping_cuts_off_is_left_for_the_next_start() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        world.slow = True
        world.say("t", "1")
        await calm()
        await world.stop()
        assert [row.outcome for row in world.store.inbox.values()] == [""]
        assert world.store.outbox == {}


async def test_status_lists_the_file_in_order_with_rules_counted() -> None:
    async with running() as world:
        await apply(world, ONE)
        await calm()
        found = [(s.platform, s.name, s.runtime_key, s.state, s.binding_count) for s in world.supervisor.adapters()]
        assert found == [("discord", None, "discord", "ready", 1), ("discord", "b", "discord:b", "ready", 1)]
