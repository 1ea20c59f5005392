"""A loopback Telegram with a bot and a few chats, and a client that speaks nothing but HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from homunculus.testing.telegram import Bot, Chat, TelegramServer, User

TOKEN, OTHER = "7001:unit-token-one", "7002:unit-token-two"
Answer = tuple[int, Any]


@dataclass
class Stage:
    server: TelegramServer
    http: aiohttp.ClientSession
    bot: Bot
    tavern: Chat
    ana: User

    async def call(self, method: str, token: str = TOKEN, **form: Any) -> Answer:
        """Call a method with a form, as libraries do; return the status and the result, or the description."""
        fields = {key: value if isinstance(value, str) else json.dumps(value) for key, value in form.items()}
        async with self.http.post(f"{self.server.api_base}{token}/{method}", data=fields) as response:
            body = await response.json()
            assert body["ok"] == (response.status == 200)
            assert body["ok"] or body["error_code"] == response.status
            return response.status, body["result"] if body["ok"] else body["description"]

    async def refusal(self, method: str, token: str = TOKEN, **form: Any) -> dict[str, Any]:
        """Call a method that must be refused; return the whole answer."""
        fields = {key: value if isinstance(value, str) else json.dumps(value) for key, value in form.items()}
        async with self.http.post(f"{self.server.api_base}{token}/{method}", data=fields) as response:
            body: dict[str, Any] = await response.json()
            assert not body["ok"]
            return body

    async def updates(self, token: str = TOKEN, **form: Any) -> list[dict[str, Any]]:
        status, found = await self.call("getUpdates", token, **form)
        assert status == 200, found
        assert isinstance(found, list)
        return found

    async def heard(self, token: str = TOKEN, **form: Any) -> list[str]:
        """Return the texts of what waits for a bot."""
        found = await self.updates(token, **form)
        bodies = [next(body for key, body in update.items() if key != "update_id") for update in found]
        return [body.get("text") or body.get("caption") or "" for body in bodies]

    async def send(self, text: str, **form: Any) -> Answer:
        return await self.call("sendMessage", chat_id=self.tavern.id, text=text, **form)


@asynccontextmanager
async def staged(**settings: Any) -> AsyncIterator[Stage]:
    async with TelegramServer(**settings) as server, aiohttp.ClientSession() as http:
        bot = server.add_bot(TOKEN, name="Keeper", privacy=False)
        tavern = server.add_chat("supergroup", "Tavern", bots=[bot], forum=True)
        yield Stage(server, http, bot, tavern, server.add_user("Ana"))
