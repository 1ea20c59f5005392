"""Reads an endpoint's response from the network, within limits. Owns sizes; judges nothing that was said."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homunculus.errors import NotReady, Refused
from homunculus.models import answers
from homunculus.models.answers import Fault
from homunculus.models.sse import Events

if TYPE_CHECKING:
    from aiohttp import ClientResponse

LONGEST_STREAM = 16 << 20  # bytes on the wire: JSON around each token weighs fifty times the token
LONGEST_ERROR = 64 << 10


async def events(response: ClientResponse) -> AsyncGenerator[str, None]:
    """Yield the data of each server-sent event. Raise Refused past LONGEST_STREAM, NotReady for no event stream."""
    parser, size = Events(), 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > LONGEST_STREAM:
            raise Refused(f"the answer took more than {LONGEST_STREAM >> 20} MiB on the wire; lower max_tokens")
        try:
            whole = parser.feed(chunk)
        except ValueError as error:
            raise NotReady("the endpoint answered something that is no event stream") from error
        for data in whole:
            yield data
    for data in parser.close():
        yield data


async def body(response: ClientResponse, most: int | None = None) -> bytes:
    """Read a body up to `most` bytes (LONGEST_STREAM); what is beyond is left unread."""
    limit = LONGEST_STREAM if most is None else most
    read = bytearray()
    async for chunk in response.content.iter_any():
        read += chunk
        if len(read) >= limit:
            break
    return bytes(read[:limit])


async def fault(response: ClientResponse) -> Fault:
    """Read what an error response says: JSON of a known shape, or plain text; a web page says nothing."""
    read = await body(response, LONGEST_ERROR)
    data = answers.loads(read)
    if isinstance(data, dict):
        return answers.read_fault(data)
    return Fault(read.decode("utf-8", "replace")) if response.content_type == "text/plain" else Fault()


def origin(address: str) -> str:
    """Return scheme and host of an address: its path and query may carry what is not ours to print."""
    try:
        parts = urlsplit(address)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "another path"
    except ValueError:
        return "an address that is none"
