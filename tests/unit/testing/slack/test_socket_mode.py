"""What the loopback Slack's Socket Mode sends, awaits and sends again, driven by a raw WebSocket."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from tests.unit.testing.slack.conftest import APP_TOKEN, Stage, staged


async def test_an_address_opens_one_connection_once(stage: Stage) -> None:
    address = await stage.address()
    wire = await stage.connect(address, hello=False)
    hello = await wire.receive()
    assert (hello["type"], hello["num_connections"]) == ("hello", 1)
    assert hello["connection_info"] == {"app_id": stage.bot.app_id}
    for bad in (address, address.replace("ticket=", "ticket=x"), address.partition("?")[0]):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await stage.session.ws_connect(bad)
        assert refused.value.status == 408


async def test_ten_connections_are_let_in_and_no_eleventh(stage: Stage) -> None:
    for number in range(10):
        wire = await stage.connect(hello=False)
        assert (await wire.receive())["num_connections"] == number + 1
    wire = await stage.connect(hello=False)
    told = await wire.receive()
    assert (told["type"], told["reason"]) == ("disconnect", "too_many_websockets")
    assert await wire.closed() == 1000


async def test_an_event_goes_to_one_of_the_connections(stage: Stage) -> None:
    wires = [await stage.connect() for _ in range(3)]
    for number in range(6):
        stage.server.post(stage.tavern, stage.ana, f"line {number}")
    heard = [(await wire.event())["text"] for wire in wires for _ in range(2)]
    assert sorted(heard) == [f"line {number}" for number in range(6)]
    assert all([await wire.silent(0.02) for wire in wires])


async def test_a_message_is_told_as_slack_words_it(stage: Stage) -> None:
    wire = await stage.connect()
    said = stage.server.post(stage.tavern, stage.ana, "hello", files=["map.png"])
    envelope = await wire.receive()
    assert (envelope["type"], envelope["accepts_response_payload"]) == ("events_api", False)
    assert (envelope["retry_attempt"], envelope["retry_reason"]) == (0, "")
    payload = envelope["payload"]
    assert (payload["type"], payload["team_id"], payload["api_app_id"]) == (
        "event_callback",
        stage.team.id,
        stage.bot.app_id,
    )
    event = payload["event"]
    assert {key: event[key] for key in ("type", "subtype", "channel", "channel_type", "user", "text", "ts")} == {
        "type": "message",
        "subtype": "file_share",
        "channel": stage.tavern.id,
        "channel_type": "channel",
        "user": stage.ana.id,
        "text": "hello",
        "ts": said.ts,
    }
    assert [file["name"] for file in event["files"]] == ["map.png"]


async def test_a_mention_is_told_twice_and_once_in_a_direct_message(stage: Stage) -> None:
    wire = await stage.connect()
    said = stage.server.post(stage.tavern, stage.ana, f"hello <@{stage.bot.user_id}>")
    message, mention = await wire.event(), await wire.event()
    assert (message["type"], mention["type"]) == ("message", "app_mention")
    assert message["ts"] == mention["ts"] == said.ts
    assert "channel_type" not in mention
    direct = stage.server.open_dm(stage.bot, stage.ana)
    stage.server.post(direct, stage.ana, f"psst <@{stage.bot.user_id}>")
    whispered = await wire.event()
    assert (whispered["type"], whispered["channel_type"]) == ("message", "im")
    assert await wire.silent(0.02)


@pytest.mark.parametrize("kind", ["channel", "group", "im", "mpim"])
async def test_each_kind_of_conversation_needs_its_own_subscription_and_scope(stage: Stage, kind: str) -> None:
    server, wire = stage.server, await stage.connect()
    plural = {"channel": "channels", "group": "groups"}.get(kind, kind)
    place = server.add_channel(stage.team, "place", [stage.bot, stage.ana], kind=kind)  # type: ignore[arg-type]
    server.post(place, stage.ana, "heard")
    assert (await wire.event())["channel_type"] == kind
    server.deny(stage.bot, f"message.{plural}")
    server.post(place, stage.ana, "not subscribed")
    assert await wire.silent(0.02)
    stage.bot.events.add(f"message.{plural}")
    server.deny(stage.bot, f"{plural}:history")
    server.post(place, stage.ana, "no scope")
    assert await wire.silent(0.02)


async def test_nothing_is_told_of_a_channel_that_the_bot_is_not_in(stage: Stage) -> None:
    wire = await stage.connect()
    elsewhere = stage.server.add_channel(stage.team, "elsewhere", [stage.ana])
    stage.server.post(elsewhere, stage.ana, f"<@{stage.bot.user_id}> cannot hear")
    assert await wire.silent(0.02)
    stage.server.join(elsewhere, stage.bot)
    stage.server.post(elsewhere, stage.ana, "now it can")
    assert (await wire.event())["text"] == "now it can"
    stage.server.leave(elsewhere, stage.bot)
    stage.server.post(elsewhere, stage.ana, "and no longer")
    assert await wire.silent(0.02)


async def test_a_bot_hears_its_own_posts_and_those_of_others(stage: Stage) -> None:
    wire = await stage.connect()
    await stage.say("mine")
    assert (await wire.event())["bot_id"] == stage.bot.bot_id
    other = stage.server.add_bot(stage.team, "xoxb-2", "xapp-2", name="Other")
    stage.server.join(stage.tavern, other)
    stage.server.post(stage.tavern, other, "theirs")
    event = await wire.event()
    assert (event["bot_id"], event["user"]) == (other.bot_id, other.user_id)


async def test_changes_and_deletions_are_told_with_what_was_before(stage: Stage) -> None:
    wire = await stage.connect()
    said = stage.server.post(stage.tavern, stage.ana, "before")
    await wire.event()
    stage.server.edit(said, "after")
    changed = await wire.event()
    assert (changed["subtype"], changed["hidden"]) == ("message_changed", True)
    assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("after", "before")
    assert changed["message"]["ts"] == said.ts != changed["ts"]
    assert changed["message"]["edited"]["user"] == stage.ana.id
    stage.server.unfurl(said)
    unfurled = await wire.event()
    assert unfurled["message"]["edited"] == unfurled["previous_message"]["edited"]
    stage.server.delete(said)
    deleted = await wire.event()
    assert (deleted["subtype"], deleted["deleted_ts"]) == ("message_deleted", said.ts)
    assert stage.server.messages(stage.tavern) == []


async def test_the_root_of_a_thread_leaves_a_tombstone(stage: Stage) -> None:
    wire = await stage.connect()
    root = stage.server.post(stage.tavern, stage.ana, "root")
    stage.server.post(stage.tavern, stage.ana, "reply", thread=root)
    assert [(await wire.event())["text"] for _ in range(2)] == ["root", "reply"]
    stage.server.delete(root)
    told = await wire.event()
    assert (told["subtype"], told["message"]["subtype"], told["message"]["ts"]) == (
        "message_changed",
        "tombstone",
        root.ts,
    )


# -- acknowledging


async def test_what_is_not_acknowledged_comes_again_and_says_so() -> None:
    async with staged(ack_seconds=0.05, retry_seconds=(0.0, 0.05)) as stage:
        wire = await stage.connect()
        stage.server.post(stage.tavern, stage.ana, "hello?")
        tries = [await wire.receive() for _ in range(3)]
        assert [(one["retry_attempt"], one["retry_reason"]) for one in tries] == [
            (0, ""),
            (1, "timeout"),
            (2, "timeout"),
        ]
        assert len({one["envelope_id"] for one in tries}) == 3
        assert len({one["payload"]["event_id"] for one in tries}) == 1
        await stage.server.wait_for(lambda s: s.undelivered == 1)
        assert await wire.silent(0.1)


async def test_an_acknowledgement_ends_it_and_one_that_is_late_does_not() -> None:
    async with staged(ack_seconds=0.1, retry_seconds=(0.0,)) as stage:
        wire = await stage.connect()
        stage.server.post(stage.tavern, stage.ana, "hello")
        await wire.acknowledge(await wire.receive())
        await stage.server.wait_for(lambda s: s.unacknowledged == 0)
        stage.server.post(stage.tavern, stage.ana, "again")
        late, again = await wire.receive(), await wire.receive()
        await wire.acknowledge(late)
        assert stage.server.unacknowledged == 1
        await wire.acknowledge(again)
        await stage.server.wait_for(lambda s: s.unacknowledged == 0)
        assert stage.server.undelivered == 0


async def test_only_the_connection_that_carried_an_envelope_acknowledges_it() -> None:
    async with staged(ack_seconds=0.1, retry_seconds=(0.0,)) as stage:
        one, other = await stage.connect(), await stage.connect()
        for text in ("one", "two"):
            stage.server.post(stage.tavern, stage.ana, text)
        first, second = await one.receive(), await other.receive()
        await one.acknowledge(second)
        await other.acknowledge(first)
        assert {(await one.receive())["retry_attempt"], (await other.receive())["retry_attempt"]} == {1}


async def test_an_event_without_a_connection_waits_for_the_next_try() -> None:
    async with staged(retry_seconds=(0.05, 0.05, 0.05)) as stage:
        stage.server.post(stage.tavern, stage.ana, "anyone?")
        wire = await stage.connect()
        envelope = await wire.receive()
        assert envelope["payload"]["event"]["text"] == "anyone?"
        assert envelope["retry_attempt"] >= 1
        assert envelope["retry_reason"] == "no_active_connection"


async def test_the_times_are_slacks_own_unless_a_test_shortens_them(stage: Stage) -> None:
    wire = await stage.connect()
    began = time.monotonic()
    stage.server.post(stage.tavern, stage.ana, "hello?")
    await wire.receive()
    again = await wire.receive()
    assert again["retry_attempt"] == 1
    assert time.monotonic() - began > 2.9


@pytest.mark.parametrize("frame", ["words", "[]", "{}", '{"envelope_id": 7}'])
async def test_a_frame_that_acknowledges_nothing_ends_the_connection(stage: Stage, frame: str) -> None:
    wire = await stage.connect()
    await wire.ws.send_str(frame)
    assert await wire.closed() == 1000


async def test_a_binary_frame_ends_the_connection(stage: Stage) -> None:
    wire = await stage.connect()
    await wire.ws.send_bytes(b"{}")
    assert await wire.closed() == 1003


async def test_an_unknown_envelope_is_let_pass(stage: Stage) -> None:
    wire = await stage.connect()
    await wire.ws.send_str('{"envelope_id": "nobody-knows"}')
    stage.server.post(stage.tavern, stage.ana, "still here")
    assert (await wire.event())["text"] == "still here"


# -- commands


async def test_a_command_comes_once_and_may_be_answered_with_its_acknowledgement() -> None:
    async with staged(ack_seconds=0.1, retry_seconds=(0.0,)) as stage:
        wire = await stage.connect()
        command = stage.server.command(stage.bot, stage.tavern, stage.ana, "status")
        envelope = await wire.receive()
        assert (envelope["type"], envelope["accepts_response_payload"]) == ("slash_commands", True)
        payload = envelope["payload"]
        assert (payload["command"], payload["text"], payload["user_id"]) == ("/npc", "status", stage.ana.id)
        assert (payload["channel_id"], payload["channel_name"]) == (stage.tavern.id, "tavern")
        await wire.acknowledge(envelope, payload={"text": "here"})
        await stage.server.wait_for(lambda _: command.acknowledged)
        assert command.answers == [{"response_type": "ephemeral", "text": "here"}]
        ignored = stage.server.command(stage.bot, stage.tavern, stage.ana, "status")
        await wire.receive()
        await stage.server.wait_for(lambda _: ignored.timed_out)
        assert await wire.silent(0.15)


# -- the connection's own troubles


@pytest.mark.parametrize(("reason", "close"), [("warning", False), ("refresh_requested", True)])
async def test_a_connection_is_asked_to_be_replaced(stage: Stage, reason: str, close: bool) -> None:
    wire = await stage.connect()
    stage.server.refresh(stage.bot, reason, close=close)
    told = await wire.receive()
    assert (told["type"], told["reason"]) == ("disconnect", reason)
    if close:
        assert await wire.closed() == 1000
        await stage.server.wait_for(lambda s: s.connections(stage.bot) == 0)
    else:
        stage.server.post(stage.tavern, stage.ana, "still served")
        assert (await wire.event())["text"] == "still served"


async def test_socket_mode_can_be_switched_off(stage: Stage) -> None:
    wire = await stage.connect()
    stage.server.disable_socket_mode(stage.bot)
    assert (await wire.receive())["reason"] == "link_disabled"
    assert await wire.closed() == 1000
    assert (await stage.call("apps.connections.open", APP_TOKEN)).error == "forbidden_team"


@pytest.mark.parametrize("politely", [True, False])
async def test_a_connection_is_dropped_with_a_code_or_without(stage: Stage, politely: bool) -> None:
    wire = await stage.connect()
    stage.server.disconnect(stage.bot, politely=politely)
    assert await wire.closed() == (1000 if politely else None)


async def test_pings_are_answered_unless_it_is_mute(stage: Stage) -> None:
    wire = await stage.connect(autoping=False)
    await wire.ws.ping(b"one")
    pong = await asyncio.wait_for(wire.ws.receive(), 10)
    assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"one")
    stage.server.mute(stage.bot)
    await wire.ws.ping(b"two")
    stage.server.post(stage.tavern, stage.ana, "hello?")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.ws.receive(), 0.1)
    assert stage.server.connections(stage.bot) == 1
    stage.server.unmute(stage.bot)
    kinds = {(await asyncio.wait_for(wire.ws.receive(), 10)).type for _ in range(2)}
    assert kinds == {aiohttp.WSMsgType.PONG, aiohttp.WSMsgType.TEXT}


async def test_a_half_open_connection_takes_nothing_in() -> None:
    async with staged(ack_seconds=0.3, retry_seconds=(0.0,)) as stage:
        wire = await stage.connect()
        stage.server.post(stage.tavern, stage.ana, "hello")
        envelope = await wire.receive()
        stage.server.mute(stage.bot, half_open=True)
        await wire.acknowledge(envelope)
        await stage.server.wait_for(lambda s: s.undelivered == 1)


async def test_a_new_connection_may_be_mute_too(stage: Stage) -> None:
    stage.server.mute(stage.bot, new_connections=True)
    wire = await stage.connect(hello=False)
    assert await wire.silent(0.1)


async def test_events_are_repeated_as_often_as_it_was_asked_for(stage: Stage) -> None:
    wire = await stage.connect()
    stage.server.repeat(stage.bot, 2)
    said = stage.server.post(stage.tavern, stage.ana, "thrice")
    stage.server.post(stage.tavern, stage.ana, "once")
    heard = [await wire.receive() for _ in range(4)]
    assert [one["payload"]["event"]["text"] for one in heard] == ["thrice"] * 3 + ["once"]
    assert [one["retry_attempt"] for one in heard] == [0, 1, 1, 0]
    stage.server.redeliver(said)
    assert (await wire.receive())["payload"]["event"]["ts"] == said.ts


async def test_workspaces_do_not_hear_one_another(stage: Stage) -> None:
    other_team = stage.server.add_workspace("Other")
    other = stage.server.add_bot(other_team, "xoxb-2", "xapp-2")
    there = stage.server.add_channel(other_team, "there", [other])
    wire = await stage.connect()
    stage.server.post(there, stage.server.add_user(other_team, "Bo"), "elsewhere")
    stage.server.post(stage.tavern, stage.ana, "here")
    assert (await wire.event())["text"] == "here"
