"""A raw client for the loopback Slack: plain HTTP and WebSocket, no Slack library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from homunculus.testing.slack import Bot, Channel, SlackServer, User, Workspace

BOT_TOKEN, APP_TOKEN = "xoxb-raw-one", "xapp-raw-one"
Body = dict[str, Any]


@dataclass
class Answer:
    """One HTTP answer: status, headers, parsed JSON (empty where the body is none)."""

    status: int
    headers: Any
    json: Body
    text: str

    @property
    def error(self) -> str:
        assert self.json["ok"] is False, self.text
        return str(self.json["error"])


@dataclass
class Wire:
    """One raw Socket Mode connection."""

    ws: aiohttp.ClientWebSocketResponse

    async def receive(self) -> Body:
        message = await asyncio.wait_for(self.ws.receive(), 10)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return dict(json.loads(message.data))

    async def event(self) -> Body:
        """Return the event in the next envelope, and acknowledge it."""
        envelope = await self.receive()
        await self.acknowledge(envelope)
        return dict(envelope["payload"]["event"])

    async def acknowledge(self, envelope: Body, **more: Any) -> None:
        await self.ws.send_str(json.dumps({"envelope_id": envelope["envelope_id"], **more}))

    async def closed(self) -> int | None:
        """Wait for the end, past whatever is still said; the close code, None where it just broke."""
        ends = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSING)
        while (await asyncio.wait_for(self.ws.receive(), 10)).type not in ends:
            pass
        return None if self.ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE else self.ws.close_code

    async def silent(self, seconds: float = 0.1) -> bool:
        """Tell whether nothing arrives for a while."""
        try:
            await asyncio.wait_for(self.ws.receive(), seconds)
        except TimeoutError:
            return True
        return False


class Stage:
    """A server with one workspace, one bot, one channel, one person, and raw clients for it."""

    def __init__(self, server: SlackServer, session: aiohttp.ClientSession) -> None:
        self.server, self.session = server, session
        self.team: Workspace = server.add_workspace("Arkham")
        self.bot: Bot = server.add_bot(self.team, BOT_TOKEN, APP_TOKEN, name="Keeper")
        self.ana: User = server.add_user(self.team, "Ana")
        self.tavern: Channel = server.add_channel(self.team, "tavern", [self.bot, self.ana])
        self._wires: list[Wire] = []

    async def call(self, method: str, token: str | None = BOT_TOKEN, **arguments: Any) -> Answer:
        """Call a method with a JSON body."""
        return await self.send(method, json.dumps(arguments), "application/json", token)

    async def send(self, method: str, body: Any, kind: str, token: str | None = BOT_TOKEN) -> Answer:
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with self.session.post(self.server.api_base + method, data=body, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if is_json else {}, text)

    async def say(self, text: str = "hello", **more: Any) -> Answer:
        return await self.call("chat.postMessage", channel=self.tavern.id, text=text, **more)

    async def address(self) -> str:
        return str((await self.call("apps.connections.open", APP_TOKEN)).json["url"])

    async def connect(self, address: str | None = None, *, hello: bool = True, autoping: bool = True) -> Wire:
        wire = Wire(await self.session.ws_connect(address or await self.address(), autoping=autoping))
        self._wires.append(wire)
        if hello:
            assert (await wire.receive())["type"] == "hello"
        return wire

    async def aclose(self) -> None:
        for wire in self._wires:
            await wire.ws.close()


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    """Set a stage on a server with settings of its own."""
    async with SlackServer(**settings) as server, aiohttp.ClientSession() as session:
        stage = Stage(server, session)
        try:
            yield stage
        finally:
            await stage.aclose()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as one:
        yield one
