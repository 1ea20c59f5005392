"""A Twitch connection that moves, breaks, falls silent or loses what it was subscribed to, and what is heard all the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homunculus.adapters.twitch.adapter import TwitchAdapter
from homunculus.errors import NotReady, Refused
from homunculus.model import Message, Receipt, Scope
from tests.unit.adapters.twitch_table import CLIENT, Table, laid, places, reply


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with laid(tmp_path) as one:
        yield one


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what only waits."""
    monkeypatch.setattr("homunculus.adapters.twitch.line.BRIEF", 0.0)
    monkeypatch.setattr("homunculus.adapters.twitch.line.RETRY_EVERY", 0.05)
    monkeypatch.setattr("homunculus.adapters.twitch.line.DRAIN", 0.2)
    monkeypatch.setattr("homunculus.adapters.twitch.socket.ROAD", 0.1)
    monkeypatch.setattr("homunculus.adapters.twitch.socket.CLOSE_PATIENCE", 0.3)
    monkeypatch.setattr("homunculus.adapters.twitch.subscriptions.FIRST_WAIT", 0.05)


def asked(table: Table, method: str, path: str) -> int:
    return sum(one.method == method and one.path.endswith(path) for one in table.server.requests)


async def hears_again(table: Table, channel: str = "tavern") -> None:
    """Wait until a channel is subscribed and what is said there arrives."""
    await table.server.wait_for(lambda server: channel in server.subscribed(table.bot), timeout=20)
    room = table.tavern if channel == "tavern" else table.harbour
    said = table.server.say(room, table.ana, "can you hear me?")
    while (await table.next()).id != said.id:
        continue


def alive(adapter: TwitchAdapter) -> bool:
    return adapter._death is None and not adapter._ended.is_set()


# -- moving


async def test_a_move_loses_nothing_and_subscribes_to_nothing_again(table: Table) -> None:
    async with table.open():
        subscribed = asked(table, "POST", "/subscriptions")
        said: list[str] = []
        for _ in range(3):
            welcomes = table.server.welcomes
            table.server.reconnect(table.bot)
            async with asyncio.timeout(20):
                while table.server.welcomes == welcomes:
                    said.append(table.server.say(table.tavern, table.ana, f"line {len(said)}").id)
                    await asyncio.sleep(0)
            said.append(table.server.say(table.tavern, table.ana, f"line {len(said)}").id)
            await table.server.wait_for(lambda server: server.connections(table.bot) == 1)
        heard = {(await table.next()).id for _ in said}
        assert heard == set(said)
        assert asked(table, "POST", "/subscriptions") == subscribed


async def test_a_move_that_fails_leaves_the_old_connection_until_it_ends_and_then_makes_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.twitch.socket.WELCOME_PATIENCE", 0.5)
    async with laid(tmp_path, grace=1.0) as table, table.open() as adapter:
        table.server._eventsub.muting = True  # whoever connects now waits for a welcome in vain
        table.server.reconnect(table.bot)
        said = table.server.say(table.tavern, table.ana, "meanwhile")
        assert (await table.next()).id == said.id
        await table.server.wait_for(lambda server: server.welcomes == 2)
        table.server.unmute()
        await table.server.wait_for(lambda server: server.connections(table.bot) == 1 and server.welcomes >= 3)
        await hears_again(table)
        assert alive(adapter)


# -- breaking


async def test_a_cut_connection_is_made_anew_and_subscribed_again(table: Table) -> None:
    async with table.open(scope=places("tavern", "harbour")) as adapter:
        for _ in range(3):
            table.server.disconnect(table.bot)
            await table.server.wait_for(lambda server: not server.subscribed(table.bot))
            await hears_again(table)
            await hears_again(table, "harbour")
        assert alive(adapter)


@pytest.mark.parametrize("code", [4000, 4001, 4002, 4003, 4004, 4005, 4006, 4007])
async def test_whatever_twitch_closes_with_it_is_connected_again(table: Table, code: int) -> None:
    async with table.open() as adapter:
        table.server.disconnect(table.bot, code)
        await table.server.wait_for(lambda server: not server.subscribed(table.bot))
        await hears_again(table)
        assert alive(adapter)


async def test_a_silent_connection_is_noticed_and_made_anew(tmp_path: Path) -> None:
    async with laid(tmp_path, keepalive=0.3) as table, table.open() as adapter:
        table.server.mute(table.bot)
        await table.server.wait_for(lambda server: server.welcomes == 2)
        await hears_again(table)
        assert alive(adapter)


def test_silence_is_noticed_within_a_minute() -> None:
    from homunculus.adapters.twitch import line, socket

    # The fixture shortens only ROAD, by less than two seconds.
    noticed = socket.LATE * socket.KEEPALIVE + 2.0
    assert noticed + line.LOST_PATIENCE <= 60


async def test_a_connection_that_is_kept_alive_is_left_alone(tmp_path: Path) -> None:
    async with laid(tmp_path, keepalive=0.2) as table, table.open():
        await asyncio.sleep(2.2)  # longer than the silence after which it would count as dead
        assert table.server.welcomes == 1


async def test_a_twitch_that_stays_away_is_reported(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.twitch.line.LOST_PATIENCE", 0.3)
    async with table.open() as adapter:
        table.server.refuse_connections()
        with pytest.raises(NotReady, match="EventSub cannot be reached"):
            await asyncio.wait_for(adapter.closed(), 10)


@pytest.mark.parametrize(
    "nonsense",
    [
        "no json at all",
        "[]",
        "{}",
        json.dumps({"metadata": {"message_type": "novelty"}, "payload": {}}),
        json.dumps({"metadata": {"message_type": "session_reconnect"}, "payload": {}}),
        json.dumps(
            {"metadata": {"message_type": "notification", "subscription_type": "channel.chat.message"}, "payload": {}}
        ),
    ],
)
async def test_nonsense_costs_at_most_the_connection(table: Table, nonsense: str) -> None:
    async with table.open() as adapter:
        welcomes = table.server.welcomes
        table.server.garble(table.bot, nonsense)
        said = table.server.say(table.tavern, table.ana, "are you there?")
        await table.server.wait_for(
            lambda server: server.delivered(table.bot, said) or server.welcomes > welcomes, timeout=20
        )
        await hears_again(table)
        assert alive(adapter)


# -- subscriptions


async def test_a_subscription_that_is_lost_without_a_word_is_noticed(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.twitch.subscriptions.CHECK_EVERY", 0.2)
    async with table.open(scope=places("tavern", "harbour")):
        table.server.forget(table.bot, table.tavern)
        await hears_again(table)
        await hears_again(table, "harbour")
        assert table.server.welcomes == 1


async def test_subscribing_again_goes_on_until_it_succeeds(table: Table) -> None:
    async with table.open() as adapter:
        table.server.fail_next(3, 503, "/subscriptions", method="POST")
        table.server.disconnect(table.bot)
        await table.server.wait_for(lambda server: not server.failures_left)
        await hears_again(table)
        assert alive(adapter)


async def test_a_subscription_whose_answer_is_lost_is_found_and_can_be_ended(table: Table) -> None:
    table.server.fail_next(status=None, path_contains="/subscriptions", method="POST", after=True)
    async with table.open() as adapter:
        await hears_again(table)
        assert await adapter.listen(places("harbour")) == frozenset()
        assert table.server.subscribed(table.bot) == {"harbour"}


async def test_more_channels_are_heard_without_reconnecting(table: Table) -> None:
    async with table.open() as adapter:
        assert await adapter.listen(places("tavern", channels="Harbour")) == frozenset()
        assert table.server.subscribed(table.bot) == {"tavern", "harbour"}
        await hears_again(table, "harbour")
        assert await adapter.listen(places(channels="harbour")) == frozenset()
        assert table.server.subscribed(table.bot) == {"harbour"}
        assert await adapter.listen(Scope()) == frozenset()
        assert table.server.subscribed(table.bot) == set()
        assert table.server.welcomes == 1


async def test_a_channel_that_is_not_there_or_closed_to_us_is_told(table: Table) -> None:
    table.server.ban(table.harbour, table.bot)
    wanted = ("tavern", "harbour", "nobody_here", "not a login", "x" * 40)
    async with table.open(scope=places()) as adapter:
        assert await adapter.listen(places(*wanted, channels="Nowhere_Else")) == {*wanted[1:], "Nowhere_Else"}
        assert table.server.subscribed(table.bot) == {"tavern"}


async def test_a_ban_ends_one_channel_and_not_the_others(table: Table) -> None:
    async with table.open(scope=places("tavern", "harbour")) as adapter:
        table.server.ban(table.harbour, table.bot)
        await hears_again(table)
        assert alive(adapter)
        table.harbour.banned.clear()
        assert await adapter.listen(places("tavern", "harbour")) == frozenset()
        await hears_again(table, "harbour")


async def test_a_lifted_ban_is_found_out(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.twitch.subscriptions.CHECK_EVERY", 0.1)
    monkeypatch.setattr("homunculus.adapters.twitch.subscriptions.ASK_AGAIN", 0.2)
    table.server.ban(table.harbour, table.bot)
    async with table.open(scope=places("tavern", "harbour")):
        table.harbour.banned.clear()
        await hears_again(table, "harbour")


async def test_more_channels_than_twitch_allows_cost_only_those(tmp_path: Path) -> None:
    async with laid(tmp_path, max_subscriptions=1) as table, table.open(scope=places("tavern")) as adapter:
        assert await adapter.listen(places("tavern", "harbour")) == {"harbour"}
        await hears_again(table)
        assert alive(adapter)


async def test_points_that_are_spent_are_waited_for(table: Table) -> None:
    table.server.fail_next(1, 429, "/subscriptions", method="POST", retry_after=0.0)
    async with table.open():
        await hears_again(table)


async def test_a_connection_with_nothing_to_hear_may_end_and_is_made_when_there_is(tmp_path: Path) -> None:
    async with laid(tmp_path, unused=0.2) as table, table.open(scope=Scope()) as adapter:
        await table.server.wait_for(lambda server: server.welcomes == 1 and not server._eventsub.sessions)
        assert alive(adapter)
        await adapter.send(table.address(), reply("I can still speak."))
        assert table.posts() == ["I can still speak."]
        assert await adapter.listen(places("tavern")) == frozenset()
        await hears_again(table)
        assert table.server.welcomes == 2


async def test_many_channels_are_looked_up_a_hundred_at_a_time(table: Table) -> None:
    rooms = [table.server.add_channel(f"room_{number}").login for number in range(130)]
    async with table.open(scope=places(*rooms)):
        assert table.server.subscribed(table.bot) == set(rooms)
        assert asked(table, "GET", "/users") == 2


# -- hearing


async def test_the_trigger_prefix_counts_as_a_mention_and_changes_live(table: Table) -> None:
    async with table.open(scope=places("tavern", trigger_prefix="!k")) as adapter:
        table.server.say(table.tavern, table.ana, "!k who is there?")
        heard = await table.next()
        assert (heard.mentioned, heard.text) == (True, "who is there?")
        await adapter.listen(places("tavern", trigger_prefix="?k"))
        table.server.say(table.tavern, table.ana, "!k and now?")
        table.server.say(table.tavern, table.ana, "?k and now?")
        assert [(await table.next()).mentioned for _ in range(2)] == [False, True]
        assert table.server.welcomes == 1


async def test_a_notification_that_comes_twice_has_one_id(table: Table) -> None:
    async with table.open():
        table.server.duplicate(table.bot)
        said = table.server.say(table.tavern, table.ana, "once")
        assert [(await table.next()).id for _ in range(2)] == [said.id, said.id]


async def test_what_cannot_be_recorded_is_tried_again_in_its_order(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.twitch.inbound.FIRST_WAIT", 0.02)
    trouble = [NotReady("the disk is full"), NotReady("the disk is full"), RuntimeError("one odd message")]
    deliver = table.deliver

    async def troubled(message: Message) -> Receipt:
        if trouble:
            raise trouble.pop(0)
        return await deliver(message)

    table.deliver = troubled  # type: ignore[method-assign]  # the table's own way in, with trouble before it
    async with table.open():
        for number in range(3):
            table.server.say(table.tavern, table.ana, f"line {number}")
        assert [(await table.next()).text for _ in range(2)] == ["line 1", "line 2"]


async def test_two_instances_with_servers_of_their_own_live_in_one_process(tmp_path: Path) -> None:
    async with laid(tmp_path / "a") as one, laid(tmp_path / "b") as two, one.open() as first, two.open() as second:
        for number in range(3):
            said = one.server.say(one.tavern, one.ana, f"to the first {number}")
            also = two.server.say(two.tavern, two.ana, f"to the second {number}")
            assert (await one.next()).id == said.id
            assert (await two.next()).id == also.id
            await first.send(one.address(), reply(f"first {number}", id=f"turn.{number}"))
            await second.send(two.address(), reply(f"second {number}", id=f"turn.{number}"))
        assert one.posts() == [f"first {number}" for number in range(3)]
        assert two.posts() == [f"second {number}" for number in range(3)]


# -- who we are


async def test_the_account_is_known_by_its_number_and_its_login(table: Table) -> None:
    async with table.open() as adapter:
        assert adapter.account == table.bot.user.id
        assert adapter.aliases == {"keeper_bot"}
        assert adapter.hindrances == ()


async def test_a_token_with_the_old_prefix_is_taken(table: Table) -> None:
    async with table.open(table.adapter(oauth_token=f"oauth:{table.bot.access}", username="Keeper_Bot")):
        await hears_again(table)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"oauth_token": "with space"}, "no Twitch token"),
        ({"oauth_token": "oauth:"}, "no Twitch token"),
        ({"username": "somebody_else"}, "belongs to the account 'keeper_bot'"),
        ({"client_id": "another"}, "another application"),
        ({"oauth_token": "unknowntoken"}, "authorize the account again"),
    ],
)
async def test_what_a_person_must_put_right_is_refused(table: Table, how: dict[str, str], reason: str) -> None:
    adapter = table.adapter(**how)
    with pytest.raises(Refused, match=reason):
        await adapter.open(table.deliver)
    await adapter.aclose()
    await adapter.aclose()


async def test_a_missing_scope_is_told_with_its_remedy(table: Table) -> None:
    table.bot.scopes = ("user:read:chat",)
    async with table.open() as adapter:
        (hindrance,) = adapter.hindrances
        assert "user:write:chat" in hindrance
        assert "authorize" in hindrance
    table.bot.scopes = ("user:write:chat",)
    blind = table.adapter()
    with pytest.raises(Refused, match="user:read:chat"):
        await blind.open(table.deliver)
    await blind.aclose()


async def test_a_channel_is_found_by_its_login_in_any_case(table: Table) -> None:
    async with table.open() as adapter:
        assert await adapter.locate("TAVERN") == table.address()
        for target in ("dm:ana", "nobody_here", "no login"):
            with pytest.raises(Refused):
                await adapter.locate(target)


async def test_the_client_id_may_be_left_out(table: Table) -> None:
    async with table.open() as adapter:
        assert adapter._api.client_id == CLIENT


@pytest.mark.parametrize("status", [500, 503, None])
async def test_an_id_server_in_trouble_is_not_ready(table: Table, status: int | None) -> None:
    table.server.fail_next(9, status, "/oauth2")
    adapter = table.adapter()
    with pytest.raises(NotReady):
        await adapter.open(table.deliver)
    await adapter.aclose()


async def test_what_is_opened_and_closed_again_and_again_leaves_no_descriptor(table: Table) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not list descriptors")
    counts = []
    for number in range(8):
        async with table.open(scope=places("tavern", "harbour")):
            if number % 2:
                table.server.reconnect(table.bot)
                table.server.say(table.tavern, table.ana, "in mid-move")
        bad = table.adapter(oauth_token="unknowntoken")
        with pytest.raises(Refused):
            await bad.open(table.deliver)
        await bad.aclose()
        await table.server.wait_for(lambda server: not server._eventsub.sessions)
        counts.append(descriptors())
    assert max(counts[2:]) <= max(counts[:2]) + 1, counts
