"""What the adapter posts, and what each refusal and each failure of Telegram means for a reply."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.adapters.telegram import posting
from homunculus.adapters.telegram.menu import menu
from homunculus.errors import HomunculusError, NotReady, Refused, Uncertain
from homunculus.model import CommandSpec, Reply
from tests.unit.adapters.telegram_table import TOKEN, Table, laid, part


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    async with laid() as one:
        yield one


# -- how it looks


async def test_a_reply_notifies_nobody_and_shows_no_preview(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), part("Ask @ana_ruiz or @Keeper_bot, https://example.org"))
    [post] = table.server.sent(table.bot, table.tavern)
    assert post.pings == ()
    assert post.text == "Ask @\u2060ana_ruiz or @\u2060Keeper_bot, https://example.org"
    assert post.sent["link_preview_options"] == {"is_disabled": True}


@pytest.mark.parametrize(
    ("persona", "name", "text", "bold"),
    [
        ("prefix", "Kovach", "Kovach: Evening.", "Kovach:"),
        ("prefix", "老周 😀", "老周 😀: Evening.", "老周 😀:"),
        ("prefix", "@ana_ruiz", "@\u2060ana_ruiz: Evening.", "@\u2060ana_ruiz:"),
        ("webhook", "Kovach", "Kovach: Evening.", "Kovach:"),
        ("auto", "Kovach", "Evening.", ""),
        ("off", "Kovach", "Evening.", ""),
    ],
)
async def test_a_name_stands_in_bold_before_the_text(
    table: Table, persona: str, name: str, text: str, bold: str
) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), replace(part("Evening.", persona=persona), author=name))
    [post] = table.server.sent(table.bot, table.tavern)
    assert (post.text, post.bold, post.pings) == (text, bold, ())


async def test_a_reply_goes_into_its_topic_and_quotes_what_is_still_there(table: Table) -> None:
    topic = table.server.add_topic(table.tavern, "rumours", table.ana)
    said = table.server.post(table.tavern, table.ana, "psst", topic=topic)
    async with table.open() as adapter:
        address = table.address(topic=topic.id)
        await adapter.send(address, part("What?", quotes=str(said.id)))
        await adapter.send(address, part("And?", "t2", quotes="999999"))
    first, second = table.server.sent(table.bot, table.tavern, topic)
    assert (first.reply_to, second.reply_to) == (said, None)


@pytest.mark.parametrize("text", ["@" * 4096, "😀" * 4096, "@😀" * 2048, "x @" * 1365])
async def test_whatever_fits_the_limit_is_never_refused_and_never_shortened(table: Table, text: str) -> None:
    assert len(text) <= posting.LIMIT
    async with table.open() as adapter:
        await adapter.send(table.address(), part(text))
    shown = "".join(table.said())
    assert shown.replace("＠", "@").replace("\u2060", "").replace(" ", "") == text.replace(" ", "")
    assert not any(post.pings for post in table.server.sent(table.bot, table.tavern))


async def test_a_growing_post_that_telegram_counts_double_grows_into_a_second(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("😀" * 2000))
        for count in (2000, 2500, 4000, 4000):
            await adapter.edit(table.address(), posted, part("😀" * count))
    assert [len(text) for text in table.said()] == [2048, 1952]


@given(st.text("ab @\n😀长", min_size=1, max_size=30), st.integers(1, 400), st.text("@aB😀 ", min_size=1, max_size=40))
def test_no_part_of_a_reply_is_too_long_however_telegram_counts(piece: str, times: int, name: str) -> None:
    text = (piece * times)[: posting.LIMIT - len(name) * 2 - 8]
    parts = posting.shown(Reply("t.0", "npc", name, text, persona="prefix"))
    assert all(0 < len(one.text.encode("utf-16-le")) // 2 <= posting.LIMIT for one in parts) or not text.strip()
    assert all(len(one.text.encode("utf-16-le")) // 2 >= one.bold for one in parts)

    def bare(words: str) -> str:
        return "".join(words.replace("＠", "@").replace("\u2060", "").split())

    assert bare("".join(one.text for one in parts)) in (bare(f"{name}: {text}"), bare(text))


# -- what a refusal means


async def outcome(table: Table, text: str = "Evening.") -> HomunculusError | None:
    async with table.open() as adapter:
        try:
            await adapter.send(table.address(), part(text))
        except HomunculusError as error:
            return error
    return None


async def test_a_refusal_carries_telegrams_own_words(table: Table) -> None:
    table.server.mute(table.tavern, table.bot)
    error = await outcome(table)
    assert isinstance(error, Refused)
    assert "ot enough rights to send text messages" in error.reason
    table.server.kick(table.tavern, table.bot)
    error = await outcome(table)
    assert isinstance(error, Refused)
    assert "bot was kicked from the supergroup chat" in error.reason


async def test_who_blocked_the_bot_is_not_written_to_again(table: Table) -> None:
    private = table.server.open_private(table.bot, table.ana)
    table.server.block(table.ana, table.bot)
    async with table.open() as adapter:
        with pytest.raises(Refused, match="blocked by the user"):
            await adapter.send(table.address(private), part("hello?"))


async def test_a_group_that_moved_is_refused_with_its_new_id(table: Table) -> None:
    group = table.server.add_chat("group", "old friends", bots=[table.bot])
    supergroup = table.server.migrate(group)
    async with table.open() as adapter:
        with pytest.raises(Refused, match=f'write chat_id "{supergroup.id}"'):
            await adapter.send(table.address(group), part("hello?"))


async def test_a_rate_limit_says_when_to_come_back_and_is_not_repeated_here(table: Table) -> None:
    table.server.fail_next(status=429, method="sendMessage", retry_after=7)
    error = await outcome(table)
    assert isinstance(error, NotReady)
    assert error.after == 7
    assert table.server.calls("sendMessage") == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 502}, {"status": None}, {"status": None, "after": True}])
async def test_a_send_in_doubt_says_so_and_is_not_repeated(table: Table, fault: dict[str, object]) -> None:
    table.server.fail_next(method="sendMessage", **fault)  # type: ignore[arg-type]
    assert isinstance(await outcome(table), Uncertain)
    assert table.server.calls("sendMessage") == 1


async def test_an_answer_that_does_not_come_leaves_a_send_in_doubt(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.telegram.client.ANSWER_SECONDS", 0.3)
    table.server.slow("sendMessage", 20)
    assert isinstance(await outcome(table), Uncertain)


async def test_a_send_that_never_left_may_be_repeated(table: Table) -> None:
    async with table.open() as adapter:
        await table.server.wait_for(lambda s: s.updates(table.bot).open == 1)
        table.server.refuse_connections()
        await table.server.wait_for(lambda s: s.updates(table.bot).open == 0)
        with pytest.raises(NotReady):
            await adapter.send(table.address(), part("hello?"))
        table.server.accept_connections()
        await adapter.send(table.address(), part("hello?"))
    assert table.said() == ["hello?"]


async def test_the_second_half_of_a_post_in_doubt_is_not_sent_again(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("Once"))
        table.server.fail_next(status=None, method="sendMessage", after=True)
        with pytest.raises(Uncertain):
            await adapter.edit(table.address(), posted, part("😀" * 3000))
        with pytest.raises(Refused):
            await adapter.edit(table.address(), posted, part("😀" * 3000))
    assert len(table.said()) == 2


async def test_a_post_whose_second_half_is_refused_is_in_doubt_for_good() -> None:
    async with laid(group_rate=(1, 60.0)) as table, table.open() as adapter:
        with pytest.raises(Uncertain, match="its beginning arrived") as doubt:
            await adapter.send(table.address(), part("😀" * 4096))
        assert doubt.value.final
        assert [len(text) for text in table.said()] == [2048]


async def test_a_second_half_that_was_refused_for_now_is_sent_by_the_next_edit(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("Once"))
        table.server.fail_next(status=429, method="sendMessage")
        with pytest.raises(NotReady):
            await adapter.edit(table.address(), posted, part("😀" * 3000))
        await adapter.edit(table.address(), posted, part("😀" * 3000))
    assert [len(text) for text in table.said()] == [2048, 952]


async def test_a_dead_token_ends_the_session_with_a_remedy_and_without_the_token(table: Table) -> None:
    async with table.open() as adapter:
        table.server.revoke(table.bot)
        with pytest.raises(Refused, match="@BotFather") as sending:
            await adapter.send(table.address(), part("hello?"))
        with pytest.raises(Refused, match="/revoke") as dying:
            await adapter.closed()
    for error in (sending.value, dying.value):
        assert TOKEN not in "".join(traceback.format_exception(error))


# -- edits


async def test_an_edit_that_changes_nothing_is_none(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("Once", persona="prefix"))
        for _ in range(2):
            await adapter.edit(table.address(), posted, part("Once upon", persona="prefix"))
    [post] = table.server.sent(table.bot, table.tavern)
    assert (post.text, post.bold) == ("Kovach: Once upon", "Kovach:")


async def test_an_edit_notifies_nobody_and_cannot_touch_what_others_said(table: Table) -> None:
    theirs = table.say("mine")
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("The"))
        await adapter.edit(table.address(), posted, part("The @ana_ruiz"))
        with pytest.raises(Refused, match="can't be edited"):
            await adapter.edit(table.address(), theirs, part("yours"))
        with pytest.raises(Refused, match="not found"):
            await adapter.edit(table.address(), "424242", part("nobody's"))
    assert [post.pings for post in table.server.sent(table.bot, table.tavern)] == [()]


# -- limits


async def test_the_limit_of_a_group_holds_back_posts_but_no_signs_of_life(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.telegram.client.LIMITER_SECONDS", 0.2)
    said = table.say("hello")
    elsewhere = table.server.add_chat("supergroup", "harbour", bots=[table.bot])
    async with table.open() as adapter:
        for number in range(20):
            await adapter.send(table.address(), part(f"line {number}", f"t{number}"))
        with pytest.raises(NotReady) as held:
            await adapter.send(table.address(), part("one too many", "t20"))
        assert held.value.after == 1
        await adapter.react(table.address(), said)
        await adapter.send(table.address(elsewhere), part("elsewhere", "t21"))
    assert len(table.said()) == 20
    assert table.server.calls("sendMessage") == 21


async def test_the_library_paces_what_telegram_would_refuse() -> None:
    # It lets thirty through at once and thirty a second: sixty in the first second.
    async with laid(message_rate=(60, 1.0)) as table:
        private = table.server.open_private(table.bot, table.ana)
        async with table.open() as adapter:
            for number in range(70):
                await adapter.send(table.address(private), part(f"line {number}", f"t{number}"))
        assert len(table.said(private)) == 70
        assert {request.status for request in table.server.requests if request.method == "sendMessage"} == {200}


# -- the menu of commands


def test_a_menu_knows_first_words_only_and_says_what_may_follow() -> None:
    commands = (
        CommandSpec(("npc", "status"), "What the NPC does here"),
        CommandSpec(("npc", "why"), "Why it was silent"),
        CommandSpec(("roll",), "Roll dice"),
        CommandSpec(("Bad-Name",), "cannot be shown"),
        *(CommandSpec(("memory", "x" * 40), "long") for _ in range(20)),
    )
    found = menu(commands)
    assert [(one.command, one.description) for one in found[:2]] == [("npc", "status · why"), ("roll", "Roll dice")]
    assert [one.command for one in found] == ["npc", "roll", "memory"]
    assert len(found[2].description) == 256


async def test_a_menu_that_telegram_fails_at_is_no_failure_of_the_session(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(status=500, method="setMyCommands")
        with pytest.raises(Uncertain):
            await adapter.offer((CommandSpec(("roll",), "Roll dice"),))
        await adapter.offer((CommandSpec(("roll",), "Roll dice"),))
        assert table.bot.commands == [{"command": "roll", "description": "Roll dice"}]
        table.say("/weather")
        assert (await table.next()).command == ""
