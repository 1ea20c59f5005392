"""Put the web part together: operations, pages, the door in front of them. Owns no behaviour of its own.

`build_app(running)` is all that a container needs; `Running` and its Protocols say what it must bring.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

from loguru import logger
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from homunculus.errors import HomunculusError
from homunculus.web import pages
from homunculus.web.api import OPERATIONS
from homunculus.web.auth import CALLER, Guard, SecurityHeaders
from homunculus.web.errors import ApiError, Json, problem, translate
from homunculus.web.limits import TokenBuckets
from homunculus.web.openapi import document
from homunculus.web.operation import Call, Operation, check_body, check_query
from homunculus.web.running import AdapterStatus, Phase, Post, ReloadState, Rooms, Running

__all__ = ["AdapterStatus", "Phase", "Post", "ReloadState", "Rooms", "Running", "build_app"]

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(running: Running, buckets: TokenBuckets | None = None) -> ASGIApp:
    """Build the ASGI application; nothing in it needs a start or an end. `buckets` says who may ask how often."""
    operations = (*OPERATIONS, _describe(running))
    inner = Starlette(
        routes=[*_routes(operations, running), *pages.routes(running)],
        exception_handlers={HTTPException: _not_here},
    )
    return SecurityHeaders(Guard(inner, running, buckets or TokenBuckets()))


def _describe(running: Running) -> Operation:
    async def show_openapi(_: Call) -> Response:
        return Json(document((*OPERATIONS, itself), running.version))

    answers = ((200, "OpenAPI 3.1", {"type": "object"}),)
    itself = Operation("GET", "/api/openapi.json", show_openapi, "This description", answers)
    return itself


def _routes(operations: Iterable[Operation], running: Running) -> Iterator[Route]:
    """Make one route of all operations at a path, so that a refused method is told every other."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = _endpoint(each, running)
    return (Route(path, _by_method(methods), methods=[*methods]) for path, methods in paths.items())


def _by_method(methods: Mapping[str, Endpoint]) -> Endpoint:
    async def chosen(request: Request) -> Response:
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return chosen


def _endpoint(operation: Operation, running: Running) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        try:
            if operation.stream and request.method == "HEAD":
                return Response(media_type="text/event-stream")  # a stream has no end to wait for
            query = check_query(operation.query, request, lenient=operation.public)
            body = await check_body(operation, request) if operation.method != "GET" else {}
            known = request.scope[CALLER] != "nobody"
            return await operation.handler(Call(request, running, body, query, known))
        except ApiError as refusal:
            return problem(refusal)
        except HomunculusError as fault:
            return problem(translate(fault))
        except Exception:  # noqa: BLE001 - the last line: its text may hold anything, so the log has it and the answer has not
            logger.opt(exception=True).error("an API operation failed: {}", operation.handler.__name__)
            return problem(translate(HomunculusError()))

    return endpoint


async def _not_here(_: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(fault.status_code, "refused")
    return problem(ApiError(fault.status_code, code, fault.detail, headers=fault.headers))
