"""One adapter's life: it connects, backs off, hears, dies, drains and closes, and its sends wait for it."""

from __future__ import annotations

import asyncio

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.model import Receipt, Scope
from tests.unit.runtime.fakes import World, adapter, agent, calm, deployment, rule, running

ONE = deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1")])
NONE = deployment([], [agent("kovach")], [])


async def ready(world: World) -> None:
    await world.supervisor.apply(ONE)
    await calm()
    assert world.state("discord") == "ready"


async def test_ready_means_that_it_hears_its_scope() -> None:
    async with running() as world:
        await ready(world)
        assert world.live("discord").heard == [Scope(frozenset("1"))]
        assert world.states("discord") == ["connecting", "ready"]


async def test_a_disabled_instance_and_one_without_a_token_do_not_connect_and_say_why() -> None:
    async with running() as world:
        wanted = deployment([adapter("off", "t", enabled=False), adapter("bare", None)], [], [])
        await world.supervisor.apply(wanted)
        await calm()
        assert world.adapters == []
        off, bare = world.supervisor.adapters()
        assert (off.state, off.enabled) == ("disabled", False)
        assert (bare.state, bare.reason) == ("unconfigured", "env:bare is not set")
        await world.supervisor.apply(deployment([adapter("off", "t"), adapter("bare", "u")], [], []))
        await calm()
        assert [status.state for status in world.supervisor.adapters()] == ["ready", "ready"]


async def test_tries_again_after_1_to_60_seconds_without_jitter() -> None:
    async with running() as world:
        server = world.server("t")
        server.open_mood = "later"
        await world.supervisor.apply(ONE)
        waits = []
        for _ in range(8):
            await calm()
            assert world.state("discord") == "retrying"
            waits.append(world.time.slept[-1])
            world.time.advance(waits[-1])
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
        server.open_mood = "ok"
        await calm()
        world.time.advance(60)
        await calm()
        assert world.state("discord") == "ready"


async def test_the_time_a_platform_asks_for_is_respected() -> None:
    async with running() as world:
        server = world.server("t")
        server.open_mood, server.after = "later", 300.0
        await world.supervisor.apply(ONE)
        await calm()
        world.time.advance(299)
        await calm()
        assert server.opens == 1
        world.time.advance(1)
        await calm()
        assert server.opens == 2


async def test_a_refused_token_fails_with_its_reason_and_is_not_tried_again() -> None:
    async with running() as world:
        world.server("t").open_mood = "refuse"
        await world.supervisor.apply(ONE)
        await calm()
        world.time.advance(3600)
        await calm()
        (status,) = world.supervisor.adapters()
        assert (status.state, status.reason) == ("failed", "the token is bad")
        assert world.server("t").opens == 1


async def test_a_bug_of_an_adapter_is_told_and_tried_again() -> None:
    async with running() as world:
        world.server("t").open_mood = "break"
        await world.supervisor.apply(ONE)
        await calm()
        (status,) = world.supervisor.adapters()
        assert (status.state, status.reason) == ("retrying", "it failed unexpectedly: ZeroDivisionError")


async def test_a_connection_that_hangs_is_given_up_after_a_minute() -> None:
    async with running() as world:
        world.server("t").open_mood = "hang"
        await world.supervisor.apply(ONE)
        await calm()
        assert world.state("discord") == "connecting"
        world.time.advance(60)
        await calm()
        assert world.state("discord") == "retrying"


@pytest.mark.parametrize("error", [None, NotReady("reset by peer"), RuntimeError("bug")])
async def test_a_dead_session_is_noticed_and_replaced(error: Exception | None) -> None:
    async with running() as world:
        await ready(world)
        world.server("t").die(error)
        await calm()
        assert world.state("discord") == "retrying"
        world.time.advance(1)
        await calm()
        assert world.states("discord") == ["connecting", "ready", "retrying", "connecting", "ready"]
        assert len(world.server("t").live) == 1


async def test_a_revoked_token_leaves_ready_for_good() -> None:
    async with running() as world:
        await ready(world)
        world.server("t").die(Refused("the token was revoked"))
        await calm()
        assert world.state("discord") == "failed"


async def test_a_session_that_dies_at_once_again_and_again_keeps_backing_off() -> None:
    async with running() as world:
        await ready(world)
        waits = []
        for _ in range(4):
            world.server("t").die()
            await calm()
            waits.append(world.time.slept[-1])
            world.time.advance(waits[-1])
            await calm()
        assert waits == [1, 2, 4, 8]
        world.time.advance(60)
        world.server("t").die()
        await calm()
        assert world.time.slept[-1] == 1


async def test_a_new_scope_is_heard_without_reconnecting() -> None:
    async with running() as world:
        await ready(world)
        wanted = deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1", "hidden-2")])
        await world.supervisor.apply(wanted)
        await calm()
        assert world.live("discord").heard[-1] == Scope(frozenset({"1", "hidden-2"}))
        assert world.server("t").opens == 1
        assert world.supervisor.adapters()[0].unseen == ("hidden-2",)


async def test_live_settings_change_without_reconnecting_and_a_new_token_reconnects() -> None:
    async with running() as world:
        await ready(world)
        wanted = deployment([adapter(None, "t", persona="off", authority=("ana",))], [agent("kovach")], ONE.bindings)
        await world.supervisor.apply(wanted)
        await calm()
        assert world.server("t").opens == 1
        await world.supervisor.apply(deployment([adapter(None, "u")], [agent("kovach")], ONE.bindings))
        await calm()
        assert (world.server("t").live, len(world.server("u").live)) == ([], 1)


async def test_a_token_that_moves_is_closed_on_the_old_name_before_it_opens_on_the_new() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        renamed = deployment([adapter("keeper", "t")], [agent("kovach")], [rule("kovach", "keeper", "1")])
        await world.supervisor.apply(renamed)
        await calm()
        new, old = world.supervisor.adapters()
        assert (old.runtime_key, old.state) == ("discord", "stopping")
        assert (new.state, new.reason) == ("connecting", "another instance is still letting go of this credential")
        world.answer_all()
        await calm()
        assert world.state("discord:keeper") == "ready"
        assert world.outcomes() == {"m1": ["answered"]}


async def test_two_tokens_swap_their_names() -> None:
    async with running() as world:
        agents, rules = [agent("kovach")], [rule("kovach", "a"), rule("kovach", "b")]
        await world.supervisor.apply(deployment([adapter("a", "t"), adapter("b", "u")], agents, rules))
        await calm()
        await world.supervisor.apply(deployment([adapter("a", "u"), adapter("b", "t")], agents, rules))
        await calm()
        assert [status.state for status in world.supervisor.adapters()] == ["ready", "ready"]
        assert world.live("discord:a").account == "bot-u"


async def test_a_stopping_instance_hears_nothing_and_confirms_nothing() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        old = world.live("discord")
        await world.supervisor.apply(NONE)
        await calm()
        assert old.heard[-1] == Scope()
        with pytest.raises(NotReady):
            await old.deliver(world.message("t", "1"))


async def test_draining_ends_after_its_limit() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        await world.supervisor.apply(NONE)
        await calm()
        assert len(world.server("t").live) == 1
        world.time.advance(10)
        await calm()
        assert world.server("t").live == []
        world.answer_all()
        await calm()
        assert world.outcomes() == {"m1": ["failed"]}
        assert world.server("t").posts == []


async def test_stopping_interrupts_a_hanging_open() -> None:
    async with running() as world:
        world.server("t").open_mood = "hang"
        await world.supervisor.apply(ONE)
        await calm()
        await world.supervisor.apply(NONE)
        await calm()
        assert world.server("t").live == []
        assert world.supervisor.adapters() == ()


# --- sending ------------------------------------------------------------------------------------------------------------


async def test_a_reply_waits_while_the_session_is_down() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        said = world.say("t", "1")
        await calm()
        world.server("t").die()
        await calm()
        world.answer_all()
        await calm()
        assert world.outcomes() == {}
        world.time.advance(1)
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}
        assert len(world.server("t").posts) == 1


async def test_what_certainly_did_not_arrive_fails_visibly_after_ten_minutes() -> None:
    async with running() as world:
        await ready(world)
        world.server("t").send_mood = "later"
        said = world.say("t", "1")
        for _ in range(9):
            await calm()
            world.time.advance(60)
        assert world.outcomes() == {}
        for _ in range(3):
            await calm()
            world.time.advance(60)
        await calm()
        assert world.outcomes() == {said.id: ["failed"]}
        assert list(world.store.outbox.values()) == ["failed"]


async def test_a_reply_waits_for_a_network_that_is_away_for_minutes() -> None:
    async with running() as world:
        await ready(world)
        world.server("t").send_mood = "later"
        said = world.say("t", "1")
        for _ in range(5):
            await calm()
            world.time.advance(60)
        world.server("t").send_mood = "ok"
        await calm()
        world.time.advance(60)
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}
        assert len(world.server("t").posts) == 1


async def test_a_send_that_its_session_died_over_is_repeated_by_the_next_where_the_platform_tells_it_apart() -> None:
    async with running() as world:
        world.abilities = {"nonce"}
        await ready(world)
        world.server("t").send_mood = "hang"
        said = world.say("t", "1")
        await calm()
        world.server("t").die(NotReady("invalidated"))
        await calm()
        world.server("t").send_mood = "ok"
        world.server("t").release()
        for _ in range(3):
            world.time.advance(1)
            await calm()
        assert world.outcomes() == {said.id: ["answered"]}
        ((_, reply),) = world.server("t").posts
        assert reply.retried


async def test_a_send_stays_in_doubt_no_longer_than_the_platform_tells_a_second_one_apart() -> None:
    async with running() as world:
        world.abilities = {"nonce"}
        await ready(world)
        world.server("t").send_mood = "uncertain"
        said = world.say("t", "1")
        for _ in range(10):
            await calm()
            world.time.advance(10)
        assert world.outcomes() == {}
        for _ in range(10):
            world.time.advance(10)
            await calm()
        assert world.outcomes() == {said.id: ["uncertain"]}


async def test_a_send_in_doubt_whose_instance_has_gone_stays_uncertain() -> None:
    async with running() as world:
        world.abilities = {"nonce"}
        await ready(world)
        world.server("t").send_mood = "uncertain"
        said = world.say("t", "1")
        await calm()
        world.server("t").die(Refused("the token was revoked"))
        await calm()
        world.time.advance(1)
        await calm()
        assert world.outcomes() == {said.id: ["uncertain"]}


@pytest.mark.parametrize("mood", ["uncertain", "break"])
async def test_what_may_have_arrived_is_never_sent_again(mood: str) -> None:
    async with running() as world:
        await ready(world)
        world.server("t").send_mood = mood  # type: ignore[assignment]
        said = world.say("t", "1")
        await calm()
        world.server("t").send_mood = "ok"
        world.time.advance(3600)
        await calm()
        assert world.outcomes() == {said.id: ["uncertain"]}
        assert list(world.store.outbox.values()) == ["uncertain"]
        assert world.server("t").posts == []


async def test_what_may_have_arrived_is_sent_again_where_the_platform_deduplicates() -> None:
    async with running() as world:
        world.abilities = {"nonce"}
        await ready(world)
        world.server("t").send_mood = "uncertain"
        said = world.say("t", "1")
        await calm()
        world.server("t").send_mood = "ok"
        world.time.advance(1)
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}
        ((_, reply),) = world.server("t").posts
        assert reply.retried


async def test_a_send_that_hangs_when_the_instance_closes_is_uncertain() -> None:
    async with running() as world:
        await ready(world)
        world.server("t").send_mood = "hang"
        said = world.say("t", "1")
        await calm()
        await world.supervisor.apply(NONE)
        await calm()
        world.time.advance(10)
        await calm()
        assert world.outcomes() == {said.id: ["uncertain"]}


async def test_a_refused_part_ends_the_reply_and_the_rest_fails_visibly() -> None:
    async with running() as world:
        await ready(world)
        world.parts = 3
        world.server("t").send_mood = "refuse"
        said = world.say("t", "1")
        await calm()
        assert world.outcomes() == {said.id: ["failed"]}
        assert list(world.store.outbox.values()) == ["failed"] * 3


# --- signs of life --------------------------------------------------------------------------------------------------------


async def test_seen_and_typing_are_shown_until_the_reply_is_out() -> None:
    async with running() as world:
        world.abilities = {"react", "typing"}
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        assert world.live("discord").signs == ["react m1", "typing"]
        world.answer_all()
        await calm()
        assert world.live("discord").signs == ["react m1", "typing", "typed"]


@pytest.mark.parametrize("mood", ["hang", "refuse", "break"])
async def test_signs_neither_delay_nor_disturb_the_reply(mood: str) -> None:
    async with running() as world:
        world.abilities, world.sign_mood = {"react", "typing"}, mood  # type: ignore[assignment]
        await ready(world)
        said = world.say("t", "1")
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}


async def test_nothing_is_shown_where_it_is_switched_off_or_not_going_to_answer() -> None:
    async with running() as world:
        world.abilities = {"react", "typing"}
        await ready(world)
        world.say("t", "1", "quiet please")
        await calm()
        off = deployment([adapter(None, "t", acknowledge="off")], [agent("kovach")], ONE.bindings)
        await world.supervisor.apply(off)
        world.say("t", "1")
        await calm()
        assert world.live("discord").signs == []
        assert len(world.server("t").posts) == 1


async def test_a_delivery_waits_for_the_commit() -> None:
    async with running() as world:
        await ready(world)
        world.store.commits.clear()
        delivery = asyncio.create_task(world.live("discord").deliver(world.message("t", "1")))
        await calm()
        assert not delivery.done()
        world.store.commits.set()
        assert await delivery is Receipt.RECORDED


async def test_once_the_first_try_may_have_arrived_giving_up_is_uncertain() -> None:
    async with running() as world:
        world.abilities = {"nonce"}
        await ready(world)
        world.server("t").send_mood = "uncertain"
        said = world.say("t", "1")
        await calm()
        world.server("t").send_mood = "later"
        for _ in range(40):
            world.time.advance(5)
            await calm()
        assert world.outcomes() == {said.id: ["uncertain"]}


async def test_a_second_try_is_not_made_after_the_platform_forgot_the_first() -> None:
    async with running() as world:
        world.abilities = {"nonce"}
        await ready(world)
        world.server("t").send_mood = "uncertain"
        said = world.say("t", "1")
        await calm()
        world.server("t").send_mood, world.server("t").open_mood = "ok", "later"
        world.server("t").die(NotReady("reset"))
        await calm()
        world.time.advance(200)
        world.server("t").open_mood = "ok"
        for _ in range(5):
            await calm()
            world.time.advance(60)
        assert world.state("discord") == "ready"
        assert world.server("t").posts == []
        assert world.outcomes() == {said.id: ["uncertain"]}
