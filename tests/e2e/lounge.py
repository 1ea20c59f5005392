"""The Lounge of docs/adding-a-platform.md on the loopback: one JSON object a line, one account, people who speak."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import count
from typing import Any, Self

TOKEN = "lounge-token"
LONGEST = 500


class Lounge:
    """Serve the Lounge; `async with Lounge() as lounge`. It hangs up on a line that is no object, or too long a post."""

    def __init__(self) -> None:
        self.logins = 0
        self._port = 0
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.StreamWriter] = set()
        self._said: list[tuple[str, str, str, str]] = []  # id, place, user, text
        self._keys: dict[str, str] = {}
        self._changed = asyncio.Condition()
        self._ids = count(1)

    @property
    def base(self) -> str:
        return f"tcp://127.0.0.1:{self._port}"

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            await self._server.wait_closed()

    def cut(self) -> None:
        for writer in self._inside:
            writer.transport.abort()
        self._inside.clear()

    async def __aenter__(self) -> Self:
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()

    async def say(self, place: str, user: str, text: str, *, mention: bool = False) -> str:
        ident = str(next(self._ids))
        self._said.append((ident, place, user, text))
        line = {"id": ident, "place": place, "user": user, "name": user.title(), "text": text, "mention": mention}
        for writer in self._inside:
            self._tell(writer, **line, time=time.time())
        async with self._changed:
            self._changed.notify_all()
        return ident

    async def posts(self, place: str, number: int) -> list[tuple[str, str]]:
        """Wait until the bot has posted so often in a place; return id and text of each."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(self._posts(place)) >= number)
        return self._posts(place)

    def _posts(self, place: str) -> list[tuple[str, str]]:
        return [(ident, text) for ident, where, user, text in self._said if (where, user) == (place, "bot")]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("lounge session")
        try:
            if json.loads(await reader.readline() or b"{}").get("token") != TOKEN:
                self._tell(writer, error="nobody has this token")
                return
            self.logins += 1
            self._tell(writer, account="bot")
            self._inside.add(writer)
            while line := await reader.readline():
                await self._take(json.loads(line), writer)
        except (ConnectionError, ValueError):
            return  # cut by a test, or hung up on
        finally:
            self._inside.discard(writer)
            writer.close()

    async def _take(self, post: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if len(post["text"]) > LONGEST:
            raise ValueError("too long")
        if post["key"] not in self._keys:
            self._keys[post["key"]] = await self.say(post["place"], "bot", post["text"])
        self._tell(writer, posted=self._keys[post["key"]], key=post["key"])

    def _tell(self, writer: asyncio.StreamWriter, **what: object) -> None:
        writer.write(json.dumps(what).encode() + b"\n")
