"""The faults a test can ask for, and the ways a test looks at the server."""

from __future__ import annotations

import asyncio
import socket
import time

import aiohttp
import pytest

from homunculus.testing.discord import DiscordServer
from tests.unit.testing.discord.conftest import TOKEN, Stage


async def test_a_revoked_token_is_dead_everywhere(stage: Stage) -> None:
    wire, ready = await stage.online()
    stage.server.revoke(stage.bot)
    assert await wire.closed() == 4004
    assert (await stage.rest("GET", "/users/@me")).status == 401
    again = await (await stage.connect()).hello()
    await again.resume(ready["session_id"], 2)
    assert await again.closed() == 4004


async def test_a_server_side_disconnect_is_abrupt_or_has_its_code(stage: Stage) -> None:
    wire, _ = await stage.online()
    stage.server.disconnect(stage.bot)
    assert await wire.closed() is None
    wire, _ = await stage.online()
    stage.server.disconnect(stage.bot, 1011)
    assert await wire.closed() == 1011


async def test_a_disconnect_may_forget_the_session(stage: Stage) -> None:
    _, ready = await stage.online()
    stage.server.disconnect(stage.bot, resumable=False)
    wire = await (await stage.connect()).hello()
    await wire.resume(ready["session_id"], 2)
    assert (await wire.receive())["d"] is False


async def test_a_reconnect_request_keeps_the_session(stage: Stage) -> None:
    wire, ready = await stage.online()
    await wire.event("GUILD_CREATE")
    stage.server.reconnect(stage.bot)
    assert (await wire.receive())["op"] == 7
    await wire.ws.close(code=4000)
    wire = await (await stage.connect()).hello()
    await wire.resume(ready["session_id"], 2)
    assert (await wire.receive())["t"] == "RESUMED"


@pytest.mark.parametrize(("resumable", "answer"), [(True, "RESUMED"), (False, None)])
async def test_an_invalidated_session_resumes_only_where_it_was_said_to(
    stage: Stage, resumable: bool, answer: str | None
) -> None:
    wire, ready = await stage.online()
    await wire.event("GUILD_CREATE")
    stage.server.invalidate(stage.bot, resumable)
    told = await wire.receive()
    assert (told["op"], told["d"]) == (9, resumable)
    await wire.ws.close(code=4000)
    wire = await (await stage.connect()).hello()
    await wire.resume(ready["session_id"], 2)
    assert (await wire.receive())["t"] == answer


async def test_a_muted_gateway_says_nothing_until_it_speaks_again(stage: Stage) -> None:
    wire, _ = await stage.online()
    await wire.event("GUILD_CREATE")
    stage.server.mute(stage.bot)
    await wire.send(1, 2)
    stage.server.post(stage.channel, stage.ana, "hello?")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.ws.receive(), 0.05)
    assert stage.server.connections(TOKEN) == 1
    stage.server.unmute(stage.bot)
    assert {(await wire.receive())["op"] for _ in range(2)} == {0, 11}


async def test_a_new_connection_is_heard_unless_the_silence_covers_it(stage: Stage) -> None:
    _, ready = await stage.online()
    stage.server.mute(stage.bot)
    wire = await (await stage.connect()).hello()
    await wire.resume(ready["session_id"], 2)
    assert (await wire.receive())["t"] == "RESUMED"
    stage.server.mute(stage.bot, new_connections=True)
    wire = await (await stage.connect()).hello()
    await wire.resume(ready["session_id"], 3)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.ws.receive(), 0.05)
    stage.server.unmute(stage.bot)
    assert (await wire.receive())["t"] == "RESUMED"


async def test_failures_to_come_are_counted(stage: Stage) -> None:
    stage.server.fail_next(2, status=503)
    assert stage.server.failures_left == 2
    await stage.send("x")
    assert stage.server.failures_left == 1


async def test_an_event_arrives_twice_as_often_as_it_was_asked_for(stage: Stage) -> None:
    wire = await (await stage.connect()).hello()
    await wire.identify()
    stage.server.duplicate(stage.bot, 2)
    for text in ("one", "two", "three", "end"):
        stage.server.post(stage.channel, stage.ana, text)
    frames = [await wire.event("MESSAGE_CREATE") for _ in range(6)]
    assert [frame["d"]["content"] for frame in frames] == ["one", "one", "two", "two", "three", "end"]
    numbers = [frame["s"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 6))
    assert len(stage.server.messages(stage.channel)) == 4


async def test_an_event_arrives_behind_the_one_that_follows_it_or_late(stage: Stage) -> None:
    wire = await (await stage.connect()).hello()
    await wire.identify()
    stage.server.reorder(stage.bot, 2)
    for text in ("one", "two", "three"):
        stage.server.post(stage.channel, stage.ana, text)
    began = time.monotonic()
    frames = [await wire.event("MESSAGE_CREATE") for _ in range(3)]
    assert [frame["d"]["content"] for frame in frames] == ["two", "one", "three"]
    assert time.monotonic() - began >= 0.2  # nothing follows the third
    numbers = [frame["s"] for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert [message.content for message in stage.server.messages(stage.channel)] == ["one", "two", "three"]


async def test_a_muted_bot_can_still_be_revoked(stage: Stage) -> None:
    wire, _ = await stage.online()
    stage.server.mute(stage.bot)
    stage.server.revoke(stage.bot)
    assert await wire.closed() == 4004


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_asked_for_failures_happen_that_often_where_they_were_asked_for(stage: Stage, status: int) -> None:
    stage.server.fail_next(2, status=status, path_contains="/messages", method="POST")
    assert (await stage.rest("GET", "/users/@me")).status == 200
    assert (await stage.rest("GET", stage.here)).status == 200
    assert [(await stage.send("x")).status for _ in range(3)] == [status, status, 200]
    assert len(stage.server.messages(stage.channel)) == 1
    assert [request.status for request in stage.server.requests if request.method == "POST"] == [status, status, 200]


async def test_only_a_500_is_json_as_discords_edge_answers_the_others(stage: Stage) -> None:
    for status in (500, 502, 503, 504):
        stage.server.fail_next(status=status)
        reply = await stage.rest("GET", "/users/@me")
        assert (reply.json is not None) == (status == 500), reply.text


async def test_a_failure_after_the_fact_loses_only_the_answer(stage: Stage) -> None:
    stage.server.fail_next(status=504, path_contains="/messages", after=True)
    assert (await stage.send("x", nonce="n", enforce_nonce=True)).status == 504
    assert (await stage.send("x", nonce="n", enforce_nonce=True)).status == 200
    assert len(stage.server.messages(stage.channel)) == 1


async def test_a_connection_can_be_cut_instead_of_an_answer(stage: Stage) -> None:
    stage.server.fail_next(status=None, path_contains="/messages")
    with pytest.raises(aiohttp.ClientError):
        await stage.send("x")  # a POST: aiohttp itself would repeat a GET
    assert (await stage.send("y")).status == 200
    assert [request.status for request in stage.server.requests] == [0, 200]


async def test_an_asked_for_429_is_worded_like_discords(stage: Stage) -> None:
    stage.server.fail_next(status=429, retry_after=1.25)
    stage.server.fail_next(status=429, retry_after=0.5, global_=True)
    stage.server.fail_next(status=429, via=False)
    mine, everyones, banned = [await stage.rest("GET", "/users/@me") for _ in range(3)]
    assert mine.json == {"message": "You are being rate limited.", "retry_after": 1.25, "global": False}
    assert (mine.headers["Retry-After"], mine.headers["X-RateLimit-Scope"]) == ("2", "user")
    assert "Via" in mine.headers
    assert everyones.json["global"] is True
    assert (everyones.headers["X-RateLimit-Global"], everyones.headers["X-RateLimit-Scope"]) == ("true", "global")
    assert (banned.status, banned.json, "Via" in banned.headers) == (429, None, False)


async def test_an_imaginary_status_is_a_mistake_of_the_test(stage: Stage) -> None:
    with pytest.raises(ValueError, match="use 429, 500"):
        stage.server.fail_next(status=418)


async def test_a_slow_answer_takes_effect_at_once(stage: Stage) -> None:
    stage.server.slow("/messages", 0.1)
    sending = asyncio.create_task(stage.send("x"))
    await stage.server.wait_for(lambda s: len(s.messages(stage.channel)) == 1)
    assert not sending.done()
    assert (await sending).status == 200
    assert stage.server.requests[-1].seconds >= 0.1
    stage.server.slow("/messages", 0)
    await stage.send("y")
    assert stage.server.requests[-1].seconds < 0.1


async def test_an_unreachable_server_comes_back_on_its_port_with_its_state(stage: Stage) -> None:
    wire, ready = await stage.online()
    await wire.event("GUILD_CREATE")
    stage.server.refuse_connections()
    assert await wire.closed() is None
    for attempt in (stage.rest("GET", "/users/@me"), stage.connect()):
        with pytest.raises(aiohttp.ClientConnectorError):
            await attempt
    stage.server.refuse_connections()
    stage.server.accept_connections()
    stage.server.accept_connections()
    assert (await stage.rest("GET", "/users/@me")).status == 200
    wire = await (await stage.connect()).hello()
    await wire.resume(ready["session_id"], 2)
    assert (await wire.receive())["t"] == "RESUMED"


async def test_stopping_works_twice_and_frees_the_port(stage: Stage) -> None:
    port = int(stage.server.gateway.rsplit(":", 1)[1].rstrip("/"))
    await stage.online()
    await stage.server.stop()
    await stage.server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = stage.server.api_base
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


async def test_stopping_an_unreachable_server_works() -> None:
    for accept in (False, True):
        server = DiscordServer()
        await server.start()
        with pytest.raises(RuntimeError, match="runs already"):
            await server.start()
        server.refuse_connections()
        if accept:
            server.accept_connections()
        await server.stop()


async def test_waiting_in_vain_tells_what_was_seen(stage: Stage) -> None:
    await stage.send("x")
    with pytest.raises(TimeoutError) as caught:
        await stage.server.wait_for(lambda s: len(s.messages(stage.channel)) == 99, timeout=0.01)
    text = str(caught.value)
    assert "len(s.messages(stage.channel)) == 99" in text
    assert "tavern: 1 messages" in text
    assert f"POST {stage.here} -> 200" in text
    assert TOKEN not in text


# -- what people do


async def test_a_person_mentions_by_content_by_argument_and_by_reply(stage: Stage) -> None:
    ben = stage.server.add_user("Ben")
    by_content = stage.server.post(stage.channel, stage.ana, f"<@{stage.bot.user_id}> hi", mentions=[stage.bot])
    by_argument = stage.server.post(stage.channel, stage.ana, "hi", mentions=[stage.bot, ben])
    by_reply = stage.server.post(stage.channel, ben, "yes?", reply_to=by_content)
    assert by_content.content == f"<@{stage.bot.user_id}> hi"
    assert by_argument.content == f"<@{stage.bot.user_id}> <@{ben.id}> hi"
    assert [m.pinged for m in (by_content, by_argument, by_reply)] == [
        {stage.bot.user_id},
        {stage.bot.user_id, ben.id},
        {stage.ana.id},
    ]
    assert by_reply.reference == by_content.id


async def test_a_person_posts_only_in_private_channels_of_his_own(stage: Stage) -> None:
    private = stage.server.open_dm(stage.bot, stage.ana)
    with pytest.raises(ValueError, match="not in this private channel"):
        stage.server.post(private, stage.server.add_user("Ben"), "hi")


async def test_tokens_and_channel_ids_are_unique(stage: Stage) -> None:
    with pytest.raises(ValueError, match="already belongs"):
        stage.server.add_bot(TOKEN)
    with pytest.raises(ValueError, match="exists already"):
        stage.server.add_channel(stage.guild, "again", id=stage.channel.id)
