"""The `anthropic` provider: Anthropic's Messages API, streaming, with the stable part of a prompt cached there.

Owns the protocol's requests; the call itself is the Endpoint's, and what is answered is read by `messages`. No temperature
is sent: the present models refuse a request that names one, and the older ones do without.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from homunculus.errors import Refused
from homunculus.interfaces import ModelServices, Provider
from homunculus.model import ChatMessage, Completion, ModelSpec, Prompt
from homunculus.models import messages
from homunculus.models.endpoint import Endpoint, place, utf8

if TYPE_CHECKING:
    from aiohttp import ClientSession

BASE_URL = "https://api.anthropic.com"
VERSION = "2023-06-01"  # of the protocol: the one that every endpoint knows
BEGIN = "…"  # said by nobody: a conversation must begin, and end, with a user's message that is not blank

Block = dict[str, Any]


class AnthropicModel:
    """One model behind one endpoint that speaks the Messages API."""

    def __init__(self, spec: ModelSpec, session: Callable[[], ClientSession]) -> None:
        self.spec = spec
        if not spec.name:
            raise Refused(f"{place(spec)}: name is missing; write the model's name, such as claude-haiku-4-5")
        self._endpoint = Endpoint(spec, session, address(spec.base_url))

    def __repr__(self) -> str:
        return f"<anthropic {self.spec.id}: {self.spec.name} at {self._endpoint.host}>"

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Ask the endpoint, streaming; `on_text` gets each piece. Raise NotReady or Refused."""
        headers = self._headers()
        async with self._endpoint.turn():
            answer = await self._endpoint.ask(self.payload(prompt), headers, messages.read, on_text)
        if answer is None or answer.finish == "refusal":
            raise Refused(f"{self._endpoint.host} declined to answer this prompt")
        return answer.completion(self.spec, answer.text)

    async def warm(self, prompt: Prompt) -> None:
        """Do nothing: the first answer fills the cache, and a call for nothing else would cost as much."""

    async def aclose(self) -> None:
        """Do nothing: the session is shared, and each call frees its own connection."""

    def payload(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request body: what is stable is marked for the cache, and speakers take turns."""
        body: dict[str, Any] = {
            "model": self.spec.name,
            "max_tokens": self.spec.max_tokens,
            "messages": in_turns(prompt.messages),
            "stream": True,
        }
        if system := instructions(prompt):
            body["system"] = system
        if stops := [utf8(stop) for stop in prompt.stop if stop.strip()]:
            body["stop_sequences"] = stops
        return body

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "text/event-stream",
            "Content-Type": "application/json",
            "anthropic-version": VERSION,
        }
        key = self._endpoint.key()
        if key is None and not self.spec.base_url:
            raise Refused(f"{place(self.spec)}: api_key is missing; write api_key: env:ANTHROPIC_API_KEY")
        return headers if key is None else {**headers, "x-api-key": key}


def address(base_url: str) -> str:
    """Return where messages are posted: a base_url may be written with or without its `/v1`."""
    base = (base_url or BASE_URL).rstrip("/")
    try:
        versioned = re.search(r"/v[0-9]+$", urlsplit(base).path) is not None
    except ValueError:
        versioned = False  # the endpoint says what is wrong with it
    return f"{base}/messages" if versioned else f"{base}/v1/messages"


def instructions(prompt: Prompt) -> list[Block]:
    """Return every system text in its order; the last of the stable ones is where the cached part ends.

    The protocol takes instructions beside the conversation, not in it, so what stands after the players' words moves here.
    """
    blocks: list[Block] = []
    cached = None
    for ordinal, message in enumerate(prompt.messages):
        if message.role == "system" and message.content.strip():
            blocks.append({"type": "text", "text": utf8(message.content)})
            cached = blocks[-1] if ordinal < prompt.stable else cached
    if cached is not None:
        cached["cache_control"] = {"type": "ephemeral"}
    return blocks


def in_turns(said: Iterable[ChatMessage]) -> list[dict[str, str]]:
    """Return the conversation as users and assistant in turns, beginning and ending with a user; nothing is blank."""
    turns: list[dict[str, str]] = []
    for message in said:
        text = utf8(message.content)
        if message.role == "system" or not text.strip():
            continue
        if turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += f"\n{text}"
        else:
            turns.append({"role": message.role, "content": text})
    if not turns or turns[0]["role"] == "assistant":
        turns.insert(0, {"role": "user", "content": BEGIN})
    if turns[-1]["role"] == "assistant":
        turns.append({"role": "user", "content": BEGIN})
    return turns


def _build(spec: ModelSpec, services: ModelServices) -> AnthropicModel:
    return AnthropicModel(spec, services.session)


provider = Provider("anthropic", _build, needs_key=True, required=("name",))
