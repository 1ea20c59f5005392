"""Every chat model that ships keeps the same promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from aiohttp import ClientSession

from homunculus.interfaces import ChatModel, Provider
from homunculus.model import ModelSpec, ScriptedReply, Secret
from homunculus.models import anthropic, openai, scripted
from homunculus.models.embedded.engine import Shelf
from homunculus.models.embedded.llama import EmbeddedModel
from homunculus.testing.model import AnthropicServer, Loopback, ModelServer, OpenClawServer
from homunculus.testing.model_contract import ModelContract
from tests.unit.models.rig import embedded_cache, services


class TestScripted(ModelContract):
    @pytest.fixture
    async def model(self) -> ChatModel:
        spec = ModelSpec("rehearsal", "scripted", replies=(ScriptedReply("(?i)evening", "Evening, {{user}}."),))
        return scripted.provider.build(spec, services())


class Endpoint(ModelContract):
    """What the providers of other machines share: a loopback endpoint, and one that always fails."""

    provider: ClassVar[Provider]
    loopback: ClassVar[type[Loopback]] = ModelServer

    @pytest.fixture
    async def session(self) -> AsyncIterator[ClientSession]:
        async with ClientSession() as session:
            yield session

    @pytest.fixture
    async def server(self) -> AsyncIterator[Loopback]:
        async with self.loopback() as server:
            yield server

    @pytest.fixture
    async def model(self, server: Loopback, session: ClientSession) -> ChatModel:
        secret = Secret("env:KEY", server.key)
        spec = ModelSpec("haiku", self.provider.name, "any", base_url=server.base_url, api_key=secret)
        return self.provider.build(spec, services(session=lambda: session))

    @pytest.fixture
    async def broken(self, model: ChatModel, server: Loopback) -> ChatModel:
        server.refuse(500)
        return model


class TestOpenAI(Endpoint):
    provider = openai.provider


class TestOpenClaw(Endpoint):
    provider = openai.openclaw
    loopback = OpenClawServer


class TestAnthropic(Endpoint):
    provider = anthropic.provider
    loopback = AnthropicServer


@pytest.fixture(scope="module")
def weights_here() -> Path:
    return embedded_cache()


@pytest.fixture(scope="module")
def shelf(weights_here: Path) -> Iterator[Shelf]:
    """Yield one shelf for all tests, with one engine that stays: loading costs half a second each time."""
    shelf = Shelf()
    kept = EmbeddedModel(ModelSpec("kept", "embedded"), services(weights_here), shelf)
    yield shelf
    asyncio.run(kept.aclose())


class TestEmbedded(ModelContract):
    longest = 150  # a small model reads 100 tokens a second; how it cuts longer prompts has tests of its own

    @pytest.fixture
    async def model(self, weights_here: Path, shelf: Shelf) -> ChatModel:
        return EmbeddedModel(ModelSpec("default", "embedded", max_tokens=8), services(weights_here), shelf)

    @pytest.fixture
    async def broken(self, weights_here: Path) -> ChatModel:
        spec = ModelSpec("default", "embedded", weights=str(weights_here / "no-such.gguf"))
        return EmbeddedModel(spec, services(weights_here), Shelf())
