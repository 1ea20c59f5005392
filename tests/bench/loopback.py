"""The loopback Discord (and a model's endpoint) in a process of its own, so that its CPU time does not count.

It also is the players: it posts, waits for the replies it is owed, and takes the time of both.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from typing import Any

from homunculus.testing.discord import DiscordServer
from homunculus.testing.model import ModelServer
from tests.bench.children import obey
from tests.bench.files import channel_id

TOKENS = ("bench-token-ours", "bench-token-bare")
WORDS = (  # noqa: SIM905 - as one reads it
    "what who where when did you see the old mill river lantern cellar stranger before night after storm door key blood "
    "letter name brother tell truth remember nothing always never again somebody asked about silver road harbour ledger"
).split()
PEOPLE, IN_A_ROW = 1_000, 8
GUILD_SIZE = 500  # Discord's own limit of channels


class Players:
    """Post in many conversations at once, the next message of each as soon as the one before was answered."""

    def __init__(self, server: DiscordServer, channels: list[Any], token: int) -> None:
        self._server, self._channels = server, {str(channel.id): channel for channel in channels}
        self._bot = token
        # A user may cause twenty turns a minute in a conversation, so they take turns, as a table of players does.
        self._people = [server.add_user(f"Player {number}") for number in range(PEOPLE)]
        self._said: Counter[str] = Counter()
        self._chance = random.Random(7)
        self._left = 0
        self._read = 0
        self._owed: dict[str, float] = {}
        self.took: list[float] = []

    async def talk(self, messages: int, conversations: int, patience: float) -> dict[str, Any]:
        """Return how long it took, how long each reply took, and how many replies came."""
        self._read, self._left, self.took = len(self._server.requests), messages, []
        began = time.monotonic()
        for place in list(self._channels)[:conversations]:
            self._say(place)
        await self._server.wait_for(lambda _: self._look(), timeout=patience)
        return {"seconds": time.monotonic() - began, "replies": len(self.took), "took": self.took}

    def _say(self, place: str) -> None:
        if self._left > 0:
            self._left -= 1
            self._owed[place] = time.monotonic()
            who = self._people[self._said[place] // IN_A_ROW % PEOPLE]
            self._said[place] += 1
            self._server.post(self._channels[place], who, self._words())

    def _words(self) -> str:
        """Say something new: a cache must not be asked for the same line again and again."""
        return " ".join(self._chance.choices(WORDS, k=12)) + "?"

    def _look(self) -> bool:
        """Take in what was posted since the last look; True when nothing is owed any more."""
        fresh, self._read = self._server.requests[self._read :], len(self._server.requests)
        for request in fresh:
            parts = request.path.split("/")
            if request.method != "POST" or parts[-1] != "messages" or request.bot != self._bot:
                continue
            if request.status != 200:
                raise RuntimeError(f"a reply was refused: {request}")
            asked = self._owed.pop(parts[2], None)
            if asked is not None:
                self.took.append(request.time - asked)
                self._say(parts[2])
        return not self._owed and self._left <= 0


async def main(channels: int) -> None:
    """Serve until the parent hangs up: one guild set a bot, so that neither hears the other."""
    async with DiscordServer() as server, ModelServer() as model:
        players = []
        for number, token in enumerate(TOKENS):
            bot = server.add_bot(token, name=f"Bot {number}")
            made: list[Any] = []
            for first in range(0, channels, GUILD_SIZE):
                guild = server.add_guild(f"Guild {number}.{first}", bots=[bot])
                for i in range(first, min(first + GUILD_SIZE, channels)):
                    made.append(server.add_channel(guild, f"room-{i}", channel_id(number, i)))
            players.append(Players(server, made, bot.user_id))

        async def where() -> dict[str, str]:
            return {
                "api_base": server.api_base,
                "gateway": server.gateway,
                "model": model.base_url,
                "model_key": model.key,
            }

        async def talk(bot: int, messages: int, conversations: int, patience: float = 120.0) -> dict[str, Any]:
            answer = await players[bot].talk(messages, conversations, patience)
            server.requests.clear()
            return answer

        await obey({"where": where, "talk": talk})


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
