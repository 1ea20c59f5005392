"""The `openai` and `openclaw` providers: a thin streaming client for any OpenAI-compatible endpoint.

Owns one endpoint's calls: their number, their time-outs, their size. Never follows a redirect (a key is bound to its
host), never cleans what was said, never retries except to leave out a parameter that the endpoint calls unsupported.

`timeout_seconds` is the longest silence: from the request to the first event, and between two events. Comments of the
stream (keep-alives) do not count as an event. A whole answer may take ten times as long, and a call waits for its turn
no longer than one silence.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import ModelServices, Provider
from homunculus.model import Completion, ModelSpec, Prompt
from homunculus.models import answers, wire
from homunculus.models.answers import Fault, Piece

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

LONGEST_ANSWER = 256 << 10  # bytes of text
CONNECT_SECONDS = 10.0
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


@dataclass(slots=True)
class _Answer:
    """What has been said so far."""

    parts: list[str] = field(default_factory=list)
    size: int = 0
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, piece: Piece) -> None:
        self.parts.append(piece.text)
        self.size += len(piece.text.encode("utf-8", "replace"))
        self.finish = piece.finish or self.finish
        self.tokens_in = piece.tokens_in or self.tokens_in
        self.tokens_out = piece.tokens_out or self.tokens_out
        if self.size > LONGEST_ANSWER:
            raise Refused(f"the answer is longer than {LONGEST_ANSWER >> 10} KiB; lower max_tokens")


class OpenAIModel:
    """One model behind one endpoint."""

    def __init__(self, spec: ModelSpec, session: Callable[[], ClientSession], dialect: Dialect = OPENAI) -> None:
        self.spec = spec
        self._dialect = dialect
        self._session = session
        self._url = f"{(spec.base_url or dialect.base_url).rstrip('/')}/chat/completions"
        self._host = _checked_host(self._url, spec)
        self._name = spec.name or dialect.name
        if not self._name:
            raise Refused(f"{_place(spec)}: name is missing; write the model's name at this endpoint")
        if not _fits_header(spec.agent_id):
            raise Refused(f"{_place(spec)}: agent_id holds a character that no header may carry")
        self._turns = asyncio.Semaphore(max(1, spec.concurrency))
        self._unsupported: frozenset[str] = frozenset()  # parameters that this endpoint said it does not take

    def __repr__(self) -> str:
        return f"<{self._dialect.provider} {self.spec.id}: {self._name} at {self._host}>"

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Ask the endpoint, streaming; `on_text` gets each piece. Raise NotReady or Refused."""
        key = self._key()
        async with self._turn():
            for _ in range(len(_REPLACED) + 1):
                answer = await self._ask(prompt, key, on_text)
                if answer is not None:
                    return self._completion(answer)
        raise Refused(f"{self._host} does not take the parameters of a chat completion")

    async def warm(self, prompt: Prompt) -> None:
        """Do nothing: another's machine is not ours to warm."""

    async def aclose(self) -> None:
        """Do nothing: the session is shared, and each call frees its own connection."""

    def payload(self, prompt: Prompt) -> dict[str, Any]:
        """Return the request body. It has no `user`: OpenClaw would make a session of it."""
        body: dict[str, Any] = {
            "model": self._name,
            "messages": [{"role": message.role, "content": message.content} for message in prompt.messages],
            "max_tokens": self.spec.max_tokens,
            "temperature": self.spec.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.stop:
            body["stop"] = list(prompt.stop[:MOST_STOPS])
        for name in self._unsupported:
            value = body.pop(name, None)
            if _REPLACED[name] and value is not None:
                body[_REPLACED[name]] = value
        return body

    def _key(self) -> str | None:
        secret = self.spec.api_key
        if secret is None:
            return None
        if not secret.value:
            raise Refused(f"{_place(self.spec)}: api_key ({secret.source}) is not set")
        if not _fits_header(secret.value):
            raise Refused(f"{_place(self.spec)}: api_key ({secret.source}) holds a character that no header may carry")
        return secret.value

    def _headers(self, key: str | None) -> dict[str, str]:
        headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        if self._dialect.agent_header and self.spec.agent_id:
            headers[self._dialect.agent_header] = self.spec.agent_id
        return headers

    def _turn(self) -> _Turn:
        return _Turn(self._turns, self.spec.timeout_seconds, self._host)

    async def _ask(self, prompt: Prompt, key: str | None, on_text: Callable[[str], None] | None) -> _Answer | None:
        """Make one call. Return None when the endpoint named a parameter to leave out and it may be tried again."""
        import aiohttp  # a deployment without such a model never pays for it

        session = self._session()
        if session.closed:
            raise NotReady("the program is shutting down")
        answer = _Answer()
        silence = self.spec.timeout_seconds
        limits = aiohttp.ClientTimeout(total=10 * silence, sock_connect=min(CONNECT_SECONDS, silence))
        clock = asyncio.timeout(silence)
        try:
            async with (
                clock,
                session.post(
                    self._url,
                    json=self.payload(prompt),
                    headers=self._headers(key),
                    timeout=limits,
                    allow_redirects=False,
                ) as response,
            ):
                if response.status != 200:
                    self._adapt(await wire.fault(response), response, key)
                    return None
                async with aclosing(self._pieces(response, key)) as pieces:
                    async for piece in pieces:
                        clock.reschedule(asyncio.get_running_loop().time() + silence)
                        answer.add(piece)
                        if piece.text and on_text is not None:
                            on_text(piece.text)
        except aiohttp.InvalidURL as error:
            raise Refused(f"{_place(self.spec)}: base_url is not an address") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise NotReady(f"{self._host} could not be reached within {limits.sock_connect:g} s") from error
        except TimeoutError as error:
            late = f"was silent for {silence:g} s" if clock.expired() else f"took longer than {limits.total:g} s"
            raise NotReady(f"{self._host} {late}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NotReady(f"{self._host}: {_network_fault(error, key)}") from error
        return answer

    async def _pieces(self, response: ClientResponse, key: str | None) -> AsyncGenerator[Piece, None]:
        """Yield what the endpoint says, streamed or whole. Raise NotReady when it stops in the middle."""
        if response.content_type == "application/json":
            yield self._piece(answers.loads(await wire.body(response)), key)
            return
        if response.content_type == "text/html":
            raise Refused(f"{self._host} answered with a web page; check base_url")
        finished = False
        async with aclosing(wire.events(response)) as events:
            async for data in events:
                if data == "[DONE]":
                    return
                piece = self._piece(answers.loads(data), key)
                finished = finished or bool(piece.finish)
                yield piece
        if not finished:
            raise NotReady(f"{self._host} cut its answer short")

    def _piece(self, data: object, key: str | None) -> Piece:
        if not isinstance(data, dict):
            raise NotReady(f"{self._host} answered something that is no chat completion")
        piece = answers.read_piece(data)
        if isinstance(piece, Fault):
            raise answers.raised(piece.status or 500, piece, self._host, key)
        return piece

    def _adapt(self, fault: Fault, response: ClientResponse, key: str | None) -> None:
        """Note a parameter to leave out next time, or raise what the status means."""
        status = response.status
        if 300 <= status < 400:
            where = answers.shown(wire.origin(response.headers.get("Location", "")), key)
            raise Refused(f"{self._host} answered {status}, a redirect to {where}; write the final address as base_url")
        unsupported = status == 400 and fault.code.startswith("unsupported_")
        if unsupported and fault.param in _REPLACED and fault.param not in self._unsupported:
            self._unsupported |= {fault.param}
            return
        raise answers.raised(status, fault, self._host, key, response.headers.get("Retry-After", ""))

    def _completion(self, answer: _Answer) -> Completion:
        text = "".join(answer.parts)
        if self._dialect.note is not None and answer.finish == "length":
            text = self._dialect.note.sub("", text)
        return Completion(text, self.spec.id, self._dialect.provider, answer.tokens_in, answer.tokens_out)


# Parameters that some endpoints call unsupported, and what says the same there ("" is nothing).
_REPLACED: Mapping[str, str] = {
    "max_tokens": "max_completion_tokens",
    "temperature": "",
    "stop": "",
    "stream_options": "",
}


@dataclass(frozen=True, slots=True)
class _Turn:
    """Hold one of the endpoint's places; give up as NotReady after `seconds` in the queue."""

    places: asyncio.Semaphore
    seconds: float
    host: str

    async def __aenter__(self) -> None:
        try:
            async with asyncio.timeout(self.seconds):
                await self.places.acquire()
        except TimeoutError as error:
            raise NotReady(f"{self.host} is busy: no call of ours ended within {self.seconds:g} s") from error

    async def __aexit__(self, *exc: object) -> None:
        self.places.release()


def _network_fault(error: Exception, key: str | None) -> str:
    return answers.shown(str(error), key) or type(error).__name__


def _checked_host(url: str, spec: ModelSpec) -> str:
    """Return host and port, for messages. Raise Refused when a base_url cannot be asked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise Refused(f"{_place(spec)}: base_url is not an http(s) address such as {OPENAI.base_url}")
    if parts.username or parts.password:
        raise Refused(f"{_place(spec)}: base_url carries a name or password; write the key as api_key")
    return f"{host}:{port}" if port else host


def _fits_header(value: str) -> bool:
    return value.isascii() and value.isprintable()


def _place(spec: ModelSpec) -> str:
    return spec.path or f"models.{spec.id}"


def _build_openai(spec: ModelSpec, services: ModelServices) -> OpenAIModel:
    return OpenAIModel(spec, services.session)


def _build_openclaw(spec: ModelSpec, services: ModelServices) -> OpenAIModel:
    return OpenAIModel(spec, services.session, OPENCLAW)


provider = Provider("openai", _build_openai, required=("name",))
openclaw = Provider("openclaw", _build_openclaw, required=("name",))
