"""Server-sent events: order, the bounded past, slow readers, ends. Read from the bytes, as a browser would."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.model import AdapterChanged, Event, ModelProgress, Reloaded
from homunculus.web.events import EventHub, TooManyReaders
from tests.unit.web.conftest import BEARER
from tests.unit.web.stage import TOKEN, Stage


async def frames(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Read frames by the rules of the format: fields up to an empty line, comments skipped."""
    frame: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if not line:
            if "data" in frame:
                yield frame
            frame = {}
        elif not line.startswith(":"):
            key, _, value = line.partition(":")
            frame[key] = value.removeprefix(" ")


async def take(answer: httpx.Response, count: int) -> list[tuple[str, Any, int]]:
    found: list[tuple[str, Any, int]] = []
    async with asyncio.timeout(5):
        async for frame in frames(answer):
            found.append((frame["event"], json.loads(frame["data"]), int(frame["id"])))
            if len(found) == count:
                break
    return found


async def test_a_conversation_is_told_as_it_happens(stage: Stage, caller: httpx.AsyncClient) -> None:
    async with caller.stream("GET", "/api/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        await caller.post("/api/local/tavern/messages", json={"user": "ana", "text": "<b>hi\n</b>"})
        stage.emit(Reloaded("refused", 7, errors=("a.yaml:1:2: x: wrong",)))
        seen = await take(stream, 4)
    kinds = [kind for kind, _, _ in seen]
    assert sorted(kinds) == ["message", "reload", "reply", "turn"]
    assert kinds[0] == "message"
    told = {kind: data for kind, data, _ in seen}
    assert told["message"]["text"] == "<b>hi\n</b>"
    assert (told["message"]["place"], told["message"]["agent_id"]) == ("tavern", "kovach-eod")
    assert (told["reply"]["author"], told["reply"]["conversation"]) == ("Kovach", "local:tavern")
    assert told["turn"]["message_ids"] == [told["message"]["id"]]
    assert told["reload"]["errors"] == ["a.yaml:1:2: x: wrong"]
    ids = [number for _, _, number in seen]
    assert ids == sorted(set(ids))


async def test_a_reader_that_comes_back_gets_what_it_missed(stage: Stage, caller: httpx.AsyncClient) -> None:
    async with caller.stream("GET", "/api/events") as stream:
        stage.emit(AdapterChanged("a", "ready"))
        [(_, _, last)] = await take(stream, 1)
    for name in "bcd":
        stage.emit(AdapterChanged(name, "ready"))
    async with caller.stream("GET", "/api/events", headers={"Last-Event-ID": str(last)}) as stream:
        assert [data["runtime_key"] for _, data, _ in await take(stream, 3)] == ["b", "c", "d"]


@pytest.mark.parametrize("last", ["1", "9" * 18, "x", "-1", "٣", "9" * 500])
async def test_an_id_that_is_not_ours_is_a_gap(caller: httpx.AsyncClient, last: str) -> None:
    async with caller.stream("GET", "/api/events", headers=[(b"Last-Event-ID", last.encode())]) as stream:
        assert [kind for kind, _, _ in await take(stream, 1)] == ["gap"]


async def test_closing_ends_every_stream_at_once(stage: Stage) -> None:
    async with (
        stage.up() as at,
        httpx.AsyncClient(base_url=at.url, headers=BEARER, timeout=10) as caller,
        caller.stream("GET", "/api/events") as stream,
        asyncio.timeout(2),
    ):
        stage.events.close()
        await stream.aread()


async def test_a_server_that_moved_streams_again(stage: Stage) -> None:
    for _ in range(2):
        async with (
            stage.up() as at,
            httpx.AsyncClient(base_url=at.url, headers=BEARER, timeout=10) as caller,
            caller.stream("GET", "/api/events") as stream,
        ):
            stage.emit(AdapterChanged("a", "ready"))
            assert len(await take(stream, 1)) == 1


async def test_a_reader_that_left_is_forgotten(stage: Stage, caller: httpx.AsyncClient) -> None:
    async with caller.stream("GET", "/api/events"):
        [reader] = stage.events._readers
    async with asyncio.timeout(5):
        await reader.over.wait()
    assert not stage.events._readers


async def test_a_slow_reader_is_dropped_and_holds_up_nobody(stage: Stage, caller: httpx.AsyncClient, url: str) -> None:
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.settimeout(0)
    host, port = url[7:].split(":")
    await asyncio.get_running_loop().sock_connect(slow, (host, int(port)))
    head = f"GET /api/events HTTP/1.1\r\nHost: {url[7:]}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    await asyncio.get_running_loop().sock_sendall(slow, head.encode())
    async with asyncio.timeout(20):
        await asyncio.get_running_loop().sock_recv(slow, 16)
        [reader] = stage.events._readers
        for number in range(5000):
            stage.emit(AdapterChanged(f"a{number}", "failed", "x" * 4000))
            if number % 20 == 0:
                await asyncio.sleep(0)
            if reader.dropped:
                break
        assert reader.dropped
        assert not stage.events._readers
        assert (await caller.get("/healthz")).status_code == 200
    slow.close()


async def test_who_heard_nothing_yet_can_come_back_too(stage: Stage, caller: httpx.AsyncClient) -> None:
    async with caller.stream("GET", "/api/events") as stream:
        welcome = [line async for line in _first(stream)]
    [last] = [line.removeprefix("id: ") for line in welcome if line.startswith("id: ")]
    stage.emit(AdapterChanged("a", "ready"))
    async with caller.stream("GET", "/api/events", headers={"Last-Event-ID": last}) as stream:
        assert [data["runtime_key"] for _, data, _ in await take(stream, 1)] == ["a"]


async def _first(answer: httpx.Response) -> AsyncIterator[str]:
    async for line in answer.aiter_lines():
        if not line:
            return
        yield line


async def test_a_quiet_stream_has_heartbeats() -> None:
    hub = EventHub(heartbeat=0.01)
    reader = hub.subscribe()
    seen = []
    async with asyncio.timeout(5):
        async for frame in reader.frames():
            seen.append(frame)
            if len(seen) == 3:
                break
    assert seen[1:] == [b": still here\n\n"] * 2
    reader.leave()


def test_there_is_an_end_to_streams() -> None:
    hub = EventHub()
    readers = [hub.subscribe() for _ in range(64)]
    with pytest.raises(TooManyReaders):
        hub.subscribe()
    readers[0].leave()
    hub.subscribe()


def test_events_without_a_picture_are_not_sent() -> None:
    hub = EventHub()
    hub.observe(Event())
    assert not hub._past


def test_the_last_progress_of_each_model_is_kept() -> None:
    hub = EventHub()
    for done in (1, 2, 3):
        hub.observe(ModelProgress("a", "fetching", done, 9))
    hub.observe(ModelProgress("b", "ready"))
    assert [(p["model"], p["done"], p["phase"]) for p in hub.progress()] == [("a", 3, "fetching"), ("b", 0, "ready")]


def test_a_download_does_not_flood_the_stream() -> None:
    now = 100.0
    hub = EventHub(clock=lambda: now)
    for done in range(1000):
        now += 0.001
        hub.observe(ModelProgress("a", "fetching", done, 1000))
    hub.observe(ModelProgress("a", "loading"))
    hub.observe(ModelProgress("a", "ready"))
    phases = [json.loads(told.frame().split(b"data: ")[1])["phase"] for told in hub._past]
    assert 4 <= phases.count("fetching") <= 6
    assert phases[-2:] == ["loading", "ready"]


async def test_a_stream_can_be_asked_for_its_head(caller: httpx.AsyncClient) -> None:
    async with asyncio.timeout(5):
        answer = await caller.head("/api/events")
    assert answer.headers["content-type"].startswith("text/event-stream")


@given(past=st.integers(1, 20), total=st.integers(0, 40), data=st.data())
def test_a_reader_never_silently_misses_an_event(past: int, total: int, data: st.DataObject) -> None:
    """After any Last-Event-ID: either a gap, or exactly the events after it, in order."""
    hub = EventHub(past=past)
    start = hub._first
    for number in range(1, total + 1):
        hub.observe(AdapterChanged(str(number), "ready"))
    seen = data.draw(st.integers(0, total))
    reader = hub.subscribe(str(start + seen))
    told = [frame for frame in reader._frames if b"event:" in frame]
    if total - seen <= past:
        keys = [json.loads(frame.split(b"data: ")[1])["runtime_key"] for frame in told]
        assert keys == [str(number) for number in range(seen + 1, total + 1)]
    else:
        assert len(told) == 1
        assert b"event: gap" in told[0]
