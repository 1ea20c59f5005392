"""The `openai` and `openclaw` providers: the chat completions protocol, spoken to any endpoint that knows it.

Owns the protocol's requests and what sets its dialects apart; the call itself is the Endpoint's. It asks a second time
only to leave out a parameter that the endpoint calls unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homunculus.errors import Refused
from homunculus.interfaces import ModelServices, Provider
from homunculus.model import Completion, ModelSpec, Prompt
from homunculus.models import answers
from homunculus.models.answers import Fault, Piece
from homunculus.models.endpoint import Answer, Endpoint, fits_header, place, utf8

if TYPE_CHECKING:
    from aiohttp import ClientSession

MOST_STOPS = 4  # what the protocol allows
_TRUNCATION_NOTE = re.compile(
    r"\s*(?:\A|\n)[^\w\n]{0,8}reply truncated[^\n]{0,300}\s*\Z|\s*[\[(][^\w\n]{0,8}reply truncated[^\n\])]{0,300}[\])]\W{0,4}\Z",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What sets one kind of endpoint apart from the next."""

    provider: str
    base_url: str
    name: str = ""  # the model asked for where the file names none; "" makes a name required
    agent_header: str = ""
    note: re.Pattern[str] | None = None  # what the endpoint itself adds to an answer that was cut for length


OPENAI = Dialect("openai", "https://api.openai.com/v1")
OPENCLAW = Dialect("openclaw", "http://127.0.0.1:18789/v1", "openclaw", "x-openclaw-agent-id", _TRUNCATION_NOTE)


class OpenAIModel:
    """One model behind one endpoint."""

    def __init__(self, spec: ModelSpec, session: Callable[[], ClientSession], dialect: Dialect = OPENAI) -> None:
        self.spec = spec
        self._dialect = dialect
        url = f"{(spec.base_url or dialect.base_url).rstrip('/')}/chat/completions"
        self._endpoint = Endpoint(spec, session, url, self._hint)
        self._name = spec.name or dialect.name
        if not self._name:
            raise Refused(f"{place(spec)}: name is missing; write the model's name at this endpoint")
        if not fits_header(spec.agent_id):
            raise Refused(f"{place(spec)}: agent_id holds a character that no header may carry")
        self._unsupported: frozenset[str] = frozenset()  # parameters that this endpoint said it does not take

    def __repr__(self) -> str:
        return f"<{self._dialect.provider} {self.spec.id}: {self._name} at {self._endpoint.host}>"

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Ask the endpoint, streaming; `on_text` gets each piece. Raise NotReady or Refused."""
        headers = self._headers(self._endpoint.key())
        async with self._endpoint.turn():
            for _ in range(len(_REPLACED) + 1):
                answer = await self._endpoint.ask(self.payload(prompt), headers, _read, on_text, self._adapt)
                if answer is not None:
                    return self._completion(answer)
        raise Refused(f"{self._endpoint.host} does not take the parameters of a chat completion")

    async def warm(self, prompt: Prompt) -> None:
        """Do nothing: another's machine is not ours to warm."""

    async def aclose(self) -> None:
        """Do nothing: the session is shared, and each call frees its own connection."""

    def payload(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request body. It has no `user`: OpenClaw would make a session of it."""
        body: dict[str, Any] = {
            "model": self._name,
            "messages": [{"role": message.role, "content": utf8(message.content)} for message in prompt.messages],
            "max_tokens": self.spec.max_tokens,
            "temperature": self.spec.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.stop:
            body["stop"] = [utf8(stop) for stop in prompt.stop[:MOST_STOPS]]
        for name in self._unsupported:
            value = body.pop(name, None)
            if _REPLACED[name] and value is not None:
                body[_REPLACED[name]] = value
        return body

    def _headers(self, key: str | None) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if self._dialect.agent_header and self.spec.agent_id:
            headers[self._dialect.agent_header] = self.spec.agent_id
        return headers

    def _adapt(self, fault: Fault) -> bool:
        """Note a parameter to leave out from now on; False when that is not what is wrong."""
        unsupported = fault.status == 400 and fault.code.startswith("unsupported_")
        if unsupported and fault.param in _REPLACED and fault.param not in self._unsupported:
            self._unsupported |= {fault.param}
            return True
        return False

    def _hint(self, fault: Fault) -> str:
        """Say what to do about a gateway that does not know our agent: it has no code for it, only these words."""
        unknown = self._dialect.agent_header and fault.status == 400 and "unknown agent" in fault.message.lower()
        return f"check {place(self.spec)}.agent_id ({self.spec.agent_id or 'none is written'})" if unknown else ""

    def _completion(self, answer: Answer) -> Completion:
        text = answer.text
        if self._dialect.note is not None and answer.finish == "length":
            text = self._dialect.note.sub("", text)
        return answer.completion(self.spec, text)


# Parameters that some endpoints call unsupported, and what says the same there ("" is nothing).
_REPLACED: Mapping[str, str] = {
    "max_tokens": "max_completion_tokens",
    "temperature": "",
    "stop": "",
    "stream_options": "",
}


def _read(data: str | bytes) -> Piece | Fault | None:
    """Read one event, or a whole answer."""
    if data == "[DONE]":
        return Piece(last=True)
    body = answers.loads(data)
    return answers.read_piece(body) if isinstance(body, dict) else None


def _build_openai(spec: ModelSpec, services: ModelServices) -> OpenAIModel:
    return OpenAIModel(spec, services.session)


def _build_openclaw(spec: ModelSpec, services: ModelServices) -> OpenAIModel:
    return OpenAIModel(spec, services.session, OPENCLAW)


provider = Provider("openai", _build_openai, required=("name",))
openclaw = Provider("openclaw", _build_openclaw, required=("name",))
