"""The API described in OpenAPI 3.1, derived from the operations. Owns the document's frame; never a fact of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from homunculus.web.operation import Field, Operation

_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["location", "path", "message", "hint"],
                        "properties": {key: {"type": "string"} for key in ("location", "path", "message", "hint")},
                    },
                },
            },
        }
    },
}
_PART = re.compile(r"\{(\w+)(?::\w+)?\}")


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Describe these operations."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = _PART.sub(r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Homunculus", "version": version},
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "homunculus_session_<port>"},
            },
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    media = "text/event-stream" if operation.stream else "application/json"
    answers = {
        str(code): {"description": meaning, "content": {media if code < 400 else "application/json": {"schema": shape}}}
        for code, meaning, shape in operation.answers
    }
    described: dict[str, Any] = {
        "operationId": operation.handler.__name__,
        "summary": operation.summary,
        "parameters": [*_parts(operation.path), *map(_parameter, operation.query)],
        "responses": {**answers, "default": _refusal()},
    }
    if operation.public:
        described["security"] = []
    if operation.body:
        shape = {"type": "object", "additionalProperties": False, **_shape(operation.body)}
        content = {"application/json": {"schema": shape}}
        described["requestBody"] = {"required": not operation.optional_body, "content": content}
    return described


def _refusal() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": "Refused", "content": {"application/json": {"schema": schema}}}


def _parts(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _PART.findall(path)
    ]


def _parameter(field: Field) -> dict[str, Any]:
    return {"name": field.name, "in": "query", "required": field.required, "schema": field.schema}


def _shape(fields: tuple[Field, ...]) -> dict[str, Any]:
    required = [field.name for field in fields if field.required]
    return {"properties": {field.name: field.schema for field in fields}, "required": required}
