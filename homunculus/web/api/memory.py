"""What an NPC remembers, for its owner: every fact of a running deployment, secrets and direct messages included.

Owns shapes and statuses, no memory. A change that was acknowledged is on the disk, and the running NPC knows it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from starlette.responses import Response

from homunculus.errors import Refused
from homunculus.interfaces import Namespace
from homunculus.memory.lines import LONGEST, stamp, worth
from homunculus.model import Fact, Note
from homunculus.web.errors import ApiError, Json, detail
from homunculus.web.etags import check_match, etag
from homunculus.web.operation import Call, Field, Operation

T = TypeVar("T")

_FOUND = 10  # facts of a search, unless more are wanted


async def show_memory(call: Call) -> Response:
    """Show every fact in order, or with `q` those that fit, best first; the tag is that of the whole memory."""
    name, asked, limit = _named(call), (call.query["q"] or "").strip(), call.query["limit"]
    with call.running.memory(name) as memory:
        facts = await memory.facts()
        found = await memory.search(asked, None, limit or _FOUND) if asked else facts[:limit]
    return Json({"namespace": name, "facts": [fact_shown(fact) for fact in found]}, headers=_tagged(facts))


async def add_fact(call: Call) -> Response:
    """Keep a fact; one that is known already is answered as it is."""
    name, note = _named(call), _note(call.body)
    if call.running.deployment().memory.backend == "none":
        raise ApiError(409, "no_memory", "memory.backend is none: nothing is remembered; set it to sqlite")
    async with call.running.changing(name):
        with call.running.memory(name) as memory:
            before = await memory.facts()
            check_match(call.request, _tagged(before)["ETag"])
            (fact,) = await _stored(memory.add(note))
            known = any(fact.id == one.id for one in before)
            return Json({"fact": fact_shown(fact)}, 200 if known else 201, _tagged(await memory.facts()))


async def forget_fact(call: Call) -> Response:
    """Take a fact out; it can be restored from the archive."""
    name, ident = _named(call), call.body["id"]
    async with call.running.changing(name):
        with call.running.memory(name) as memory:
            before = await memory.facts()
            check_match(call.request, _tagged(before)["ETag"])
            _forgettable(name, ident, before)
            fact = await _forgotten(memory, name, ident)
            return Json({"fact": fact_shown(fact)}, headers=_tagged(await memory.facts()))


def fact_shown(fact: Fact) -> dict[str, Any]:
    """Show a fact. `private` says that it belongs to one direct message, and not to whose."""
    return {
        "id": fact.id,
        "text": fact.text,
        "score": round(fact.score, 6),
        "time": stamp(fact.time) if fact.time else None,
        "source": fact.source,
        "session": fact.session,
        "date": fact.date,
        "private": bool(fact.private),
        "gm": fact.gm,
        "pinned": fact.pinned,
        "curated": fact.curated,
    }


def _named(call: Call) -> str:
    """Return the namespace of the path. Raise ApiError when no running agent has it."""
    name, names = call.path("namespace"), [agent.namespace for agent in call.running.deployment().agents]
    if name in names:
        return name
    near = get_close_matches(name[:60], names, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names) or 'none'}"
    fault = f'no agent has the memory namespace "{name[:60]}"; {hint}'
    raise ApiError(404, "unknown_namespace", fault, [detail(fault, path="namespace", hint=hint)])


def _note(body: Any) -> Note:
    note = Note(body["text"], body["source"], body["session"] or "", body["date"] or "", gm=body["gm"])
    try:
        return worth(note)
    except Refused as error:
        wrong = detail(error.reason, path="text", hint=f"one fact of 1 to {LONGEST} characters")
        raise ApiError(400, "invalid_request", error.reason, [wrong]) from error


def _forgettable(name: str, ident: str, facts: Sequence[Fact]) -> None:
    fact = next((fact for fact in facts if fact.id == ident), None)
    if fact is None:
        raise ApiError(404, "unknown_fact", f'{name} has no fact "{ident[:60]}"; GET shows the ids')
    if fact.curated:
        raise ApiError(409, "curated", f"{ident} stands in MEMORY.md, which only a person changes: edit it there")


async def _forgotten(memory: Namespace, name: str, ident: str) -> Fact:
    try:
        return await _stored(memory.forget(ident))
    except ApiError:
        _forgettable(name, ident, await memory.facts())  # it may have gone meanwhile
        raise


async def _stored(change: Awaitable[T]) -> T:
    """Return what a change gives; what the disk refuses is the server's fault, not the request's."""
    try:
        return await change
    except Refused as error:
        raise ApiError(507, "not_stored", error.reason) from error


def _tagged(facts: Sequence[Fact]) -> dict[str, str]:
    return {"ETag": etag([fact_shown(fact) for fact in facts])}


_FACT_SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{key: {"type": "string"} for key in ("id", "text", "source", "session", "date")},
        "score": {"type": "number"},
        "time": {"type": ["string", "null"], "format": "date-time"},
        **{key: {"type": "boolean"} for key in ("private", "gm", "pinned", "curated")},
    },
}
_ONE = {"type": "object", "properties": {"fact": _FACT_SHAPE}, "required": ["fact"]}
_MANY = {
    "type": "object",
    "properties": {"namespace": {"type": "string"}, "facts": {"type": "array", "items": _FACT_SHAPE}},
    "required": ["namespace", "facts"],
}
_ERROR = {"$ref": "#/components/schemas/Error"}
_PATH = "/api/memory/{namespace}"
_REFUSALS = (
    (412, "If-Match names another state; the answer's ETag is the present one", _ERROR),
    (507, "The disk refused, and nothing was changed", _ERROR),
)

OPERATIONS = (
    Operation(
        "GET",
        _PATH,
        show_memory,
        "What an agent remembers",
        ((200, "Facts; the ETag is that of the whole memory", _MANY), (404, "No agent has that memory", _ERROR)),
        query=(
            Field("q", about="what to look for, in any words; absent or blank: every fact in order"),
            Field("limit", "integer", least=1, most=1000, about="how many at most; a search finds 10 unless told"),
        ),
    ),
    Operation(
        "POST",
        _PATH,
        add_fact,
        "Have an agent remember a fact",
        (
            (201, "It is on the disk", _ONE),
            (200, "It was known already, and is left as it was", _ONE),
            (404, "No agent has that memory", _ERROR),
            (409, "The deployment keeps no memory", _ERROR),
            *_REFUSALS,
        ),
        body=(
            Field("text", required=True, about="the fact; line breaks become spaces"),
            Field("source", default="API", longest=200, line=True, about="who said it, and where"),
            Field("session", longest=100, line=True, about="in which session; absent: the one that runs"),
            Field("date", longest=100, line=True, about="when, in the game's world"),
            Field("gm", "boolean", default=True, about="the game master's: no player is shown it"),
        ),
    ),
    Operation(
        "DELETE",
        _PATH,
        forget_fact,
        "Have an agent forget a fact",
        (
            (200, "It is in the archive, from where it can be restored", _ONE),
            (404, "No agent has that memory, or it has no such fact", _ERROR),
            (409, "The fact stands in MEMORY.md, which only a person changes", _ERROR),
            *_REFUSALS,
        ),
        body=(Field("id", required=True, line=True, about="the fact's id, as GET shows it"),),
    ),
)
