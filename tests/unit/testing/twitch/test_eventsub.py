"""EventSub over WebSockets: welcome, subscriptions with their limits, moves, revocations and ends."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.unit.testing.twitch.conftest import Stage, staged


async def test_a_connection_is_welcomed_and_kept_alive() -> None:
    async with staged(keepalive=0.05) as stage:
        wire = await stage.connect()
        session = (await wire.kind("session_welcome"))["session"]
        assert (session["status"], session["keepalive_timeout_seconds"], session["reconnect_url"]) == (
            "connected",
            1,
            None,
        )
        assert session["id"]
        for _ in range(2):
            assert (await wire.receive())["metadata"]["message_type"] == "session_keepalive"


@pytest.mark.parametrize(("asked", "granted"), [("30", 30), ("1", 10), ("9999", 600), ("soon", 10)])
async def test_a_client_may_ask_for_its_keepalive_within_bounds(stage: Stage, asked: str, granted: int) -> None:
    wire = await stage.connect(f"{stage.server.gateway}?keepalive_timeout_seconds={asked}")
    assert (await wire.kind("session_welcome"))["session"]["keepalive_timeout_seconds"] == granted


async def test_a_subscriber_hears_what_is_said_and_what_it_says_itself(stage: Stage) -> None:
    wire, subscription = await stage.listening()
    asked = stage.server.say(stage.tavern, stage.ana, "hello @Keeper_Bot")
    heard = await wire.kind("notification")
    assert heard["subscription"]["id"] == subscription
    event = heard["event"]
    assert (event["message_id"], event["chatter_user_login"], event["chatter_user_name"]) == (asked.id, "ana", "Ana")
    assert (event["broadcaster_user_login"], event["reply"]) == ("tavern", None)
    kinds = [(part["type"], part["text"]) for part in event["message"]["fragments"]]
    assert kinds == [("text", "hello "), ("mention", "@Keeper_Bot")]
    await stage.post("Evening.", reply_parent_message_id=asked.id)
    own = (await wire.kind("notification"))["event"]
    assert own["chatter_user_id"] == stage.bot.user.id
    assert own["reply"]["parent_user_login"] == "ana"
    assert own["message"]["text"] == "@Ana Evening.", "Twitch puts the name before an answer"
    await stage.server.wait_for(lambda server: server.delivered(stage.bot, asked))


async def test_another_chat_is_not_heard(stage: Stage) -> None:
    wire, _ = await stage.listening()
    stage.server.say(stage.server.add_channel("Harbour"), stage.ana, "elsewhere")
    stage.server.say(stage.tavern, stage.ana, "here")
    assert await wire.said() == "here"


async def test_a_connection_that_is_not_used_is_closed() -> None:
    async with staged(unused=0.05) as stage:
        wire = await stage.connect()
        assert await wire.closed() == 4003
        wire, _ = await stage.listening()
        await asyncio.sleep(0.1)
        stage.server.say(stage.tavern, stage.ana, "still there?")
        assert await wire.said() == "still there?"


async def test_a_client_that_speaks_is_closed(stage: Stage) -> None:
    wire, _ = await stage.welcomed()
    await wire.ws.send_str("hello")
    assert await wire.closed() == 4001


async def test_pings_are_answered(stage: Stage) -> None:
    async with stage.session.ws_connect(stage.server.gateway, autoping=False) as ws:
        await ws.receive()
        await ws.ping(b"there?")
        pong = await ws.receive()
        assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"there?")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"type": "channel.follow"}, 400),
        ({"version": "2"}, 400),
        ({"transport": {"method": "webhook", "callback": "https://example.org"}}, 400),
        ({"transport": {"method": "websocket"}}, 400),
        ({"transport": {"method": "websocket", "session_id": "gone"}}, 400),
        ({"transport": None}, 400),
        ({"condition": None}, 400),
        ({"condition": {"user_id": "1"}}, 400),
        ({"condition": {"broadcaster_user_id": "1", "user_id": "1"}}, 400),
    ],
)
async def test_a_wrong_subscription_is_refused(stage: Stage, changes: dict[str, Any], status: int) -> None:
    _, session = await stage.welcomed()
    assert (await stage.subscribe(session, **changes)).refusal[0] == status
    assert stage.server.subscribed(stage.bot) == set()


async def test_reading_takes_the_scope_ones_own_name_and_no_ban(stage: Stage) -> None:
    _, session = await stage.welcomed()
    others = {"broadcaster_user_id": stage.tavern.owner.id, "user_id": stage.ana.id}
    assert (await stage.subscribe(session, condition=others)).refusal[0] == 403
    stage.bot.scopes = ("user:write:chat",)
    assert (await stage.subscribe(session)).refusal == (403, "subscription missing proper authorization")
    stage.bot.scopes = ("user:read:chat",)
    stage.server.ban(stage.tavern, stage.bot)
    assert (await stage.subscribe(session)).refusal[0] == 403


async def test_a_chat_is_subscribed_once_a_connection(stage: Stage) -> None:
    _, session = await stage.welcomed()
    assert (await stage.subscribe(session)).status == 202
    assert (await stage.subscribe(session)).refusal == (409, "subscription already exists")
    _, another = await stage.welcomed()
    assert (await stage.subscribe(another)).status == 202


async def test_the_number_of_subscriptions_of_connections_and_their_cost_are_limited() -> None:
    async with staged(max_subscriptions=1) as stage:
        _, session = await stage.welcomed()
        await stage.subscribe(session)
        harbour = stage.server.add_channel("Harbour")
        assert (await stage.subscribe(session, harbour)).refusal[0] == 429
        for _ in range(2):
            await stage.subscribe((await stage.welcomed())[1])
        fourth = await stage.subscribe((await stage.welcomed())[1])
        assert fourth.refusal == (429, "number of websocket transports limit exceeded")
    async with staged(cost=6) as stage:
        _, session = await stage.welcomed()
        made = await stage.subscribe(session)
        assert (made.json["total_cost"], made.json["max_total_cost"]) == (6, 10)
        harbour = stage.server.add_channel("Harbour")
        assert (await stage.subscribe(session, harbour)).refusal[0] == 429


async def test_subscriptions_are_listed_and_ended(stage: Stage) -> None:
    wire, subscription = await stage.listening()
    listed = (await stage.helix("GET", "/eventsub/subscriptions?status=enabled")).json
    assert [one["id"] for one in listed["data"]] == [subscription]
    assert listed["data"][0]["condition"]["broadcaster_user_id"] == stage.tavern.owner.id
    assert (await stage.helix("DELETE", "/eventsub/subscriptions")).refusal[0] == 400
    assert (await stage.helix("DELETE", "/eventsub/subscriptions?id=other")).refusal[0] == 404
    assert (await stage.helix("DELETE", f"/eventsub/subscriptions?id={subscription}")).status == 204
    assert (await stage.helix("GET", "/eventsub/subscriptions")).json["data"] == []
    assert not wire.ws.closed


async def test_a_long_list_comes_in_pages(stage: Stage) -> None:
    _, session = await stage.welcomed()
    for number in range(101):
        await stage.subscribe(session, stage.server.add_channel(f"room_{number}"))
    first = (await stage.helix("GET", "/eventsub/subscriptions")).json
    assert (len(first["data"]), first["total"]) == (100, 101)
    rest = await stage.helix("GET", f"/eventsub/subscriptions?after={first['pagination']['cursor']}")
    assert (len(rest.json["data"]), rest.json["pagination"]) == (1, {})
    assert (await stage.helix("GET", "/eventsub/subscriptions?after=x")).refusal[0] == 400


async def test_what_ends_with_its_connection_is_no_longer_enabled(stage: Stage) -> None:
    wire, _ = await stage.listening()
    await wire.ws.close()
    await stage.server.wait_for(lambda server: not server.subscribed(stage.bot))
    (one,) = (await stage.helix("GET", "/eventsub/subscriptions")).json["data"]
    assert one["status"] == "websocket_disconnected"
    assert (await stage.helix("GET", "/eventsub/subscriptions?status=enabled")).json["data"] == []


async def test_a_move_keeps_subscriptions_and_the_old_connection_until_the_new_is_welcomed() -> None:
    async with staged(grace=0.3) as stage:
        old, subscription = await stage.listening()
        stage.server.reconnect(stage.bot)
        told = (await old.kind("session_reconnect"))["session"]
        assert told["status"] == "reconnecting"
        stage.server.say(stage.tavern, stage.ana, "before the welcome")
        assert await old.said() == "before the welcome"
        new, _ = await stage.welcomed(told["reconnect_url"])
        stage.server.say(stage.tavern, stage.ana, "after it")
        heard = await new.kind("notification")
        assert (heard["subscription"]["id"], heard["event"]["message"]["text"]) == (subscription, "after it")
        assert await old.closed() == 4004
        again = await stage.connect(told["reconnect_url"])
        assert await again.closed() == 4007


async def test_a_strange_address_to_move_to_is_invalid(stage: Stage) -> None:
    wire = await stage.connect(f"{stage.server.gateway}?reconnect=invented")
    assert await wire.closed() == 4007


async def test_a_ban_and_a_revoked_grant_are_told(stage: Stage) -> None:
    wire, subscription = await stage.listening()
    stage.server.ban(stage.tavern, stage.bot)
    told = (await wire.kind("revocation"))["subscription"]
    assert (told["id"], told["status"]) == (subscription, "chat_user_banned")
    stage.tavern.banned.clear()
    wire, _ = await stage.listening()
    stage.server.revoke(stage.bot)
    assert (await wire.kind("revocation"))["subscription"]["status"] == "authorization_revoked"
