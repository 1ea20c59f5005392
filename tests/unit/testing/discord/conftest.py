"""A raw client for the loopback Discord: plain HTTP and WebSocket, no Discord library."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from homunculus.testing.discord import Bot, Channel, DiscordServer, Guild, User

TOKEN = "bot-token-one"
AGENT = "DiscordBot (https://example.org, 1.0)"
PROPERTIES = {"os": "linux", "browser": "raw", "device": "raw"}
# Guilds, guild messages, reactions, typing, direct messages and theirs, message content.
INTENTS = 1 << 0 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15


@dataclass
class Reply:
    """An answer: status, headers, parsed JSON (None where the body is empty or no JSON)."""

    status: int
    headers: Any
    json: Any
    text: str


@dataclass
class Rest:
    """Send raw requests to the API of one server."""

    session: aiohttp.ClientSession
    base: str
    headers: dict[str, str] = field(default_factory=lambda: {"Authorization": f"Bot {TOKEN}", "User-Agent": AGENT})

    async def __call__(self, method: str, path: str, body: Any = None, **changes: Any) -> Reply:
        headers = {**self.headers, **changes.pop("headers", {})}
        if body is not None:
            changes["data"] = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        headers = {name: value for name, value in headers.items() if value is not None}
        async with self.session.request(
            method, self.base + path, headers=headers, skip_auto_headers={"User-Agent"}, **changes
        ) as response:
            text = await response.text()
            is_json = response.headers.get("Content-Type") == "application/json"
            return Reply(response.status, response.headers, json.loads(text) if is_json else None, text)


@dataclass
class Wire:
    """One raw gateway connection."""

    ws: aiohttp.ClientWebSocketResponse
    inflate: Any = None

    async def send(self, op: int, data: Any) -> None:
        await self.ws.send_str(json.dumps({"op": op, "d": data}))

    async def receive(self) -> dict[str, Any]:
        message = await asyncio.wait_for(self.ws.receive(), 5)
        if message.type is aiohttp.WSMsgType.BINARY:
            assert message.data.endswith(b"\x00\x00\xff\xff")
            return dict(json.loads(self.inflate.decompress(message.data)))
        assert message.type is aiohttp.WSMsgType.TEXT, message
        return dict(json.loads(message.data))

    async def event(self, name: str) -> dict[str, Any]:
        """Skip to the next event of a name."""
        while (frame := await self.receive())["t"] != name:
            pass
        return frame

    async def closed(self) -> int | None:
        """Wait for the end, past whatever is still said; the close code, None for a connection that just broke."""
        ends = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSING)
        while (await asyncio.wait_for(self.ws.receive(), 5)).type not in ends:
            pass
        return None if self.ws.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE else self.ws.close_code

    async def hello(self) -> Wire:
        assert (await self.receive())["op"] == 10
        return self

    async def identify(self, **changes: Any) -> dict[str, Any]:
        """Identify; READY's data."""
        await self.send(2, identify(**changes))
        return dict((await self.event("READY"))["d"])

    async def resume(self, session_id: str, seq: Any, token: str = TOKEN) -> None:
        await self.send(6, {"token": token, "session_id": session_id, "seq": seq})


def identify(**changes: Any) -> dict[str, Any]:
    data = {"token": TOKEN, "properties": PROPERTIES, "intents": INTENTS, **changes}
    return {key: value for key, value in data.items() if value is not None}


class Stage:
    """A server with one bot, one guild, one channel, one person, and raw clients for it."""

    def __init__(self, server: DiscordServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session
        self.bot: Bot = server.add_bot(TOKEN, name="Homunculus")
        self.guild: Guild = server.add_guild("Arkham", bots=[self.bot])
        self.channel: Channel = server.add_channel(self.guild, "tavern")
        self.ana: User = server.add_user("Ana")
        self.rest = Rest(session, server.api_base)
        self.here = f"/channels/{self.channel.id}/messages"
        self._wires: list[Wire] = []

    async def connect(self, query: str = "?v=10&encoding=json") -> Wire:
        inflate = zlib.decompressobj() if "zlib-stream" in query else None
        wire = Wire(await self.session.ws_connect(self.server.gateway + query), inflate)
        self._wires.append(wire)
        return wire

    async def aclose(self) -> None:
        for wire in self._wires:
            await wire.ws.close()

    async def online(self, **changes: Any) -> tuple[Wire, dict[str, Any]]:
        """Connect and identify; the connection and READY's data."""
        wire = await (await self.connect()).hello()
        return wire, await wire.identify(**changes)

    async def send(self, content: str = "hello", **fields: Any) -> Reply:
        return await self.rest("POST", self.here, {"content": content, **fields})


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    """Set a stage on a server with settings of its own."""
    async with DiscordServer(**settings) as server, aiohttp.ClientSession() as session:
        stage = Stage(server, session)
        try:
            yield stage
        finally:
            await stage.aclose()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as one:
        yield one


def field_error(reply: Reply, *path: str) -> str:
    """Find the code of the nested error at a path of a 50035 answer."""
    assert (reply.status, reply.json["code"]) == (400, 50035), reply.text
    errors = reply.json["errors"]
    for key in path:
        errors = errors[key]
    return str(errors["_errors"][0]["code"])
