"""The server inside our loop: ports, signals, ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import time

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from homunculus.errors import InUse, Refused
from homunculus.web.server import Listening, WebServer


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def taken() -> socket.socket:
    busy = socket.socket()
    busy.bind(("127.0.0.1", 0))
    busy.listen()
    return busy


async def test_a_busy_port_that_nobody_wrote_gives_way_to_the_next(taken: socket.socket) -> None:
    with taken:
        port = taken.getsockname()[1]
        server = WebServer(app, port=port)
        at = await server.start()
        assert port < at.port <= port + 100
        async with httpx.AsyncClient() as client:
            assert (await client.get(at.url)).text == "ok"
        await server.aclose()


async def test_a_busy_port_that_was_written_is_an_error(taken: socket.socket) -> None:
    with taken:
        server = WebServer(app, port=taken.getsockname()[1], port_written=True)
        with pytest.raises(InUse, match=r"write a free one as server\.port"):
            await server.start()
        await server.aclose()


async def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Refused, match=r"192\.0\.2\.1"):
        await WebServer(app, host="192.0.2.1", port=0).start()


async def test_signals_stay_ours() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    server = WebServer(app, port=0)
    await server.start()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    await server.aclose()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_closing_is_safe_twice_and_without_a_start_and_frees_the_port() -> None:
    server = WebServer(app, port=0)
    await server.aclose()
    at = await server.start()
    await server.aclose()
    await server.aclose()
    again = WebServer(app, port=at.port, port_written=True)
    assert (await again.start()).port == at.port
    await again.aclose()


async def test_closing_is_bounded_even_with_a_request_that_never_ends() -> None:
    stuck = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        stuck.set()
        await asyncio.Event().wait()

    server = WebServer(endless, port=0)
    at = await server.start()
    _, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(f"GET / HTTP/1.1\r\nHost: {at.host}\r\n\r\n".encode())
    await stuck.wait()
    began = time.monotonic()
    await server.aclose()
    assert time.monotonic() - began < 6
    writer.close()


async def test_streams_are_told_first_on_the_way_down() -> None:
    told = []
    server = WebServer(app, port=0, closing=lambda: told.append(True))
    await server.start()
    await server.aclose()
    assert told == [True]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
        ("bot.lan", "http://bot.lan:80"),
    ],
)
def test_the_address_shown_can_be_opened(host: str, url: str) -> None:
    assert Listening(host, 80).url == url
