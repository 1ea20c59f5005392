"""How a refusal looks on the wire: `{"error": {"code", "message", "details"}}`. Owns the mapping from exceptions to statuses.

Never shows the text of an exception that was not raised on purpose.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from homunculus.errors import (
    ConfigError,
    ConfigErrors,
    HomunculusError,
    InUse,
    NotReady,
    Refused,
    Uncertain,
)


class ApiError(Exception):
    """Refuse a request: HTTP status, a stable code for programs, a sentence for people, and where it is wrong."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.details = status, code, message, tuple(details)
        self.headers = dict(headers or {})


class Json(Response):
    """Answer with JSON, never cached; text that is no Unicode (a lone surrogate) is replaced instead of failing."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(content, status_code, {"Cache-Control": "no-store", **(headers or {})})

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


def problem(error: ApiError) -> Json:
    """Put a refusal on the wire."""
    body = {"code": error.code, "message": error.message, "details": list(error.details)}
    return Json({"error": body}, error.status, error.headers)


def detail(message: str, *, location: str = "", path: str = "", hint: str = "") -> dict[str, str]:
    """Make one entry of `details`."""
    return {"location": location, "path": path, "message": message, "hint": hint}


def finding(error: ConfigError) -> dict[str, str]:
    """Show an error or a warning of a file as an entry of `details`."""
    where = error.where
    place = f"{where.file}:{where.line}:{where.column}"
    return detail(error.message, location=place, path=where.path, hint=error.hint)


def findings(error: ConfigError) -> list[dict[str, str]]:
    """Show every error that one load found."""
    return [finding(each) for each in (error.errors if isinstance(error, ConfigErrors) else (error,))]


def translate(error: HomunculusError) -> ApiError:
    """Say what an exception of ours means to a client: its type tells what to do next, and so does the status."""
    match error:
        case ConfigError():
            found = findings(error)
            return ApiError(422, "invalid_deployment", f"the deployment has {len(found)} error(s)", found)
        case NotReady(reason=reason, after=after):
            wait = {"Retry-After": str(max(1, math.ceil(after or 1)))}
            return ApiError(503, "not_ready", reason, headers=wait)
        case Refused(reason=reason):
            return ApiError(409, "refused", reason)
        case Uncertain(reason=reason):
            return ApiError(502, "uncertain", reason)
        case InUse():
            return ApiError(409, "in_use", str(error))
        case _:
            return ApiError(500, "internal", "something went wrong here; the log of the server has the details")
