"""What the Slack adapter hears and how it reads it, with the real slack-sdk against the loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.model import Message, Receipt, Scope
from tests.unit.adapters.slack_stage import Table, laid, part


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    async with laid() as one:
        yield one


# -- where


@pytest.mark.parametrize("kind", ["channel", "group", "mpim"])
async def test_channels_private_channels_and_group_messages_are_channels(table: Table, kind: str) -> None:
    place = table.server.add_channel(table.team, "place", [table.bot, table.ana], kind=kind)  # type: ignore[arg-type]
    async with table.open(scope=Scope(places=frozenset({place.id}))):
        table.server.post(place, table.ana, "hello")
        address = (await table.next()).address
        assert (address.place, address.space, address.direct) == (place.id, table.team.id, False)
        assert address.label == f"slack:{table.team.id}:{place.id}"


async def test_a_direct_message_is_called_by_its_person(table: Table) -> None:
    direct = table.server.open_dm(table.bot, table.ana)
    async with table.open(table.adapter(name="keeper")):
        table.server.post(direct, table.ana, "psst")
        address = (await table.next()).address
        assert (address.direct, address.place) == (True, direct.id)
        assert address.label == f"slack:keeper:{table.team.id}:dm:{table.ana.id}"


async def test_a_thread_is_a_conversation_of_its_own_and_its_root_is_the_channels(table: Table) -> None:
    async with table.open() as adapter:
        root = table.server.post(table.tavern, table.ana, "root")
        inside = table.server.post(table.tavern, table.ana, "inside", thread=root)
        first, second = await table.next(), await table.next()
        assert (first.address.thread, second.address.thread) == (None, root.ts)
        assert second.address.label.endswith(f":{table.tavern.id}#{root.ts}")
        assert second.reply_to == root.ts
        await adapter.send(second.address, part("here"))
        table.server.edit(inside, "changed inside")
        assert (await table.next()).address == second.address
        table.server.delete(inside)
        assert (await table.next()).address == second.address
    assert table.said()[0].thread_ts == root.ts


# -- what


async def test_text_and_names_are_readable_and_our_own_mention_goes(table: Table) -> None:
    bo = table.server.add_user(table.team, "Bo")
    async with table.open():
        text = f"<@{table.bot.user_id}> did <@{bo.id}> go to <#{table.tavern.id}>? 1 &lt; 2"
        table.server.post(table.tavern, table.ana, text, files=["map.png"])
        heard = await table.next()
        assert heard.text == "did @Bo go to #tavern? 1 < 2"
        assert (heard.author.name, heard.attachments, heard.mentioned) == ("Ana", ("map.png",), True)


async def test_a_name_is_asked_for_once(table: Table) -> None:
    async with table.open():
        for number in range(5):
            table.server.post(table.tavern, table.ana, f"line {number}")
        assert [(await table.next()).author.name for _ in range(5)] == ["Ana"] * 5
    assert len(table.server.calls("users.info")) == 1


async def test_a_stranger_whose_name_has_to_be_asked_for_is_not_overtaken(table: Table) -> None:
    bo = table.server.add_user(table.team, "Bo")
    async with table.open():
        table.server.post(table.tavern, table.ana, "I am known")
        await table.next()
        table.server.slow("users.info", 0.2)
        table.server.post(table.tavern, bo, "first")
        table.server.post(table.tavern, table.ana, "second")
        assert [(m.text, m.author.name) for m in [await table.next(), await table.next()]] == [
            ("first", "Bo"),
            ("second", "Ana"),
        ]


async def test_a_slow_slack_holds_up_names_and_no_messages(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.people.PATIENCE", 0.1)
    table.server.slow("users.info", 0.6)
    async with table.open():
        table.server.post(table.tavern, table.ana, "hello")
        assert (await table.next()).author.name == table.ana.id


@pytest.mark.parametrize("how", [{"status": 429}, {"status": 503}, {"error": "missing_scope"}])
async def test_somebody_who_cannot_be_looked_up_is_called_by_their_id(table: Table, how: dict[str, object]) -> None:
    table.server.fail_next(method="users.info", **how)  # type: ignore[arg-type]
    async with table.open():
        table.server.post(table.tavern, table.ana, "hello")
        heard = await table.next()
        assert (heard.author.name, heard.text) == (table.ana.id, "hello")


async def test_announcements_and_previews_of_links_are_nothing_that_was_said(table: Table) -> None:
    async with table.open():
        table.server.post(table.tavern, table.ana, "joined", subtype="channel_join")
        said = table.server.post(table.tavern, table.ana, "look: https://example.org")
        table.server.unfurl(said)
        table.server.post(table.tavern, table.ana, "next")
        assert [(await table.next()).text for _ in range(2)] == ["look: https://example.org", "next"]


async def test_a_thread_whose_root_is_deleted_leaves_a_deletion(table: Table) -> None:
    async with table.open():
        root = table.server.post(table.tavern, table.ana, "root")
        table.server.post(table.tavern, table.ana, "reply", thread=root)
        table.server.delete(root)
        heard = [await table.next() for _ in range(3)]
        assert [(m.kind, m.id) for m in heard][0::2] == [("posted", root.ts), ("deleted", root.ts)]
        assert heard[2].address == heard[0].address


# -- who


async def test_other_bots_are_bots_and_our_own_posts_our_own(table: Table) -> None:
    other = table.server.add_bot(table.team, "xoxb-other", "xapp-other", name="Other")
    table.server.join(table.tavern, other)
    async with table.open() as adapter:
        assert adapter.aliases == {table.bot.bot_id}
        for persona in ("off", "webhook"):
            await adapter.send(table.address(), part("mine", persona=persona))
        table.server.post(table.tavern, other, "theirs")
        mine = [await table.heard.get() for _ in range(2)]
        assert [(m.author.id, m.author.own, m.author.bot) for m in mine] == [(table.bot.user_id, True, True)] * 2
        theirs = await table.next()
        assert (theirs.author.id, theirs.author.bot, theirs.author.own) == (other.user_id, True, False)


# -- mentions


async def test_a_message_and_its_mention_are_one_message_whichever_comes_first(table: Table) -> None:
    text = f"are you there, <@{table.bot.user_id}>?"
    async with table.open():
        table.server.post(table.tavern, table.ana, text)
        one, twin = await table.next(), await table.next()
        assert one == twin
        assert one.mentioned
        # Heard through nothing but mentions, it is the same.
        table.server.deny(table.bot, "message.channels")
        table.server.post(table.tavern, table.ana, text)
        alone = await table.next()
        assert (alone.mentioned, alone.text, alone.address) == (True, one.text, one.address)


@pytest.mark.parametrize("persona", ["off", "webhook"])
async def test_what_is_said_in_a_thread_of_ours_answers_us_also_after_a_restart(table: Table, persona: str) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), part("Who goes there?", persona=persona))
        table.server.post(table.tavern, table.ana, "me", thread=table.said()[0])
        assert (await table.next()).mentioned
    async with table.open():
        table.server.post(table.tavern, table.ana, "still me", thread=table.said()[0])
        assert (await table.next()).mentioned


async def test_what_is_said_in_a_thread_of_somebody_else_is_no_mention(table: Table) -> None:
    other = table.server.add_bot(table.team, "xoxb-other", "xapp-other")
    table.server.join(table.tavern, other)
    async with table.open():
        roots = [table.server.post(table.tavern, one, "root") for one in (table.ana, other)]
        for root in roots:
            table.server.post(table.tavern, table.ana, "reply", thread=root)
        assert [(await table.next()).mentioned for _ in range(4)] == [False] * 4


async def test_whose_a_thread_is_is_found_out_by_the_next_delivery_when_slack_fails() -> None:
    async with laid(ack_seconds=0.4, retry_seconds=(0.0, 0.0, 0.0)) as table:
        async with table.open() as adapter:
            await adapter.send(table.address(), part("Who goes there?", persona="webhook"))
        async with table.open():
            table.server.fail_next(status=503, method="conversations.replies")
            table.server.post(table.tavern, table.ana, "me", thread=table.said()[0])
            assert (await table.next()).mentioned
            assert len(table.server.calls("conversations.replies")) == 2


async def test_a_message_whose_thread_stays_unknown_is_heard_at_slacks_last_try_all_the_same() -> None:
    async with laid(ack_seconds=0.2, retry_seconds=(0.0, 0.0, 0.0)) as table:
        async with table.open() as adapter:
            await adapter.send(table.address(), part("Who goes there?", persona="webhook"))
        async with table.open():
            table.server.fail_next(99, status=503, method="conversations.replies")
            table.server.post(table.tavern, table.ana, "me", thread=table.said()[0])
            heard = await table.next()
            assert (heard.text, heard.mentioned) == ("me", False)
            await table.server.wait_for(lambda s: s.unacknowledged == 0)
            assert table.server.undelivered == 0


# -- recorded, then acknowledged


async def test_an_envelope_is_acknowledged_only_once_its_message_is_recorded(table: Table) -> None:
    recording, recorded = asyncio.Event(), asyncio.Event()

    async def slowly(message: Message) -> Receipt:
        recording.set()
        await recorded.wait()
        return Receipt.RECORDED

    adapter = table.adapter()
    await adapter.open(slowly)
    await adapter.listen(Scope(everything=True))
    try:
        table.server.post(table.tavern, table.ana, "hello")
        await asyncio.wait_for(recording.wait(), 10)
        assert table.server.unacknowledged == 1
        recorded.set()
        await table.server.wait_for(lambda s: s.unacknowledged == 0)
    finally:
        await adapter.aclose()


async def test_what_could_not_be_recorded_comes_again_until_it_is() -> None:
    async with laid(ack_seconds=0.2, retry_seconds=(0.0, 0.0, 0.0)) as table:
        tries = 0

        async def full_disk(message: Message) -> Receipt:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise NotReady("the disk is full")
            return await table.deliver(message)

        adapter = table.adapter()
        await adapter.open(full_disk)
        await adapter.listen(Scope(everything=True))
        try:
            table.server.post(table.tavern, table.ana, "hello")
            assert (await table.next()).text == "hello"
            await table.server.wait_for(lambda s: s.unacknowledged == 0)
            assert (tries, table.server.undelivered) == (3, 0)
        finally:
            await adapter.aclose()


async def test_what_arrives_before_it_is_known_what_to_hear_waits_for_that(table: Table) -> None:
    adapter = table.adapter()
    await adapter.open(table.deliver)
    try:
        table.server.post(table.tavern, table.ana, "early")
        direct = table.server.open_dm(table.bot, table.ana)
        table.server.post(direct, table.ana, "nobody listens here")
        await table.server.wait_for(lambda s: s.unacknowledged == 2)
        await adapter.listen(Scope(everything=True))
        assert (await table.next()).text == "early"
        await table.server.wait_for(lambda s: s.unacknowledged == 0)
        assert table.heard.empty()
    finally:
        await adapter.aclose()


async def test_what_comes_while_it_drains_is_left_to_its_successor() -> None:
    async with laid(ack_seconds=0.3, retry_seconds=(0.0, 0.5, 0.5)) as table:
        async with table.open() as adapter:
            await adapter.listen(Scope())
            root = table.server.post(table.tavern, table.ana, "a thread that nobody knows yet")
            table.server.post(table.tavern, table.ana, "are you going?", thread=root)
        assert table.heard.empty()
        async with table.open():
            assert {(await table.next()).text for _ in range(2)} == {"a thread that nobody knows yet", "are you going?"}
            await table.server.wait_for(lambda s: s.unacknowledged == 0)


async def test_a_redelivery_is_the_same_message(table: Table) -> None:
    async with table.open():
        said = table.server.post(table.tavern, table.ana, "hello")
        table.server.redeliver(said)
        assert await table.next() == await table.next()


async def test_what_nobody_asked_for_is_acknowledged_all_the_same(table: Table) -> None:
    async with table.open(scope=Scope()):
        table.server.post(table.tavern, table.ana, "into the void")
        table.server.command(table.bot, table.tavern, table.ana, "status")
        await table.server.wait_for(lambda s: s.unacknowledged == 0)
        assert table.server.undelivered == 0
        assert table.heard.empty()


# -- history and places


async def test_a_long_history_is_fetched_page_by_page(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.places.PAGE", 3)
    said = [table.server.post(table.tavern, table.ana, f"line {n}") for n in range(10)]
    async with table.open() as adapter:
        address = table.address()
        assert [m.id async for m in adapter.history(address, said[1].ts, 5)] == [m.ts for m in said[2:7]]
        assert [m.id async for m in adapter.history(address, None, 4)] == [m.ts for m in said[6:]]
        # What was last recorded may have been a slash command.
        assert [m.id async for m in adapter.history(address, f"{said[7].ts}-trigger", 9)] == [m.ts for m in said[8:]]


async def test_a_threads_history_is_what_was_said_inside(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.places.PAGE", 2)
    root = table.server.post(table.tavern, table.ana, "root")
    inside = [table.server.post(table.tavern, table.ana, f"reply {n}", thread=root) for n in range(5)]
    table.server.post(table.tavern, table.ana, "beside it")
    async with table.open() as adapter:
        thread = table.address(thread=root.ts)
        told = [m async for m in adapter.history(thread, inside[0].ts, 3)]
        assert [m.id for m in told] == [m.ts for m in inside[1:4]]
        assert {m.address for m in told} == {thread}
        assert [m.id async for m in adapter.history(thread, None, 2)] == [m.ts for m in inside[3:]]
        assert [m.text async for m in adapter.history(table.address(), root.ts, 9)] == ["beside it"]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ({"status": 503}, NotReady),
        ({"status": None}, NotReady),
        ({"status": 429}, NotReady),
        ({"error": "missing_scope"}, Refused),
    ],
)
async def test_a_history_that_cannot_be_read_is_told_by_its_type(
    table: Table, how: dict[str, object], kind: type[Exception]
) -> None:
    async with table.open() as adapter:
        # aiohttp itself reads once more what was cut off.
        table.server.fail_next(2, method="conversations.history", **how)  # type: ignore[arg-type]
        with pytest.raises(kind):
            _ = [m async for m in adapter.history(table.address(), None, 5)]


async def test_a_place_is_found_as_a_person_names_it(table: Table) -> None:
    root = table.server.post(table.tavern, table.ana, "root")
    elsewhere = table.server.add_channel(table.team, "elsewhere")
    async with table.open() as adapter:
        assert await adapter.locate(table.tavern.id) == await adapter.locate("#tavern") == table.address()
        thread = await adapter.locate(f"{table.tavern.id}#{root.ts}")
        assert (thread.place, thread.thread) == (table.tavern.id, root.ts)
        assert await adapter.locate(f"#tavern#{root.ts}") == thread
        direct = await adapter.locate(f"dm:{table.ana.id}")
        assert direct.label == f"slack:{table.team.id}:dm:{table.ana.id}"
        await adapter.send(direct, part("psst"))
        assert len(table.said(table.server.open_dm(table.bot, table.ana))) == 1
        assert (await adapter.locate(direct.place)).label == direct.label
        for nowhere in (
            elsewhere.id,
            "#elsewhere",
            "C0NOWHERE",
            "#nowhere",
            "",
            "dm:",
            "dm:Ana",
            "dm:U0NOBODY",
            "#tavern#x",
        ):
            with pytest.raises(Refused):
                await adapter.locate(nowhere)
        table.tavern.archived = True
        with pytest.raises(Refused, match="archived"):
            await adapter.locate(table.tavern.id)


async def test_a_channel_that_the_bot_is_invited_to_is_seen_at_the_next_look(table: Table) -> None:
    elsewhere = table.server.add_channel(table.team, "elsewhere")
    async with table.open() as adapter:
        wanted = Scope(places=frozenset({table.tavern.id, elsewhere.id}))
        assert await adapter.listen(wanted) == {elsewhere.id}
        table.server.join(elsewhere, table.bot)
        assert await adapter.listen(wanted) == frozenset()
        table.server.fail_next(status=503, method="users.conversations")
        assert await adapter.listen(Scope(places=frozenset({"C0OTHER"}))) == frozenset()
