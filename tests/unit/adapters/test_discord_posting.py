"""What the Discord adapter posts, and that nothing is posted twice or lost in silence."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.adapters.discord.posting import LIMIT, nonce, shown
from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import Reply
from tests.unit.adapters.conftest import Table, part

POSTING = "homunculus.adapters.discord.posting"


def posted(table: Table) -> Any:
    """Return the last message that was posted, as the server keeps it."""
    return table.server.messages(table.tavern)[-1]


async def test_nothing_in_a_reply_pings_or_unfurls(table: Table) -> None:
    text = f"<@{table.ana.id}> @everyone https://example.org"
    quoted = table.server.post(table.tavern, table.ana, "hello")
    async with table.open() as adapter:
        await adapter.send(table.address(), part(text, quotes=str(quoted.id)))
    message = posted(table)
    assert message.content == text
    assert message.reference == quoted.id
    assert message.pinged == frozenset()
    assert not message.mention_everyone
    assert message.flags & 4


async def test_quoting_a_message_that_is_gone_still_answers(table: Table) -> None:
    quoted = table.server.post(table.tavern, table.ana, "hello")
    async with table.open() as adapter:
        table.server.delete(quoted)
        await adapter.send(table.address(), part("Hm?", quotes=str(quoted.id)))
    assert table.said() == ["Hm?"]


async def test_the_nonce_is_the_replys_and_fits(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), part("hello", "0197-turn"))
    assert posted(table).nonce == nonce("0197-turn.0")


@given(st.sets(st.text(max_size=200), min_size=2, max_size=20))
def test_nonces_differ_where_replies_do_and_fit_into_25_characters(ids: set[str]) -> None:
    nonces = {nonce(one) for one in ids}
    assert len(nonces) == len(ids)
    assert nonces == {nonce(one) for one in ids}
    assert max(map(len, nonces)) <= 25


@pytest.mark.parametrize("after", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("status", [None, 503], ids=["cut", "503"])
async def test_a_send_in_doubt_says_so_and_sent_again_appears_once(
    table: Table, status: int | None, after: bool
) -> None:
    async with table.open() as adapter:
        table.server.fail_next(1, status=status, path_contains="/messages", method="POST", after=after)
        with pytest.raises(Uncertain):
            await adapter.send(table.address(), part("once"))
        message_id = await adapter.send(table.address(), replace(part("once"), retried=True))
    assert table.said() == ["once"]
    assert message_id == str(posted(table).id)


async def test_a_send_that_is_cut_short_and_sent_again_appears_once(table: Table) -> None:
    async with table.open() as adapter:
        table.server.slow("/messages", 0.5)
        sending = asyncio.create_task(adapter.send(table.address(), part("once")))
        await table.server.wait_for(lambda _: table.said())
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        table.server.slow("/messages", 0)
        await adapter.send(table.address(), replace(part("once"), retried=True))
    assert table.said() == ["once"]


async def test_a_refusal_after_a_doubt_is_still_a_doubt(table: Table) -> None:
    async with table.open() as adapter:
        table.server.deny(table.bot, table.tavern, "send_messages")
        with pytest.raises(Uncertain, match="Missing Permissions"):
            await adapter.send(table.address(), replace(part("hello"), retried=True))


async def test_an_unreachable_discord_is_not_ready_and_nothing_is_posted(table: Table) -> None:
    async with table.open() as adapter:
        table.server.refuse_connections()
        # A connection kept from before may break only in use: then nobody can tell. A new one cannot be made.
        with pytest.raises((NotReady, Uncertain)):
            await adapter.send(table.address(), part("hello"))
        with pytest.raises(NotReady):
            await adapter.send(table.address(), part("hello"))
    assert table.said() == []


async def test_a_short_rate_limit_is_waited_for(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(1, status=429, path_contains="/messages", method="POST", retry_after=0.1)
        await adapter.send(table.address(), part("patient"))
    assert table.said() == ["patient"]


async def test_a_global_rate_limit_holds_back_every_place(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    harbour = table.server.add_channel(table.guild, "harbour")
    async with table.open() as adapter:
        table.server.fail_next(1, status=429, path_contains="/messages", method="POST", retry_after=0.5, global_=True)
        assert adapter._session is not None
        limited, free = asyncio.Event(), adapter._session.http._global_over
        hold = free.clear

        def held() -> None:
            hold()
            limited.set()

        monkeypatch.setattr(free, "clear", held)
        began = asyncio.get_running_loop().time()
        first = asyncio.create_task(adapter.send(table.address(), part("patient")))
        await limited.wait()  # until discord.py has read the answer
        await adapter.send(table.address(harbour), part("elsewhere", "t2"))
        assert asyncio.get_running_loop().time() - began >= 0.4
        await first
    assert (table.said(), table.said(harbour)) == (["patient"], ["elsewhere"])


@pytest.mark.parametrize("status", [500, 502, 504])
async def test_a_passing_failure_of_discord_is_sat_out(table: Table, status: int) -> None:
    async with table.open() as adapter:
        table.server.fail_next(1, status=status, path_contains="/messages", method="POST")
        await adapter.send(table.address(), part("patient"))
    assert table.said() == ["patient"]


async def test_a_slow_discord_delays_one_place_and_not_the_other(table: Table) -> None:
    harbour = table.server.add_channel(table.guild, "harbour")
    async with table.open() as adapter:
        table.server.slow(f"/channels/{table.tavern.id}/messages", 1.0)
        slow = asyncio.create_task(adapter.send(table.address(), part("slow")))
        await adapter.send(table.address(harbour), part("quick", "t2"))
        assert not slow.done()
        await slow
    assert (table.said(), table.said(harbour)) == (["slow"], ["quick"])


async def test_a_long_rate_limit_says_when_to_come_back(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(1, status=429, path_contains="/messages", method="POST", retry_after=90.0)
        with pytest.raises(NotReady) as caught:
            await adapter.send(table.address(), part("later"))
    assert caught.value.after == 90.0
    assert table.said() == []


async def test_a_ban_by_discords_edge_is_not_ready(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(1, status=429, via=False, path_contains="/messages", method="POST")
        with pytest.raises(NotReady) as caught:
            await adapter.send(table.address(), part("later"))
    assert caught.value.after == 60


async def test_a_forbidden_channel_is_refused_with_discords_reason(table: Table) -> None:
    async with table.open() as adapter:
        table.server.deny(table.bot, table.tavern, "send_messages")
        with pytest.raises(Refused, match=r"Missing Permissions.*403.*50013"):
            await adapter.send(table.address(), part("hello"))


@pytest.mark.parametrize("text", ["", "x" * (LIMIT + 1)])
async def test_a_text_that_discord_does_not_take_is_refused(table: Table, text: str) -> None:
    async with table.open() as adapter:
        with pytest.raises(Refused, match="HTTP 400"):
            await adapter.send(table.address(), part(text))


async def test_a_place_that_is_no_id_never_reaches_a_url(table: Table) -> None:
    async with table.open() as adapter:
        for place in ("../../users/@me", "tavern", "1/2", "١"):
            with pytest.raises(Refused, match="no Discord id"):
                await adapter.send(replace(table.address(), place=place), part("hello"))


# -- persona


@pytest.mark.parametrize(
    ("persona", "author", "text"),
    [
        ("off", "Kovach", "Evening."),
        ("auto", "Kovach", "Evening."),
        ("webhook", "Kovach", "Evening."),
        ("prefix", "Kovach", "**Kovach:** Evening."),
        ("prefix", "老周", "**老周:** Evening."),
        ("prefix", "**K**", r"**\*\*K\*\*:** Evening."),
    ],
)
def test_a_prefix_shows_the_name_as_discord_shows_names(persona: Any, author: str, text: str) -> None:
    assert shown(Reply("t.0", "k", author, "Evening.", persona=persona)) == text


def test_a_prefix_gives_way_to_the_text() -> None:
    text = "x" * LIMIT
    assert shown(Reply("t.0", "k", "Kovach", text, persona="prefix")) == text


# -- signs of life


async def test_typing_is_kept_up_for_as_long_as_it_lasts(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{POSTING}.TYPING_EVERY", 0.02)
    async with table.open() as adapter, adapter.typing(table.address()):
        await table.server.wait_for(lambda server: len(server.typings(table.tavern)) >= 3)


async def test_typing_never_fails_what_happens_inside(table: Table) -> None:
    table.server.deny(table.bot, table.tavern, "send_messages")
    async with table.open() as adapter:
        async with adapter.typing(table.address()):
            await table.server.wait_for(lambda server: "typing" in server.requests[-1].path)
        table.server.allow(table.bot, table.tavern, "send_messages")
        await adapter.send(table.address(), part("all the same"))
    async with adapter.typing(table.address()):
        assert table.said() == ["all the same"]


async def test_a_reaction_that_is_not_allowed_is_refused(table: Table) -> None:
    message = table.server.post(table.tavern, table.ana, "hello")
    async with table.open() as adapter:
        table.server.deny(table.bot, table.tavern, "add_reactions")
        with pytest.raises(Refused, match="a reaction in"):
            await adapter.react(table.address(), str(message.id))


# -- history


async def test_history_that_is_forbidden_is_refused(table: Table) -> None:
    table.server.post(table.tavern, table.ana, "hello")
    table.server.deny(table.bot, table.tavern, "view_channel")
    async with table.open() as adapter:
        with pytest.raises(Refused, match="history"):
            _ = [message async for message in adapter.history(table.address(), None, 10)]


async def test_history_that_discord_would_show_empty_is_refused_with_the_permission_to_give(table: Table) -> None:
    message = table.server.post(table.tavern, table.ana, "hello")
    table.server.deny(table.bot, table.tavern, "read_message_history")
    async with table.open() as adapter:
        with pytest.raises(Refused, match="Read Message History"):
            _ = [message async for message in adapter.history(table.address(), str(message.id - 1), 10)]


async def test_history_reaches_over_a_hundred_messages(table: Table) -> None:
    said = [table.server.post(table.tavern, table.ana, f"line {number}") for number in range(230)]
    async with table.open() as adapter:
        after = [message.text async for message in adapter.history(table.address(), str(said[9].id), 210)]
        last = [message.text async for message in adapter.history(table.address(), None, 150)]
    assert after == [f"line {number}" for number in range(10, 220)]
    assert last == [f"line {number}" for number in range(80, 230)]


def test_a_nonce_is_the_same_in_every_process_and_version() -> None:
    """After a crash another process sends the same reply again: Discord must recognise it."""
    assert nonce("0197f2c4.0") == "fefa3ca2aaa11338bc531664"
