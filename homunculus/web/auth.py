"""The door: which Host, which Origin, who is calling, how often. Every request passes here before anything reads it.

Owns the order of these checks and the security headers of every answer; never looks at a body.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homunculus.web.errors import ApiError, problem
from homunculus.web.limits import TokenBuckets
from homunculus.web.running import Running

CALLER = "homunculus.caller"
Caller = Literal["bearer", "session", "nobody"]

PROBES = frozenset({"/healthz", "/readyz"})
# The page that asks for a sign-in link cannot ask for a sign-in first, and it should not look bare.
WELCOME = frozenset({"/", "/sign-in", "/sign-in/page.css", "/sign-in/icon.svg"})
_EVERYWHERE = {"", "0.0.0.0", "[::]"}  # noqa: S104 - addresses to listen on, and no names of ours
SAFE = frozenset({"GET", "HEAD"})

_POLICY = "; ".join(
    (
        "default-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def cookie_name(port: int) -> str:
    """Name the session cookie; browsers share cookies between ports, and two bots may run here."""
    return f"homunculus_session_{port}"


class SecurityHeaders:
    """Put the security headers on every answer, refusals and failures included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)


class Guard:
    """Let in who may come in; write into the scope who it is."""

    def __init__(self, app: ASGIApp, running: Running, buckets: TokenBuckets) -> None:
        self._app, self._running = app, running
        self._buckets = buckets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no WebSocket is served, and the life of the program is not the server's business
        headers = Headers(scope=scope)
        caller = self._caller(headers, port(scope))
        scope[CALLER] = caller
        try:
            if scope["path"] not in PROBES:
                self._judge(scope, headers, caller)
        except ApiError as refusal:
            await problem(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _judge(self, scope: Scope, headers: Headers, caller: Caller) -> None:
        self._check_rate(scope)
        self._check_host(scope, headers)
        self._check_origin(scope, headers, caller)
        if caller == "nobody" and scope["path"] not in WELCOME:
            raise ApiError(
                401,
                "unauthorized",
                "a token is needed: send it as `Authorization: Bearer …`, or sign in with the link of `homunculus status`",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _caller(self, headers: Headers, at: int) -> Caller:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._running.sessions.accepts_token(given.strip()):
            return "bearer"
        cookie = cookie_parser(headers.get("cookie", "")).get(cookie_name(at), "")
        return "session" if cookie and self._running.sessions.accepts_cookie(cookie) else "nobody"

    def _check_rate(self, scope: Scope) -> None:
        client = scope.get("client")
        wait = self._buckets.take(client[0] if client else "")
        if wait:
            raise ApiError(429, "too_many_requests", "too many requests", headers={"Retry-After": str(math.ceil(wait))})

    def _check_host(self, scope: Scope, headers: Headers) -> None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts(scope):
            shown = hosts[0][:100] if hosts else ""
            raise ApiError(403, "unknown_host", f"this server is not {shown!r}; list that name in server.allowed_hosts")

    def _check_origin(self, scope: Scope, headers: Headers, caller: Caller) -> None:
        origins = headers.getlist("origin")
        if origins:
            known = len(origins) == 1 and origins[0].lower() in self._origins(scope)
        elif scope["method"] in SAFE:
            # A navigation and a same-origin GET carry no Origin; a page elsewhere on this machine (same site) tells
            # itself apart by this header, which no script can set.
            site = headers.get("sec-fetch-site", "none")
            known = caller == "bearer" or scope["path"] in WELCOME or site in ("none", "same-origin")
        else:
            known = caller != "session"
        if not known:
            raise ApiError(403, "unknown_origin", "this request comes from a page that is not ours")

    def _hosts(self, scope: Scope) -> frozenset[str]:
        return frozenset((*own_hosts(scope, self._running.deployment().server.host), *self._listed(scope)))

    def _origins(self, scope: Scope) -> frozenset[str]:
        own = (f"http://{host}" for host in own_hosts(scope, self._running.deployment().server.host))
        listed = (f"{scheme}://{host}" for host in self._listed(scope) for scheme in ("http", "https"))
        return frozenset((*own, *listed))

    def _listed(self, scope: Scope) -> Iterator[str]:
        for host in self._running.deployment().server.allowed_hosts:
            yield host.lower()
            if ":" not in host.rpartition("]")[2]:
                yield f"{host.lower()}:{port(scope)}"


def port(scope: Scope) -> int:
    """Return the port that took this connection."""
    server = scope.get("server")
    return int(server[1]) if server and server[1] else 0


def own_hosts(scope: Scope, written: str) -> Iterator[str]:
    """List what a browser may call us: the address that took the connection, the written host, the loopback names."""
    at, bound = port(scope), scope["server"][0] if scope.get("server") else ""
    names = {"localhost", "127.0.0.1", "[::1]", _bracketed(bound), _bracketed(written.lower())}
    for name in names - _EVERYWHERE:
        yield f"{name}:{at}"
        if at == 80:
            yield name


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
