"""What was said while nobody listened is fetched, in order, once, and never from before it was ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from loguru import logger

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import AdapterSpec, Address, Deployment, Message, Receipt, Scope
from homunculus.runtime.catchup import HOLD_SECONDS, LIMIT, WINDOW, CatchUp, heard
from homunculus.runtime.store import Mark
from tests.unit.runtime.fakes import FakeAdapter, World, adapter, agent, calm, deployment, rule, running

ONE = deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1", "2")])


class Archive:
    """What the platform remembers of each place, and how it answers when it is asked."""

    def __init__(self) -> None:
        self.log: dict[str, list[Message]] = {}
        self.asked: list[tuple[str, str | None, int]] = []
        self.faults: list[Exception] = []  # of the next calls, in order
        self.open = asyncio.Event()
        self.open.set()

    def keep(self, message: Message) -> Message:
        self.log.setdefault(message.address.place, []).append(message)
        return message

    async def history(self, address: Address, after: str | None, limit: int) -> AsyncIterator[Message]:
        self.asked.append((address.place, after, limit))
        await self.open.wait()
        if self.faults:
            raise self.faults.pop(0)
        log = self.log.get(address.place, [])
        ids = [message.id for message in log]
        found = log[ids.index(after) + 1 :][:limit] if after in ids else log[-limit:]
        for message in found:
            yield replace(message, address=address)


class RememberingAdapter(FakeAdapter):
    """An adapter of a platform that confirms nothing: what is posted while nobody listens is only in its archive."""

    def __init__(self, spec: AdapterSpec, world: RememberingWorld) -> None:
        super().__init__(spec, world)
        self.abilities = frozenset({"history"})
        self.archive = world.archive

    def history(self, address: Address, after: str | None, limit: int) -> AsyncIterator[Message]:
        return self.archive.history(address, after, limit)


class RememberingWorld(World):
    def __init__(self) -> None:
        self.archive = Archive()
        super().__init__()

    def _adapter(self, spec: AdapterSpec) -> FakeAdapter:
        made = RememberingAdapter(spec, self)
        self.adapters.append(made)
        return made

    def post(self, place: str, text: str = "hello", **changes: object) -> Message:
        return self.archive.keep(self.message("t", place, text, **changes))

    def hear(self, message: Message) -> asyncio.Task[Receipt]:
        """Deliver a message live."""
        return asyncio.create_task(self.live("discord").deliver(message), name=f"live {message.id}")

    def answered(self) -> list[list[str]]:
        return [[message.id for message in turn.messages] for turn in self.turns]


@asynccontextmanager
async def archived(wanted: Deployment = ONE) -> AsyncIterator[RememberingWorld]:
    """A world in which places 1 and 2 were talked in."""
    world = RememberingWorld()
    try:
        await world.supervisor.apply(wanted)
        await calm()
        for place in ("1", "2"):
            await world.hear(world.post(place))
        await calm()
        yield world
    finally:
        world.archive.open.set()
        world.answer_all()
        await world.stop()
    assert world.violations == []


async def lose(world: World) -> None:
    """End the session in a way that cannot be resumed."""
    world.server("t").die(NotReady("invalidated"))
    await calm()


async def again(world: World) -> None:
    """Let the next session begin."""
    world.time.advance(1)
    await calm(120)


async def test_what_was_said_between_two_sessions_is_answered_once_and_in_order() -> None:
    async with archived() as world:
        await lose(world)
        missed = [world.post(place, f"{number}") for number in range(3) for place in ("1", "2")]
        await again(world)
        assert world.state("discord") == "ready"
        assert {message.id: ["answered"] for message in missed}.items() <= world.outcomes().items()
        assert sorted(world.answered()[2:]) == sorted([[m.id for m in missed[0::2]], [m.id for m in missed[1::2]]])


async def test_what_was_fetched_on_a_full_disk_is_recorded_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async with archived() as world:
        await lose(world)
        missed = [world.post("1", f"{number}") for number in range(3)]
        record, full = world.store.record, True

        async def refused(message: Message, agent_id: str) -> bool:
            if full:
                world.store._claims.discard(world.store.key(message))
                raise NotReady("the disk is full")
            return await record(message, agent_id)

        monkeypatch.setattr(world.store, "record", refused)
        await again(world)
        assert not {message.id for message in missed} & world.outcomes().keys()
        full = False
        await again(world)
        assert {message.id: ["answered"] for message in missed}.items() <= world.outcomes().items()
        assert len([place for place, _, _ in world.archive.asked if place == "1"]) == 1  # asked for once


async def test_nobody_asks_where_nothing_was_ever_recorded_or_nobody_listens_now() -> None:
    async with archived() as world:
        world.post("3")
        await world.supervisor.apply(replace(ONE, bindings=(rule("kovach", None, "1", "3"),)))
        await calm()
        assert world.archive.asked == []
        await lose(world)
        world.post("2")
        await again(world)
        assert {place for place, _, _ in world.archive.asked} == {"1"}
        assert len(world.answered()) == 2


async def test_a_live_message_waits_for_the_older_ones_of_its_conversation_alone() -> None:
    async with archived() as world:
        await lose(world)
        older = world.post("1", "older")
        world.archive.open.clear()
        await again(world)
        live = [world.post("1", "live one"), world.post("1", "live two"), world.post("3", "elsewhere")]
        heard = [world.hear(message) for message in live]
        await calm()
        assert world.state("discord") == "ready"
        assert len(world.answered()) == 2
        assert heard[2].done()  # nothing is fetched there, so nothing waits there
        world.archive.open.set()
        await calm(120)
        assert [ident for turn in world.answered()[2:] for ident in turn] == [older.id, live[0].id, live[1].id]
        assert [task.result() for task in heard[:2]] == [Receipt.DUPLICATE] * 2  # the archive knew them by then


async def test_a_live_message_does_not_wait_for_ever() -> None:
    async with archived() as world:
        await lose(world)
        world.archive.open.clear()
        await again(world)
        live = world.message("t", "1", "live")
        world.hear(live)
        await calm()
        assert live.id not in world.outcomes()
        world.time.advance(HOLD_SECONDS)
        await calm()
        assert world.outcomes()[live.id] == ["answered"]


async def test_what_is_new_is_left_to_the_next_session_when_this_one_dies_before_the_older_was_fetched() -> None:
    async with archived() as world:
        await lose(world)
        older = world.post("1", "older")
        world.archive.open.clear()
        await again(world)
        newer = world.post("1", "newer")
        heard = world.hear(newer)
        await calm()
        await lose(world)
        with pytest.raises(NotReady):
            await heard
        world.archive.open.set()
        world.time.advance(2)
        await calm(120)
        assert [ident for turn in world.answered()[2:] for ident in turn] == [older.id, newer.id]


async def test_what_one_session_could_not_fetch_the_next_one_does_whatever_came_meanwhile() -> None:
    async with archived() as world:
        await lose(world)
        older = world.post("1", "older")
        world.archive.open.clear()
        await again(world)
        world.time.advance(HOLD_SECONDS)
        newer = world.post("1", "newer")
        await world.hear(newer)
        await calm()
        assert world.outcomes()[newer.id] == ["answered"]
        await lose(world)
        world.archive.open.set()
        world.time.advance(2)
        await calm(120)
        assert world.outcomes()[older.id] == ["answered"]
        assert world.outcomes()[newer.id] == ["answered"]


async def test_what_is_older_than_ten_minutes_is_left_alone() -> None:
    async with archived() as world:
        await lose(world)
        old = world.post("1", "old")
        world.time.now += WINDOW
        young = world.post("1", "young")
        await again(world)
        assert old.id not in world.outcomes()
        assert world.outcomes()[young.id] == ["answered"]


async def test_of_more_than_a_hundred_the_newest_are_fetched() -> None:
    async with archived() as world:
        await lose(world)
        missed = [world.post("1", f"{number}") for number in range(LIMIT + 30)]
        await again(world)
        answered = [ident for turn in world.answered()[2:] for ident in turn]
        assert answered == [message.id for message in missed[-LIMIT:]]


@pytest.mark.parametrize("fault", [Uncertain("HTTP 500"), NotReady("busy"), TimeoutError()])
async def test_a_call_that_fails_is_tried_again(fault: Exception) -> None:
    async with archived() as world:
        await lose(world)
        missed = world.post("1")
        world.archive.faults = [fault] * 6
        await again(world)
        for seconds in (1, 2, 4, 8, 15):
            world.time.advance(seconds)
            await calm()
        assert world.outcomes()[missed.id] == ["answered"]


async def test_a_place_that_cannot_be_read_is_told_once_and_keeps_nobody_from_talking() -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{message} {extra}", level="WARNING")
    try:
        async with archived() as world:
            await lose(world)
            world.archive.faults = [Refused("Discord refused the history: Missing Access")] * 2
            await again(world)
            assert world.state("discord") == "ready"
            live = world.message("t", "1", "live")
            await world.hear(live)
            await calm()
            assert world.outcomes()[live.id] == ["answered"]
    finally:
        logger.remove(sink)
    told = [line for line in lines if "could not be fetched" in line]
    assert len(told) == 1
    assert "Missing Access" in told[0]


async def test_what_a_crash_left_comes_before_what_was_said_since() -> None:
    async with archived() as world:
        world.slow = True
        pondered = world.post("1", "pondered")
        world.hear(pondered)
        await calm()
        await world.supervisor._turns.cancel()  # as a crash would: recorded, and never ended
        await world.stop()
        world.thinking.clear()
        since = world.post("1", "since")
        world.answer_all()
        world.turns.clear()
        world.start()
        await world.supervisor.apply(ONE)
        await calm(120)
        assert [ident for turn in world.answered() for ident in turn] == [pondered.id, since.id]


async def test_stopping_in_the_middle_leaves_it_to_the_next_start() -> None:
    async with archived() as world:
        await lose(world)
        world.post("1")
        world.archive.open.clear()
        await again(world)
        await world.stop()
        assert len(world.answered()) == 2


async def test_an_instance_without_a_memory_of_the_platform_begins_as_ever() -> None:
    async with running() as world:
        await world.supervisor.apply(ONE)
        await calm()
        assert world.state("discord") == "ready"


async def test_those_who_wait_go_in_the_order_they_came_and_latecomers_behind_them() -> None:
    order: list[int] = []
    archive = Archive()
    archive.open.clear()

    async def deliver(message: Message) -> Receipt:
        return Receipt.RECORDED

    address = Address("discord", "discord", "bot", "1")
    catch_up = CatchUp("discord", archive, [Mark(address, "m", 0.0)], deliver, lambda: 0.0, asyncio.sleep)
    await catch_up.begin()

    async def live(number: int) -> None:
        await catch_up.older(address.conversation)
        order.append(number)

    running = asyncio.create_task(catch_up.run())
    tasks = [asyncio.create_task(live(number)) for number in range(5)]
    await asyncio.sleep(0)
    archive.open.set()
    for number in range(5, 30):
        tasks.append(asyncio.create_task(live(number)))
        await asyncio.sleep(0)
    await asyncio.gather(running, *tasks)
    assert order == list(range(30))


@pytest.mark.parametrize(
    ("scope", "address", "reaches"),
    [
        (Scope(frozenset({"1"})), Address("p", "p", "a", "1"), True),
        (Scope(frozenset({"1"})), Address("p", "p", "a", "9", parent="1"), True),
        (Scope(frozenset({"1"})), Address("p", "p", "a", "2"), False),
        (Scope(everything=True), Address("p", "p", "a", "2"), True),
        (Scope(everything=True), Address("p", "p", "a", "2", direct=True), False),
        (Scope(direct=True), Address("p", "p", "a", "2", direct=True), True),
        (Scope(frozenset({"2"})), Address("p", "p", "a", "2", direct=True), True),
    ],
)
def test_a_scope_reaches_its_places_and_their_threads(scope: Scope, address: Address, reaches: bool) -> None:
    assert heard(scope, address) is reaches
