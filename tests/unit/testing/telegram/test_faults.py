"""The faults of the loopback Telegram happen as asked: before or after the fact, to one method, so many times."""

from __future__ import annotations

import aiohttp
import pytest

from homunculus.testing.telegram import TelegramServer
from tests.unit.testing.telegram.stage import OTHER, TOKEN, Stage


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_send_took_effect_or_not(stage: Stage, after: bool) -> None:
    stage.server.fail_next(status=None, method="sendMessage", after=after)
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await stage.send("hello")
    assert [one.text for one in stage.server.sent(stage.bot, stage.tavern)] == (["hello"] if after else [])
    assert (await stage.send("again"))[0] == 200
    assert stage.server.failures_left == 0
    assert [request.status for request in stage.server.requests] == [0, 200]


@pytest.mark.parametrize(("status", "words"), [(500, "Internal Server Error"), (403, "Forbidden"), (409, "Conflict")])
async def test_a_failure_is_worded_as_telegrams(stage: Stage, status: int, words: str) -> None:
    stage.server.fail_next(status=status, method="getMe")
    assert (await stage.send("hello"))[0] == 200
    got, said = await stage.call("getMe")
    assert got == status
    assert said.startswith(words)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_the_edge_answers_with_a_page(stage: Stage, status: int) -> None:
    stage.server.fail_next(status=status)
    async with stage.http.post(f"{stage.server.api_base}{TOKEN}/getMe") as response:
        assert (response.status, response.content_type) == (status, "text/html")


async def test_a_rate_limit_names_whole_seconds(stage: Stage) -> None:
    stage.server.fail_next(status=429, retry_after=1.2)
    body = await stage.refusal("getMe")
    assert (body["error_code"], body["parameters"]) == (429, {"retry_after": 2})


async def test_a_fault_can_be_meant_for_one_bot_and_be_taken_back(stage: Stage) -> None:
    other = stage.server.add_bot(OTHER, name="Other")
    stage.server.fail_next(3, bot=other)
    assert (await stage.call("getMe"))[0] == 200
    assert (await stage.call("getMe", OTHER))[0] == 500
    stage.server.heal()
    assert (await stage.call("getMe", OTHER))[0] == 200


async def test_a_slow_method_takes_effect_at_once(stage: Stage) -> None:
    stage.server.slow("sendMessage", 30)
    with pytest.raises(TimeoutError):
        async with stage.http.post(
            f"{stage.server.api_base}{TOKEN}/sendMessage",
            data={"chat_id": str(stage.tavern.id), "text": "hello"},
            timeout=aiohttp.ClientTimeout(total=0.2),
        ):
            pass
    assert len(stage.server.sent(stage.bot, stage.tavern)) == 1


async def test_an_unreachable_server_refuses_and_comes_back_on_the_same_port(stage: Stage) -> None:
    base = stage.server.api_base
    stage.server.refuse_connections()
    with pytest.raises(aiohttp.ClientConnectorError):
        await stage.call("getMe")
    stage.server.accept_connections()
    assert (await stage.call("getMe"))[0] == 200
    assert stage.server.api_base == base


async def test_the_log_keeps_no_token(stage: Stage) -> None:
    await stage.send("hello")
    assert TOKEN not in repr(stage.server.requests)
    assert TOKEN not in repr(stage.bot)
    assert stage.server.requests[0].form["text"] == "hello"


async def test_waiting_in_vain_tells_what_was_seen(stage: Stage) -> None:
    await stage.call("getMe")
    with pytest.raises(TimeoutError, match="last calls \\[getMe -> 200\\]"):
        await stage.server.wait_for(lambda s: len(s.messages(stage.tavern)) == 7, timeout=0.05)


async def test_a_server_that_does_not_run_says_so() -> None:
    server = TelegramServer()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.api_base
    await server.stop()
    async with server:
        with pytest.raises(RuntimeError, match="runs already"):
            await server.start()
