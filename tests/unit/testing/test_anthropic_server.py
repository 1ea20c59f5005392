"""The loopback Messages endpoint refuses what the real one refuses: each rule shown by raw HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import ClientSession

from homunculus.testing.model import AnthropicServer

HELLO = [{"role": "user", "content": "hello"}]
ASKED: dict[str, Any] = {"model": "small", "max_tokens": 50, "messages": HELLO}


@pytest.fixture
async def server() -> AsyncIterator[AnthropicServer]:
    async with AnthropicServer(models=("small", "large"), largest=20_000) as server:
        yield server


@pytest.fixture
async def http(server: AnthropicServer) -> AsyncIterator[ClientSession]:
    headers = {"x-api-key": server.key, "anthropic-version": "2023-06-01"}
    async with ClientSession(headers=headers) as session:
        yield session


async def ask(http: ClientSession, server: AnthropicServer, body: object, **options: Any) -> tuple[int, Any]:
    async with http.post(f"{server.base_url}/v1/messages", json=body, **options) as response:
        return response.status, json.loads(await response.read())


async def events(http: ClientSession, server: AnthropicServer, **fields: object) -> list[tuple[str, Any]]:
    async with http.post(f"{server.base_url}/v1/messages", json={**ASKED, "stream": True, **fields}) as response:
        assert response.content_type == "text/event-stream"
        blocks = (await response.text()).strip().split("\n\n")
    lines = [block.split("\n") for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in lines]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ASKED.items() if key != name}


def saying(*messages: object) -> dict[str, Any]:
    return {**ASKED, "messages": list(messages)}


MARK = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
ANSWER = {"role": "assistant", "content": "yes"}

REFUSALS: dict[str, tuple[object, str]] = {
    "no model": (without("model"), "model: Field required"),
    "empty model": ({**ASKED, "model": ""}, "model: "),
    "no max_tokens": (without("max_tokens"), "max_tokens: Field required"),
    "max_tokens zero": ({**ASKED, "max_tokens": 0}, "max_tokens: must be greater"),
    "max_tokens a text": ({**ASKED, "max_tokens": "50"}, "max_tokens: Input should be"),
    "no messages": (without("messages"), "messages: Field required"),
    "empty messages": (saying(), "messages: at least one message"),
    "messages of wrong type": ({**ASKED, "messages": "hello"}, "messages: Input should be"),
    "a message of wrong type": (saying("hello"), "messages.0: Input should be"),
    "a system role": (saying({"role": "system", "content": "x"}, *HELLO), 'messages: Unexpected role "system"'),
    "the assistant first": (saying(ANSWER, *HELLO), 'messages: first message must use the "user" role'),
    "two users in a row": (saying(*HELLO, *HELLO), "messages: roles must alternate"),
    "the assistant last": (saying(*HELLO, ANSWER), "This model does not support assistant message prefill"),
    "no content": (saying({"role": "user"}), "messages.0.content: Field required"),
    "empty content": (saying({"role": "user", "content": ""}), "messages.0.content: text content blocks must be non"),
    "blank content": (saying({"role": "user", "content": " \n"}), "messages.0.content: text content blocks must con"),
    "no blocks": (saying({"role": "user", "content": []}), "messages.0.content: all messages must have non-empty"),
    "a blank block": (
        saying({"role": "user", "content": [{"type": "text", "text": ""}]}),
        "messages.0.content.0.text: text content blocks must be non-empty",
    ),
    "a block without type": (
        saying({"role": "user", "content": [{"text": "x"}]}),
        "messages.0.content.0: Input tag does not match",
    ),
    "content of wrong type": (saying({"role": "user", "content": 5}), "messages.0.content: Input should be"),
    "a name": (saying({"role": "user", "content": "x", "name": "Ana"}), "messages.0.name: Extra inputs"),
    "an unknown field": ({**ASKED, "stop": ["x"]}, "stop: Extra inputs are not permitted"),
    "a user": ({**ASKED, "user": "ana"}, "user: Extra inputs are not permitted"),
    "an empty system": ({**ASKED, "system": ""}, "system: text content blocks must be non-empty"),
    "a blank system block": ({**ASKED, "system": [{"type": "text", "text": " "}]}, "system.0.text: text content"),
    "a cache of another kind": (
        {**ASKED, "system": [{**MARK, "cache_control": {"type": "forever"}}]},
        "system.0.cache_control: Input tag",
    ),
    "five cached blocks": ({**ASKED, "system": [MARK] * 5}, "A maximum of 4 blocks with cache_control"),
    "a blank stop": ({**ASKED, "stop_sequences": ["\n"]}, "stop_sequences: each stop sequence must contain"),
    "stops of wrong type": ({**ASKED, "stop_sequences": "x"}, "stop_sequences: Input should be"),
    "a stream that is a text": ({**ASKED, "stream": "yes"}, "stream: Input should be"),
    "a temperature": ({**ASKED, "temperature": 0.7}, "`temperature` is deprecated for this model."),
    "top_p": ({**ASKED, "top_p": 0.9}, "`top_p` is deprecated for this model."),
    "half a surrogate pair": (saying({"role": "user", "content": "\ud83d"}), "The request body is not valid JSON"),
    "an array for a body": ([], "Input should be a valid dictionary"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_malformed_request_is_refused_with_its_place(
    http: ClientSession, server: AnthropicServer, name: str
) -> None:
    body, message = REFUSALS[name]
    status, answer = await ask(http, server, body)
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert answer["error"]["message"].startswith(message)
    assert answer["request_id"].startswith("req_")
    assert server.requests == []


async def test_a_body_that_is_no_json_is_refused(http: ClientSession, server: AnthropicServer) -> None:
    for data, kind in ((b"{", "application/json"), (b"{}", "text/plain"), (b"[" * 10_000, "application/json")):
        async with http.post(f"{server.base_url}/v1/messages", data=data, headers={"Content-Type": kind}) as response:
            assert response.status == 400


async def test_a_body_that_is_too_large_is_refused(http: ClientSession, server: AnthropicServer) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 10_000

    for data in (b" " * 20_001, chunks()):
        async with http.post(
            f"{server.base_url}/v1/messages", data=data, headers={"Content-Type": "application/json"}
        ) as response:
            assert (response.status, (await response.json())["error"]["type"]) == (413, "request_too_large")


async def test_a_model_that_is_not_there_is_not_found(http: ClientSession, server: AnthropicServer) -> None:
    status, answer = await ask(http, server, {**ASKED, "model": "huge"})
    assert (status, answer["error"]) == (404, {"type": "not_found_error", "message": "model: huge"})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x-api-key: wrong",
        "x-api-key: Bearer {key}",
        "x-api-key: ключ",
        "Authorization: {key}",
        "Authorization: Bearer no",
    ],
)
async def test_a_bad_key_is_refused_before_the_body_is_read(server: AnthropicServer, header: str) -> None:
    raw = header.format(key=server.key).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.base_url.split(":")[2]))
    writer.write(b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n")
    writer.write((raw + b"\r\n" if raw else b"") + b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["type"] == "authentication_error"


async def test_a_key_may_come_as_a_bearer_token_too(server: AnthropicServer) -> None:
    headers = {"Authorization": f"Bearer {server.key}", "anthropic-version": "2023-06-01"}
    async with ClientSession(headers=headers) as http:
        assert (await ask(http, server, ASKED))[0] == 200


@pytest.mark.parametrize(
    ("version", "message"), [(None, "header is required"), ("2019-01-01", "is not a valid version")]
)
async def test_a_request_without_a_version_is_refused(
    server: AnthropicServer, version: str | None, message: str
) -> None:
    headers = {"x-api-key": server.key} | ({"anthropic-version": version} if version else {})
    async with ClientSession(headers=headers) as http:
        status, answer = await ask(http, server, ASKED)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert message in answer["error"]["message"]


async def test_other_places_and_methods_are_refused(http: ClientSession, server: AnthropicServer) -> None:
    for method, path, status in (
        ("GET", "/v1/messages", 405),
        ("POST", "/v1/complete", 404),
        ("POST", "/messages", 404),
    ):
        async with http.request(method, f"{server.base_url}{path}") as response:
            assert (response.status, (await response.json())["type"]) == (status, "error")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
async def test_failures_are_worded_as_the_real_ones(
    http: ClientSession, server: AnthropicServer, status: int, kind: str
) -> None:
    server.fail_next(status, retry_after=3, message="not now")
    async with http.post(f"{server.base_url}/v1/messages", json=ASKED) as response:
        assert (response.status, response.headers["Retry-After"]) == (status, "3")
        assert (await response.json())["error"] == {"type": kind, "message": "not now"}
    assert (await ask(http, server, ASKED))[0] == 200


async def test_an_answer_without_a_stream_is_whole(http: ClientSession, server: AnthropicServer) -> None:
    server.script(lambda body: f"You said {body['messages'][-1]['content']}.")
    status, answer = await ask(http, server, {**ASKED, "system": "Be brief."})
    assert status == 200
    assert answer["content"] == [{"type": "text", "text": "You said hello."}]
    assert (answer["type"], answer["role"], answer["stop_reason"]) == ("message", "assistant", "end_turn")
    assert answer["usage"]["output_tokens"] == 3


async def test_a_stream_has_the_events_of_a_message_in_order(http: ClientSession, server: AnthropicServer) -> None:
    server.reply("Two words")
    found = await events(http, server)
    assert [name for name, _ in found] == [data["type"] for _, data in found]
    assert [name for name, _ in found] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert "".join(data["delta"]["text"] for name, data in found if name == "content_block_delta") == "Two words"
    assert found[6][1]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[6][1]["usage"] == {"output_tokens": 2}


async def test_stop_strings_and_max_tokens_are_obeyed(http: ClientSession, server: AnthropicServer) -> None:
    server.reply("one two three\nAna: four")
    _, stopped = await ask(http, server, {**ASKED, "stop_sequences": ["\nAna:", "four"]})
    assert (stopped["content"][0]["text"], stopped["stop_reason"]) == ("one two three", "stop_sequence")
    assert stopped["stop_sequence"] == "\nAna:"
    _, cut = await ask(http, server, {**ASKED, "max_tokens": 2})
    assert (cut["content"][0]["text"], cut["stop_reason"]) == ("one two", "max_tokens")


async def test_a_marked_prefix_is_written_once_and_then_read_if_it_is_long_enough(
    http: ClientSession, server: AnthropicServer
) -> None:
    async def usage(text: str, question: str = "hello") -> tuple[int, int]:
        body = {**ASKED, "system": [{**MARK, "text": text}], "messages": [{"role": "user", "content": question}]}
        _, answer = await ask(http, server, body)
        return answer["usage"]["cache_creation_input_tokens"], answer["usage"]["cache_read_input_tokens"]

    long = "word " * 1100
    written, read = await usage(long)
    assert (written > 1000, read) == (True, 0)
    assert await usage(long, "something else") == (0, written)
    assert (await usage(long + "more"))[1] == 0
    assert await usage("short") == (0, 0)


async def test_an_overload_is_told_inside_the_stream(http: ClientSession, server: AnthropicServer) -> None:
    server.overload_after(4)
    found = await events(http, server)
    assert found[-1] == ("error", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
    assert len(found) == 5
    server.heal()
    assert (await events(http, server))[-1][0] == "message_stop"


async def test_a_cut_stream_breaks_the_connection(http: ClientSession, server: AnthropicServer) -> None:
    server.cut_after(4)
    with pytest.raises(aiohttp.ClientError):
        await events(http, server)
