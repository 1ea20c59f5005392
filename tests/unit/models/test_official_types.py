"""Our requests and our loopback endpoints' answers fit the types of the official packages, and their clients read them.

The oracle is the packages' own: pydantic checks each request against the parameters' type and each answer, strictly,
against the response's type; then the official client talks to the loopback endpoint.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import ClientSession
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from pydantic import BaseModel, TypeAdapter, ValidationError

from homunculus.model import ChatMessage, ModelSpec, Prompt, Secret
from homunculus.models.anthropic import AnthropicModel
from homunculus.models.openai import OpenAIModel
from homunculus.testing.model import AnthropicServer, ModelServer
from homunculus.testing.model_contract import prompt

LONG = Prompt(
    (
        ChatMessage("system", "You keep a small shop. " * 400),
        ChatMessage("assistant", "Welcome."),
        ChatMessage("user", "Ana: 你好\nBo: hi", "Ana"),
        ChatMessage("system", "Answer in one breath."),
    ),
    stop=("\nAna:", "\nBo:"),
)


def settled(value: Any) -> Any:
    """Return what pydantic read, with each lazy list checked to its end."""
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{type(value).__name__} does not know {value.model_extra}"
        return {name: settled(getattr(value, name)) for name in value.model_fields_set}
    if isinstance(value, dict):
        return {name: settled(item) for name, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [settled(item) for item in value]
    return value


def check(kind: Any, value: object) -> None:
    """Check a value against a type: what the type does not know is left out of what is read, or kept apart."""
    assert settled(TypeAdapter(kind).validate_python(value)) == value


@pytest.fixture
async def chat() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def messages() -> AsyncIterator[AnthropicServer]:
    async with AnthropicServer() as server:
        yield server


async def streamed(session: ClientSession, url: str, headers: dict[str, str], body: object) -> list[Any]:
    async with session.post(url, json=body, headers=headers) as response:
        lines = (await response.text()).splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


@pytest.mark.parametrize("asked", [prompt(), LONG])
async def test_what_we_ask_of_openai_fits_its_parameters(
    chat: ModelServer, session: ClientSession, asked: Prompt
) -> None:
    spec = ModelSpec("m", "openai", "x", base_url=chat.base_url, api_key=Secret("env:K", chat.key))
    await OpenAIModel(spec, lambda: session).complete(asked)
    check(CompletionCreateParamsStreaming, chat.requests[0])


@pytest.mark.parametrize("asked", [prompt(), LONG])
async def test_what_we_ask_of_anthropic_fits_its_parameters(
    messages: AnthropicServer, session: ClientSession, asked: Prompt
) -> None:
    spec = ModelSpec("m", "anthropic", "x", base_url=messages.base_url, api_key=Secret("env:K", messages.key))
    await AnthropicModel(spec, lambda: session).complete(asked)
    check(MessageCreateParamsStreaming, messages.requests[0])


def test_the_oracle_refuses_what_does_not_fit() -> None:
    asked = {"model": "x", "max_tokens": 3, "stream": True, "messages": [{"role": "user", "content": "a"}]}
    check(MessageCreateParamsStreaming, asked)
    for wrong in (
        {**asked, "temperature": 0.7},
        {**asked, "messages": [{"role": "npc", "content": "a"}]},
        {**asked, "system": [{"type": "text", "text": "a", "cache_control": {"type": "forever"}}]},
        {**asked, "max_tokens": None},
    ):
        with pytest.raises((AssertionError, ValidationError)):
            check(MessageCreateParamsStreaming, wrong)
    with pytest.raises(AssertionError, match="does not know"):
        check(
            ChatCompletionChunk,
            {"id": "1", "choices": [], "created": 0, "model": "x", "object": "chat.completion.chunk", "more": 1},
        )


async def test_what_the_openai_loopback_answers_fits_its_types(chat: ModelServer, session: ClientSession) -> None:
    headers, url = {"Authorization": f"Bearer {chat.key}"}, f"{chat.base_url}/chat/completions"
    asked = {"model": "x", "messages": [{"role": "user", "content": "hi"}]}
    async with session.post(url, json=asked, headers=headers) as response:
        check(ChatCompletion, await response.json())
    chunks = await streamed(session, url, headers, {**asked, "stream": True, "stream_options": {"include_usage": True}})
    assert len(chunks) == 4
    for chunk in chunks:
        check(ChatCompletionChunk, chunk)


async def test_what_the_anthropic_loopback_answers_fits_its_types(
    messages: AnthropicServer, session: ClientSession
) -> None:
    headers, url = {"x-api-key": messages.key, "anthropic-version": "2023-06-01"}, f"{messages.base_url}/v1/messages"
    asked = {"model": "x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    async with session.post(url, json=asked, headers=headers) as response:
        check(Message, await response.json())
    events = await streamed(session, url, headers, {**asked, "stream": True})
    assert len(events) == 7
    for event in events:
        if event["type"] != "ping":  # the client takes it out before it looks at types
            check(RawMessageStreamEvent, event)


async def test_the_official_openai_client_understands_its_loopback(chat: ModelServer) -> None:
    chat.reply("Evening, stranger.")
    async with openai.AsyncOpenAI(base_url=chat.base_url, api_key=chat.key, max_retries=0) as client:
        said = ""
        stream = await client.chat.completions.create(
            model="x", messages=[{"role": "user", "content": "hi"}], stream=True, stop=["!"]
        )
        async for chunk in stream:
            said += chunk.choices[0].delta.content or ""
        assert said == "Evening, stranger."
        chat.fail_next(429, retry_after=3, message="slow down")
        with pytest.raises(openai.RateLimitError, match="slow down") as limited:
            await client.chat.completions.create(model="x", messages=[{"role": "user", "content": "hi"}])
        assert limited.value.response.headers["retry-after"] == "3"
    async with openai.AsyncOpenAI(base_url=chat.base_url, api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.models.list()


async def test_the_official_anthropic_client_understands_its_loopback(messages: AnthropicServer) -> None:
    messages.reply("Evening, stranger.")
    async with anthropic.AsyncAnthropic(base_url=messages.base_url, api_key=messages.key, max_retries=0) as client:
        async with client.messages.stream(
            model="x", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            final = await stream.get_final_message()
        assert [block.text for block in final.content if block.type == "text"] == ["Evening, stranger."]
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", 2)
        for status, error in ((429, anthropic.RateLimitError), (529, anthropic.InternalServerError)):
            messages.fail_next(status, message="not now")
            with pytest.raises(error, match="not now"):
                await client.messages.create(model="x", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        messages.overload_after(4)
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            async with client.messages.stream(
                model="x", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
            ) as stream:
                await stream.get_final_message()
    async with anthropic.AsyncAnthropic(base_url=messages.base_url, api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(model="x", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
