"""The loopback endpoint refuses what the real one refuses: each rule shown by raw HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from homunculus.testing.model import ModelServer, Wire

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer(models=("small", "large")) as server:
        yield server


@pytest.fixture
async def http(server: ModelServer) -> AsyncIterator[ClientSession]:
    async with ClientSession(headers={"Authorization": f"Bearer {server.key}"}) as session:
        yield session


async def ask(http: ClientSession, server: ModelServer, body: object, **options: Any) -> tuple[int, Any]:
    async with http.post(f"{server.base_url}/chat/completions", json=body, **options) as response:
        return response.status, json.loads(await response.read())


async def events(http: ClientSession, server: ModelServer, **fields: object) -> list[str]:
    body = {"model": "small", "messages": HELLO, "stream": True, **fields}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        assert response.content_type == "text/event-stream"
        lines = (await response.text()).splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


REFUSALS: dict[str, tuple[object, str | None]] = {
    "no model": ({"messages": HELLO}, None),
    "empty model": ({"model": "", "messages": HELLO}, None),
    "model of wrong type": ({"model": 5, "messages": HELLO}, None),
    "no messages": ({"model": "small"}, "messages"),
    "empty messages": ({"model": "small", "messages": []}, "messages"),
    "messages of wrong type": ({"model": "small", "messages": "hello"}, "messages"),
    "message of wrong type": ({"model": "small", "messages": ["hello"]}, "messages[0]"),
    "unknown role": ({"model": "small", "messages": [*HELLO, {"role": "npc", "content": ""}]}, "messages[1].role"),
    "no content": ({"model": "small", "messages": [{"role": "user"}]}, "messages[0].content"),
    "content of wrong type": ({"model": "small", "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    "name with a space": (
        {"model": "small", "messages": [{"role": "user", "content": "", "name": "two words"}]},
        "messages[0].name",
    ),
    "unknown message field": (
        {"model": "small", "messages": [{"role": "user", "content": "", "time": 1}]},
        "messages[0].time",
    ),
    "unknown field": ({"model": "small", "messages": HELLO, "cache_prompt": True}, "cache_prompt"),
    "max_tokens zero": ({"model": "small", "messages": HELLO, "max_tokens": 0}, "max_tokens"),
    "max_tokens a fraction": ({"model": "small", "messages": HELLO, "max_tokens": 1.5}, "max_tokens"),
    "temperature too high": ({"model": "small", "messages": HELLO, "temperature": 2.1}, "temperature"),
    "temperature a string": ({"model": "small", "messages": HELLO, "temperature": "0.7"}, "temperature"),
    "stream a string": ({"model": "small", "messages": HELLO, "stream": "yes"}, "stream"),
    "five stops": ({"model": "small", "messages": HELLO, "stop": list("abcde")}, "stop"),
    "an empty stop": ({"model": "small", "messages": HELLO, "stop": [""]}, "stop"),
    "unknown stream option": (
        {"model": "small", "messages": HELLO, "stream": True, "stream_options": {"x": True}},
        "stream_options",
    ),
    "stream options without stream": (
        {"model": "small", "messages": HELLO, "stream_options": {"include_usage": True}},
        "stream_options",
    ),
    "a user of wrong type": ({"model": "small", "messages": HELLO, "user": 5}, "user"),
    "an array for a body": ([], None),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_malformed_request_is_refused_with_its_place(
    http: ClientSession, server: ModelServer, name: str
) -> None:
    body, param = REFUSALS[name]
    status, answer = await ask(http, server, body)
    assert status == 400
    assert answer["error"]["param"] == param
    assert answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"
    assert server.requests == []


async def test_a_body_that_is_no_json_is_refused(http: ClientSession, server: ModelServer) -> None:
    for data, kind in ((b"{", "application/json"), (b"{}", "text/plain"), (b"[" * 100_000, "application/json")):
        url = f"{server.base_url}/chat/completions"
        async with http.post(url, data=data, headers={"Content-Type": kind}) as response:
            assert response.status == 400


async def test_a_model_that_is_not_there_is_not_found(http: ClientSession, server: ModelServer) -> None:
    status, answer = await ask(http, server, {"model": "huge", "messages": HELLO})
    assert (status, answer["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", None),
        ("Bearer ", None),
        ("Basic {key}", None),
        ("Bearer wrong", "invalid_api_key"),
        ("Bearer ключ", "invalid_api_key"),
    ],
)
async def test_a_bad_key_is_refused_before_the_body_is_read(server: ModelServer, header: str, code: str | None) -> None:
    raw = header.format(key=server.key).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.base_url.split(":")[2].split("/")[0]))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n")
    writer.write((b"Authorization: " + raw + b"\r\n" if header else b"") + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"] == code


async def test_other_places_and_methods_are_refused(http: ClientSession, server: ModelServer) -> None:
    for method, path, status in (
        ("GET", "/chat/completions", 405),
        ("POST", "/models", 405),
        ("POST", "/completions", 404),
        ("GET", "/", 404),
    ):
        async with http.request(method, f"{server.base_url}{path}") as response:
            assert response.status == status
            assert (await response.json())["error"]["message"]


async def test_models_are_listed_for_who_has_the_key(http: ClientSession, server: ModelServer) -> None:
    async with http.get(f"{server.base_url}/models") as response:
        assert [entry["id"] for entry in (await response.json())["data"]] == ["small", "large"]
    async with http.get(f"{server.base_url}/models", headers={"Authorization": "Bearer no"}) as response:
        assert response.status == 401


async def test_an_answer_without_a_stream_is_whole(http: ClientSession, server: ModelServer) -> None:
    server.script(lambda body: f"You said {body['messages'][-1]['content']}.")
    status, answer = await ask(http, server, {"model": "small", "messages": HELLO})
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == "You said hello."
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == 3
    assert server.requests == [{"model": "small", "messages": HELLO}]


async def test_a_stream_is_role_words_end_usage_and_done(http: ClientSession, server: ModelServer) -> None:
    server.reply("Two words")
    *chunks, done = await events(http, server, stream_options={"include_usage": True})
    role, first, second, end, usage = (json.loads(chunk) for chunk in chunks)
    assert done == "[DONE]"
    assert role["choices"][0]["delta"]["role"] == "assistant"
    assert first["choices"][0]["delta"]["content"] + second["choices"][0]["delta"]["content"] == "Two words"
    assert end["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 2
    assert len(await events(http, server)) == 5  # no usage unless it was asked for


async def test_stop_strings_and_max_tokens_are_obeyed(http: ClientSession, server: ModelServer) -> None:
    server.reply("one two three\nAna: four")
    body = {"model": "small", "messages": HELLO}
    _, stopped = await ask(http, server, {**body, "stop": ["\nAna:"]})
    assert stopped["choices"][0]["message"]["content"] == "one two three"
    for field in ("max_tokens", "max_completion_tokens"):
        _, cut = await ask(http, server, {**body, field: 2})
        assert cut["choices"][0]["message"]["content"] == "one two"
        assert cut["choices"][0]["finish_reason"] == "length"


async def test_failures_come_in_order_and_then_end(http: ClientSession, server: ModelServer) -> None:
    server.fail_next(429, retry_after=3, message="slow down")
    server.fail_next(500)
    body = {"model": "small", "messages": HELLO}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "3")
        assert (await response.json())["error"]["message"] == "slow down"
    assert (await ask(http, server, body))[0] == 500
    assert (await ask(http, server, body))[0] == 200


async def test_standing_faults_last_until_healed(http: ClientSession, server: ModelServer) -> None:
    body = {"model": "small", "messages": HELLO}
    server.refuse(403)
    assert [(await ask(http, server, body))[0] for _ in range(2)] == [403, 403]
    server.heal()
    server.redirect_to("http://127.0.0.1:1/v1")
    async with http.post(f"{server.base_url}/chat/completions", json=body, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (307, "http://127.0.0.1:1/v1")
    server.heal()
    server.junk(b"plain", "text/plain")
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        assert (response.status, await response.read()) == (200, b"plain")
    server.heal()
    server.unsupported("max_tokens")
    status, answer = await ask(http, server, {**body, "max_tokens": 5})
    assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, "unsupported_parameter", "max_tokens")
    server.heal()
    assert (await ask(http, server, body))[0] == 200


async def test_a_cut_stream_breaks_the_connection(http: ClientSession, server: ModelServer) -> None:
    server.reply("one two three four")
    server.cut_after(2)
    with pytest.raises(aiohttp.ClientError):
        await events(http, server)


async def test_an_endless_stream_ends_when_the_caller_hangs_up(http: ClientSession, server: ModelServer) -> None:
    server.endless()
    body = {"model": "small", "messages": HELLO, "stream": True}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        assert len(await response.content.readexactly(100_000)) == 100_000
        assert server.open_calls == 1
        response.close()
    await server.idle()


async def test_a_silent_call_is_accepted_and_ends_when_the_caller_hangs_up(
    http: ClientSession, server: ModelServer
) -> None:
    server.silent()
    call = asyncio.create_task(ask(http, server, {"model": "small", "messages": HELLO}))
    await server.asked(1)
    assert server.open_calls == 1
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await server.idle()


async def test_the_wire_is_written_as_ordered(http: ClientSession, server: ModelServer) -> None:
    server.wire = Wire("\r\n", comments=True, done=False, split=1)
    body = {"model": "small", "messages": HELLO, "stream": True}
    async with http.post(f"{server.base_url}/chat/completions", json=body) as response:
        raw = await response.read()
    assert raw.count(b": keep-alive\r\n\r\n") == raw.count(b"data: ") == 3
    assert b"[DONE]" not in raw
    assert b"\n" not in raw.replace(b"\r\n", b"")
