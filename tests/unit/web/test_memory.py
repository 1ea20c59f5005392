"""The memory of running agents over HTTP, on real namespaces: what is shown, what is changed, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homunculus.errors import NotReady, Refused
from homunculus.memory import none, sqlite
from homunculus.model import Fact, MemorySpec, Note
from tests.unit.web.stage import Stage

LIN, KOVACH, BRANNOC = "/api/memory/tea-house", "/api/memory/kovach-eod", "/api/memory/brannoc"
KEYS = ["id", "text", "score", "time", "source", "session", "date", "private", "gm", "pinned", "curated"]


@pytest.fixture
async def home(stage: Stage, tmp_path: Path) -> AsyncIterator[Path]:
    """Give each agent a memory. Lin's namespace has another name than she has."""
    agents = tuple(replace(a, namespace="tea-house") if a.id == "lin" else a for a in stage.current.agents)
    stage.current = replace(stage.current, agents=agents)
    for agent in agents:
        folder = tmp_path / "agents/bot" / agent.namespace
        stage.namespaces[agent.id] = sqlite.build(folder, tmp_path / "archive/bot", MemorySpec(embeddings="off"))
        await stage.namespaces[agent.id].open()
        (folder / "memory/MEMORY.md").write_text(f"- {agent.id} always knows the canary-of-{agent.id}.\n")
        await stage.namespaces[agent.id].add(
            Note(f"A harpoon, said the canary-of-{agent.id}.", "Bob @ tavern", "4", "12 Oct 1925"),
            Note(f"Another harpoon for the canary-of-{agent.id}.", "Bob @ dm", private="local/local/dm:bob", gm=True),
        )
    yield tmp_path
    for memory in stage.namespaces.values():
        await memory.aclose()


async def facts(client: httpx.AsyncClient, path: str = LIN, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["facts"]
    return found


async def delete(client: httpx.AsyncClient, ident: str, path: str = LIN, **headers: str) -> httpx.Response:
    return await client.request("DELETE", path, json={"id": ident}, headers=headers)


def refused(answer: httpx.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details"}
    assert error["message"]
    return answer.status_code, error["code"]


# --- reading --------------------------------------------------------------------------------------------------------


async def test_every_fact_is_shown_in_order_with_all_that_is_known_of_it(client: httpx.AsyncClient, home: Path) -> None:
    answer = await client.get(LIN)
    assert answer.json()["namespace"] == "tea-house"
    always, said, private = answer.json()["facts"]
    assert [list(fact) for fact in (always, said, private)] == [KEYS] * 3
    assert (always["curated"], always["time"], always["gm"], always["private"]) == (True, None, False, False)
    assert said.items() >= {
        "text": "A harpoon, said the canary-of-lin.", "source": "Bob @ tavern", "session": "4", "date": "12 Oct 1925",
        "score": 0, "private": False, "gm": False, "pinned": False, "curated": False,
    }.items()  # fmt: skip
    assert said["time"].endswith("Z")
    assert (private["private"], private["gm"]) == (True, True)
    assert "dm:bob" not in answer.text  # that it is private is told, and not whose


async def test_a_search_finds_the_best_first_and_no_more_than_wanted(client: httpx.AsyncClient, home: Path) -> None:
    for number in range(12):
        await client.post(LIN, json={"text": f"Lamp number {number} is lit."})
    found = await facts(client, q="lamp")
    assert len(found) == 10
    assert [fact["score"] for fact in found] == sorted((fact["score"] for fact in found), reverse=True)
    assert found[0]["score"] > 0
    assert all("Lamp" in fact["text"] for fact in found)
    assert len(await facts(client, q="lamp", limit=12)) == 12
    assert len(await facts(client, q="lamp", limit=1)) == 1
    assert await facts(client, q="xyzzy") == []
    assert len(await facts(client)) == 15
    assert len(await facts(client, q=" ")) == 15
    assert [fact["curated"] for fact in await facts(client, limit=2)] == [True, False]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "ten", "1.5", "", "１", "1e3", "9" * 30])
async def test_a_limit_that_is_none_is_refused(client: httpx.AsyncClient, home: Path, limit: str) -> None:
    assert refused(await client.get(LIN, params={"limit": limit})) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["lin", "nobody", "..%2ftea-house", "tea-house%00", "TEA-HOUSE", "x" * 5000])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_only_memories_of_the_running_deployment_are_there(
    client: httpx.AsyncClient, home: Path, method: str, name: str
) -> None:
    (home / "agents/bot/nobody/memory").mkdir(parents=True, exist_ok=True)
    body = {"POST": {"text": "x"}, "DELETE": {"id": "a1b2c3"}}.get(method)
    answer = await client.request(method, f"/api/memory/{name}", json=body)
    assert refused(answer) in ((404, "unknown_namespace"), (404, "not_found"))
    assert "canary" not in answer.text


async def test_a_mistyped_memory_is_answered_with_the_nearest(client: httpx.AsyncClient, home: Path) -> None:
    answer = await client.get("/api/memory/tea-hous")
    assert answer.json()["error"]["details"][0]["hint"] == 'did you mean "tea-house"?'


async def test_nothing_of_another_memory_is_shown_or_changed(
    stage: Stage, client: httpx.AsyncClient, home: Path
) -> None:
    paths = {agent.id: f"/api/memory/{agent.namespace}" for agent in stage.current.agents}
    everything = {agent: await facts(client, path) for agent, path in paths.items()}
    for agent, path in paths.items():
        for other in paths.keys() - {agent}:
            shown = [await client.get(path), await client.get(path, params={"q": f"harpoon canary-of-{other}"})]
            shown += [await delete(client, fact["id"], path) for fact in everything[other]]
            assert {answer.status_code for answer in shown[2:]} == {404}
            assert all(f"canary-of-{other}" not in answer.text for answer in shown)
    assert {agent: await facts(client, path) for agent, path in paths.items()} == everything


async def test_a_stranger_sees_nothing(stranger: httpx.AsyncClient, home: Path) -> None:
    assert refused(await stranger.get(LIN)) == (401, "unauthorized")
    assert refused(await stranger.post(LIN, json={"text": "x"})) == (401, "unauthorized")
    assert refused(await delete(stranger, "a1b2c3")) == (401, "unauthorized")


# --- changing -------------------------------------------------------------------------------------------------------


async def test_a_fact_is_added_found_forgotten_and_can_be_restored(
    stage: Stage, client: httpx.AsyncClient, home: Path
) -> None:
    body = {"text": "The lamp\nis broken.", "source": "Ana", "session": "5", "date": "13 Oct", "gm": False}
    answer = await client.post(LIN, json=body)
    fact = answer.json()["fact"]
    assert (answer.status_code, fact["text"]) == (201, "The lamp is broken.")
    assert fact.items() >= {"source": "Ana", "session": "5", "date": "13 Oct", "gm": False, "private": False}.items()
    assert await facts(client) == [*(await facts(client))[:-1], fact]
    assert (await facts(client, q="lamp"))[0]["id"] == fact["id"]
    gone = await delete(client, fact["id"])
    assert (gone.status_code, gone.json()) == (200, {"fact": fact})
    assert await facts(client, q="lamp") == []
    assert refused(await delete(client, fact["id"])) == (404, "unknown_fact")
    await stage.namespaces["lin"].restore(fact["id"])
    assert (await facts(client, q="lamp"))[0]["id"] == fact["id"]


async def test_what_the_owner_adds_is_the_game_masters_unless_said(client: httpx.AsyncClient, home: Path) -> None:
    fact = (await client.post(LIN, json={"text": "The vicar did it."})).json()["fact"]
    assert (fact["gm"], fact["source"]) == (True, "API")


async def test_what_is_known_already_is_answered_as_it_is(client: httpx.AsyncClient, home: Path) -> None:
    first = await client.post(LIN, json={"text": "The vicar did it."})
    again = await client.post(LIN, json={"text": "the VICAR did it", "gm": False})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert again.headers["ETag"] == first.headers["ETag"]


@pytest.mark.parametrize(
    "body",
    [
        {}, {"text": ""}, {"text": " \n\u3000"}, {"text": "\x00\x07"}, {"text": "x" * 4001}, {"text": 1}, {"text": None},
        {"text": "x", "gm": 1}, {"text": "x", "source": ""}, {"text": "x", "source": "a\nb"}, {"text": "x", "session": "s" * 101},
        {"text": "x", "private": "local/local/dm:bob"}, {"text": "x", "sesion": "4"},
    ],
)  # fmt: skip
async def test_a_wrong_fact_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, home: Path, body: dict[str, Any]
) -> None:
    before = await facts(client)
    assert refused(await client.post(LIN, json=body)) == (400, "invalid_request")
    assert await facts(client) == before


async def test_the_longest_fact_is_taken(client: httpx.AsyncClient, home: Path) -> None:
    answer = await client.post(LIN, json={"text": f"  {'灯' * 4000}\n"})
    assert answer.status_code == 201
    assert answer.json()["fact"]["text"] == "灯" * 4000


async def test_what_only_a_person_changes_is_left_to_them(client: httpx.AsyncClient, home: Path) -> None:
    (always, *_) = await facts(client)
    answer = await delete(client, always["id"])
    assert refused(answer) == (409, "curated")
    assert "MEMORY.md" in answer.json()["error"]["message"]
    assert str(home) not in answer.text


async def test_a_deployment_without_memory_says_so(stage: Stage, client: httpx.AsyncClient, tmp_path: Path) -> None:
    stage.current = replace(stage.current, memory=MemorySpec(backend="none"))
    stage.namespaces["brannoc"] = none.build(tmp_path / "brannoc", tmp_path / "archive", MemorySpec())
    assert await facts(client, BRANNOC) == []
    assert await facts(client, BRANNOC, q="x") == []
    assert refused(await client.post(BRANNOC, json={"text": "x"})) == (409, "no_memory")
    assert refused(await delete(client, "a1b2c3", BRANNOC)) == (404, "unknown_fact")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Refused("the disk is full; free some space"), (507, "not_stored")), (NotReady("busy"), (503, "not_ready"))],
)
async def test_what_the_disk_refuses_is_no_fault_of_the_request(
    stage: Stage,
    client: httpx.AsyncClient,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
    expected: Any,
) -> None:
    async def failing(*_: object) -> Fact:
        raise fault

    ident = (await facts(client))[1]["id"]
    for method in ("add", "forget"):
        monkeypatch.setattr(stage.namespaces["lin"], method, failing)
    assert refused(await client.post(LIN, json={"text": "x"})) == expected
    assert refused(await delete(client, ident)) == expected


async def test_a_memory_on_a_disk_that_cannot_be_written_changes_nothing(
    client: httpx.AsyncClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await facts(client)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(home))

    monkeypatch.setattr("homunculus.memory.disk.append", full)
    answer = await client.post(LIN, json={"text": "x"})
    assert refused(answer) == (507, "not_stored")
    assert "free some space" in answer.json()["error"]["message"]
    assert refused(await delete(client, before[1]["id"])) == (507, "not_stored")
    monkeypatch.undo()
    assert await facts(client) == before


async def test_a_fact_that_goes_while_it_is_being_forgotten_is_not_there(
    stage: Stage, client: httpx.AsyncClient, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = stage.namespaces["lin"]
    real, ident = memory.forget, (await facts(client))[1]["id"]

    async def late(fact_id: str) -> Fact:
        await real(fact_id)
        return await real(fact_id)

    monkeypatch.setattr(memory, "forget", late)
    assert refused(await delete(client, ident)) == (404, "unknown_fact")


# --- what was read before -------------------------------------------------------------------------------------------


async def test_a_change_is_refused_when_it_was_meant_for_another_state(client: httpx.AsyncClient, home: Path) -> None:
    seen = (await client.get(LIN)).headers["ETag"]
    assert seen == (await client.get(LIN, params={"q": "harpoon"})).headers["ETag"]
    added = await client.post(LIN, json={"text": "The vicar did it."}, headers={"If-Match": seen})
    assert added.status_code == 201
    now = added.headers["ETag"]
    assert now == (await client.get(LIN)).headers["ETag"] != seen
    before, ident = await facts(client), added.json()["fact"]["id"]
    late = {"If-Match": seen}
    for stale in (await client.post(LIN, json={"text": "y"}, headers=late), await delete(client, ident, **late)):
        assert refused(stale) == (412, "changed")
        assert stale.headers["ETag"] == now
    assert await facts(client) == before
    gone = await delete(client, ident, **{"If-Match": f'"other", {now}'})
    assert gone.status_code == 200
    assert gone.headers["ETag"] == seen


@pytest.mark.parametrize(("match", "status"), [("*", 201), ('W/{}', 412), ('"x"', 412), ("x", 412), ("", 412), ("{}", 201)])  # fmt: skip
async def test_if_match_means_what_http_says(client: httpx.AsyncClient, home: Path, match: str, status: int) -> None:
    tag = (await client.get(LIN)).headers["ETag"]
    answer = await client.post(LIN, json={"text": "x"}, headers={"If-Match": match.format(tag)})
    assert answer.status_code == status


async def test_a_line_that_is_typed_into_a_file_changes_the_tag(client: httpx.AsyncClient, home: Path) -> None:
    seen = (await client.get(LIN)).headers["ETag"]
    (home / "agents/bot/tea-house/memory/2026-01-01.md").write_text("- Typed by hand.\n")
    assert refused(await client.post(LIN, json={"text": "x"}, headers={"If-Match": seen})) == (412, "changed")
    assert (await client.get(KOVACH)).headers["ETag"] != seen


async def test_of_many_changes_meant_for_one_state_one_is_made(client: httpx.AsyncClient, home: Path) -> None:
    seen = (await client.get(LIN)).headers["ETag"]
    answers = await asyncio.gather(
        *(client.post(LIN, json={"text": f"rival {n}"}, headers={"If-Match": seen}) for n in range(8))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [412] * 7
    assert sum("rival" in fact["text"] for fact in await facts(client)) == 1


async def test_nothing_is_changed_while_the_agent_gets_another_character(
    stage: Stage, client: httpx.AsyncClient, home: Path
) -> None:
    async with stage.holds.held("lin", 5):
        waiting = asyncio.create_task(client.post(LIN, json={"text": "x"}))
        assert (await client.post(KOVACH, json={"text": "x"})).status_code == 201
        assert len(await facts(client)) == 3
        assert not waiting.done()
    assert (await waiting).status_code == 201


# --- whatever is sent -----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
BODIES = st.dictionaries(st.sampled_from(["text", "id", "source", "session", "date", "gm", "x"]), JSON, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]),
    body=BODIES,
    query=st.dictionaries(st.sampled_from(["q", "limit", "x"]), st.text(max_size=5)),
)
async def test_whatever_is_sent_is_answered_as_described(
    client: httpx.AsyncClient, home: Path, method: str, body: dict[str, Any], query: dict[str, str]
) -> None:
    described = await _described(client)
    answer = await client.request(
        method, BRANNOC, params=query, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code < 500
    if answer.status_code < 300:
        assert str(answer.status_code) in described[method.lower()]["responses"]
        assert answer.headers["ETag"] == (await client.get(BRANNOC)).headers["ETag"]
    else:
        refused(answer)


async def _described(client: httpx.AsyncClient) -> dict[str, Any]:
    document = (await client.get("/api/openapi.json")).json()
    paths: dict[str, Any] = document["paths"]["/api/memory/{namespace}"]
    return paths


async def test_the_description_tells_what_may_be_given(client: httpx.AsyncClient, home: Path) -> None:
    described = await _described(client)
    assert set(described) == {"get", "post", "delete"}
    limit = next(part for part in described["get"]["parameters"] if part["name"] == "limit")
    assert limit["schema"].items() >= {"type": "integer", "minimum": 1, "maximum": 1000}.items()
    assert described["delete"]["requestBody"]["content"]["application/json"]["schema"]["required"] == ["id"]
    assert described["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]["gm"]["default"]
    assert set(described["post"]["responses"]) == {"200", "201", "404", "409", "412", "507", "default"}
