"""What leaves through the Slack adapter, with the real slack-sdk against the loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import Message
from tests.unit.adapters.slack_stage import Table, laid, part


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    async with laid() as one:
        yield one


async def test_nothing_in_a_reply_pings_or_unfurls(table: Table) -> None:
    text = f"<!channel> <!here> <@{table.ana.id}> @channel <https://example.org|x> 1 < 2 & 3"
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part(text))
        await adapter.edit(table.address(), posted, part(text + " @here"))
    [message] = table.said()
    assert message.pinged == frozenset()
    assert not message.unfurl
    assert message.text.startswith("&lt;!channel&gt;")


async def test_a_reply_full_of_brackets_is_neither_cut_nor_refused(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("<" * adapter.limit))
        await adapter.edit(table.address(), posted, part("&<" * (adapter.limit // 2)))
    assert len(table.said()[0].text) == 4000


async def test_each_npc_speaks_under_its_own_name_and_picture(table: Table) -> None:
    async with table.open() as adapter:
        assert "persona" in adapter.abilities
        for avatar in ("https://example.org/k.png", "/cards/kovach.png"):
            await adapter.send(table.address(), part("Evening.", persona="webhook", avatar=avatar))
    assert [(m.shown_name, m.icon_url, m.text) for m in table.said()] == [
        ("Kovach", "https://example.org/k.png", "Evening."),
        ("Kovach", None, "Evening."),
    ]


@pytest.mark.parametrize(
    ("persona", "text"), [("webhook", "*Kovach:* Hm."), ("prefix", "*Kovach:* Hm."), ("auto", "Hm.")]
)
async def test_without_the_scope_the_name_stands_before_the_text(table: Table, persona: str, text: str) -> None:
    table.server.deny(table.bot, "chat:write.customize")
    async with table.open() as adapter:
        assert "persona" not in adapter.abilities
        posted = await adapter.send(table.address(), part("Hm.", persona=persona))
        assert [(m.shown_name, m.text) for m in table.said()] == [("Keeper", text)]
        await adapter.edit(table.address(), posted, part("Well.", persona=persona))
        assert table.said()[0].text == text.replace("Hm", "Well")


async def test_a_direct_message_has_the_name_before_the_text(table: Table) -> None:
    direct = table.server.open_dm(table.bot, table.ana)
    async with table.open() as adapter:
        await adapter.send(table.address(direct), part("Psst.", persona="webhook"))
    assert [m.text for m in table.said(direct)] == ["*Kovach:* Psst."]


async def test_a_scope_taken_away_meanwhile_is_noticed_and_its_edit_keeps_the_style_of_the_post(table: Table) -> None:
    async with table.open() as adapter:
        named = await adapter.send(table.address(), part("One.", persona="webhook"))
        table.server.deny(table.bot, "chat:write.customize")
        await adapter.send(table.address(), part("Two.", persona="webhook"))  # Slack ignores the name
        await adapter.send(table.address(), part("Three.", persona="webhook"))
        await adapter.edit(table.address(), named, part("One!", persona="webhook"))
    assert [m.text for m in table.said()] == ["One!", "Two.", "*Kovach:* Three."]


async def test_a_name_that_slack_refuses_stands_before_the_text(table: Table) -> None:
    table.server.fail_next(method="chat.postMessage", error="invalid_arguments")
    async with table.open() as adapter:
        await adapter.send(table.address(), part("Hm.", persona="webhook"))
        await adapter.send(table.address(), part("x", persona="webhook", turn="t2"))
    assert [m.text for m in table.said()] == ["*Kovach:* Hm.", "*Kovach:* x"]


async def test_a_name_that_leaves_no_room_for_the_text_is_left_out(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), part("长" * 4000, persona="prefix"))
    assert table.said()[0].text == "长" * 4000


# -- what goes wrong


async def test_a_rate_limit_says_when_to_come_back(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(status=429, retry_after=7, method="chat.postMessage")
        with pytest.raises(NotReady) as limited:
            await adapter.send(table.address(), part("x"))
    assert limited.value.after == 7.0
    assert table.said() == []


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "how", [{"status": 500}, {"status": 503}, {"status": None}, {"error": "fatal_error"}, {"error": "internal_error"}]
)
async def test_a_send_in_doubt_says_so_for_good_and_was_tried_once(
    table: Table, how: dict[str, object], after: bool
) -> None:
    async with table.open() as adapter:
        table.server.fail_next(method="chat.postMessage", after=after, **how)  # type: ignore[arg-type]
        with pytest.raises(Uncertain) as doubt:
            await adapter.send(table.address(), part("x"))
        assert doubt.value.final
    assert len(table.said()) == after
    assert len(table.server.calls("chat.postMessage")) == 1


async def test_a_slack_that_cannot_be_reached_has_certainly_heard_nothing(table: Table) -> None:
    async with table.open() as adapter:
        table.server.refuse_connections()
        with pytest.raises(NotReady):
            await adapter.send(table.address(), part("x"))
        table.server.accept_connections()
        await adapter.send(table.address(), part("x"))
    assert len(table.said()) == 1


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("not_in_channel", "/invite"),
        ("is_archived", "archived"),
        ("restricted_action", "does not let apps post"),
        ("unheard_of", "unheard_of"),
    ],
)
async def test_what_a_person_must_see_to_is_refused_with_the_remedy(table: Table, error: str, remedy: str) -> None:
    async with table.open() as adapter:
        table.server.fail_next(method="chat.postMessage", error=error)
        with pytest.raises(Refused, match=remedy):
            await adapter.send(table.address(), part("x"))


async def test_a_missing_scope_is_named_with_the_place_to_add_it(table: Table) -> None:
    table.server.deny(table.bot, "chat:write")
    async with table.open() as adapter:
        with pytest.raises(Refused, match=r"lacks the scope chat:write; add it under OAuth & Permissions"):
            await adapter.send(table.address(), part("x"))
        assert any("chat:write: it cannot write at all" in one for one in adapter.hindrances)


async def test_a_dead_token_met_while_sending_ends_the_session(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(method="chat.postMessage", error="token_revoked")
        with pytest.raises(Refused):
            await adapter.send(table.address(), part("x"))
        with pytest.raises(Refused, match="revoked"):
            await asyncio.wait_for(adapter.closed(), 10)


async def test_an_edit_that_fails_is_told_by_its_type(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), part("draft"))
        table.server.fail_next(status=429, method="chat.update")
        with pytest.raises(NotReady):
            await adapter.edit(table.address(), posted, part("final"))
        foreign = table.server.post(table.tavern, table.ana, "hers")
        with pytest.raises(Refused, match="not a message of this bot"):
            await adapter.edit(table.address(), foreign.ts, part("mine"))
        await adapter.edit(table.address(), posted, part("final"))
    assert table.said()[0].text == "final"
    assert adapter.edit_every >= 1.2  # fifty a minute


async def test_a_reaction_is_put_once_however_often_it_is_asked_for(table: Table) -> None:
    message = table.server.post(table.tavern, table.ana, "hello")
    async with table.open() as adapter:
        for _ in range(2):
            await adapter.react(table.address(), message.ts)
    assert table.server.reactions(message) == {"white_check_mark": [table.bot.user_id]}


# -- in private, and commands


async def test_a_whisper_is_seen_by_the_author_alone_in_its_thread(table: Table) -> None:
    root = table.server.post(table.tavern, table.ana, "root")
    async with table.open() as adapter:
        table.server.post(table.tavern, table.ana, "!npc why", thread=root)
        message = await table.next()
        assert await adapter.whisper(message, "because <@U1>")
    [whisper] = table.server.whispers
    assert (whisper.user_id, whisper.text, whisper.thread_ts) == (table.ana.id, "because &lt;@U1&gt;", root.ts)
    assert table.said() == []


async def test_whom_slack_cannot_whisper_to_is_told_as_such(table: Table) -> None:
    async with table.open() as adapter:
        table.server.post(table.tavern, table.ana, "!npc why")
        message = await table.next()
        table.server.leave(table.tavern, table.ana)
        assert not await adapter.whisper(message, "because")


async def command(table: Table, text: str = "status") -> Message:
    table.server.command(table.bot, table.tavern, table.ana, text)
    return await table.next()


async def test_a_slash_command_is_a_message_with_its_command(table: Table) -> None:
    async with table.open():
        heard = await command(table, f"why <@{table.ana.id}|ana> &amp; co")
        assert (heard.command, heard.text) == ("npc why @ana & co", "/npc why @ana & co")
        assert (heard.mentioned, heard.author.id, heard.author.name) == (True, table.ana.id, "Ana")
        assert heard.address == table.address()
        assert heard.address.label == f"slack:{table.team.id}:{table.tavern.id}"
        direct = table.server.open_dm(table.bot, table.ana)
        table.server.command(table.bot, direct, table.ana, "")
        whispered = await table.next()
        assert (whispered.command, whispered.address.direct) == ("npc", True)
        await table.server.wait_for(lambda s: s.unacknowledged == 0)
        assert table.server.undelivered == 0


async def test_a_command_is_answered_where_it_came_from_in_private_or_aloud(table: Table) -> None:
    async with table.open() as adapter:
        heard = await command(table)
        assert await adapter.whisper(heard, "all is <well>")
        posted = await adapter.send(heard.address, part("Fine.", quotes=heard.id, persona="webhook"))
        await adapter.react(heard.address, heard.id)
        with pytest.raises(Refused):
            await adapter.edit(heard.address, posted, part("Finer."))
    assert [whisper.text for whisper in table.server.whispers] == ["all is &lt;well&gt;"]
    assert [m.text for m in table.said()] == ["*Kovach:* Fine."]
    assert table.server.calls("chat.postMessage") == table.server.calls("chat.postEphemeral") == []


async def test_a_command_that_takes_no_more_answers_is_answered_in_its_channel(table: Table) -> None:
    async with table.open() as adapter:
        heard = await command(table)
        for number in range(7):
            await adapter.send(heard.address, part(f"answer {number}", f"t{number}", quotes=heard.id))
        assert await adapter.whisper(heard, "psst")
    assert len(table.server.calls("response_url")) == 5
    assert [m.text for m in table.said()] == [f"answer {number}" for number in range(7)]
    assert [whisper.text for whisper in table.server.whispers] == ["psst"]


async def test_an_answer_to_a_command_that_is_cut_off_is_in_doubt(table: Table) -> None:
    async with table.open() as adapter:
        heard = await command(table)
        for how, kind in (({"status": None}, Uncertain), ({"status": 502}, Uncertain), ({"status": 429}, NotReady)):
            table.server.fail_next(method="response_url", **how)
            with pytest.raises(kind):
                await adapter.send(heard.address, part("x", quotes=heard.id))
