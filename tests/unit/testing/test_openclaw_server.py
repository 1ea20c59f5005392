"""The loopback OpenClaw gateway differs from an OpenAI endpoint where the real one does, shown by raw HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from homunculus.testing.model import OpenClawServer

ASKED: dict[str, Any] = {"model": "openclaw", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
async def server() -> AsyncIterator[OpenClawServer]:
    async with OpenClawServer(agents=("main", "homunculus")) as server:
        yield server


async def ask(server: OpenClawServer, body: object, **headers: str) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {server.key}"} | {name.replace("_", "-"): v for name, v in headers.items()}
    async with (
        ClientSession(headers=headers) as http,
        http.post(f"{server.base_url}/chat/completions", json=body) as response,
    ):
        return response.status, json.loads(await response.read())


async def test_an_agent_it_does_not_have_is_unknown(server: OpenClawServer) -> None:
    status, answer = await ask(server, ASKED, x_openclaw_agent_id="nobody")
    assert (status, answer["error"]["message"]) == (400, 'Unknown agent "nobody".')
    assert server.requests == []


async def test_a_bad_token_is_told_apart_from_it(server: OpenClawServer) -> None:
    status, _ = await ask(server, ASKED, x_openclaw_agent_id="nobody", Authorization="Bearer wrong")
    assert status == 401


async def test_an_agent_it_has_answers_and_so_does_the_first_one_unasked(server: OpenClawServer) -> None:
    assert (await ask(server, ASKED, x_openclaw_agent_id="homunculus"))[0] == 200
    assert (await ask(server, ASKED))[0] == 200


async def test_an_answer_that_is_cut_ends_in_a_note(server: OpenClawServer) -> None:
    server.reply("one two three")
    _, answer = await ask(server, {**ASKED, "max_tokens": 2})
    assert answer["choices"][0]["message"]["content"].startswith("one two\n\n⚠️ Reply truncated")
    assert answer["choices"][0]["finish_reason"] == "length"
    _, whole = await ask(server, ASKED)
    assert whole["choices"][0]["message"]["content"] == "one two three"


async def test_a_user_makes_a_session(server: OpenClawServer) -> None:
    await ask(server, {**ASKED, "user": "ana", "stream": False})
    assert server.sessions == {"ana": ASKED["messages"]}
    await ask(server, ASKED)
    assert list(server.sessions) == ["ana"]
