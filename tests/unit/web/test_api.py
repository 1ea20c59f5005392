"""What the API answers: health, status, agents, bindings, plan, route, traces, the description of itself."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homunculus.errors import HomunculusError, InUse, NotReady, Refused, Uncertain
from homunculus.model import Address, BindingSpec, ModelProgress, Reply, Trace, TurnEnded
from homunculus.runtime.state import UnsureReply
from homunculus.web.agents import bindings_shown
from homunculus.web.errors import ApiError, translate
from homunculus.web.operation import Field, check, parse
from homunculus.web.traces import Traces
from tests.unit.web.stage import TOKEN, Stage, Status, broken, deployment


async def _ready(client: httpx.AsyncClient, query: str = "") -> tuple[int, dict[str, Any]]:
    answer = await client.get(f"/readyz{query}")
    return answer.status_code, answer.json()


async def test_ready_follows_start_running_and_drain(stage: Stage, client: httpx.AsyncClient) -> None:
    stage.states[:] = [Status("local", None, "ready")]
    stage.now = "starting"
    assert (await _ready(client))[0] == 503
    stage.now = "running"
    assert await _ready(client) == (200, {"status": "ok", "reasons": []})
    stage.now = "draining"
    assert await _ready(client) == (503, {"status": "unavailable", "reasons": ["draining"]})


@pytest.mark.parametrize(
    ("states", "status", "code", "strict"),
    [
        ([], "ok", 200, 200),
        (["ready", "disabled"], "ok", 200, 200),
        (["disabled"], "ok", 200, 200),
        (["ready", "unconfigured"], "degraded", 200, 503),
        (["unconfigured"], "degraded", 200, 503),
        (["ready", "retrying"], "degraded", 200, 503),
        (["ready", "failed"], "degraded", 200, 503),
        (["connecting"], "unavailable", 503, 503),
        (["failed", "retrying", "unconfigured"], "unavailable", 503, 503),
    ],
)
async def test_ready_follows_the_adapters(
    stage: Stage, client: httpx.AsyncClient, states: list[str], status: str, code: int, strict: int
) -> None:
    stage.states[:] = [Status("discord", f"n{n}", state) for n, state in enumerate(states)]
    assert (await client.get("/readyz")).json()["status"] == status
    assert (await _ready(client))[0] == code
    assert (await _ready(client, "?strict=0"))[0] == code
    assert (await _ready(client, "?strict=1"))[0] == strict


async def test_a_broken_file_only_degrades_and_reasons_need_a_token(
    stage: Stage, client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    stage.states[:] = [Status("local", None, "ready")]
    stage.reloads.running_equals_file = False
    assert await _ready(client) == (200, {"status": "degraded", "reasons": ["running != file"]})
    assert await _ready(stranger) == (200, {"status": "degraded"})
    assert (await _ready(stranger, "?strict=1"))[0] == 503


async def test_status_tells_everything_but_secrets(stage: Stage, client: httpx.AsyncClient) -> None:
    stage.reloads.running_equals_file, stage.reloads.errors = False, broken()
    stage.overrides["discord:42:1", "lin", "mode"] = "observe"
    stage.emit(ModelProgress("default", "fetching", 3, 9))
    stage.unremembered.update(failed=2, left_out=1)
    answer = await client.get("/api/status")
    status = answer.json()
    assert (status["version"], status["generation"], status["running_equals_file"]) == ("0.3.0", 7, False)
    assert status["errors"][0] == {
        "location": "deployments/campaigns.yaml:41:14",
        "path": "bindings[2].adapter",
        "message": '"suport" is not configured for telegram',
        "hint": 'did you mean "support"?',
    }
    assert status["overrides"] == [
        {"conversation": "discord:42:1", "agent_id": "lin", "key": "mode", "value": "observe"}
    ]
    assert status["adapters"][2] == {
        "platform": "discord",
        "name": "keeper",
        "runtime_key": "discord:keeper",
        "state": "ready",
        "reason": "",
        "since": 1_795_000_000.0,
        "binding_count": 1,
        "unseen": ["41"],
        "hindrances": ["it cannot read who is there; switch that on"],
    }
    assert [agent["id"] for agent in status["agents"]] == ["kovach-eod", "lin", "brannoc", "odette"]
    assert status["models"][0]["phase"] == "fetching"
    assert status["memory"] == {"failed": 2, "left_out": 1}
    assert "canary" not in answer.text


async def test_a_text_goes_out_through_the_instance_that_is_named(stage: Stage, client: httpx.AsyncClient) -> None:
    asked = {"adapter": "discord:keeper", "target": "dm:42", "text": "Session tonight.\nBring dice."}
    answer = await client.post("/api/broadcast", json=asked)
    assert (answer.status_code, answer.json()) == (200, {"success": True, "ids": ["post-1"]})
    assert stage.said == [("discord:keeper", "dm:42", "Session tonight.\nBring dice.")]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Refused("no such place"), 409, "refused"),
        (NotReady("discord is retrying", 3), 503, "not_ready"),
        (Uncertain("the line was cut"), 502, "uncertain"),
    ],
)
async def test_a_text_that_did_not_go_out_says_whether_to_try_again(
    stage: Stage, client: httpx.AsyncClient, fault: HomunculusError, status: int, code: str
) -> None:
    stage.send_faults["discord"] = fault
    answer = await client.post("/api/broadcast", json={"adapter": "discord", "target": "41", "text": "x"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers.get("Retry-After") == ("3" if code == "not_ready" else None)


async def test_status_lists_the_replies_whose_fate_nobody_knows(stage: Stage, client: httpx.AsyncClient) -> None:
    address = Address("discord", "discord:keeper", "900", "41", space="7", label="discord:keeper:7:41")
    reply = Reply("t.0", "kovach-eod", "Kovach", "The door was open.")
    stage.uncertain.append(UnsureReply(reply, address, "the program ended while it was being sent", 1_795_000_009.0))
    status = (await client.get("/api/status")).json()
    assert status["uncertain"] == [
        {
            "conversation": "discord:keeper:7:41",
            "adapter": "discord:keeper",
            "agent_id": "kovach-eod",
            "author": "Kovach",
            "text": "The door was open.",
            "reason": "the program ended while it was being sent",
            "since": 1_795_000_009.0,
        }
    ]
    assert status["state_fault"] == ""


async def test_a_state_that_cannot_be_written_degrades_and_says_what_to_do(
    stage: Stage, client: httpx.AsyncClient
) -> None:
    stage.states[:] = [Status("local", None, "ready")]
    stage.state_fault = "the disk is full; free some space"
    assert await _ready(client) == (200, {"status": "degraded", "reasons": ["the disk is full; free some space"]})
    assert (await client.get("/api/status")).json()["state_fault"] == "the disk is full; free some space"


async def test_agents_are_shown_as_declared_and_where_they_are_used(client: httpx.AsyncClient) -> None:
    agents = {agent["id"]: agent for agent in (await client.get("/api/agents")).json()["agents"]}
    kovach = agents["kovach-eod"]
    assert (kovach["character"], kovach["model"], kovach["provider"]) == ("kovach", "default", "embedded")
    assert kovach["local_places"] == ["@kovach-eod", "tavern"]
    # The tavern is Kovach's by the first match, whatever a later rule says.
    assert agents["lin"]["local_places"] == ["@lin", "听雨楼"]
    assert {"kind": "binding", "adapter": "discord:keeper", "place": "42 1 2", "name": ""} in kovach["used"]
    assert kovach["card"]["portrait"] is None


async def test_a_disabled_local_platform_has_no_places(stage: Stage, client: httpx.AsyncClient) -> None:
    local = replace(stage.current.adapters[0], enabled=False)
    stage.current = replace(stage.current, adapters=(local, *stage.current.adapters[1:]))
    agents = (await client.get("/api/agents")).json()["agents"]
    assert all(agent["local_places"] == [] for agent in agents)


async def test_a_portrait_is_the_cards_image_and_nothing_else(
    stage: Stage, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    picture, text = tmp_path / "kovach.png", tmp_path / "passwords.txt"
    picture.write_bytes(b"\x89PNG and so on")
    text.write_text("hunter2")
    await _draw(stage, str(picture))
    shown = (await client.get("/api/agents")).json()["agents"][0]["card"]["portrait"]
    answer = await client.get(shown)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.content == picture.read_bytes()
    for avatar in (
        str(text),
        "relative.png",
        "https://elsewhere.example/a.png",
        str(tmp_path),
        str(tmp_path / "no.png"),
    ):
        await _draw(stage, avatar)
        assert (await client.get("/portraits/kovach-eod")).status_code == 404
    assert (await client.get("/portraits/..%2f..%2fetc%2fpasswd")).status_code == 404


async def _draw(stage: Stage, avatar: str) -> None:
    first, *others = stage.current.agents
    drawn = replace(first, character=replace(first.character, avatar=avatar))
    stage.current = replace(stage.current, agents=(drawn, *others))


async def test_bindings_keep_their_order_and_can_be_told_apart(client: httpx.AsyncClient) -> None:
    bindings = (await client.get("/api/bindings")).json()["bindings"]
    assert [(rule["channel"], rule["adapter"]) for rule in bindings] == [
        ("local", None),
        ("discord", "keeper"),
        *[("telegram", "support")] * 3,
    ]
    assert set(bindings[1]) == {
        "id", "agent_id", "channel", "adapter", "guild_id", "workspace_id", "chat_id",
        "channel_ids", "require_mention", "dm_allowed_users", "authority",
    }  # fmt: skip
    assert (bindings[1]["authority"], bindings[0]["authority"]) == ([], None)
    assert bindings[2]["id"] == "stacks"
    assert len({rule["id"] for rule in bindings}) == 5  # two are equal in every field
    only = (await client.get("/api/bindings?agent_id=odette")).json()["bindings"]
    assert only == bindings[2:]
    assert (await client.get("/api/bindings?agent_id=nobody")).json() == {"bindings": []}


def test_a_bindings_id_survives_rules_added_before_it() -> None:
    before = deployment()
    after = replace(before, bindings=(BindingSpec("lin", "discord", guild_id="99"), *before.bindings))
    assert {r["id"] for r in bindings_shown(before)} < {r["id"] for r in bindings_shown(after)}


async def test_plan_answers_changes_or_every_error(client: httpx.AsyncClient) -> None:
    plan = (await client.post("/api/plan", json={"text": "hello"})).json()
    assert plan["changes"][0] == {
        "kind": "agent",
        "action": "change",
        "name": "lin",
        "effect": "hot",
        "detail": "hello",
    }
    assert plan["needs_process"] is True
    assert "lin (hello)" in plan["text"]
    assert (await client.post("/api/plan")).json()["changes"][0]["detail"] == "the file"
    refused = await client.post("/api/plan", json={"text": "broken"})
    assert refused.status_code == 422
    error = refused.json()["error"]
    assert error["code"] == "invalid_deployment"
    assert [detail["location"] for detail in error["details"]] == [
        "deployments/campaigns.yaml:41:14",
        "deployments/campaigns.yaml:9:5",
    ]


async def test_route_passes_on_the_arguments_of_the_command(client: httpx.AsyncClient) -> None:
    asked = {"platform": "discord", "guild": "42", "mention": True}
    answer = (await client.post("/api/route", json=asked)).json()
    assert answer["agent_id"] == "lin"
    assert answer["asked"] == {
        "platform": "discord", "adapter": None, "guild": "42", "workspace": None, "channel": None,
        "chat": None, "user": None, "dm": False, "mention": True,
    }  # fmt: skip


async def test_a_surprise_is_a_500_that_tells_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/plan", json={"text": "explode"})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal"
    assert "surprise" not in answer.text
    assert TOKEN not in answer.text
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "an array"),
        (b"null", "null"),
        (b'"x"', "a string"),
        (b"1", "a number"),
        (b"\xff\xfe", "UTF-8"),
        (b'{"user": "a", "user": "b", "text": ""}', "twice"),
        (b'{"user": NaN, "text": ""}', "NaN is not JSON"),
        (b'{"user": "a", "text": "\\ud800"}', "UTF-8"),
        (b'{"user": "a"}', '"text" is missing'),
        (b'{"user": "a", "text": 1}', '"text" is a number, not a string'),
        (b'{"user": "a", "text": null}', '"text" is null, not a string'),
        (b'{"user": "a", "text": "", "wait": 1}', '"wait" is a number, not a boolean'),
        (b'{"user": "a", "text": "", "mention": "true"}', '"mention" is a string, not a boolean'),
        (b'{"user": "", "text": ""}', '"user" is empty'),
        (b'{"user": "a\\nb", "text": ""}', "control characters"),
        (b'{"user": "a", "text": "", "wiat": true}', 'unknown key "wiat"'),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"user": ' + b"9" * 5000 + b', "text": ""}', ""),
    ],
)
async def test_a_wrong_body_is_a_400_that_says_what_is_wrong(
    client: httpx.AsyncClient, stage: Stage, body: bytes, said: str
) -> None:
    answer = await client.post("/api/local/tavern/messages", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid_request"
    assert said in error["message"]
    assert stage.hub.posts("tavern") == ()


async def test_an_unknown_key_gets_a_suggestion(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/local/tavern/messages", json={"user": "a", "text": "", "wiat": True})
    assert answer.json()["error"]["details"][0]["hint"] == 'did you mean "wait"?'


async def test_only_json_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/plan", content="text=x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413), (3 * 1024 * 1024, 413)])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_a_mebibyte_at_most(caller: httpx.AsyncClient, size: int, status: int, chunked: bool) -> None:
    body = b'{"text": "' + b"a" * (size - 12) + b'"}'

    async def pieces() -> Any:
        for start in range(0, size, 65536):
            yield body[start : start + 65536]

    answer = await caller.post(
        "/api/plan", content=pieces() if chunked else body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status


async def test_queries_are_as_strict_as_bodies(client: httpx.AsyncClient) -> None:
    for path in ("/api/bindings?agent=x", "/api/bindings?agent_id=a&agent_id=b", "/readyz?strict=maybe"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


async def test_unknown_paths_and_methods_answer_in_the_same_form(client: httpx.AsyncClient) -> None:
    missing, wrong = await client.get("/api/nothing"), await client.delete("/api/status")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["allow"]
    several = await client.put("/api/memory/lin")
    assert set(several.headers["allow"].split(", ")) == {"GET", "HEAD", "POST", "DELETE"}
    assert set(missing.json()["error"]) == {"code", "message", "details"}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (NotReady("busy", 7.2), 503, "not_ready"),
        (Refused("no"), 409, "refused"),
        (Uncertain("maybe"), 502, "uncertain"),
        (InUse("it", "them"), 409, "in_use"),
        (HomunculusError("secret"), 500, "internal"),
    ],
)
def test_an_exceptions_type_decides_the_status(fault: HomunculusError, status: int, code: str) -> None:
    error = translate(fault)
    assert (error.status, error.code) == (status, code)
    assert error.headers.get("Retry-After") == ("8" if status == 503 else None)
    assert "secret" not in error.message


async def test_the_description_lists_what_exists(client: httpx.AsyncClient) -> None:
    document = (await client.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/healthz", "/readyz", "/api/status", "/api/agents", "/api/bindings", "/api/plan", "/api/route", "/api/broadcast",
        "/api/local/{chat}/messages", "/api/events", "/api/trace/{message_id}", "/api/sign-in-link", "/api/openapi.json",
        "/api/memory/{namespace}",
    }  # fmt: skip
    say = document["paths"]["/api/local/{chat}/messages"]["post"]
    shape = say["requestBody"]["content"]["application/json"]["schema"]
    assert shape["required"] == ["user", "text"]
    assert shape["additionalProperties"] is False
    assert shape["properties"]["mention"]["default"] is True
    assert say["parameters"][0]["name"] == "chat"
    for path, methods in document["paths"].items():  # every operation of the description exists
        for method in methods:
            if path == "/api/events":
                continue
            real = re.sub(r"\{\w+\}", "x", path)
            answer = await client.request(method, real)
            assert answer.status_code not in (404, 405) or "unknown_" in answer.json()["error"]["code"]


async def test_a_trace_is_found_by_message_and_by_reply(stage: Stage, client: httpx.AsyncClient) -> None:
    body = {"user": "ana", "text": "hello", "wait": True}
    said = (await client.post("/api/local/@kovach-eod/messages", json=body)).json()
    for message_id in (said["id"], said["replies"][0]["id"]):
        trace = (await client.get(f"/api/trace/{message_id}")).json()
        assert (trace["model"], trace["provider"], trace["outcome"]) == ("default", "embedded", "answered")
        assert [stage["stage"] for stage in trace["stages"]] == ["gate", "prompt", "model", "deliver"]
    unknown = await client.get("/api/trace/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_message")


def test_only_the_newest_traces_are_kept() -> None:
    traces, place = Traces(kept=3), Address("local", "local", "local", "tavern")
    for number in range(10):
        traces.observe(TurnEnded(place, Trace(f"t{number}", (f"m{number}",), "tavern", "lin", "", "silent")))
    assert [n for n in range(10) if traces.find(f"m{n}")] == [7, 8, 9]
    assert len(traces._turn_of) == 3


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    Field("user", required=True, line=True),
    Field("text", required=True),
    Field("wait", "boolean", default=False),
    Field("limit", "integer", least=1, most=9),
)


@given(st.dictionaries(st.sampled_from(["user", "text", "wait", "limit", "x"]), VALUES))
def test_checked_bodies_hold_exactly_what_was_declared(body: dict[str, Any]) -> None:
    """Whatever is sent, it is either refused with places or becomes exactly the declared keys with the declared types."""
    fine = (
        set(body) <= {"user", "text", "wait", "limit"}
        and isinstance(body.get("text"), str)
        and isinstance(body.get("user"), str)
        and body["user"].strip() != ""
        and body["user"].isprintable()
        and isinstance(body.get("wait", False), bool)
        and type(body.get("limit", 1)) is int
        and 1 <= body.get("limit", 1) <= 9
    )
    if fine:
        assert check(FIELDS, body) == {"wait": False, "limit": None, **body}
        return
    with pytest.raises(ApiError) as refusal:
        check(FIELDS, body)
    assert refusal.value.status == 400
    assert refusal.value.details


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_are_an_object_or_a_400(raw: bytes) -> None:
    try:
        expected = json.loads(raw.decode())
    except ValueError:
        expected = None
    if not isinstance(expected, dict):
        with pytest.raises(ApiError) as refusal:
            parse(raw)
        assert refusal.value.status == 400
    else:
        assert parse(raw) == expected


async def test_reading_a_slow_body_does_not_hold_up_others(caller: httpx.AsyncClient, url: str) -> None:
    _, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    head = (
        f"POST /api/plan HTTP/1.1\r\nHost: {url[7:]}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 99\r\n\r\n{{"
    )
    writer.write(head.encode())
    await writer.drain()
    assert (await caller.get("/api/agents")).status_code == 200
    writer.close()
    await writer.wait_closed()
