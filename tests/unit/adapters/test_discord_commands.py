"""Commands given with Discord's own `/`: offered once, acknowledged at once, answered where and for whom it is meant."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from homunculus.adapters.discord.adapter import DiscordAdapter
from homunculus.adapters.discord.commands import application_commands, same
from homunculus.adapters.discord.interactions import FAILED, NOBODY
from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import CommandSpec, Message, ParameterSpec, Receipt, Reply, Scope
from homunculus.testing.discord import Channel, DiscordServer, Interaction
from homunculus.testing.discord.commands import read_commands
from tests.unit.adapters.conftest import ALL, TOKEN, Table, part, table_of

INTERACTIONS = "homunculus.adapters.discord.interactions"
MODES = ("mention", "always", "observe", "default")
COMMANDS = (
    CommandSpec(("npc", "status"), "What the NPC is doing here"),
    CommandSpec(
        ("npc", "mode"), "When the NPC answers here", (ParameterSpec("mode", "when", choices=MODES),), private=True
    ),
    CommandSpec(("npc", "remember"), "Tell the NPC a fact", (ParameterSpec("text", "the fact"),)),
    CommandSpec(
        ("check",),
        "Roll against a skill",
        (ParameterSpec("bonus dice", "how many", required=False), ParameterSpec("skill", "which")),
    ),
    CommandSpec(("whoami",), "Who you are to the bot"),
)


@asynccontextmanager
async def playing(
    table: Table, scope: Scope = ALL, deliver: Callable[[Message], Awaitable[Receipt]] | None = None
) -> AsyncIterator[DiscordAdapter]:
    """Keep an adapter open that has offered its commands."""
    adapter = table.adapter()
    try:
        async with asyncio.timeout(10):
            await adapter.open(deliver or table.deliver)
            await adapter.listen(scope)
            await adapter.offer(COMMANDS)
        yield adapter
    finally:
        await adapter.aclose()


def gave(table: Table, words: str, channel: Channel | None = None, **values: str) -> Interaction:
    names = {name.replace("_", "-"): value for name, value in values.items()}
    if words == "npc mode":
        names = {"mode": "always"}
    return table.server.command(channel or table.tavern, table.ana, words, names)


def whispers(table: Table, channel: Channel | None = None) -> list[str]:
    return [message.content for message in table.server.whispers(channel or table.tavern, table.ana)]


def answers(one: Interaction) -> list[str]:
    return [message.content for message in one.answers]


async def answered(table: Table, one: Interaction) -> None:
    await table.server.wait_for(lambda _: one.answers)


def pending(adapter: DiscordAdapter) -> int:
    assert adapter._interactions is not None
    return len(adapter._interactions._pending)


# -- what is offered


def test_commands_of_one_word_become_subcommands_of_it() -> None:
    npc, check, whoami = application_commands(COMMANDS)
    assert [option["name"] for option in npc["options"]] == ["status", "mode", "remember"]
    assert npc["options"][1]["options"][0]["choices"] == [{"name": mode, "value": mode} for mode in MODES]
    assert [(one["name"], one["required"]) for one in check["options"]] == [("skill", True), ("bonus-dice", False)]
    assert (whoami["description"], whoami["options"]) == ("Who you are to the bot", [])


def test_what_is_too_long_for_discord_is_cut() -> None:
    many = tuple(map(str, range(26)))
    (one,) = application_commands(
        [CommandSpec(("Roll" * 10,), "x" * 101, (ParameterSpec("n", " two\nlines ", choices=many),))]
    )
    assert (one["name"], one["description"]) == ("roll" * 8, "x" * 99 + "…")
    assert one["options"][0]["description"] == "two lines"
    assert "choices" not in one["options"][0]


words = st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=3).map(tuple)
parameters = st.builds(
    ParameterSpec,
    st.sampled_from(["skill", "Fact ID", "文字", "n|m"]),
    st.text(max_size=150),
    st.booleans(),
    st.lists(st.text("abc ", min_size=1).filter(str.strip), max_size=30, unique_by=str.strip).map(tuple),
)
specs = st.builds(
    CommandSpec, words, st.text(max_size=150), st.lists(parameters, max_size=4, unique_by=lambda p: p.name).map(tuple)
)


@settings(max_examples=40)
@given(specs)
def test_whatever_a_command_is_called_discord_takes_it(spec: CommandSpec) -> None:
    assert read_commands(application_commands([spec]))


@settings(max_examples=20)
@given(st.lists(specs, max_size=2))
def test_a_command_is_the_same_as_itself_and_not_as_another(commands: list[CommandSpec]) -> None:
    bodies = application_commands(commands)
    assert same(bodies, reversed(bodies))
    assert not same(bodies, [*bodies, {"name": "more", "description": "more"}])
    for body in bodies:
        changed = {**body, "description": body["description"] + "!"}
        assert not same([body], [changed])


async def test_a_session_asks_once_and_writes_only_what_changed(table: Table) -> None:
    async with playing(table) as adapter:
        for commands in (COMMANDS, COMMANDS, COMMANDS[:2], COMMANDS[:2], COMMANDS):
            await adapter.offer(commands)
    assert (table.server.command_reads(table.bot), table.server.command_writes(table.bot)) == (1, 3)


async def test_a_restart_with_the_same_commands_writes_nothing(table: Table) -> None:
    for _ in range(3):
        async with playing(table):
            pass
    assert (table.server.command_reads(table.bot), table.server.command_writes(table.bot)) == (3, 1)


async def test_commands_cannot_be_offered_without_a_connection(table: Table) -> None:
    with pytest.raises(NotReady):
        await table.adapter().offer(COMMANDS)


async def test_a_word_by_itself_gives_way_to_those_that_begin_with_it(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.offer((CommandSpec(("npc",), "by itself"), *COMMANDS))
        assert table.server.commands(table.bot)[:3] == ["npc status", "npc mode", "npc remember"]


async def test_trouble_with_offering_hinders_no_message(table: Table) -> None:
    async with table.open() as adapter:
        for status, after, error in ((429, 0.0, NotReady), (503, 0.0, Uncertain)):
            table.server.fail_next(1, status=status, path_contains="/commands", method="PUT", retry_after=60 + after)
            with pytest.raises(error):
                await adapter.offer(COMMANDS)
            table.server.post(table.tavern, table.ana, "still there?")
            assert (await table.next()).text == "still there?"
        with pytest.raises(Refused):
            await adapter.offer(tuple(CommandSpec((f"c{number}",), "one of many") for number in range(101)))
        await adapter.offer(COMMANDS)
    assert len(table.server.commands(table.bot)) == len(COMMANDS)


async def test_a_write_that_waits_for_a_rate_limit_holds_up_nothing_else(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(1, status=429, path_contains="/commands", method="PUT", retry_after=0.5)
        offering = asyncio.create_task(adapter.offer(COMMANDS))
        await table.server.wait_for(lambda server: not server.failures_left)
        table.server.post(table.tavern, table.ana, "hello")
        await adapter.send((await table.next()).address, part("meanwhile"))
        assert not offering.done()
        assert table.said() == ["meanwhile"]
        await offering
    assert table.server.command_writes(table.bot) == 1


# -- what is heard


async def test_a_command_is_told_as_its_line_with_who_and_where(table: Table) -> None:
    async with playing(table):
        typed = table.server.post(table.tavern, table.ana, "hello")
        hello = await table.next()
        one = gave(table, "npc mode")
        message = await table.next()
    assert (message.id, message.command, message.text) == (str(one.id), "npc mode always", "/npc mode always")
    assert (message.address, message.address.label) == (hello.address, hello.address.label)
    assert (message.author, message.mentioned, message.kind) == (hello.author, True, "posted")
    assert message.time >= typed.timestamp.timestamp()


async def test_arguments_stand_in_the_commands_own_order_and_keep_their_words(table: Table) -> None:
    async with playing(table):
        gave(table, "check", skill="spot hidden", bonus_dice="2")
        gave(table, "check", skill="stealth")
        gave(table, "npc remember", text="  the lake\nis  deep ")
        lines = [(await table.next()).command for _ in range(3)]
    assert sorted(lines) == ["check 2 spot hidden", "check stealth", "npc remember the lake\nis  deep"]


async def test_a_thread_and_a_direct_conversation_are_heard_and_answered(table: Table) -> None:
    thread = table.server.add_thread(table.tavern, "aside")
    private = table.server.open_dm(table.bot, table.ana)
    async with playing(table) as adapter:
        for place in (thread, private):
            table.server.post(place, table.ana, "hello")
            hello = await table.next()
            one = gave(table, "whoami", place)
            message = await table.next()
            assert (message.address, message.address.label) == (hello.address, hello.address.label)
            await adapter.send(message.address, part("Ana.", f"turn-{place.id}", quotes=message.id))
            assert (answers(one), table.said(place)) == (["Ana."], ["Ana."])


async def test_a_command_is_acknowledged_while_its_delivery_takes_its_time(table: Table) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def slow(message: Message) -> Receipt:
        going.set()
        await go.wait()
        return await table.deliver(message)

    async with playing(table, deliver=slow) as adapter:
        one = gave(table, "whoami")
        await going.wait()
        assert one.thinking
        assert one.acknowledged is not None
        assert one.acknowledged - one.given < 3
        go.set()
        await adapter.send(table.address(), part("Ana.", quotes=(await table.next()).id))
    assert answers(one) == ["Ana."]


async def test_a_command_from_before_the_first_offer_is_taken_and_its_answer_is_private(table: Table) -> None:
    async with playing(table):
        pass
    async with table.open() as adapter:
        one = gave(table, "check", skill="stealth", bonus_dice="2")
        message = await table.next()
        assert message.command == "check stealth 2"
        await adapter.send(message.address, part("Success.", quotes=message.id))
    assert (answers(one), whispers(table), table.said()) == (["Success."], ["Success."], [])


@pytest.mark.parametrize("words", ["whoami", "npc mode"])
async def test_where_nobody_takes_a_command_its_author_is_told_in_private(table: Table, words: str) -> None:
    async def ignore(_: Message) -> Receipt:
        return Receipt.IGNORED

    async with playing(table, deliver=ignore):
        one = gave(table, words)
        await table.server.wait_for(lambda _: whispers(table) == [NOBODY])
        assert not one.thinking
    assert table.server.messages(table.tavern) == []


async def test_out_of_scope_nothing_is_heard_and_the_author_is_told_in_private(table: Table) -> None:
    harbour = table.server.add_channel(table.guild, "harbour")
    private = table.server.open_dm(table.bot, table.ana)
    async with playing(table, scope=Scope(places=frozenset({str(table.tavern.id)}))):
        for place in (harbour, private):
            one = gave(table, "whoami", place)
            await answered(table, one)
            assert (answers(one), whispers(table, place)) == ([NOBODY], [NOBODY])
            assert table.server.messages(place) == []
        gave(table, "whoami")
        assert (await table.next()).address.place == str(table.tavern.id)


async def test_a_command_that_cannot_be_taken_says_so(table: Table) -> None:
    async def fail(_: Message) -> Receipt:
        raise RuntimeError("this delivery was meant to fail")

    async with playing(table, deliver=fail):
        gave(table, "whoami")
        await table.server.wait_for(lambda _: whispers(table) == [FAILED])


async def test_a_command_that_waits_to_be_recorded_is_answered_then(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.discord.inbound.FIRST_WAIT", 0.05)
    tries = 0

    async def full(message: Message) -> Receipt:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise NotReady("the disk is full")
        return await table.deliver(message)

    async with playing(table, deliver=full) as adapter:
        one = gave(table, "whoami")
        message = await table.next()
        assert one.thinking
        await adapter.send(message.address, part("Ana.", quotes=message.id))
    assert (tries, answers(one)) == (2, ["Ana."])


@pytest.mark.parametrize("status", [None, 503])
@pytest.mark.parametrize("after", [True, False], ids=["arrived", "lost"])
async def test_an_acknowledgement_in_doubt_is_made_again(table: Table, status: int | None, after: bool) -> None:
    async with playing(table):
        table.server.fail_next(1, status=status, path_contains="/callback", after=after)
        one = gave(table, "whoami")
        assert (await table.next()).id == str(one.id)
        assert one.thinking


async def test_a_command_that_is_told_twice_is_heard_once(table: Table) -> None:
    async with playing(table):
        table.server.duplicate(table.bot)
        one = gave(table, "whoami")
        assert (await table.next()).id == str(one.id)
        table.server.post(table.tavern, table.ana, "hello")
        assert (await table.next()).text == "hello"
    assert len([r for r in table.server.requests if r.path.endswith("/callback")]) == 1


async def test_what_is_only_thought_about_is_not_heard_as_said(table: Table) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        message = await table.next()
        await adapter.send(message.address, part("Ana.", quotes=message.id))
        end = table.server.post(table.tavern, table.ana, "bye")
        assert (await table.heard.get()).id == str(end.id)
    assert answers(one) == ["Ana."]


async def test_a_command_that_was_acknowledged_too_late_is_left() -> None:
    async with DiscordServer(interaction_patience=-1) as server:
        table = table_of(server)
        async with playing(table):
            gave(table, "whoami")
            await server.wait_for(lambda server: [r for r in server.requests if r.path.endswith("/callback")])
            server.post(table.tavern, table.ana, "then in words")
            assert (await table.next()).text == "then in words"


# -- what is answered


async def test_a_public_answer_is_seen_by_all_and_pings_nobody(table: Table) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        text = f"You are <@{table.ana.id}>. @everyone https://example.org"
        posted = await adapter.send(table.address(), part(text, quotes=(await table.next()).id))
    (message,) = table.server.messages(table.tavern)
    assert (str(message.id), message.content, message.id) == (posted, text, one.original)
    assert (message.pinged, message.mention_everyone, message.flags & 4) == (frozenset(), False, 4)
    assert whispers(table) == []


async def test_a_private_answer_is_seen_by_its_author_alone(table: Table) -> None:
    async with playing(table) as adapter:
        gave(table, "npc mode")
        message = await table.next()
        await adapter.send(message.address, part("It answers everything.", quotes=message.id))
    assert whispers(table) == ["It answers everything."]
    assert table.server.messages(table.tavern) == []


@pytest.mark.parametrize("persona", ["webhook", "prefix", "auto", "off"])
async def test_an_answer_is_the_bots_own_with_the_name_where_one_is_due(table: Table, persona: Any) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        message = await table.next()
        await adapter.send(message.address, replace(part("Ana.", quotes=message.id), persona=persona))
    assert answers(one) == ["**Kovach:** Ana." if persona in ("webhook", "prefix") else "Ana."]
    assert table.server.webhooks(table.tavern) == []


@pytest.mark.parametrize(("words", "private"), [("whoami", False), ("npc mode", True)])
async def test_a_long_answer_goes_on_in_posts_of_its_own_for_the_same_eyes(
    table: Table, words: str, private: bool
) -> None:
    texts = ["one" * 600, "two" * 600, "three" * 300]
    async with playing(table) as adapter:
        one = gave(table, words)
        given = (await table.next()).id
        for number, text in enumerate(texts):
            quotes = given if number == 0 else None
            await adapter.send(table.address(), Reply(f"t1.{number}", "kovach", "Kovach", text, quotes))
        await adapter.send(table.address(), part("of another turn", "t2"))
    assert answers(one) == texts
    assert whispers(table) == (texts if private else [])
    assert [message.content for message in table.server.messages(table.tavern)] == [
        *([] if private else texts),
        "of another turn",
    ]


async def test_a_reply_that_is_sent_again_is_said_once(table: Table) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        reply = part("Ana.", quotes=(await table.next()).id)
        assert await adapter.send(table.address(), reply) == await adapter.send(table.address(), reply)
    assert answers(one) == ["Ana."]


@pytest.mark.parametrize("words", ["whoami", "npc mode"])
async def test_an_answer_can_be_changed(table: Table, words: str) -> None:
    async with playing(table) as adapter:
        one = gave(table, words)
        reply = part("A", quotes=(await table.next()).id)
        posted = await adapter.send(table.address(), reply)
        more = replace(part("B"), id="t1.1")
        later = await adapter.send(table.address(), more)
        await adapter.edit(table.address(), posted, replace(reply, text="Ana."))
        await adapter.edit(table.address(), later, replace(more, text="Ben."))
    assert answers(one) == ["Ana.", "Ben."]


async def test_a_whisper_takes_the_place_of_the_answer_and_the_next_comes_after_it(table: Table) -> None:
    async with playing(table) as adapter:
        for words in ("npc mode", "whoami"):
            one = gave(table, words)
            message = await table.next()
            assert await adapter.whisper(message, "Between")
            assert await adapter.whisper(message, "us.")
            assert not one.thinking
            assert [message.content for message in one.whispers] == answers(one) == ["Between", "us."]
    assert table.server.messages(table.tavern) == []


async def test_what_was_typed_has_no_private_answer(table: Table) -> None:
    async with playing(table) as adapter:
        table.server.post(table.tavern, table.ana, "!npc status", mentions=[table.bot])
        assert not await adapter.whisper(await table.next(), "All is well.")
    assert (table.said(), whispers(table)) == ([], [])


async def test_an_answer_whose_place_a_person_deleted_is_said_after_all(table: Table) -> None:
    async with playing(table) as adapter:
        gave(table, "whoami")
        message = await table.next()
        table.server.delete(table.server.messages(table.tavern)[0])
        await adapter.send(message.address, part("Ana.", quotes=message.id))
    assert table.said() == ["Ana."]


@pytest.mark.parametrize("permission", ["send_messages", "view_channel"])
async def test_answers_are_given_where_the_bot_may_not_write_or_look(table: Table, permission: str) -> None:
    table.server.deny(table.bot, table.tavern, permission)
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        await adapter.send(table.address(), part("Ana.", quotes=(await table.next()).id))
    assert answers(one) == ["Ana."]


# -- what goes wrong


@pytest.mark.parametrize("after", [True, False], ids=["arrived", "lost"])
async def test_an_answer_in_doubt_is_reported_and_never_said_twice(table: Table, after: bool) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        first = part("one", quotes=(await table.next()).id)
        table.server.fail_next(1, status=None, path_contains="@original", method="PATCH", after=after)
        with pytest.raises(Uncertain) as caught:
            await adapter.send(table.address(), first)
        assert caught.value.final
        await adapter.send(table.address(), replace(first, retried=True))
        second = replace(part("two"), id="t1.1")
        table.server.fail_next(1, status=503, path_contains="/webhooks/", method="POST", after=after)
        for reply in (second, replace(second, retried=True)):
            with pytest.raises(Uncertain) as caught:
                await adapter.send(table.address(), reply)
            assert caught.value.final
    assert answers(one) == ["one", "two"][: 1 + after]


async def test_an_answer_that_waits_for_the_network_takes_its_own_place(table: Table) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        reply = part("Ana.", quotes=(await table.next()).id)
        table.server.fail_next(1, status=429, path_contains="@original", method="PATCH", retry_after=60)
        with pytest.raises(NotReady):
            await adapter.send(table.address(), reply)
        assert await adapter.send(table.address(), reply) == str(one.original)


async def test_an_answer_that_discord_refuses_is_refused(table: Table) -> None:
    async with playing(table) as adapter:
        gave(table, "whoami")
        message = await table.next()
        with pytest.raises(Refused, match="2000"):
            await adapter.send(message.address, part("x" * 2001, quotes=message.id))


async def test_after_a_quarter_of_an_hour_an_answer_is_an_ordinary_message(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        message = await table.next()
        monkeypatch.setattr(f"{INTERACTIONS}.LIFE", 0.0)
        assert not await adapter.whisper(message, "Between us.")
        posted = await adapter.send(message.address, part("Ana.", quotes=message.id))
        await adapter.send(message.address, replace(part("Still Ana."), id="t1.1"))
        await adapter.edit(message.address, posted, part("Ana!"))
        assert one.thinking
    assert table.said() == ["", "Ana!", "Still Ana."]
    assert table.server.messages(table.tavern)[1].reference is None


async def test_a_token_that_discord_takes_no_more_costs_neither_the_answer_nor_the_session() -> None:
    async with DiscordServer(interaction_life=0) as server:
        table = table_of(server)
        async with playing(table) as adapter:
            for number in (1, 2):
                gave(table, "whoami")
                message = await table.next()
                if number == 2:
                    assert not await adapter.whisper(message, "Between us.")
                await adapter.send(message.address, part("Ana.", f"t{number}", quotes=message.id))
            assert [text for text in table.said() if text] == ["Ana.", "Ana."]
            server.post(table.tavern, table.ana, "still there?")
            assert (await table.next()).text == "still there?"


async def test_what_is_remembered_has_an_end(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{INTERACTIONS}.MOST", 3)
    async with playing(table) as adapter:
        heard = []
        for _ in range(5):
            gave(table, "whoami")
            heard.append(await table.next())
        assert pending(adapter) == 3
        assert [await adapter.whisper(message, "hm") for message in heard] == [False, False, True, True, True]
        monkeypatch.setattr(f"{INTERACTIONS}.LIFE", 0.0)
        last = gave(table, "whoami")
        while (await table.next()).id != str(last.id):
            pass  # the places of what was whispered are deleted
        assert pending(adapter) == 1


async def test_what_nobody_will_answer_any_more_is_taken_back_at_the_end(table: Table) -> None:
    async with playing(table) as adapter:
        given = [gave(table, "whoami"), gave(table, "npc mode"), gave(table, "npc status")]
        heard = {message.id: message for message in [await table.next() for _ in given]}
        await adapter.send(table.address(), part("It waits.", quotes=str(given[2].id)))
        assert set(heard) == {str(one.id) for one in given}
    assert [(one.thinking, answers(one)) for one in given] == [(False, []), (False, []), (False, ["It waits."])]
    assert pending(adapter) == 0


async def test_an_answer_on_its_way_is_not_taken_back_at_the_end(table: Table) -> None:
    async with playing(table) as adapter:
        one = gave(table, "whoami")
        message = await table.next()
        table.server.slow("@original", 0.3)
        sending = asyncio.create_task(adapter.send(message.address, part("Ana.", quotes=message.id)))
        await table.server.wait_for(lambda _: one.answers)
    await asyncio.gather(sending, return_exceptions=True)
    assert answers(one) == ["Ana."]


async def test_the_token_of_a_command_reaches_no_log(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level=0, format="{message} {extra} {exception}")
    caplog.set_level(logging.DEBUG, "discord")
    try:
        async with playing(table) as adapter:
            one = gave(table, "whoami")
            message = await table.next()
            assert adapter._interactions is not None
            lines.append(repr(vars(adapter._interactions)))
            first, more = part("Ana.", quotes=message.id), replace(part("More."), id="t1.1")
            for method, reply in (("PATCH", first), ("POST", more)):
                table.server.fail_next(1, status=429, path_contains="/webhooks/", method=method, retry_after=60)
                with pytest.raises(NotReady) as caught:
                    await adapter.send(message.address, reply)
                lines.append(repr(caught.value))
                await adapter.send(message.address, reply)
            await adapter.whisper(message, "Between us.")
    finally:
        logger.remove(sink)
    text = "\n".join(lines) + caplog.text
    assert "/callback" in text
    assert one.token not in text
    assert TOKEN not in text
