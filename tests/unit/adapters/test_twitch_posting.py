"""What the bot says on Twitch: one harmless line, once, and what an answer of Twitch's means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.adapters.twitch.pace import MOST, Pace
from homunculus.adapters.twitch.posting import JOINER, LIMIT, flat, harmless, shown
from homunculus.errors import NotReady, Refused, Uncertain
from tests.unit.adapters.twitch_table import Table, laid, places, reply


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with laid(tmp_path) as one:
        yield one


# -- the line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one\ntwo", "one two"),
        ("one\r\n\r\n  two", "one two"),
        ("one \u2028 two", "one two"),
        ("- a\n- b", "- a - b"),
        ("tab\there", "tab here"),
        ("  spaces   inside stay  ", "spaces   inside stay"),
    ],
)
def test_a_text_becomes_one_line(text: str, line: str) -> None:
    assert flat(text) == line


def test_nobody_is_pinged_and_nothing_is_commanded() -> None:
    assert harmless("ask @ana or @bob") == f"ask @{JOINER}ana or @{JOINER}bob"
    assert harmless("/ban ana") == f"{JOINER}/ban ana"
    assert harmless(".ban ana") == f"{JOINER}.ban ana"
    assert harmless("either/or. yes") == "either/or. yes"


def test_where_there_is_no_room_wide_signs_stand_in() -> None:
    assert harmless("@" * LIMIT) == "＠" * LIMIT
    assert harmless("/" + "x" * (LIMIT - 1)) == "／" + "x" * (LIMIT - 1)


@given(st.text(alphabet=st.sampled_from("@/.a \n长"), max_size=LIMIT))
def test_a_line_is_never_too_long_never_a_ping_never_a_command(text: str) -> None:
    line = harmless(flat(text))
    assert len(line) <= LIMIT
    assert "\n" not in line
    assert not line.startswith(("/", "."))
    assert all(line[at + 1 : at + 2] == JOINER for at, sign in enumerate(line) if sign == "@")


@pytest.mark.parametrize(
    ("persona", "line"),
    [("off", "Evening."), ("auto", "Evening."), ("prefix", "Kovach: Evening."), ("webhook", "Kovach: Evening.")],
)
def test_a_name_stands_before_the_text_where_it_is_asked_for(persona: str, line: str) -> None:
    assert shown(reply("Evening.", persona=persona)) == line


def test_a_name_gives_way_where_there_is_no_room_for_it() -> None:
    assert shown(reply("x" * LIMIT, persona="prefix")) == "x" * LIMIT
    assert shown(reply("Evening.", persona="prefix", author="/me")) == f"{JOINER}/me: Evening."


# -- over sockets


async def test_a_mention_in_a_reply_reaches_nobody(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), reply("Ask @Ana\nabout it."))
        (post,) = table.server.posts(table.tavern, table.bot)
        assert (post.text, post.mentions) == (f"Ask @{JOINER}Ana about it.", ())


async def test_a_reply_that_looks_like_a_command_is_said(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), reply("/me nods"))
        assert table.posts() == [f"{JOINER}/me nods"]
        assert table.tavern.commands == []


async def test_a_blank_reply_is_refused(table: Table) -> None:
    async with table.open() as adapter:
        with pytest.raises(Refused, match="blank"):
            await adapter.send(table.address(), reply(" \n "))


async def test_a_message_that_is_gone_is_answered_without_being_quoted(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), reply("Too late?", quotes="no-such-message"))
        assert [(post.text, post.reply_to) for post in table.server.posts(table.tavern, table.bot)] == [
            ("Too late?", None)
        ]


async def test_the_same_text_within_half_a_minute_is_refused_with_twitchs_reason(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), reply("Evening."))
        with pytest.raises(Refused, match=r"identical.*\(msg_duplicate\)"):
            await adapter.send(table.address(), reply("Evening.", id="turn.1"))
        assert table.posts() == ["Evening."]


@pytest.mark.parametrize("code", ["msg_rejected", "channel_settings", "something_new"])
async def test_what_twitch_drops_is_a_failed_send(table: Table, code: str) -> None:
    async with table.open() as adapter:
        table.server.drop_next(code, "Because.")
        with pytest.raises(Refused, match=rf"Because\. \({code}\)"):
            await adapter.send(table.address(), reply("Evening."))


@pytest.mark.parametrize("code", ["msg_ratelimit", "msg_slowmode"])
async def test_what_twitch_drops_for_the_moment_may_come_later(table: Table, code: str) -> None:
    async with table.open() as adapter:
        table.server.drop_next(code, "Slower.")
        with pytest.raises(NotReady) as caught:
            await adapter.send(table.address(), reply("Evening."))
        assert caught.value.after
        await adapter.send(table.address(), reply("Evening."))
        assert table.posts() == ["Evening."]


async def test_a_ban_is_refused(table: Table) -> None:
    async with table.open() as adapter:
        table.server.ban(table.tavern, table.bot)
        with pytest.raises(Refused, match="not permitted"):
            await adapter.send(table.address(), reply("Evening."))


async def test_a_rate_limit_says_when_to_come_back(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(status=429, path_contains="/chat", retry_after=7.0)
        with pytest.raises(NotReady) as caught:
            await adapter.send(table.address(), reply("Evening."))
        assert caught.value.after is not None
        assert 1 <= caught.value.after <= 9


@pytest.mark.parametrize("status", [500, 502, 503, 504, None])
async def test_a_send_in_doubt_is_uncertain_and_tried_once(table: Table, status: int | None) -> None:
    async with table.open() as adapter:
        table.server.fail_next(status=status, path_contains="/chat", after=True)
        with pytest.raises(Uncertain):
            await adapter.send(table.address(), reply("Evening."))
        assert table.posts() == ["Evening."]


async def test_an_unreachable_twitch_is_not_ready(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), reply("Evening."))
        table.server.refuse_connections()
        with pytest.raises((NotReady, Uncertain)):
            await adapter.send(table.address(), reply("Anyone?", id="turn.1"))
        with pytest.raises(NotReady, match="cannot be reached"):
            await adapter.send(table.address(), reply("Anyone?", id="turn.2"))


# -- the pace


def test_an_account_says_no_more_than_twitch_allows() -> None:
    pace = Pace()
    for number in range(MOST):
        pace.count("tavern", number * 1.0)
    with pytest.raises(NotReady) as caught:
        pace.count("harbour", 25.0)
    assert caught.value.after == pytest.approx(5.0)
    pace.count("harbour", 30.0)


def test_a_moderator_may_say_five_times_as_much_where_it_moderates() -> None:
    pace = Pace()
    pace.moderates("tavern", frozenset({"moderator"}))
    for _ in range(100):
        pace.count("tavern", 0.0)
    for place in ("tavern", "harbour"):
        with pytest.raises(NotReady):
            pace.count(place, 1.0)
    pace.moderates("tavern", frozenset())
    with pytest.raises(NotReady):
        pace.count("tavern", 29.0)


async def test_the_adapter_keeps_the_pace_and_learns_where_it_moderates(table: Table) -> None:
    table.server.promote(table.tavern, table.bot)
    async with table.open(scope=places("tavern", "harbour")) as adapter:
        await adapter.send(table.address(), reply("line 0"))
        table.server.say(table.tavern, table.ana, "go on")
        await table.next()  # our own message has come back before this one, with its badge
        for number in range(1, MOST + 5):
            await adapter.send(table.address(), reply(f"line {number}", id=f"turn.{number}"))
        with pytest.raises(NotReady, match="more than Twitch allows"):
            await adapter.send(table.address(table.harbour), reply("Here too?"))
        assert len(table.posts()) == MOST + 5
