"""An agent that is new to a place greets it once, where the file wants that."""

from __future__ import annotations

from homunculus.model import Deployment
from tests.unit.runtime.fakes import World, adapter, agent, calm, deployment, rule, running


def two(*, greeting: bool = True, places: tuple[str, ...] = ("1", "2")) -> Deployment:
    return deployment([adapter(None, "t")], [agent("kovach", greeting=greeting)], [rule("kovach", None, *places)])


def posted(world: World) -> list[tuple[str, str]]:
    return [(address.place, reply.text) for address, reply in world.server("t").posts]


async def test_every_new_place_is_greeted_once_whatever_is_saved_after() -> None:
    async with running() as world:
        await world.apply(two())
        await calm()
        assert posted(world) == [("1", "Kovach looks up."), ("2", "Kovach looks up.")]
        await world.apply(two(places=("1", "2", "3")))
        await calm()
        assert posted(world)[2:] == [("3", "Kovach looks up.")]
        await world.apply(two(places=("2", "1", "3")))
        await calm()
        assert len(posted(world)) == 3
        assert [line.text for _, who, line in world.store.lines if who == "kovach"] == ["Kovach looks up."] * 3
        assert set(world.store.outbox.values()) == {"sent"}


async def test_a_new_connection_and_a_restart_greet_nobody_again() -> None:
    async with running() as world:
        await world.apply(two())
        await calm()
        world.server("t").die()
        await calm()
        world.time.advance(60)
        await calm()
        assert world.server("t").opens == 2
        await world.stop()
        world.start()
        await world.apply(two())
        await calm()
        assert len(posted(world)) == 2


async def test_where_it_has_heard_something_before_it_is_at_home() -> None:
    async with running() as world:
        await world.apply(two(greeting=False))
        await calm()
        world.say("t", "1")
        await calm()
        await world.apply(two())
        await calm()
        assert [place for place, text in posted(world) if text == "Kovach looks up."] == ["2"]


async def test_without_being_asked_for_nobody_greets() -> None:
    async with running() as world:
        await world.apply(two(greeting=False))
        await calm()
        assert posted(world) == []


async def test_a_place_that_an_earlier_rule_takes_is_not_greeted_by_a_later_one() -> None:
    async with running() as world:
        agents = [agent("agnes"), agent("kovach", greeting=True)]
        await world.apply(
            deployment([adapter(None, "t")], agents, [rule("agnes", None, "1"), rule("kovach", None, "1", "2")])
        )
        await calm()
        assert posted(world) == [("2", "Kovach looks up.")]


async def test_a_place_that_cannot_be_found_keeps_no_other_from_its_greeting() -> None:
    async with running() as world:
        await world.apply(two(places=("nowhere", "2")))
        await calm()
        assert posted(world) == [("2", "Kovach looks up.")]
        assert world.state("discord") == "ready"
