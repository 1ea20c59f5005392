"""The `openclaw` provider talks to a gateway that is as strict as the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from homunculus.errors import Refused
from homunculus.model import ModelSpec, Secret
from homunculus.models.openai import OPENCLAW, OpenAIModel
from homunculus.testing.model import OpenClawServer
from homunculus.testing.model_contract import prompt


@pytest.fixture
async def gateway() -> AsyncIterator[OpenClawServer]:
    async with OpenClawServer(agents=("main", "homunculus")) as gateway:
        yield gateway


def model(gateway: OpenClawServer, session: ClientSession, key: str = "", **changes: object) -> OpenAIModel:
    given = {"id": "haiku", "provider": "openclaw", "base_url": gateway.base_url, "path": "models.haiku"}
    secret = Secret("env:TOKEN", key or gateway.key)
    return OpenAIModel(ModelSpec(**{**given, "api_key": secret, **changes}), lambda: session, OPENCLAW)  # type: ignore[arg-type]


async def test_an_unknown_agent_and_a_bad_token_are_told_apart(gateway: OpenClawServer, session: ClientSession) -> None:
    with pytest.raises(
        Refused, match=r'answered 400: Unknown agent "nobody"\.; check models\.haiku\.agent_id \(nobody\)$'
    ):
        await model(gateway, session, agent_id="nobody").complete(prompt())
    with pytest.raises(Refused, match=r"answered 401: .*; check api_key \(env:TOKEN\)$"):
        await model(gateway, session, "wrong", agent_id="nobody").complete(prompt())


async def test_no_call_makes_a_session(gateway: OpenClawServer, session: ClientSession) -> None:
    named = model(gateway, session, agent_id="homunculus")
    for text in ("One?", "Two?"):
        await named.complete(prompt(text))
    assert [headers["x-openclaw-agent-id"] for headers in gateway.headers] == ["homunculus"] * 2
    assert gateway.sessions == {}


async def test_the_gateways_note_about_a_cut_answer_is_not_said(
    gateway: OpenClawServer, session: ClientSession
) -> None:
    gateway.reply("one two three four")
    assert (await model(gateway, session, max_tokens=2).complete(prompt())).text == "one two"
    assert (await model(gateway, session).complete(prompt())).text == "one two three four"
