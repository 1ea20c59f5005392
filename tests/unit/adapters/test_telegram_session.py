"""A session's life: what is confirmed when, what ends it and with which remedy, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import time
import traceback
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from loguru import logger

from homunculus.adapters.telegram import polling
from homunculus.errors import NotReady, Refused
from homunculus.model import Message, Receipt, Scope
from homunculus.testing.telegram import Chat
from tests.unit.adapters.telegram_table import ALL, TOKEN, Table, laid, part


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    async with laid() as one:
        yield one


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_PAUSE", 0.05)


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Collect what the program would write at its most talkative."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level=0, format="{level} {message} {extra} {exception}")
    yield lines
    logger.remove(sink)


def harbour(table: Table) -> Chat:
    return table.server.add_chat("supergroup", "harbour", bots=[table.bot])


# -- confirmation


async def test_nothing_is_confirmed_before_it_is_recorded(table: Table) -> None:
    arrived, recorded = asyncio.Event(), asyncio.Event()

    async def deliver(message: Message) -> Receipt:
        arrived.set()
        await recorded.wait()
        return await Table.deliver(table, message)

    adapter = table.adapter()
    await adapter.open(deliver)
    await adapter.listen(ALL)
    said = table.say("write this down")
    await asyncio.wait_for(arrived.wait(), 10)
    assert table.server.updates(table.bot).waiting == 1
    recorded.set()
    await table.confirmed()
    assert (await table.next()).id == said
    assert table.heard.empty()
    await adapter.aclose()


async def test_what_cannot_be_recorded_comes_again_in_order_and_holds_up_no_other_place(table: Table) -> None:
    broken, elsewhere = True, harbour(table)

    async def deliver(message: Message) -> Receipt:
        if broken and message.address.place == str(table.tavern.id):
            raise NotReady("the disk is full")
        return await Table.deliver(table, message)

    adapter = table.adapter()
    await adapter.open(deliver)
    said = [table.say("one"), table.say("two")]
    beside = table.say("beside", elsewhere)
    await adapter.listen(ALL)
    assert (await table.next()).id == beside
    later = table.say("later", elsewhere)
    assert (await table.next()).id == later
    broken = False
    assert [(await table.next()).id for _ in said] == said
    await table.confirmed()
    assert table.heard.empty()
    await adapter.aclose()


async def test_what_follows_a_message_that_is_not_recorded_waits_for_it(table: Table) -> None:
    failures = iter([NotReady("the disk is full"), ValueError("a bug")])

    async def deliver(message: Message) -> Receipt:
        if message.text == "one" and (fault := next(failures, None)):
            raise fault
        return await Table.deliver(table, message)

    adapter = table.adapter()
    await adapter.open(deliver)
    said = [table.say("one"), table.say("two"), table.say("three")]
    await adapter.listen(ALL)
    assert [(await table.next()).id for _ in said] == said
    await table.confirmed()
    assert table.heard.empty()
    await adapter.aclose()


async def test_one_message_that_can_never_be_recorded_does_not_stop_the_rest(table: Table, log: list[str]) -> None:
    tries = 0

    async def deliver(message: Message) -> Receipt:
        nonlocal tries
        if message.text == "poison":
            tries += 1
            raise ValueError("a bug")
        return await Table.deliver(table, message)

    adapter = table.adapter()
    await adapter.open(deliver)
    table.say("poison")
    said = table.say("water")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(polling, "LONGEST_PAUSE", 0.01)
        await adapter.listen(ALL)
        assert (await table.next()).id == said
        await table.confirmed()
    assert tries == polling.TRIES
    assert sum("is lost" in line for line in log) == 1
    await adapter.aclose()


async def test_updates_that_nobody_can_read_are_skipped(table: Table, log: list[str]) -> None:
    broken: list[dict[str, Any]] = [
        {"message": {"message_id": "x"}},
        {"message": 7},
        {"message": {"message_id": 1, "date": 1, "chat": {"id": 1}}},
        {"poll_of_a_later_century": {"id": 1}},
        {},
        {"edited_message": None, "message": None},
    ]
    for body in broken:
        table.server.queue_raw(table.bot, body)
    said = table.say("still there?")
    async with table.open():
        assert (await table.next()).id == said
        await table.confirmed()
    assert any("cannot read" in line for line in log)


async def test_what_telegram_sends_again_is_delivered_again_for_the_inbox_to_know(table: Table) -> None:
    async with table.open():
        said = table.say("hello")
        assert (await table.next()).id == said
        table.server.redeliver(table.bot, 3)
        after = table.say("after")
        heard: list[str] = []
        while not heard or heard[-1] != after:
            heard.append((await table.next()).id)
        assert list(dict.fromkeys(heard))[-1] == after
        await table.confirmed()


async def test_what_was_recorded_last_is_confirmed_on_closing(table: Table) -> None:
    async with table.open():
        table.say("hello")
        await table.next()
    assert table.server.updates(table.bot).waiting == 0


async def test_what_was_said_while_the_program_was_down_is_heard_in_order(table: Table) -> None:
    said = [table.say(f"line {number}") for number in range(250)]
    async with table.open():
        assert [(await table.next()).id for _ in said] == said


async def test_what_was_said_long_before_the_bot_came_back_is_not_heard(table: Table, log: list[str]) -> None:
    with time_machine.travel(time.time() - polling.OLDEST - 60, tick=True):
        table.say("eleven minutes ago")
    with time_machine.travel(time.time() - polling.OLDEST + 60, tick=True):
        said = table.say("nine minutes ago")
    async with table.open():
        assert (await table.next()).id == said
        await table.confirmed()
        assert table.heard.empty()
    assert sum("is not answered" in line for line in log) == 1


async def test_what_is_said_while_the_bot_drains_is_left_to_its_successor(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.listen(Scope())
        said = table.say("for whoever comes next")
    async with table.open():
        assert (await table.next()).id == said
        assert table.heard.empty()


async def test_what_was_said_while_nobody_was_to_be_heard_is_nobodys(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.listen(Scope())
        table.say("into the void")
        await adapter.listen(ALL)
        said = table.say("after")
        assert (await table.next()).id == said
        await table.confirmed()
        assert table.heard.empty()


async def test_a_closing_adapter_waits_a_moment_for_what_is_being_recorded_and_no_longer(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "CLOSE_PATIENCE", 0.2)
    stuck = asyncio.Event()

    async def deliver(message: Message) -> Receipt:
        stuck.set()
        await asyncio.Event().wait()
        raise AssertionError

    adapter = table.adapter()
    await adapter.open(deliver)
    await adapter.listen(ALL)
    table.say("hello")
    await asyncio.wait_for(stuck.wait(), 10)
    await asyncio.wait_for(adapter.aclose(), 5)
    assert table.server.updates(table.bot).waiting == 1


async def test_a_change_of_scope_that_is_given_up_leaves_nothing_behind(table: Table) -> None:
    stuck = asyncio.Event()

    async def deliver(message: Message) -> Receipt:
        stuck.set()
        await asyncio.Event().wait()
        raise AssertionError

    adapter = table.adapter()
    await adapter.open(deliver)
    await adapter.listen(ALL)
    table.say("hello")
    await asyncio.wait_for(stuck.wait(), 10)
    draining = asyncio.create_task(adapter.listen(Scope()))
    await asyncio.sleep(0)
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)
    await asyncio.wait_for(adapter.aclose(), 10)


# -- death


@pytest.mark.parametrize(
    ("harm", "kind", "words"),
    [
        (lambda table: table.server.revoke(table.bot), Refused, "@BotFather"),
        (lambda table: table.server.fail_next(status=409, method="getUpdates"), NotReady, "another program polls"),
    ],
    ids=["revoked", "second poller"],
)
async def test_a_session_that_ends_says_what_to_do(
    table: Table, harm: Callable[[Table], None], kind: type[Exception], words: str
) -> None:
    async with table.open() as adapter:
        await table.server.wait_for(lambda server: server.updates(table.bot).open == 1)
        harm(table)
        table.say("wake up")
        with pytest.raises(kind, match=words) as death:
            await asyncio.wait_for(adapter.closed(), 10)
        assert TOKEN not in "".join(traceback.format_exception(death.value))


async def test_a_second_poller_is_noticed_and_told(table: Table) -> None:
    async with table.open() as adapter:
        await table.server.wait_for(lambda server: server.updates(table.bot).open == 1)
        async with table.open(), asyncio.timeout(10):
            with pytest.raises(NotReady, match="another program polls Telegram with this token"):
                await adapter.closed()


async def test_an_idle_bot_notices_its_death_too(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "REST_SECONDS", 0.05)
    async with table.open(scope=Scope()) as adapter:
        assert table.server.updates(table.bot).polls == 0
        table.server.revoke(table.bot)
        with pytest.raises(Refused, match="@BotFather"):
            await asyncio.wait_for(adapter.closed(), 10)


async def test_a_telegram_that_falls_silent_is_noticed(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("ANSWER_PATIENCE", 0.2),
        ("RETRY_PATIENCE", 0.2),
        ("LOST_PATIENCE", 0.5),
        ("POLL_SECONDS", 0),
    ):
        monkeypatch.setattr(polling, name, seconds)
    async with table.open() as adapter:
        table.server.slow("getUpdates", 30)
        with pytest.raises(NotReady, match="lost and not restored"):
            await asyncio.wait_for(adapter.closed(), 10)


def test_any_death_is_told_within_a_minute() -> None:
    silence = polling.POLL_SECONDS + polling.ANSWER_PATIENCE
    assert silence + 3 * polling.RETRY_PATIENCE + 7 * polling.FIRST_WAIT < 60
    assert polling.LOST_PATIENCE + polling.LONGEST_WAIT + polling.RETRY_PATIENCE / 2 < 60
    assert polling.REST_SECONDS + polling.RETRY_PATIENCE < 60


@pytest.mark.parametrize(
    "fault", [{"status": 502}, {"status": 429, "retry_after": 1}, {"status": None}, {"status": 500}]
)
async def test_a_poll_that_fails_now_and_then_costs_nothing(table: Table, fault: dict[str, object]) -> None:
    async with table.open() as adapter:
        table.server.fail_next(method="getUpdates", **fault)  # type: ignore[arg-type]
        said = [table.say("one"), table.say("two")]
        assert [(await table.next()).id for _ in said] == said
        watching = asyncio.create_task(adapter.closed())
        await asyncio.sleep(0)
        assert not watching.done()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


# -- opening


@pytest.mark.parametrize(
    "token",
    ["", " ", "7001:with space", "7001:line\nbreak", "7001:slash/../", "7001:{token}", "7001:a?b", "7001:a#b", "Ж"],
)
async def test_a_token_that_can_be_none_reaches_no_address(table: Table, token: str) -> None:
    adapter = table.adapter(token=token)
    with pytest.raises(Refused, match="no Telegram token has"):
        await adapter.open(table.deliver)
    await adapter.aclose()
    assert table.server.requests == []


@pytest.mark.parametrize("token", ["not-a-token", "7009:unknown-token"])
async def test_a_wrong_token_is_refused_with_a_remedy_and_never_shown(table: Table, token: str, log: list[str]) -> None:
    adapter = table.adapter(token=token)
    with pytest.raises(Refused, match="/revoke") as refused:
        await adapter.open(table.deliver)
    await adapter.aclose()
    assert token not in "".join([*traceback.format_exception(refused.value), *log])


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 500}, "HTTP 500"),
        ({"status": 429, "retry_after": 9}, "rate limit"),
        ({"status": None}, "did not arrive"),
    ],
)
async def test_a_login_that_fails_for_now_is_tried_again(table: Table, fault: dict[str, object], words: str) -> None:
    table.server.fail_next(method="getMe", **fault)  # type: ignore[arg-type]
    adapter = table.adapter()
    with pytest.raises(NotReady, match=words) as failure:
        await adapter.open(table.deliver)
    assert failure.value.after == fault.get("retry_after")
    await adapter.aclose()


async def test_what_refuses_us_for_reasons_of_its_own_is_tried_again(table: Table) -> None:
    table.server.fail_next(status=403, method="getMe")
    adapter = table.adapter()
    with pytest.raises(NotReady, match="user is deactivated"):
        await adapter.open(table.deliver)
    await adapter.aclose()
    async with table.open():
        table.server.fail_next(status=403, method="getUpdates")
        said = [table.say("one"), table.say("two")]
        assert [(await table.next()).id for _ in said] == said


async def test_an_api_base_that_is_no_address_is_refused(table: Table) -> None:
    adapter = table.adapter(api_base="somewhere/bot")
    with pytest.raises(Refused, match="api_base"):
        await adapter.open(table.deliver)
    await adapter.aclose()


@pytest.mark.parametrize("privacy", [True, False])
async def test_privacy_mode_is_a_hindrance_with_its_remedy(table: Table, privacy: bool) -> None:
    table.bot.privacy = privacy
    async with table.open() as adapter:
        assert len(adapter.hindrances) == privacy
        assert all("/setprivacy" in one and "add it again" in one for one in adapter.hindrances)


# -- places


async def test_a_group_that_moves_is_told_with_what_to_change(table: Table, log: list[str]) -> None:
    group = table.server.add_chat("group", "old friends", bots=[table.bot])
    async with table.open(scope=Scope(places=frozenset({str(group.id)}))):
        supergroup = table.server.migrate(group)
        await table.confirmed()
    (line,) = [line for line in log if "moved" in line]
    assert line.startswith("WARNING")
    assert f'write chat_id "{supergroup.id}"' in line


async def test_what_happens_in_channels_is_not_heard(table: Table) -> None:
    channel = table.server.add_chat("channel", "news", bots=[table.bot])
    async with table.open():
        table.server.post(channel, None, "an announcement")
        said = table.say("hello")
        assert (await table.next()).id == said


async def test_a_place_is_found_by_its_id_name_topic_or_person(table: Table) -> None:
    table.tavern.username = "the_tavern"
    topic = table.server.add_topic(table.tavern, "rumours", table.ana)
    private = table.server.open_private(table.bot, table.ana)
    plain = harbour(table)
    async with table.open() as adapter:
        here = await adapter.locate(str(table.tavern.id))
        assert here == await adapter.locate("@the_tavern") == table.address()
        inside = await adapter.locate(f"{table.tavern.id}#{topic.id}")
        assert (inside.thread, inside.label) == (str(topic.id), f"telegram:{table.tavern.id}#{topic.id}")
        await adapter.send(inside, part("psst"))
        assert (await adapter.locate(f"dm:{table.ana.id}")).direct
        for wrong in (f"{plain.id}#5", f"dm:{plain.id}", "dm:4242", f"{table.tavern.id}#x", "@nobody_here"):
            with pytest.raises(Refused):
                await adapter.locate(wrong)
        table.server.mute(plain, table.bot)
        with pytest.raises(Refused, match="may not write"):
            await adapter.locate(str(plain.id))
        table.server.fail_next(status=502, method="getChat")
        with pytest.raises(NotReady):
            await adapter.locate(str(private.id))
    assert [one.text for one in table.server.sent(table.bot, table.tavern, topic)] == ["psst"]


async def test_places_are_looked_up_once_and_what_cannot_be_told_is_not_called_unseen(table: Table) -> None:
    places = frozenset({str(table.tavern.id), "-1004", "@name"})
    async with table.open(scope=Scope()) as adapter:
        table.server.fail_next(status=502, method="getChat", n=2)
        assert await adapter.listen(Scope(places=places)) == {"@name"}
        assert await adapter.listen(Scope(places=places)) == {"-1004", "@name"}
        asked = table.server.calls("getChat")
        assert await adapter.listen(Scope(places=frozenset({str(table.tavern.id)}))) == frozenset()
        assert table.server.calls("getChat") == asked


# -- what is left


async def test_sessions_that_come_and_go_leave_nothing(table: Table) -> None:
    async def cycle() -> None:
        async with table.open() as adapter:
            said = table.say("hello")
            heard = await table.next()
            assert heard.id == said
            await adapter.send(heard.address, part("Evening."))
            await adapter.react(heard.address, heard.id)
        table.server.requests.clear()
        table.tavern.log.clear()

    def measured() -> tuple[int, int, int]:
        gc.collect()
        tasks = len([task for task in asyncio.all_tasks() if not task.get_name().startswith("Task-")])
        return tasks, len(list(Path("/proc/self/fd").iterdir())), tracemalloc.get_traced_memory()[0]

    for _ in range(4):
        await cycle()
    tracemalloc.start()
    try:
        for _ in range(2):
            await cycle()
        before = measured()
        for _ in range(8):
            await cycle()
        after = measured()
    finally:
        tracemalloc.stop()
    assert after[0] == before[0]
    assert after[1] <= before[1] + 2  # the server's side of a connection that just ended
    assert after[2] - before[2] < 8 * 20_000, (before, after)
