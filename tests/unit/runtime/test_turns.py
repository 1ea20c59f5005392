"""A message is recorded once, waits its turn, is answered by whom the file says now, and ends exactly once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homunculus.model import Author, MessageReceived, Receipt
from tests.unit.runtime.fakes import START, World, adapter, agent, calm, deployment, rule, running

AGENTS = [agent("kovach"), agent("john")]
RULES = [rule("kovach", None, "1", "2"), rule("john", None, "3")]
FILE = deployment([adapter(None, "t")], AGENTS, RULES)
BOT = Author("b", "Bot", bot=True)


async def ready(world: World, **changes: object) -> None:
    await world.apply(replace(FILE, **changes))  # type: ignore[arg-type]
    await calm()


async def test_a_message_is_answered_once_and_every_stage_is_told() -> None:
    async with running() as world:
        await ready(world)
        said = world.say("t", "1")
        await calm()
        (end,) = world.ended()
        assert (end.trace.outcome, end.trace.agent_id, end.trace.rule) == ("answered", "kovach", "bindings[kovach]")
        assert [span.stage for span in end.trace.spans] == ["route", "gate", "wait", "model", "delivery"]
        assert (end.trace.model, end.trace.provider) == ("default", "scripted")
        ((_, reply),) = world.server("t").posts
        assert reply.quotes == said.id
        assert reply.id == f"{end.trace.turn_id}.0"


async def test_the_same_id_again_is_dropped() -> None:
    async with running() as world:
        await ready(world)
        said = world.message("t", "1")
        for _ in range(3):
            world.put(said, "t")
            await calm()
        receipts = [receipt for _, receipt in world.live("discord").receipts]
        assert receipts == [Receipt.RECORDED, Receipt.DUPLICATE, Receipt.DUPLICATE]
        assert world.outcomes() == {said.id: ["answered"]}


async def test_a_message_that_a_former_process_recorded_is_not_answered_again() -> None:
    async with running() as world:
        await ready(world)
        old = world.message("t", "1", time=START - 100)
        skewed = world.message("t", "2", time=START + 100)  # the platform's clock is ahead: its turn begins at once
        for said in (old, skewed):
            address = replace(said.address, adapter="discord")
            assert await world.store.record(replace(said, address=address), "kovach")
            world.put(said, "t")
        await calm()
        assert [receipt for _, receipt in world.live("discord").receipts] == [Receipt.DUPLICATE] * 2
        assert world.server("t").posts == []
        assert world.ended() == []


async def test_messages_that_arrive_while_it_thinks_form_the_next_turn() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        first = world.say("t", "1")
        await calm()
        later = [world.say("t", "1") for _ in range(3)]
        await calm()
        world.answer_all()
        await calm()
        ends = [end.trace.message_ids for end in world.ended()]
        assert ends == [(first.id,), tuple(message.id for message in later)]
        assert [reply.quotes for _, reply in world.server("t").posts] == [first.id, later[-1].id]


async def test_silent_messages_keep_no_neighbours_apart_and_end_at_once() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        one, quiet, two = world.say("t", "1"), world.say("t", "1", "quiet"), world.say("t", "1")
        await calm()
        assert world.outcomes() == {quiet.id: ["silent"]}
        world.answer_all()
        await calm()
        assert world.ended()[-1].trace.message_ids == (one.id, two.id)


async def test_conversations_never_wait_for_each_other() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        world.say("t", "2")
        world.say("t", "3")
        await calm()
        assert len(world.thinking) == 3
        world.answer(world.turns[-1].address.conversation)
        await calm()
        assert len(world.ended()) == 1


async def test_a_running_turn_ends_on_what_it_began_with_and_a_waiting_message_gets_the_new_agent() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        world.say("t", "1")
        await calm()
        model = replace(FILE.models[0], temperature=0.1)
        await ready(world, agents=(agent("kovach", 2), AGENTS[1]), models=(model,))
        world.answer_all()
        await calm()
        first, second = world.turns
        assert first.agent.character.description == "version 0"
        assert second.agent.character.description == "version 2"
        assert [reply.text for _, reply in world.server("t").posts] == ["v0.7", "v0.1"]


async def test_a_waiting_message_is_routed_again_when_its_agent_is_gone() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        for place in ("1", "2", "1", "2"):
            world.say("t", place)
            await calm()
        await ready(world, agents=(AGENTS[1],), bindings=(rule("john", None, "1"),))
        world.answer_all()
        await calm()
        assert world.outcomes() == {"m1": ["answered"], "m2": ["answered"], "m3": ["answered"], "m4": ["silent"]}
        assert [turn.agent.id for turn in world.turns] == ["kovach", "kovach", "john"]
        assert world.ended()[-1].trace.reason or world.ended()[-2].trace.reason


async def test_a_mode_that_changed_in_the_file_silences_what_waits() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        waiting = world.say("t", "1")
        await calm()
        await ready(world, agents=(agent("kovach", respond="observe"), AGENTS[1]))
        world.answer_all()
        await calm()
        assert world.outcomes()[waiting.id] == ["silent"]


async def test_a_silent_message_ends_even_if_its_session_goes_before_it_is_written() -> None:
    async with running() as world:
        await ready(world)
        world.store.commits.clear()
        said = world.say("t", "1", "quiet")
        await calm()
        world.server("t").die()
        await calm()
        world.store.commits.set()
        await calm()
        assert world.outcomes() == {said.id: ["silent"]}


async def test_nobody_there_is_ignored_told_and_not_recorded() -> None:
    async with running() as world:
        await ready(world)
        for _ in range(2):
            assert await world.live("discord").deliver(world.message("t", "9")) is Receipt.IGNORED
        assert world.store.inbox == {}
        assert [(e.trace.outcome, e.trace.reason) for e in world.ended()] == [
            ("ignored", "no rule matches, and there is no default agent")
        ] * 2


async def test_a_message_from_one_of_our_own_accounts_is_never_answered() -> None:
    async with running() as world:
        two = deployment(
            [adapter("a", "t", allow_bot_messages=True), adapter("b", "u")], AGENTS, [rule("kovach", "a", "1")]
        )
        await world.supervisor.apply(two)
        await calm()
        echo = world.message("t", "1", author=Author("bot-u", "Our other bot", bot=True))
        assert await world.live("discord:a").deliver(echo) is Receipt.IGNORED
        # What we said is found by the trace of its own turn: an echo must not come to stand in its place.
        assert world.ended() == []


async def test_an_edit_reaches_what_waits_and_a_deletion_takes_it_out() -> None:
    async with running() as world:
        await ready(world)
        world.slow = True
        world.say("t", "1")
        await calm()
        edited, deleted = world.say("t", "1", "helo"), world.say("t", "1")
        await calm()
        live = world.live("discord")
        assert await live.deliver(replace(edited, kind="edited", text="hello!")) is Receipt.RECORDED
        assert await live.deliver(replace(deleted, kind="deleted", text="")) is Receipt.RECORDED
        world.answer_all()
        await calm()
        assert [message.text for message in world.turns[-1].messages] == ["hello!"]
        assert world.outcomes()[deleted.id] == ["silent"]
        assert len(world.turns) == 2


async def test_an_edit_of_an_answered_message_starts_no_turn() -> None:
    async with running() as world:
        await ready(world)
        said = world.say("t", "1")
        await calm()
        await world.live("discord").deliver(replace(said, kind="edited", text="other"))
        await calm()
        assert len(world.ended()) == 1
        assert [row.message.text for row in world.store.inbox.values()] == ["other"]


async def test_a_failing_model_ends_the_turn_failed_with_its_reason() -> None:
    async with running() as world:
        await ready(world)
        world.failing_models.add("default")
        world.say("t", "1")
        await calm()
        (end,) = world.ended()
        assert (end.trace.outcome, end.trace.reason) == ("failed", "overloaded")
        assert [row.outcome for row in world.store.inbox.values()] == ["failed"]


async def test_a_full_disk_confirms_nothing_answers_nothing_and_heals() -> None:
    async with running() as world:
        await ready(world)
        world.store.full = True
        said = world.say("t", "1")
        await calm()
        assert isinstance(world.live("discord").receipts[-1][1], OSError)
        assert (world.server("t").posts, world.ended()) == ([], [])
        world.store.full = False
        world.live("discord").wake()
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}


async def test_a_turn_begins_beside_the_commit_and_sends_only_after_it() -> None:
    async with running() as world:
        await ready(world)
        world.store.commits.clear()
        world.say("t", "1")
        await calm()
        assert len(world.turns) == 1
        assert world.server("t").posts == []
        world.store.commits.set()
        await calm()
        assert len(world.server("t").posts) == 1


async def test_six_turns_are_answered_to_bots_until_a_human_speaks() -> None:
    async with running() as world:
        await ready(world, adapters=(adapter(None, "t", allow_bot_messages=True),))
        for _ in range(9):
            world.put(world.message("t", "1", author=BOT), "t")
            await calm()
        assert len(world.turns) == 6
        world.say("t", "1")
        await calm()
        world.put(world.message("t", "1", author=BOT), "t")
        await calm()
        assert len(world.turns) == 8


async def test_a_user_causes_twenty_turns_a_minute_in_one_conversation() -> None:
    async with running() as world:
        await ready(world)
        for _ in range(25):
            world.say("t", "1")
            await calm()
        assert len(world.turns) == 20
        world.say("t", "2")
        world.put(world.message("t", "1", author=Author("bob", "Bob")), "t")
        await calm()
        assert len(world.turns) == 22
        world.time.advance(60)
        world.say("t", "1")
        await calm()
        assert len(world.turns) == 23
        assert sum(end.trace.outcome == "silent" for end in world.ended()) == 5


@pytest.mark.parametrize(("key", "value"), [("mode", "observe"), ("paused", "yes")])
async def test_an_override_wins_over_the_file_in_one_conversation(key: str, value: str) -> None:
    async with running() as world:
        await ready(world)
        conversation = world.message("t", "1").address.conversation
        await world.supervisor.overrides.set(conversation, "kovach", key, value)  # type: ignore[arg-type]
        world.say("t", "1")
        world.say("t", "2")
        await calm()
        assert [turn.address.place for turn in world.turns] == ["2"]
        await world.supervisor.overrides.set(conversation, "kovach", key, None)  # type: ignore[arg-type]
        world.say("t", "1")
        await calm()
        assert len(world.turns) == 2


async def test_every_delivery_is_told_before_its_end() -> None:
    async with running() as world:
        await ready(world)
        for text in ("hello", "quiet"):
            world.say("t", "1", text)
        await calm()
        names = [type(event).__name__ for event in world.events if type(event).__name__ != "AdapterChanged"]
        assert names[0] == "MessageReceived"
        told = [event for event in world.events if isinstance(event, MessageReceived)]
        assert [event.receipt for event in told] == [Receipt.RECORDED] * 2
        assert names.count("TurnEnded") == 2


async def test_a_gate_that_breaks_leaves_a_trace() -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with running(broken) as world:  # type: ignore[arg-type]
        await ready(world)
        world.say("t", "1")
        await calm()
        (end,) = world.ended()
        assert (end.trace.outcome, end.trace.reason) == (
            "silent",
            "the gate failed unexpectedly: ZeroDivisionError",
        )
