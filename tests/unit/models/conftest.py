"""Fixtures of the models' tests: one HTTP session, one strict loopback endpoint, the weights."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession

from homunculus.model import ModelSpec, Secret
from homunculus.models.openai import OPENAI, Dialect, OpenAIModel
from homunculus.testing.model import ModelServer
from tests.unit.models.rig import embedded_cache

Make = Callable[..., OpenAIModel]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
def make(server: ModelServer, session: ClientSession) -> Make:
    """Return a maker of models that point at the loopback endpoint."""

    def build(dialect: Dialect = OPENAI, **changes: object) -> OpenAIModel:
        given = {
            "id": "haiku",
            "provider": dialect.provider,
            "name": "some-model",
            "base_url": server.base_url,
            "api_key": Secret("env:KEY", server.key),
            "timeout_seconds": 5.0,
        }
        return OpenAIModel(ModelSpec(**{**given, **changes}), lambda: session, dialect)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def weights_here() -> Path:
    return embedded_cache()
