"""The Messages client keeps its promises against a strict endpoint over real sockets, on good days and bad."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from homunculus.errors import NotReady, Refused
from homunculus.model import ChatMessage, ModelSpec, Prompt, Secret
from homunculus.models import anthropic, endpoint, messages
from homunculus.models.answers import Fault, Piece
from homunculus.models.anthropic import AnthropicModel
from homunculus.testing.model import AnthropicServer, Wire
from homunculus.testing.model.messages import Refusal, check_body
from homunculus.testing.model_contract import prompt
from tests.unit.models.rig import services

ANSWER = "Evening, Ana.\n\nThe cellar? 雪夜 — nailed shut since 1919."

Make = Callable[..., AnthropicModel]


@pytest.fixture
async def server() -> AsyncIterator[AnthropicServer]:
    async with AnthropicServer() as server:
        yield server


@pytest.fixture
def make(server: AnthropicServer, session: ClientSession) -> Make:
    """Return a maker of models that point at the loopback endpoint."""

    def build(**changes: object) -> AnthropicModel:
        given = {
            "id": "claude",
            "provider": "anthropic",
            "name": "some-model",
            "base_url": server.base_url,
            "api_key": Secret("env:KEY", server.key),
            "timeout_seconds": 5.0,
        }
        return AnthropicModel(ModelSpec(**{**given, **changes}), lambda: session)  # type: ignore[arg-type]

    return build


# --- what is asked ---------------------------------------------------------------------------------------------------


async def test_the_request_holds_what_the_file_says_and_marks_what_is_stable(
    server: AnthropicServer, make: Make
) -> None:
    await make(max_tokens=77).complete(prompt())
    assert server.requests == [
        {
            "model": "some-model",
            "max_tokens": 77,
            "messages": [{"role": "user", "content": "Ana: Good evening. What do you sell?"}],
            "stream": True,
            "system": [
                {"type": "text", "text": "You keep a small shop.", "cache_control": {"type": "ephemeral"}},
            ],
            "stop_sequences": ["\nAna:"],
        }
    ]
    assert server.headers[0]["anthropic-version"] == "2023-06-01"
    assert server.headers[0]["x-api-key"] == server.key
    assert "authorization" not in server.headers[0]


async def test_instructions_after_the_talk_are_not_cached_with_those_before_it(
    server: AnthropicServer, make: Make
) -> None:
    said = (
        ChatMessage("system", "Stable."),
        ChatMessage("user", "Ana: hi"),
        ChatMessage("system", "In one breath."),
    )
    await make().complete(Prompt(said, stable=1))
    marked, after = server.requests[0]["system"]
    assert marked == {"type": "text", "text": "Stable.", "cache_control": {"type": "ephemeral"}}
    assert after == {"type": "text", "text": "In one breath."}
    assert [message["role"] for message in server.requests[0]["messages"]] == ["user"]


async def test_roles_take_turns_and_a_user_begins_and_ends(server: AnthropicServer, make: Make) -> None:
    said = (
        ChatMessage("assistant", "Welcome."),
        ChatMessage("user", "Ana: hi"),
        ChatMessage("user", "Bo: hello"),
        ChatMessage("assistant", " "),
        ChatMessage("assistant", "Evening."),
    )
    assert (await make().complete(Prompt(said))).text == "Hello."
    assert server.requests[0]["messages"] == [
        {"role": "user", "content": "…"},
        {"role": "assistant", "content": "Welcome."},
        {"role": "user", "content": "Ana: hi\nBo: hello"},
        {"role": "assistant", "content": "Evening."},
        {"role": "user", "content": "…"},
    ]


@given(
    st.lists(
        st.builds(
            ChatMessage, st.sampled_from(["system", "user", "assistant"]), st.text(alphabet="a \n雪\ud83d", max_size=4)
        ),
        max_size=8,
    ),
    st.integers(0, 8),
    st.lists(st.text(alphabet="a \n", max_size=3), max_size=3).map(tuple),
)
def test_no_prompt_makes_a_request_that_the_protocol_refuses(
    said: list[ChatMessage], stable: int, stop: tuple[str, ...]
) -> None:
    model = AnthropicModel(ModelSpec("m", "anthropic", "x"), services().session)
    body = model.payload(Prompt(tuple(said), stable=stable, stop=stop))
    json.dumps(body, ensure_ascii=False).encode()
    try:
        check_body(body)
    except Refusal as refusal:
        pytest.fail(f"{refusal.message}: {body}")


@pytest.mark.parametrize(
    ("base_url", "asked"),
    [
        ("", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1", "https://api.anthropic.com/v1/messages"),
        ("http://127.0.0.1:8080/claude/v1/", "http://127.0.0.1:8080/claude/v1/messages"),
        ("http://127.0.0.1:8080/claude", "http://127.0.0.1:8080/claude/v1/messages"),
    ],
)
def test_a_base_url_may_be_written_with_or_without_its_version(base_url: str, asked: str) -> None:
    assert anthropic.address(base_url) == asked


# --- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [0, 1, 7])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
async def test_an_answer_arrives_whole_however_it_is_written(
    server: AnthropicServer, make: Make, line_end: str, split: int
) -> None:
    server.reply(ANSWER)
    server.wire = Wire(line_end, comments=True, split=split)
    pieces: list[str] = []
    completion = await make().complete(prompt(), pieces.append)
    assert completion.text == ANSWER == "".join(pieces)
    assert len(pieces) > 3
    assert (completion.model, completion.provider) == ("claude", "anthropic")
    assert completion.tokens_in > 0
    assert completion.tokens_out == len(pieces)


async def test_a_long_stable_part_is_read_from_the_cache_the_second_time(server: AnthropicServer, make: Make) -> None:
    model, long = make(), "word " * 1200
    first = await model.complete(prompt("One?", system=long))
    second = await model.complete(prompt("Two?", system=long))
    assert (first.cache_written > 1200, first.cache_read) == (True, 0)
    assert (second.cache_written, second.cache_read) == (0, first.cache_written)
    assert second.tokens_in > second.cache_read, "the whole prompt is counted, cached or not"


async def test_an_endpoint_that_does_not_stream_is_understood(server: AnthropicServer, make: Make) -> None:
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Whole."}]
    whole = {"type": "message", "content": content, "stop_reason": "end_turn", "usage": {"input_tokens": 3}}
    server.junk(json.dumps(whole).encode(), "application/json")
    pieces: list[str] = []
    completion = await make().complete(prompt(), pieces.append)
    assert (completion.text, pieces, completion.tokens_in) == ("Whole.", ["Whole."], 3)


async def test_a_declined_answer_is_no_answer(server: AnthropicServer, make: Make) -> None:
    events = (
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "I "}},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}},
        {"type": "message_stop"},
    )
    server.junk("".join(f"data: {json.dumps(event)}\n\n" for event in events).encode(), "text/event-stream")
    with pytest.raises(Refused, match="declined to answer"):
        await make().complete(prompt())


@pytest.mark.parametrize(
    ("event", "read"),
    [
        ({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "a"}}, Piece("a")),
        ({"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "a"}}, Piece()),
        ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}, Piece("", "end_turn", 0, 5)),
        ({"type": "message_start", "message": {"usage": {"input_tokens": 1, "cache_read_input_tokens": 7}}}, Piece("", "", 8, 0, 7)),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, Fault("x", "overloaded_error", status=529)),
        ({"type": "error", "error": {"type": "never_heard_of"}}, Fault("never_heard_of", "never_heard_of")),
        ({"type": "ping"}, Piece(alive=False)),
        ({"type": "message_stop"}, Piece(last=True)),
        ({"type": "a_kind_of_later"}, Piece()),
        ({"type": 5}, None),
        ([], None),
    ],
)  # fmt: skip
def test_each_event_says_what_it_says(event: object, read: object) -> None:
    assert messages.read(json.dumps(event)) == read


FIELDS = ["type", "delta", "text", "message", "usage", "input_tokens", "error", "content", "stop_reason"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.sampled_from([*messages._KINDS, "other"]), _JSON)
def test_no_answer_of_any_shape_raises_a_surprise(kind: str, rest: object) -> None:
    fields = rest if isinstance(rest, dict) else {"delta": rest, "usage": rest, "message": rest, "content": rest}
    messages.read(json.dumps({**fields, "type": kind}))


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 402, 403, 404, 413])
async def test_a_refusal_is_final_and_says_why(server: AnthropicServer, make: Make, status: int) -> None:
    server.fail_next(status, message="No such thing")
    with pytest.raises(Refused, match=f"answered {status}: No such thing"):
        await make().complete(prompt())


@pytest.mark.parametrize(("status", "after"), [(429, 7.0), (500, None), (504, None), (529, None)])
async def test_a_busy_endpoint_may_be_tried_again(
    server: AnthropicServer, make: Make, status: int, after: float | None
) -> None:
    server.fail_next(status, after)
    with pytest.raises(NotReady, match=f"answered {status}") as raised:
        await make().complete(prompt())
    assert raised.value.after == after
    assert (await make().complete(prompt())).text == "Hello."


async def test_a_key_that_is_not_taken_says_where_to_look_and_is_never_told_back(
    server: AnthropicServer, make: Make
) -> None:
    model = make(api_key=Secret("env:KEY", "sk-wrong-0123456789"))
    with pytest.raises(Refused, match=r"answered 401: invalid x-api-key; check api_key \(env:KEY\)") as raised:
        await model.complete(prompt())
    assert "sk-wrong" not in f"{raised.value!r} {model!r} {model.spec!r}"


async def test_no_key_at_all_never_leaves_for_the_real_endpoint() -> None:
    model = AnthropicModel(ModelSpec("m", "anthropic", "x", path="models.m"), services().session)
    with pytest.raises(Refused, match=r"models\.m: api_key is missing; write api_key: env:ANTHROPIC_API_KEY"):
        await model.complete(prompt())


async def test_a_redirect_is_never_followed(server: AnthropicServer, make: Make) -> None:
    async with AnthropicServer(key=server.key) as thief:
        server.redirect_to(f"{thief.base_url}/v1/messages")
        with pytest.raises(Refused, match=r"a redirect to .*; write the final address as base_url"):
            await make().complete(prompt())
        assert thief.requests == []


@pytest.mark.parametrize("events", [0, 1, 4])
async def test_an_answer_cut_short_is_no_answer(server: AnthropicServer, make: Make, events: int) -> None:
    server.reply(ANSWER)
    server.cut_after(events)
    with pytest.raises(NotReady):
        await make().complete(prompt())


async def test_an_overload_inside_a_stream_is_an_error(server: AnthropicServer, make: Make) -> None:
    server.reply(ANSWER)
    server.overload_after(5)
    with pytest.raises(NotReady, match="answered 529: Overloaded"):
        await make().complete(prompt())


async def test_silence_ends_the_call_however_many_pings_come(server: AnthropicServer, make: Make) -> None:
    server.silent()
    with pytest.raises(NotReady, match=r"silent for 0\.2 s"):
        await make(timeout_seconds=0.2).complete(prompt())
    server.heal()
    server.junk(b'event: ping\ndata: {"type": "ping"}\n\n' * 3, "text/event-stream")
    with pytest.raises(NotReady, match="cut its answer short"):
        await make().complete(prompt())
    await server.idle()


async def test_pings_alone_are_silence(make: Make) -> None:
    async def pinging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        try:
            while True:
                writer.write(b'event: ping\ndata: {"type": "ping"}\n\n')
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()

    server = await asyncio.start_server(pinging, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotReady, match="silent"):
            await make(base_url=f"http://127.0.0.1:{port}", timeout_seconds=0.3).complete(prompt())
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait([task for task in others if "pinging" in repr(task)])


async def test_an_endless_answer_is_ended_by_its_size(
    server: AnthropicServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "LONGEST_ANSWER", 2000)
    server.endless()
    with pytest.raises(Refused, match="longer than"):
        await make().complete(prompt())
    await server.idle()


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        (b"<!doctype html><title>Log in</title>", "text/html", Refused),
        (b"\xff\xfe\x00", "application/octet-stream", NotReady),
        (b"[1, 2]", "application/json", NotReady),
        (b'{"choices": []}', "application/json", NotReady),
        (b"data: {not json\n\n", "text/event-stream", NotReady),
        (b"", "text/event-stream", NotReady),
    ],
)
async def test_junk_is_told_in_the_errors_tree(
    server: AnthropicServer, make: Make, body: bytes, kind: str, error: type[Exception]
) -> None:
    server.junk(body, kind)
    with pytest.raises(error):
        await make().complete(prompt())


async def test_a_dead_port_may_be_tried_again(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        port = taken.getsockname()[1]
        with pytest.raises(NotReady, match=f"127.0.0.1:{port}"):
            await make(base_url=f"http://127.0.0.1:{port}").complete(prompt())


async def test_no_more_calls_than_the_file_allows_run_at_once(server: AnthropicServer, make: Make) -> None:
    most = 0

    def script(body: object) -> str:
        nonlocal most
        most = max(most, server.open_calls)
        return "a b c"

    server.script(script)
    server.slow(0.01)
    model = make(concurrency=2)
    answers = await asyncio.gather(*(model.complete(prompt()) for _ in range(6)))
    assert [answer.text for answer in answers] == ["a b c"] * 6
    assert most == 2


# --- what the file may say -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "models.m: name is missing"),
        ({"base_url": "ftp://host/v1"}, "models.m: base_url is not an http"),
        ({"base_url": "http://[::1/v1"}, "models.m: base_url is not an http"),
        ({"base_url": "http://me:secret@host/v1"}, "models.m: base_url carries a name or password"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_when_built(changes: dict[str, object], reason: str) -> None:
    spec = ModelSpec(**{"id": "m", "provider": "anthropic", "name": "x", "path": "models.m", **changes})  # type: ignore[arg-type]
    with pytest.raises(Refused, match=f"^{reason}") as raised:
        anthropic.provider.build(spec, services())
    assert "secret" not in raised.value.reason


def test_it_shows_where_it_asks_and_never_the_key() -> None:
    spec = ModelSpec("m", "anthropic", "x", api_key=Secret("env:KEY", "sk-hidden"))
    assert repr(anthropic.provider.build(spec, services())) == "<anthropic m: x at api.anthropic.com>"
