"""The thin client keeps its promises against a strict endpoint over real sockets, on good days and bad."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import ExitStack, suppress

import pytest
from aiohttp import ClientSession

from homunculus.errors import NotReady, Refused
from homunculus.model import ChatMessage, ModelSpec, Prompt, Secret
from homunculus.models import endpoint, openai, wire
from homunculus.models.openai import OPENCLAW, OpenAIModel
from homunculus.testing.model import ModelServer, Wire
from homunculus.testing.model_contract import prompt
from tests.unit.models.conftest import Make
from tests.unit.models.rig import services

ANSWER = "Evening, Ana.\n\nThe cellar? 雪夜 — nailed shut since 1919."


# --- what is asked ---------------------------------------------------------------------------------------------------


async def test_the_request_holds_what_the_file_says_and_nothing_about_the_user(server: ModelServer, make: Make) -> None:
    await make(max_tokens=77, temperature=0.3).complete(prompt())
    assert server.requests == [
        {
            "model": "some-model",
            "messages": [
                {"role": "system", "content": "You keep a small shop."},
                {"role": "user", "content": "Ana: Good evening. What do you sell?"},
            ],
            "max_tokens": 77,
            "temperature": 0.3,
            "stream": True,
            "stream_options": {"include_usage": True},
            "stop": ["\nAna:"],
        }
    ]


async def test_more_stop_strings_than_the_protocol_takes_are_left_to_the_pipeline(
    server: ModelServer, make: Make
) -> None:
    await make().complete(Prompt((ChatMessage("user", "x"),), stop=("a:", "b:", "c:", "d:", "e:")))
    assert server.requests[0]["stop"] == ["a:", "b:", "c:", "d:"]


async def test_a_key_is_sent_only_when_there_is_one(server: ModelServer, make: Make) -> None:
    await make().complete(prompt())
    assert server.headers[0]["authorization"] == f"Bearer {server.key}"
    with pytest.raises(Refused, match="answered 401: You didn't provide an API key"):
        await make(api_key=None).complete(prompt())


async def test_a_key_that_is_not_taken_and_one_that_is_missing_say_where_to_look(
    server: ModelServer, make: Make
) -> None:
    with pytest.raises(Refused, match=r"answered 401: .*; check api_key \(env:KEY\)$"):
        await make(api_key=Secret("env:KEY", "wrong")).complete(prompt())
    with pytest.raises(Refused, match=r"answered 401: .*; write api_key under models\.haiku$"):
        await make(api_key=None).complete(prompt())


async def test_openclaw_names_the_agent_and_openai_does_not(server: ModelServer, make: Make) -> None:
    await make(OPENCLAW, agent_id="homunculus").complete(prompt())
    await make(agent_id="homunculus").complete(prompt())
    assert server.headers[0]["x-openclaw-agent-id"] == "homunculus"
    assert "x-openclaw-agent-id" not in server.headers[1]
    assert all("user" not in body for body in server.requests)


async def test_a_parameter_that_a_model_does_not_take_is_replaced_once_and_for_all(
    server: ModelServer, make: Make
) -> None:
    server.unsupported("max_tokens", "temperature")
    model = make(max_tokens=9)
    assert (await model.complete(prompt())).text == "Hello."
    assert (await model.complete(prompt())).text == "Hello."
    assert [("max_tokens" in body, body.get("max_completion_tokens")) for body in server.requests] == [(False, 9)] * 2


# --- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 1, 7])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
async def test_an_answer_arrives_whole_however_it_is_written(
    server: ModelServer, make: Make, line_end: str, split: int
) -> None:
    server.reply(ANSWER)
    server.wire = Wire(line_end, comments=True, split=split)
    pieces: list[str] = []
    completion = await make().complete(prompt(), pieces.append)
    assert completion.text == ANSWER == "".join(pieces)
    assert len(pieces) > 3
    assert (completion.model, completion.provider) == ("haiku", "openai")
    assert completion.tokens_in > 0
    assert completion.tokens_out == len(pieces)


async def test_usage_and_done_may_be_missing(server: ModelServer, make: Make) -> None:
    server.reply(ANSWER)
    server.wire = Wire(usage=False, done=False)
    completion = await make().complete(prompt())
    assert (completion.text, completion.tokens_in, completion.tokens_out) == (ANSWER, 0, 0)


async def test_an_endpoint_that_does_not_stream_is_understood(server: ModelServer, make: Make) -> None:
    whole = {"choices": [{"message": {"content": "Whole."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    server.junk(json.dumps(whole).encode(), "application/json")
    pieces: list[str] = []
    completion = await make().complete(prompt(), pieces.append)
    assert (completion.text, pieces, completion.tokens_in) == ("Whole.", ["Whole."], 3)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Cut in the\n\n⚠️ Reply truncated: max tokens reached.", "Cut in the"),
        ("Cut in the [Reply truncated — raise max_tokens]", "Cut in the"),
        ("He said: reply truncated telegrams", "He said: reply truncated telegrams"),
    ],
)
async def test_openclaws_truncation_note_is_stripped_at_length(
    server: ModelServer, make: Make, said: str, kept: str
) -> None:
    stream = f"data: {json.dumps({'choices': [{'delta': {'content': said}, 'finish_reason': 'length'}]})}\n\n"
    server.junk(stream.encode(), "text/event-stream")
    assert (await make(OPENCLAW).complete(prompt())).text == kept
    assert (await make().complete(prompt())).text == said


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_is_final_and_says_why(server: ModelServer, make: Make, status: int) -> None:
    server.fail_next(status, message="  No\nsuch   thing  " + "x" * 1000)
    with pytest.raises(Refused) as raised:
        await make().complete(prompt())
    host = server.base_url.split("/")[2]
    assert raised.value.reason.startswith(f"{host} answered {status}: No such thing xxx")
    assert len(raised.value.reason) < 300


@pytest.mark.parametrize(("status", "after"), [(408, None), (429, 7.0), (500, None), (503, 1.5), (529, None)])
async def test_a_busy_endpoint_may_be_tried_again(
    server: ModelServer, make: Make, status: int, after: float | None
) -> None:
    server.fail_next(status, after)
    model = make()
    with pytest.raises(NotReady) as raised:
        await model.complete(prompt())
    assert raised.value.after == after
    again = model if after is None else make()
    assert (await again.complete(prompt())).text == "Hello."


async def test_an_endpoint_that_asks_for_rest_is_left_alone_until_then(server: ModelServer, make: Make) -> None:
    server.fail_next(429, 0.4)
    model = make()
    with pytest.raises(NotReady, match="answered 429"):
        await model.complete(prompt())
    with pytest.raises(NotReady, match="asked to be left alone") as raised:
        await model.complete(prompt())
    assert raised.value.after is not None
    assert 0 < raised.value.after <= 0.4
    assert len(server.requests) == 1
    await asyncio.sleep(raised.value.after)
    assert (await model.complete(prompt())).text == "Hello."


async def test_calls_that_wait_in_the_queue_hear_of_the_rest_too(server: ModelServer, make: Make) -> None:
    server.fail_next(429, 30)
    model = make(concurrency=1)
    outcomes = await asyncio.gather(*(model.complete(prompt()) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, NotReady) for outcome in outcomes)
    assert len(server.requests) == 1


async def test_the_key_is_never_told_back(server: ModelServer, make: Make) -> None:
    wrong = "sk-wrong-0123456789"
    model = make(api_key=Secret("env:KEY", wrong))
    with pytest.raises(Refused, match=r"Incorrect API key provided: <secret>\.") as raised:
        await model.complete(prompt())
    assert wrong not in f"{raised.value!r} {model!r} {model.spec!r}"


@pytest.mark.parametrize("where", ["http://example.invalid/v1", "/elsewhere", "http://[", ""])
async def test_a_redirect_is_never_followed(server: ModelServer, make: Make, where: str) -> None:
    async with ModelServer(key=server.key) as thief:
        server.redirect_to(where or f"{thief.base_url}/chat/completions?token=hidden")
        with pytest.raises(Refused, match=r"a redirect to .*; write the final address as base_url") as raised:
            await make().complete(prompt())
        assert thief.requests == []
        assert "hidden" not in raised.value.reason


@pytest.mark.parametrize("chunks", [0, 1, 3])
async def test_an_answer_cut_short_is_no_answer(server: ModelServer, make: Make, chunks: int) -> None:
    server.reply(ANSWER)
    server.cut_after(chunks)
    with pytest.raises(NotReady):
        await make().complete(prompt())


async def test_a_stream_that_ends_without_its_end_is_no_answer(server: ModelServer, make: Make) -> None:
    server.junk(b'data: {"choices": [{"delta": {"content": "and then"}}]}\n\n', "text/event-stream")
    with pytest.raises(NotReady, match="cut its answer short"):
        await make().complete(prompt())


async def test_an_error_inside_a_stream_is_an_error(server: ModelServer, make: Make) -> None:
    server.junk(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n', "text/event-stream")
    with pytest.raises(NotReady, match="answered 503: overloaded"):
        await make().complete(prompt())


async def test_silence_before_the_first_word_ends_the_call(server: ModelServer, make: Make) -> None:
    server.silent()
    with pytest.raises(NotReady, match=r"silent for 0\.2 s"):
        await make(timeout_seconds=0.2).complete(prompt())
    await server.idle()


async def test_silence_in_the_middle_ends_the_call_and_slowness_does_not(server: ModelServer, make: Make) -> None:
    server.reply("one two three four five")
    server.slow(0.06)
    model = make(timeout_seconds=0.25)
    assert (await model.complete(prompt())).text == "one two three four five"
    server.slow(30)
    with pytest.raises(NotReady, match="silent"):
        await model.complete(prompt())


async def test_keep_alives_alone_are_silence(make: Make) -> None:
    async def keep_alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b": still thinking\n\n")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(keep_alive, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotReady, match="silent"):
            await make(base_url=f"http://127.0.0.1:{port}/v1", timeout_seconds=0.3).complete(prompt())
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([task for task in others if "keep_alive" in repr(task)])


async def test_an_endless_answer_is_ended_by_its_size(
    server: ModelServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "LONGEST_ANSWER", 2000)
    server.endless()
    heard: list[str] = []
    with pytest.raises(Refused, match="longer than"):
        await make().complete(prompt(), heard.append)
    assert 0 < len("".join(heard).encode()) <= 2000
    await server.idle()


@pytest.mark.parametrize("body", [b": padding\n" * 500, b"x" * 5000])
async def test_a_stream_that_says_nothing_is_ended_by_its_size(
    server: ModelServer, make: Make, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(wire, "LONGEST_STREAM", 3000)
    server.junk(body, "text/event-stream")
    with pytest.raises(Refused, match="on the wire"):
        await make().complete(prompt())


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"<!doctype html><title>Log in</title>", "text/html", Refused),
        (b"\xff\xfe\x00", "application/octet-stream", NotReady),
        (b"[1, 2]", "application/json", NotReady),
        (b"data: [1]\n\n", "text/event-stream", NotReady),
        (b"data: {not json\n\n", "text/event-stream", NotReady),
        (b"", "text/event-stream", NotReady),
    ],
)
async def test_junk_is_told_in_the_errors_tree(
    server: ModelServer, make: Make, body: bytes, kind: str, error: type[Exception]
) -> None:
    server.junk(body, kind)
    with pytest.raises(error):
        await make().complete(prompt())


async def test_a_dead_port_may_be_tried_again(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        port = taken.getsockname()[1]
        with pytest.raises(NotReady, match=f"127.0.0.1:{port}"):
            await make(base_url=f"http://127.0.0.1:{port}/v1").complete(prompt())


async def test_an_answer_that_trickles_on_and_on_is_ended(server: ModelServer, make: Make) -> None:
    server.endless()
    server.slow(0.03)
    with pytest.raises(NotReady, match=r"took longer than 1\.5 s"):
        await make(timeout_seconds=0.15).complete(prompt())
    await server.idle()


@pytest.mark.skipif(sys.platform != "linux", reason="a full queue of connections is silent on Linux only")
async def test_a_host_that_does_not_pick_up_is_given_up_soon(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "CONNECT_SECONDS", 0.2)
    with socket.socket() as deaf, ExitStack() as callers:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            caller = callers.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(deaf.getsockname())
        port = deaf.getsockname()[1]
        with pytest.raises(NotReady, match=r"could not be reached within 0\.2 s"):
            await make(base_url=f"http://127.0.0.1:{port}/v1").complete(prompt())


async def test_something_that_speaks_no_http_may_be_tried_again(make: Make) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.write(b"220 mail ready\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotReady):
            await make(base_url=f"http://127.0.0.1:{port}/v1").complete(prompt())


async def test_a_connection_that_was_closed_meanwhile_is_made_anew_once(make: Make) -> None:
    answer = b'{"choices": [{"message": {"content": "Here."}, "finish_reason": "stop"}]}'
    asked: list[int] = []

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and hang up without a word when the connection is used again."""
        asked.append(0)
        while await reader.read(65_536):
            asked[-1] += 1
            if asked[-1] == 2 or len(asked) > 2:
                break
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
            writer.write(head.encode() + answer)
        writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        model = make(base_url=f"http://127.0.0.1:{port}/v1")
        assert (await model.complete(prompt())).text == "Here."
        assert (await model.complete(prompt())).text == "Here."
        assert asked == [2, 1]
        with pytest.raises(NotReady):
            await model.complete(prompt())
        assert asked == [2, 2, 1]


async def test_a_new_connection_that_is_closed_without_an_answer_is_not_tried_again(make: Make) -> None:
    asked: list[bytes] = []

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(65_536))
        writer.close()

    server = await asyncio.start_server(closing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotReady):
            await make(base_url=f"http://127.0.0.1:{port}/v1").complete(prompt())
    assert len(asked) == 1


async def test_a_closed_session_is_told_in_the_errors_tree(server: ModelServer) -> None:
    session = ClientSession()
    await session.close()
    spec = ModelSpec("m", "openai", name="x", base_url=server.base_url)
    with pytest.raises(NotReady, match="shutting down"):
        await OpenAIModel(spec, lambda: session).complete(prompt())


# --- how many at once ------------------------------------------------------------------------------------------------


async def test_no_more_calls_than_the_file_allows_run_at_once(server: ModelServer, make: Make) -> None:
    most = 0

    def script(body: object) -> str:
        nonlocal most
        most = max(most, server.open_calls)
        return "a b c"

    server.script(script)
    server.slow(0.01)
    model = make(concurrency=2)
    answers = await asyncio.gather(*(model.complete(prompt()) for _ in range(8)))
    assert [answer.text for answer in answers] == ["a b c"] * 8
    assert most == 2


async def test_a_call_that_waits_too_long_for_its_turn_says_busy(server: ModelServer, make: Make) -> None:
    server.reply("one two three four")
    server.slow(0.15)
    model = make(concurrency=1, timeout_seconds=0.4)
    first = asyncio.create_task(model.complete(prompt()))
    await server.asked(1)
    with pytest.raises(NotReady, match=r"is busy: no call of ours ended within 0\.4 s"):
        await model.complete(prompt())
    assert (await first).text == "one two three four"
    assert len(server.requests) == 1


async def test_a_cancelled_call_frees_its_place_and_hangs_up(server: ModelServer, make: Make) -> None:
    server.silent()
    model = make(concurrency=1, timeout_seconds=30.0)
    call = asyncio.create_task(model.complete(prompt()))
    await server.asked(1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.idle()
    server.heal()
    assert (await model.complete(prompt())).text == "Hello."


# --- what the file may say -------------------------------------------------------------------------------------------


def built(**changes: object) -> OpenAIModel:
    spec = ModelSpec(**{"id": "m", "provider": "openai", "name": "x", "path": "models.m", **changes})  # type: ignore[arg-type]
    return openai.provider.build(spec, services())  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "models.m: name is missing"),
        ({"base_url": "localhost:1234/v1"}, "models.m: base_url is not an http"),
        ({"base_url": "ftp://host/v1"}, "models.m: base_url is not an http"),
        ({"base_url": "http://[::1/v1"}, "models.m: base_url is not an http"),
        ({"base_url": "http://host:99999/v1"}, "models.m: base_url is not an http"),
        ({"base_url": "http://host/v1?key=1"}, "models.m: base_url is not an http"),
        ({"base_url": "http://me:secret@host/v1"}, "models.m: base_url carries a name or password"),
        ({"agent_id": "two\nlines"}, "models.m: agent_id holds a character"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_when_built(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(Refused, match=f"^{reason}") as raised:
        built(**changes)
    assert "secret" not in raised.value.reason


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        (Secret("env:KEY"), r"models\.m: api_key \(env:KEY\) is not set"),
        (Secret("file:k", "two\nlines"), r"models\.m: api_key \(file:k\) holds a character"),
        (Secret("file:k", "ключ"), r"models\.m: api_key \(file:k\) holds a character"),
    ],
)
async def test_a_key_that_cannot_be_sent_goes_straight_to_the_fallback(secret: Secret, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        await built(api_key=secret).complete(prompt())


def test_openclaw_and_openai_have_addresses_of_their_own() -> None:
    spec = ModelSpec("m", "openclaw")
    assert repr(openai.openclaw.build(spec, services())) == "<openclaw m: openclaw at 127.0.0.1:18789>"
    assert repr(built()) == "<openai m: x at api.openai.com>"
