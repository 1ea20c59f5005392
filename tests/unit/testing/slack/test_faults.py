"""The faults of calls that a test can ask for, and the ways it looks at the server."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import ExitStack, suppress

import aiohttp
import pytest

from homunculus.testing.slack import SlackServer
from tests.unit.testing.slack.conftest import Stage


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_call_fails_as_slacks_edge_does(stage: Stage, status: int) -> None:
    stage.server.fail_next(status=status, method="chat.postMessage")
    assert (await stage.call("auth.test")).status == 200
    answer = await stage.say("lost")
    assert (answer.status, answer.json) == (status, {})
    assert stage.server.messages(stage.tavern) == []
    assert stage.server.failures_left == 0
    assert (await stage.say("said")).json["ok"]


async def test_a_rate_limit_says_when_to_come_back(stage: Stage) -> None:
    stage.server.fail_next(status=429, retry_after=2.2)
    answer = await stage.say()
    assert (answer.status, answer.error, answer.headers["Retry-After"]) == (429, "ratelimited", "3")


async def test_slacks_own_error_can_be_asked_for(stage: Stage) -> None:
    stage.server.fail_next(2, error="fatal_error")
    assert [(await stage.say()).error for _ in range(2)] == ["fatal_error"] * 2


@pytest.mark.parametrize("after", [False, True])
async def test_a_call_is_cut_before_or_after_it_took_effect(stage: Stage, after: bool) -> None:
    stage.server.fail_next(status=None, after=after)
    with pytest.raises(aiohttp.ClientError):
        await stage.say("cut")
    assert len(stage.server.messages(stage.tavern)) == after
    assert stage.server.requests[-1].status == 0


async def test_a_failure_after_the_fact_has_taken_effect(stage: Stage) -> None:
    stage.server.fail_next(status=503, after=True)
    assert (await stage.say("said all the same")).status == 503
    assert [m.text for m in stage.server.messages(stage.tavern)] == ["said all the same"]


async def test_an_answer_is_held_back_or_the_call_is(stage: Stage) -> None:
    stage.server.slow("chat.postMessage", 0.1)
    began = time.monotonic()
    await stage.say("slow")
    assert time.monotonic() - began > 0.09
    stage.server.slow("chat.postMessage", 0)
    await stage.say("fast")


async def test_an_unreachable_server_comes_back_on_the_same_port(stage: Stage) -> None:
    wire = await stage.connect()
    base = stage.server.api_base
    stage.server.refuse_connections()
    assert await wire.closed() is None
    with pytest.raises(aiohttp.ClientConnectorError):
        await stage.call("auth.test")
    stage.server.accept_connections()
    assert (await stage.call("auth.test")).json["ok"]
    assert stage.server.api_base == base


async def test_waiting_in_vain_says_what_was_seen(stage: Stage) -> None:
    await stage.call("auth.test")
    with pytest.raises(TimeoutError, match=r"after 0\.01 s still not: .*Keeper: 0 open of 0.*auth\.test -> 200"):
        await stage.server.wait_for(lambda s: s.connections(stage.bot) == 9, timeout=0.01)


async def test_mistakes_of_a_test_are_told() -> None:
    async with SlackServer() as server:
        team = server.add_workspace("Arkham")
        bot = server.add_bot(team, "xoxb-1", "xapp-1")
        with pytest.raises(ValueError, match="unknown"):
            server.deny(bot, "chat:shout")
        with pytest.raises(ValueError, match="no fault this server imitates"):
            server.fail_next(status=418)
        with pytest.raises(ValueError, match="not in this private conversation"):
            server.post(server.open_dm(bot, server.add_user(team, "Ana")), server.add_user(team, "Bo"), "hello")
        with pytest.raises(RuntimeError, match="runs already"):
            await server.start()


@pytest.mark.parametrize("steps", range(4))
async def test_a_connection_that_is_just_being_accepted_is_cut_and_not_forgotten(stage: Stage, steps: int) -> None:
    port = int(stage.server.api_base.split(":")[2].partition("/")[0])
    for _ in range(5):
        with ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(3)]
            for _ in range(steps):
                await asyncio.sleep(0)
            stage.server.refuse_connections()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            for client in clients:
                client.setblocking(False)
                with suppress(ConnectionResetError):
                    assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 1), 10) == b""
        stage.server.accept_connections()
        assert (await stage.call("auth.test")).json["ok"]
    gc.collect()  # a socket that was forgotten warns when it goes
