"""Who may come in: tokens, cookies, Host, Origin, how often, and what every answer carries."""

from __future__ import annotations

import itertools
from dataclasses import replace

import httpx
import pytest

from homunculus.model import ServerSpec
from homunculus.web.api import OPERATIONS
from homunculus.web.limits import TokenBuckets
from homunculus.web.sessions import CODE_SECONDS, SESSION_SECONDS, Sessions
from tests.unit.web.conftest import AT
from tests.unit.web.stage import TOKEN, Stage

PORT = 8420

GUARDED = ["/api/openapi.json", "/static/chat.js", "/portraits/lin", "/api/nothing", "/favicon.ico"] + [
    operation.path.replace("{chat:path}", "tavern").replace("{message_id:path}", "1")
    for operation in OPERATIONS
    if not operation.public
]


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize("given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
async def test_nothing_but_the_probes_opens_without_the_token(
    stranger: httpx.AsyncClient, path: str, given: str
) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = await stranger.request(method, path, headers={"Authorization": given} if given else {})
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "unauthorized"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text


async def test_probes_answer_strangers(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/healthz")).json() == {"status": "ok"}
    assert (await stranger.get("/readyz", headers={"Host": "10.0.0.7:8420"})).status_code == 200


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:{port}", True),
        ("localhost:{port}", True),
        ("LOCALHOST:{port}", True),
        ("[::1]:{port}", True),
        ("localhost:1", False),
        ("localhost", False),
        ("127.0.0.1.nip.io:{port}", False),
        ("evil.example:{port}", False),
        ("evil.example", False),
        ("npc.example.org", True),
        ("npc.example.org:{port}", True),
        ("npc.example.org:444", False),
        ("chat.example.org:8443", True),
        ("chat.example.org", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["/api/status", "/", "/sign-in"])
async def test_only_known_hosts_are_served(
    stage: Stage, client: httpx.AsyncClient, host: str, known: bool, path: str
) -> None:
    spec = ServerSpec(allowed_hosts=("npc.example.org", "chat.example.org:8443"))
    stage.current = replace(stage.current, server=spec)
    answer = await client.get(path, headers={"Host": host.format(port=PORT)})
    assert (answer.status_code != 403) is known
    if not known:
        assert answer.json()["error"]["code"] == "unknown_host"


ORIGINS = {
    None: None,
    "own": "http://127.0.0.1:{port}",
    "named": "http://localhost:{port}",
    "neighbour": "http://localhost:1",
    "https": "https://127.0.0.1:{port}",
    "null": "null",
    "evil": "http://evil.example",
}


@pytest.mark.parametrize(("who", "origin"), list(itertools.product(["bearer", "session"], ORIGINS)))
async def test_origin_matrix(stage: Stage, stranger: httpx.AsyncClient, who: str, origin: str | None) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"} if who == "bearer" else {"Cookie": await _cookie(stage, stranger)}
    if (value := ORIGINS[origin]) is not None:
        headers["Origin"] = value.format(port=PORT)
    post = await stranger.post("/api/plan", headers=headers)
    read = await stranger.get("/api/status", headers=headers)
    fine = origin in ("own", "named")
    assert (post.status_code == 200) is (fine or (origin is None and who == "bearer"))
    assert (read.status_code == 200) is (fine or origin is None)


@pytest.mark.parametrize(
    ("site", "status"), [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)]
)
async def test_a_page_of_a_neighbour_port_cannot_use_the_cookie(
    stage: Stage, stranger: httpx.AsyncClient, site: str, status: int
) -> None:
    headers = {"Cookie": await _cookie(stage, stranger), "Sec-Fetch-Site": site}
    assert (
        await stranger.get("/api/events" if status == 403 else "/api/status", headers=headers)
    ).status_code == status


async def _cookie(stage: Stage, stranger: httpx.AsyncClient) -> str:
    answer = await stranger.get(f"/sign-in?code={stage.sessions.issue_code()}")
    stranger.cookies.clear()
    return answer.headers["set-cookie"].partition(";")[0]


async def test_a_sign_in_link_works_once_and_sets_a_strict_cookie(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    made = await client.post("/api/sign-in-link")
    assert made.status_code == 201
    link = made.json()["url"]
    assert link.startswith(f"{AT}/sign-in?code=")
    assert (await stranger.head(link)).status_code == 401  # a preview does not use it up
    first = await stranger.get(link)
    assert first.status_code == 200
    cookie = first.headers["set-cookie"]
    assert cookie.startswith(f"homunculus_session_{PORT}=")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}
    assert TOKEN not in cookie
    assert (await stranger.get("/api/status")).status_code == 200
    stranger.cookies.clear()
    second = await stranger.get(link)
    assert second.status_code == 401
    assert "homunculus status" in second.text
    assert "set-cookie" not in second.headers


async def test_the_page_tells_a_stranger_how_to_get_in(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/")
    assert answer.status_code == 401
    assert "homunculus status" in answer.text
    for path in ("/sign-in/page.css", "/sign-in/icon.svg"):
        assert (await stranger.get(path)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/status", "/api/nothing", "/static/chat.js", "/sign-in"])
async def test_every_answer_carries_the_security_headers(stranger: httpx.AsyncClient, path: str) -> None:
    headers = (await stranger.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


async def test_who_asks_too_often_is_told_to_wait(client: httpx.AsyncClient, stage: Stage) -> None:
    while not stage.buckets.take("127.0.0.1"):
        pass
    answer = await client.get("/api/agents")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
    assert answer.headers["retry-after"] == "2"
    assert (await client.get("/healthz")).status_code == 200


def test_a_bucket_gives_its_rate_and_no_more() -> None:
    now = 0.0
    buckets = TokenBuckets(rate=200, clock=lambda: now)
    assert sum(buckets.take("a") == 0 for _ in range(500)) == 200
    assert 0 < buckets.take("a") <= 1 / 200
    assert buckets.take("b") == 0
    now = 0.5
    assert sum(buckets.take("a") == 0 for _ in range(500)) == 100
    now = 1000.0
    assert sum(buckets.take("a") == 0 for _ in range(500)) == 200


def test_codes_and_cookies_end_with_time_and_with_the_token() -> None:
    now = 1_000_000.0
    sessions = Sessions("secret", clock=lambda: now)
    late, code = sessions.issue_code(), sessions.issue_code()
    cookie = sessions.redeem(code)
    assert cookie is not None
    assert "secret" not in cookie
    assert sessions.redeem(code) is None
    assert Sessions("secret", clock=lambda: now).accepts_cookie(cookie)  # a restart
    assert not Sessions("other", clock=lambda: now).accepts_cookie(cookie)
    now += CODE_SECONDS
    assert sessions.redeem(late) is None
    assert sessions.accepts_cookie(cookie)
    now += SESSION_SECONDS
    assert not sessions.accepts_cookie(cookie)


@pytest.mark.parametrize("value", ["", ".", "..", "1.2.3", "a.b.c", "9" * 400 + ".a.b", "1.\udcff.é"])
def test_junk_is_no_cookie(value: str) -> None:
    assert not Sessions("secret").accepts_cookie(value)


def test_links_that_nobody_uses_do_not_pile_up() -> None:
    sessions = Sessions("secret")
    codes = [sessions.issue_code() for _ in range(1000)]
    assert sessions.redeem(codes[0]) is None
    assert sessions.redeem(codes[-1]) is not None
    assert len(sessions._codes) < 100
