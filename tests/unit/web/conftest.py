"""A stage, the application on it without a socket, and the whole server where a socket matters."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from homunculus.web.app import build_app
from tests.unit.web.stage import TOKEN, Stage

AT = "http://127.0.0.1:8420"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    await stage.open()
    yield stage
    await stage.close()


@pytest.fixture
async def stranger(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(stage.running, stage.buckets))
    async with httpx.AsyncClient(base_url=AT, transport=transport) as client:
        yield client


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(build_app(stage.running, stage.buckets))
    async with httpx.AsyncClient(base_url=AT, headers=BEARER, transport=transport) as client:
        yield client


@pytest.fixture
async def url(stage: Stage) -> AsyncIterator[str]:
    """The address of the real server."""
    async with stage.up() as at:
        yield at.url


@pytest.fixture
async def caller(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the real server."""
    async with httpx.AsyncClient(base_url=url, headers=BEARER, timeout=10) as client:
        yield client
