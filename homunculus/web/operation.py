"""One operation of the API as data: its path, what it takes, what it answers. Routes, checks and OpenAPI all follow from it.

Owns strict reading of bodies and queries: a wrong type, an unknown key, a duplicate key or a number that is none is a 400
that names the place and the fix.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Never

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from homunculus.web.errors import ApiError, detail
from homunculus.web.running import Running

MAX_BODY = 1024 * 1024
_BODY_SECONDS = 30.0

Kind = Literal["string", "boolean", "integer"]
_NUMBER = re.compile(r"-?[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a body or a query. `longest` in characters; a `line` holds no control characters.

    `least` and `most` bound an integer.
    """

    name: str
    kind: Kind = "string"
    required: bool = False
    default: Any = None
    about: str = ""
    longest: int | None = None
    line: bool = False
    least: int | None = None
    most: int | None = None

    @property
    def schema(self) -> dict[str, Any]:
        """Describe it as JSON Schema."""
        described: dict[str, Any] = {"type": self.kind, "description": self.about}
        if self.default is not None:
            described["default"] = self.default
        bounds = {"maxLength": self.longest, "minimum": self.least, "maximum": self.most}
        described |= {key: bound for key, bound in bounds.items() if bound is not None}
        if self.required and self.kind == "string":
            described["minLength"] = 1 if self.line else 0
        return described


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way into an operation, its body and query already checked; `known` tells whether a token was shown."""

    request: Request
    running: Running
    body: Mapping[str, Any]
    query: Mapping[str, Any]
    known: bool

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """What the API can do at one path. `answers` maps a status to what it means and the shape of its JSON."""

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Handler
    summary: str
    answers: tuple[tuple[int, str, dict[str, Any]], ...]
    body: tuple[Field, ...] = ()
    query: tuple[Field, ...] = ()
    optional_body: bool = False
    public: bool = False
    stream: bool = False


def check_query(fields: tuple[Field, ...], request: Request, *, lenient: bool = False) -> dict[str, Any]:
    """Read the query strictly; booleans are 1, true, 0 or false. Probes (`lenient`) may add keys of their own."""
    given: dict[str, Any] = {}
    known = {field.name for field in fields}
    for key, value in request.query_params.multi_items():
        if lenient and key not in known:
            continue
        if key in given:
            _refuse(key, "given twice", "give it once")
        given[key] = value
    for field in fields:
        if field.kind == "boolean" and field.name in given:
            given[field.name] = _switch(field.name, given[field.name])
        elif field.kind == "integer" and field.name in given:
            given[field.name] = _number(field.name, given[field.name])
    return check(fields, given)


def _switch(name: str, value: str) -> bool:
    if value not in ("1", "true", "0", "false", ""):
        _refuse(name, f"{value[:40]!r} is neither yes nor no", "use 1 or 0")
    return value in ("1", "true", "")


def _number(name: str, value: str) -> int:
    if not _NUMBER.fullmatch(value):
        _refuse(name, f"{value[:40]!r} is no whole number", "write it in digits")
    return int(value)


async def check_body(operation: Operation, request: Request) -> dict[str, Any]:
    """Read the body strictly, in bounded space and time."""
    raw = await _read(request)
    if not operation.body:
        return {}
    if not raw and operation.optional_body:
        return check(operation.body, {})
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "not_json", f"the body is {kind[:60]!r}; send application/json")
    return check(operation.body, parse(raw))


async def _read(request: Request) -> bytes:
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            return await _collect(request)
    except TimeoutError:
        raise ApiError(408, "too_slow", f"the body did not arrive within {_BODY_SECONDS:.0f} s") from None
    except ClientDisconnect:
        raise ApiError(400, "gone", "the connection ended before the body did") from None


async def _collect(request: Request) -> bytes:
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= MAX_BODY:
            chunks.append(chunk)
        elif size > 8 * MAX_BODY:  # until here it is read and thrown away, so that the client gets to see the answer
            break
    if size > MAX_BODY:
        raise ApiError(413, "too_large", f"the body is longer than {MAX_BODY} bytes")
    return b"".join(chunks)


def parse(raw: bytes) -> dict[str, Any]:
    """Read a JSON object; refuse duplicate keys, NaN, text that is no Unicode, and deep nesting."""
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeError:
        _refuse("", "the body is not valid UTF-8", "send JSON in UTF-8")
    except RecursionError:
        _refuse("", "the body is nested too deeply", "send a flat object")
    except json.JSONDecodeError as fault:
        _refuse("", f"the body is not JSON: {fault.msg} at {fault.lineno}:{fault.colno}", "send a JSON object")
    except ValueError as fault:
        _refuse("", str(fault), "send plain JSON")
    if not isinstance(document, dict):
        _refuse("", f"the body is {_kind(document)}", "send a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the body has a key twice")
    return found


def _no_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


def check(fields: tuple[Field, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Hold what was given against the fields; raise one ApiError with everything that is wrong."""
    known = {field.name: field for field in fields}
    faults = [_unknown(key, known) for key in given if key not in known]
    for field in fields:
        if field.name in given:
            faults += _faults(field, given[field.name])
        elif field.required:
            faults.append(detail(f'"{field.name}" is missing', path=field.name, hint=field.about))
    if faults:
        raise ApiError(400, "invalid_request", "; ".join(fault["message"] for fault in faults[:3]), faults)
    return {field.name: given.get(field.name, field.default) for field in fields}


def _unknown(key: str, known: Mapping[str, Field]) -> dict[str, str]:
    near = difflib.get_close_matches(key[:60], known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known) or 'none'}"
    return detail(f'unknown key "{key[:60]}"', path=key[:60], hint=hint)


def _faults(field: Field, value: object) -> list[dict[str, str]]:
    wanted = {"string": str, "boolean": bool, "integer": int}[field.kind]
    fault = ""
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        fault = f'"{field.name}" is {_kind(value)}, not {"an" if wanted is int else "a"} {field.kind}'
    elif isinstance(value, str):
        fault = _wrong_text(field, value)
    elif isinstance(value, int):
        fault = _out_of_bounds(field, value)
    return [detail(fault, path=field.name, hint=field.about)] if fault else []


def _wrong_text(field: Field, value: str) -> str:
    if field.longest is not None and len(value) > field.longest:
        return f'"{field.name}" is longer than {field.longest} characters'
    if field.line and (not value.strip() or not value.isprintable()):
        return f'"{field.name}" is empty or holds control characters'
    return ""


def _out_of_bounds(field: Field, value: int) -> str:
    if field.least is not None and value < field.least:
        return f'"{field.name}" is less than {field.least}'
    if field.most is not None and value > field.most:
        return f'"{field.name}" is more than {field.most}'
    return ""


def _kind(value: object) -> str:
    names = {bool: "a boolean", str: "a string", list: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


def _refuse(path: str, fault: str, hint: str) -> Never:
    message = f'"{path}" is {fault}' if path else fault
    raise ApiError(400, "invalid_request", message, [detail(message, path=path, hint=hint)])
