"""A raw client for the loopback Twitch: plain HTTP and WebSocket, no Twitch library."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from homunculus.testing.twitch import Bot, Channel, TwitchServer, User

TOKEN = "rawtokenofthebot"
PATIENCE = 10.0


@dataclass
class Reply:
    """An answer: status, headers, parsed JSON (None where the body is empty)."""

    status: int
    headers: Any
    json: Any

    @property
    def refusal(self) -> tuple[int, str]:
        """Return what a refusal says, having made sure that status and body agree."""
        assert self.json["status"] == self.status
        assert self.json["error"]
        return self.status, self.json["message"]


@dataclass
class Wire:
    """One raw EventSub connection."""

    ws: aiohttp.ClientWebSocketResponse

    async def receive(self) -> Any:
        """Return the next message."""
        frame = await asyncio.wait_for(self.ws.receive(), PATIENCE)
        assert frame.type is aiohttp.WSMsgType.TEXT, (frame, self.ws.close_code)
        return json.loads(frame.data)

    async def kind(self, wanted: str) -> Any:
        """Return the payload of the next message, which is of this type, keepalives aside."""
        message = await self.receive()
        while message["metadata"]["message_type"] == "session_keepalive" != wanted:
            message = await self.receive()
        assert message["metadata"]["message_type"] == wanted, message
        return message["payload"]

    async def said(self) -> str:
        """Return the text of the next chat message."""
        return str((await self.kind("notification"))["event"]["message"]["text"])

    async def closed(self) -> int | None:
        """Wait for the end; return its close code, None where it was abrupt."""
        while not self.ws.closed:
            await asyncio.wait_for(self.ws.receive(), PATIENCE)
        return None if self.ws.close_code in (None, 1006) else self.ws.close_code


@dataclass
class Stage:
    """A server with one bot, one channel and one person, and raw ways to talk to it."""

    server: TwitchServer
    session: aiohttp.ClientSession
    bot: Bot
    tavern: Channel
    ana: User
    wires: list[Wire] = field(default_factory=list)

    async def http(self, method: str, url: str, **how: Any) -> Reply:
        async with self.session.request(method, url, **how) as response:
            text = await response.text()
            return Reply(response.status, response.headers, json.loads(text) if text else None)

    async def helix(self, method: str, path: str, body: Any = None, **headers: str | None) -> Reply:
        """Ask Helix as the bot; keyword arguments replace headers, None leaves one out."""
        shown = {"Authorization": f"Bearer {self.bot.access}", "Client_Id": self.bot.client_id, **headers}
        sent = {name.replace("_", "-"): value for name, value in shown.items() if value is not None}
        how: dict[str, Any] = {} if body is None else {"json": body}
        return await self.http(method, self.server.api_base + path, headers=sent, **how)

    async def validate(self, authorization: str) -> Reply:
        headers = {"Authorization": authorization} if authorization else {}
        return await self.http("GET", f"{self.server.auth_base}/oauth2/validate", headers=headers)

    async def token(self, **changes: str | None) -> Reply:
        """Ask for new tokens; keyword arguments replace what a right request says, None leaves it out."""
        right = {
            "client_id": self.bot.client_id,
            "client_secret": self.bot.client_secret,
            "grant_type": "refresh_token",
            "refresh_token": self.bot.refresh,
        }
        form = {name: value for name, value in {**right, **changes}.items() if value is not None}
        return await self.http("POST", f"{self.server.auth_base}/oauth2/token", data=form)

    async def connect(self, url: str = "") -> Wire:
        wire = Wire(await self.session.ws_connect(url or self.server.gateway))
        self.wires.append(wire)
        return wire

    async def welcomed(self, url: str = "") -> tuple[Wire, str]:
        """Connect; return the connection and its session."""
        wire = await self.connect(url)
        return wire, (await wire.kind("session_welcome"))["session"]["id"]

    async def subscribe(self, session: str, channel: Channel | None = None, **changes: Any) -> Reply:
        condition = {"broadcaster_user_id": (channel or self.tavern).owner.id, "user_id": self.bot.user.id}
        body = {
            "type": "channel.chat.message",
            "version": "1",
            "condition": condition,
            "transport": {"method": "websocket", "session_id": session},
        }
        return await self.helix("POST", "/eventsub/subscriptions", {**body, **changes})

    async def listening(self) -> tuple[Wire, str]:
        """Connect and subscribe to the tavern; return the connection and the subscription."""
        wire, session = await self.welcomed()
        made = await self.subscribe(session)
        assert made.status == 202, made.json
        return wire, made.json["data"][0]["id"]

    async def post(self, text: str = "Evening.", channel: Channel | None = None, **changes: Any) -> Reply:
        right = {"broadcaster_id": (channel or self.tavern).owner.id, "sender_id": self.bot.user.id, "message": text}
        body = {name: value for name, value in {**right, **changes}.items() if value is not None}
        return await self.helix("POST", "/chat/messages", body)


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    async with TwitchServer(**settings) as server, aiohttp.ClientSession() as session:
        bot = server.add_bot(TOKEN, name="Keeper_Bot")
        stage = Stage(server, session, bot, server.add_channel("Tavern"), server.add_user("Ana"))
        yield stage
        for wire in stage.wires:
            await wire.ws.close()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with staged() as one:
        yield one
