"""One endpoint's calls over the shared HTTP session: their number, their time-outs, their size. Knows no protocol.

Never follows a redirect (a key is bound to its host), never cleans what was said, never tries a call again by itself, and
leaves an endpoint alone for as long as its Retry-After asks.

`timeout_seconds` is the longest silence: from the request to the first event, and between two events. Keep-alives do not
count as an event. A whole answer may take ten times as long, and a call waits for its turn no longer than one silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from homunculus.errors import NotReady, Refused
from homunculus.model import Completion, ModelSpec
from homunculus.models import answers, wire
from homunculus.models.answers import Fault, Piece

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

LONGEST_ANSWER = 256 << 10  # bytes of text
CONNECT_SECONDS = 10.0

Read = Callable[[str | bytes], Piece | Fault | None]  # one event, or a whole answer; None is nothing of the protocol
Hear = Callable[[str], None]


@dataclass(slots=True)
class Answer:
    """What has been said so far, and what it cost."""

    parts: list[str] = field(default_factory=list)
    size: int = 0
    finish: str = ""
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_written: int = 0

    @property
    def text(self) -> str:
        return "".join(self.parts)

    def add(self, piece: Piece) -> None:
        """Take one event in; counts are cumulative wherever they come more than once."""
        self.parts.append(piece.text)
        self.size += len(piece.text.encode("utf-8", "replace"))
        self.finish = piece.finish or self.finish
        self.tokens_in = max(self.tokens_in, piece.tokens_in)
        self.tokens_out = max(self.tokens_out, piece.tokens_out)
        self.cache_read = max(self.cache_read, piece.cache_read)
        self.cache_written = max(self.cache_written, piece.cache_written)
        if self.size > LONGEST_ANSWER:
            raise Refused(f"the answer is longer than {LONGEST_ANSWER >> 10} KiB; lower max_tokens")

    def completion(self, spec: ModelSpec, text: str) -> Completion:
        counts = (self.tokens_in, self.tokens_out, self.cache_read, self.cache_written)
        return Completion(text, spec.id, spec.provider, *counts)


class Endpoint:
    """One address that one model is asked at. `hint` adds what a person can do about a fault, in words."""

    def __init__(
        self,
        spec: ModelSpec,
        session: Callable[[], ClientSession],
        url: str,
        hint: Callable[[Fault], str] | None = None,
    ) -> None:
        self._spec, self._session, self._url, self._hint = spec, session, url, hint
        self.host = _checked_host(url, spec)
        # All the mutable state: who is being answered, until when (by the loop's clock) the endpoint asked for rest, and
        # whether a connection may be left from an earlier call.
        self._turns = asyncio.Semaphore(max(1, spec.concurrency))
        self._rest_until = 0.0
        self._connected = False

    def key(self) -> str | None:
        """Return the key, or None where none is written. Raise Refused when it cannot be sent."""
        secret = self._spec.api_key
        if secret is None:
            return None
        if not secret.value:
            raise Refused(f"{place(self._spec)}: api_key ({secret.source}) is not set")
        if not fits_header(secret.value):
            raise Refused(f"{place(self._spec)}: api_key ({secret.source}) holds a character that no header may carry")
        return secret.value

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold one of the endpoint's places. Raise NotReady while it rests, or after one silence in the queue."""
        self._check_rest()
        seconds = self._spec.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._turns.acquire()
        except TimeoutError as error:
            raise NotReady(f"{self.host} is busy: no call of ours ended within {seconds:g} s") from error
        try:
            self._check_rest()
            yield
        finally:
            self._turns.release()

    async def ask(
        self,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        read: Read,
        on_text: Hear | None,
        adapt: Callable[[Fault], bool] = lambda fault: False,
    ) -> Answer | None:
        """Make one call. Return None when `adapt` says that the request can be put otherwise. Raise NotReady or Refused."""
        import aiohttp  # a deployment without such a model never pays for it

        session = self._session()
        if session.closed:
            raise NotReady("the program is shutting down")
        answer = Answer()
        silence = self._spec.timeout_seconds
        limits = aiohttp.ClientTimeout(total=10 * silence, sock_connect=min(CONNECT_SECONDS, silence))
        clock = asyncio.timeout(silence)
        try:
            async with (
                clock,
                await self._post(session, json=body, headers=headers, timeout=limits) as response,
            ):
                if response.status != 200:
                    self._judge(replace(await wire.fault(response), status=response.status), response, adapt)
                    return None
                async with aclosing(self._pieces(response, read)) as pieces:
                    async for piece in pieces:
                        if piece.alive:
                            clock.reschedule(asyncio.get_running_loop().time() + silence)
                        answer.add(piece)
                        if piece.text and on_text is not None:
                            on_text(piece.text)
        except aiohttp.InvalidURL as error:
            raise Refused(f"{place(self._spec)}: base_url is not an address") from error
        except aiohttp.ConnectionTimeoutError as error:
            raise NotReady(f"{self.host} could not be reached within {limits.sock_connect:g} s") from error
        except TimeoutError as error:
            late = f"was silent for {silence:g} s" if clock.expired() else f"took longer than {limits.total:g} s"
            raise NotReady(f"{self.host} {late}") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NotReady(f"{self.host}: {self._shown(str(error)) or type(error).__name__}") from error
        return answer

    async def _post(self, session: ClientSession, **request: Any) -> ClientResponse:
        """Send the request. A kept connection may have been closed by the other side meanwhile: a new one is made then."""
        from aiohttp import ClientConnectorError, ClientOSError, ServerDisconnectedError

        try:
            response = await session.post(self._url, allow_redirects=False, **request)
        except ClientConnectorError:
            raise
        except (ServerDisconnectedError, ClientOSError):
            if not self._connected:
                raise
            self._connected = False
            response = await session.post(self._url, allow_redirects=False, **request)
        self._connected = True
        return response

    async def _pieces(self, response: ClientResponse, read: Read) -> AsyncGenerator[Piece, None]:
        """Yield what the endpoint says, streamed or whole. Raise NotReady when it stops in the middle."""
        if response.content_type == "application/json":
            yield self._piece(read(await wire.body(response)))
            return
        if response.content_type == "text/html":
            raise Refused(f"{self.host} answered with a web page; check base_url")
        finished = False
        async with aclosing(wire.events(response)) as events:
            async for data in events:
                piece = self._piece(read(data))
                yield piece
                if piece.last:
                    return
                finished = finished or bool(piece.finish)
        if not finished:
            raise NotReady(f"{self.host} cut its answer short")

    def _piece(self, read: Piece | Fault | None) -> Piece:
        if read is None:
            raise NotReady(f"{self.host} answered something that is no chat completion")
        if isinstance(read, Fault):
            raise self._raised(read if read.status else replace(read, status=500))
        return read

    def _judge(self, fault: Fault, response: ClientResponse, adapt: Callable[[Fault], bool]) -> None:
        """Return when another request may fare better; raise what the status means otherwise."""
        if 300 <= fault.status < 400:
            where = self._shown(wire.origin(response.headers.get("Location", "")))
            raise Refused(
                f"{self.host} answered {fault.status}, a redirect to {where}; write the final address as base_url"
            )
        if not adapt(fault):
            raise self._raised(fault, response.headers.get("Retry-After", ""))

    def _raised(self, fault: Fault, retry_after: str = "") -> NotReady | Refused:
        secret = self._spec.api_key.value if self._spec.api_key else None
        fix = self._fix(fault)
        error = answers.raised(fault, self.host, secret, retry_after, fix)
        if isinstance(error, NotReady) and error.after:
            self._rest_until = asyncio.get_running_loop().time() + error.after
        return error

    def _fix(self, fault: Fault) -> str:
        """Say what a person can do about it, or nothing."""
        if fault.status == 401:
            secret = self._spec.api_key
            return f"check api_key ({secret.source})" if secret else f"write api_key under {place(self._spec)}"
        return self._hint(fault) if self._hint is not None else ""

    def _check_rest(self) -> None:
        left = self._rest_until - asyncio.get_running_loop().time()
        if left > 0:
            raise NotReady(f"{self.host} asked to be left alone for {ceil(left)} s more", left)

    def _shown(self, text: str) -> str:
        return answers.shown(text, self._spec.api_key.value if self._spec.api_key else None)


def place(spec: ModelSpec) -> str:
    """Name where a model is written."""
    return spec.path or f"models.{spec.id}"


def fits_header(value: str) -> bool:
    """Tell whether a header may carry this."""
    return value.isascii() and value.isprintable()


def utf8(text: str) -> str:
    """Return text that every endpoint can read: half a surrogate pair is none."""
    return text.encode("utf-8", "replace").decode()


def _checked_host(url: str, spec: ModelSpec) -> str:
    """Return host and port, for messages. Raise Refused when a base_url cannot be asked."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise Refused(f"{place(spec)}: base_url is not an http(s) address such as https://api.openai.com/v1")
    if parts.username or parts.password:
        raise Refused(f"{place(spec)}: base_url carries a name or password; write the key as api_key")
    return f"{host}:{port}" if port else host
