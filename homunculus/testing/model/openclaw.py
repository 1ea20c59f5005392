"""A loopback OpenClaw gateway: the OpenAI protocol, answered by the agent that a header names.

It differs as the real one does: an agent it does not have is `Unknown agent`, a `user` makes a session that remembers,
and an answer that was cut for length ends in a note of the gateway's own.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from homunculus.testing.model.loopback import Body
from homunculus.testing.model.openai import ModelServer, Refusal, said_by

NOTE = "\n\n⚠️ Reply truncated: the model reached its output limit."


class OpenClawServer(ModelServer):
    """A gateway with one key and these agents; without the header the first one answers. `sessions` are those a `user` made."""

    def __init__(self, key: str | None = None, agents: tuple[str, ...] = ("main",)) -> None:
        super().__init__(key)
        self.agents = agents
        self.sessions: dict[str, list[Any]] = {}

    def admit(self, request: web.Request) -> None:
        super().admit(request)
        agent = request.headers.get("x-openclaw-agent-id", self.agents[0])
        if agent not in self.agents:
            raise Refusal(f'Unknown agent "{agent}".')

    def said(self, body: Body, text: str) -> tuple[list[str], str]:
        if "user" in body:
            self.sessions.setdefault(body["user"], []).extend(body["messages"])
        pieces, finish = said_by(body, text)
        return ([*pieces, NOTE], finish) if finish == "length" else (pieces, finish)
