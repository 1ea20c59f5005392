"""The local platform over HTTP, against the real rooms."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import httpx
import pytest

from homunculus.model import AdapterSpec, Receipt
from tests.unit.web.stage import Stage

ANA = {"user": "ana", "text": "hello"}


async def test_a_message_is_delivered_and_answered(stage: Stage, client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/local/@kovach-eod/messages", json=ANA)
    assert answer.status_code == 202
    assert set(answer.json()) == {"id"}
    await asyncio.gather(*stage.turns)
    lines = (await client.get("/api/local/@kovach-eod/messages")).json()["messages"]
    assert [(line["author"], line["user"], line["agent_id"], line["text"]) for line in lines] == [
        ("ana", "ana", None, "hello"),
        ("Kovach", None, "kovach-eod", "You said: hello"),
    ]
    assert lines[0]["id"] == answer.json()["id"]
    after = (await client.get("/api/local/@kovach-eod/messages", params={"after": lines[0]["id"]})).json()["messages"]
    assert after == lines[1:]


async def test_wait_answers_when_the_turn_is_over(stage: Stage, client: httpx.AsyncClient) -> None:
    stage.may_think.clear()
    asked = asyncio.create_task(client.post("/api/local/tavern/messages", json={**ANA, "wait": True}))
    await stage.thinking.wait()
    assert not asked.done()
    stage.may_think.set()
    answer = await asked
    assert answer.status_code == 200
    assert [(reply["agent_id"], reply["author"], reply["text"]) for reply in answer.json()["replies"]] == [
        ("kovach-eod", "Kovach", "You said: hello")
    ]
    assert set(answer.json()["replies"][0]) == {"id", "agent_id", "author", "text"}


async def test_wait_where_nobody_listens_or_a_turn_fails_has_no_replies(
    stage: Stage, client: httpx.AsyncClient
) -> None:
    stage.fails["lin"] = "out of tea"
    for place in ("nowhere at all", "听雨楼"):
        answer = await client.post(f"/api/local/{place}/messages", json={**ANA, "wait": True})
        assert (answer.status_code, answer.json()["replies"]) == (200, [])


async def test_options_reach_the_message(stage: Stage, client: httpx.AsyncClient) -> None:
    heard = []

    async def deliver(message: object) -> Receipt:
        heard.append(message)
        return Receipt.IGNORED

    await stage.adapter.open(deliver)
    await client.post("/api/local/tavern/messages", json={**ANA, "mention": False})
    await client.post("/api/local/tavern/messages", json={**ANA, "dm": True})
    assert [(m.mentioned, m.address.direct) for m in heard] == [(False, False), (True, True)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", ["@kovach-eod", "听雨楼", "a b", "with/slash", "100%", "#1?x=y", "messages"])
async def test_any_name_is_a_place(client: httpx.AsyncClient, place: str) -> None:
    path = f"/api/local/{quote(place, safe='')}/messages"
    assert (await client.post(path, json={**ANA, "wait": True})).status_code == 200
    lines = (await client.get(path)).json()["messages"]
    assert lines[0]["text"] == "hello"


@pytest.mark.parametrize("place", ["%00", "%0A", "a" * 201, "%20"])
async def test_names_that_no_file_can_hold_are_refused(client: httpx.AsyncClient, place: str) -> None:
    assert (await client.get(f"/api/local/{place}/messages")).status_code in (400, 404)


async def test_without_the_local_platform_it_is_not_ready(stage: Stage, client: httpx.AsyncClient) -> None:
    stage.hub.detach(stage.adapter)
    answer = await client.post("/api/local/tavern/messages", json=ANA)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert answer.headers["retry-after"] == "1"
    assert AdapterSpec("local").key == stage.adapter.key


async def test_who_hangs_up_stops_waiting_and_the_turn_goes_on(stage: Stage, caller: httpx.AsyncClient) -> None:
    stage.may_think.clear()
    asked = asyncio.create_task(caller.post("/api/local/tavern/messages", json={**ANA, "wait": True}))
    await stage.thinking.wait()
    assert not stage.hub.left.is_set()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    async with asyncio.timeout(5):
        await stage.hub.left.wait()
    stage.may_think.set()
    await asyncio.gather(*stage.turns)
    assert [post.author for post in stage.hub.posts("tavern")] == ["ana", "Kovach"]
