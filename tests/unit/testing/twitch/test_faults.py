"""The faults a test can ask for, and the ways a test looks at the server."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from homunculus.testing.twitch import TwitchServer
from tests.unit.testing.twitch.conftest import Stage, staged


@pytest.mark.parametrize("code", [4000, 4002, 4005, 4006])
async def test_a_connection_is_closed_with_a_code(stage: Stage, code: int) -> None:
    wire, _ = await stage.listening()
    stage.server.disconnect(stage.bot, code)
    assert await wire.closed() == code


async def test_a_code_that_twitch_does_not_have_cannot_be_asked_for(stage: Stage) -> None:
    with pytest.raises(ValueError, match="no close code"):
        stage.server.disconnect(stage.bot, 4014)


async def test_a_cut_is_abrupt(stage: Stage) -> None:
    wire, _ = await stage.listening()
    stage.server.disconnect(stage.bot)
    assert await wire.closed() is None


async def test_a_muted_connection_says_nothing_and_delivers_nothing() -> None:
    async with staged(keepalive=0.05) as stage:
        wire, _ = await stage.listening()
        stage.server.mute(stage.bot)
        said = stage.server.say(stage.tavern, stage.ana, "hello?")

        async def hear() -> None:
            while (await wire.receive())["metadata"]["message_type"] == "session_keepalive":
                continue

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(hear(), 0.3)
        assert not stage.server.delivered(stage.bot, said)


async def test_nobody_is_welcomed_while_new_connections_are_muted(stage: Stage) -> None:
    stage.server.mute(stage.bot, new_connections=True)
    wire = await stage.connect()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.ws.receive(), 0.1)
    stage.server.unmute()
    await stage.welcomed()


async def test_a_notification_comes_twice_under_one_id(stage: Stage) -> None:
    wire, _ = await stage.listening()
    stage.server.duplicate(stage.bot)
    stage.server.say(stage.tavern, stage.ana, "twice")
    stage.server.say(stage.tavern, stage.ana, "once")
    heard = [await wire.receive() for _ in range(3)]
    assert [one["payload"]["event"]["message"]["text"] for one in heard] == ["twice", "twice", "once"]
    assert heard[0]["metadata"]["message_id"] == heard[1]["metadata"]["message_id"]


async def test_a_subscription_is_lost_without_a_word(stage: Stage) -> None:
    wire, _ = await stage.listening()
    stage.server.forget(stage.bot, stage.tavern)
    stage.server.say(stage.tavern, stage.ana, "into the void")
    assert (await stage.helix("GET", "/eventsub/subscriptions")).json["data"] == []
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.ws.receive(), 0.1)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_requests_fail_with_a_status(stage: Stage, status: int) -> None:
    stage.server.fail_next(status=status, path_contains="/chat", method="POST", retry_after=9.0)
    assert (await stage.helix("GET", "/users")).status == 200
    answer = await stage.post()
    assert answer.status == status
    if status == 429:
        assert 0 < int(answer.headers["Ratelimit-Reset"]) - time.time() < 11
    assert stage.server.failures_left == 0
    assert stage.server.posts(stage.tavern, stage.bot) == []
    assert (await stage.post()).status == 200


async def test_a_request_may_take_effect_and_lose_its_answer(stage: Stage) -> None:
    stage.server.fail_next(status=None, path_contains="/chat", after=True)
    with pytest.raises(aiohttp.ClientError):
        await stage.post()
    assert len(stage.server.posts(stage.tavern, stage.bot)) == 1
    assert [(one.method, one.path, one.status) for one in stage.server.requests] == [
        ("POST", "/helix/chat/messages", 0)
    ]


async def test_a_status_that_is_no_fault_cannot_be_asked_for(stage: Stage) -> None:
    with pytest.raises(ValueError, match="no fault"):
        stage.server.fail_next(status=418)


async def test_a_slow_answer_takes_its_time(stage: Stage) -> None:
    stage.server.slow("/users", 0.1)
    began = time.monotonic()
    await stage.helix("GET", "/users")
    assert time.monotonic() - began >= 0.1


async def test_an_unreachable_server_cuts_and_refuses_until_it_is_back(stage: Stage) -> None:
    wire, _ = await stage.listening()
    stage.server.refuse_connections()
    assert await wire.closed() is None
    with pytest.raises(aiohttp.ClientConnectorError):
        await stage.helix("GET", "/users")
    stage.server.accept_connections()
    assert (await stage.helix("GET", "/users")).status == 200


async def test_waiting_in_vain_tells_what_was_seen(stage: Stage) -> None:
    await stage.listening()
    with pytest.raises(TimeoutError, match=r"hears \['tavern'\]"):
        await stage.server.wait_for(lambda server: server.connections(stage.bot) == 7, timeout=0.01)


async def test_a_server_stops_twice_and_names_are_checked() -> None:
    server = TwitchServer()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.api_base
    await server.start()
    with pytest.raises(RuntimeError, match="runs already"):
        await server.start()
    server.add_user("Ana")
    with pytest.raises(ValueError, match="taken"):
        server.add_user("ana")
    with pytest.raises(ValueError, match="no Twitch name"):
        server.add_user("two words")
    await server.stop()
    await server.stop()


async def test_nonsense_is_sent_as_it_is(stage: Stage) -> None:
    wire, _ = await stage.listening()
    stage.server.garble(stage.bot, "no json at all")
    frame = await asyncio.wait_for(wire.ws.receive(), 10)
    assert frame.data == "no json at all"
