"""Checks the shape of data against the JSON Schemas and words what is wrong. The only importer of jsonschema.

Owns wording by annotation: a schema says `x-expects` ("an id"), or `x-fault` and `x-fix` where a keyword alone would say
too little; `writeOnly` values are never shown. Never follows a reference from one part of a file to another.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from jsonschema import Draft202012Validator, ValidationError, validators
from referencing import Registry

from homunculus.config.paths import schema_dir
from homunculus.config.source import Source
from homunculus.config.words import Path, did_you_mean, kind, listed, masked, nearest, shown
from homunculus.errors import ConfigError
from homunculus.interfaces import Platform

Schema = dict[str, Any]
Check = Callable[[Any], Iterable[ValidationError]]


# --- the schemas ----------------------------------------------------------------------------------------------------


@functools.cache
def _packaged(name: Literal["deployment", "character"]) -> Schema:
    schema: Schema = json.loads((schema_dir() / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def character_schema() -> Schema:
    """Return the schema of a native character card."""
    return _packaged("character")


def deployment_schema(
    platforms: Mapping[str, Platform], providers: Collection[str] = (), backends: Collection[str] = ()
) -> Schema:
    """Return the schema of a deployment file, with whatever is installed besides what the schema knows by itself."""
    schema = copy.deepcopy(_packaged("deployment"))
    defs, blocks = schema["$defs"], schema["properties"]["messaging"]["properties"]
    for name, platform in platforms.items():
        if name not in blocks:
            blocks[name] = _generic(platform, defs)
    _extend(defs["platform"]["enum"], platforms)
    _extend(defs["model"]["properties"]["provider"]["enum"], providers)
    _extend(schema["properties"]["memory"]["properties"]["backend"]["enum"], backends)
    return schema


def _extend(known: list[str], names: Iterable[str]) -> None:
    known.extend(name for name in names if name not in known)


def _generic(platform: Platform, defs: Schema) -> Schema:
    """Describe a platform that came by entry point: what the local one takes, and the keys of its descriptor."""
    plain = {"type": ["string", "integer", "number", "boolean"], "x-expects": "text or a number"}
    several = {**plain, "type": [*plain["type"], "array"], "items": plain, "x-expects": "text, a number or a list"}
    own: Schema = {
        **defs["localInstance"]["properties"],
        **{key: {"$ref": "#/$defs/secret"} for key in platform.credentials},
        **dict.fromkeys(platform.login, plain),
        **dict.fromkeys(platform.options, several),
    }
    instance = {**defs["localInstance"], "properties": own}
    block = {key: value for key, value in own.items() if key != "name"}
    block |= {key: {"type": "string", "minLength": 1, "x-expects": "an address"} for key in platform.endpoints}
    block["instances"] = {"type": "array", "items": instance, "x-expects": "a list of instances"}
    return {**defs["local"], "description": f"{platform.name}, by entry point.", "properties": block}


# --- validating -----------------------------------------------------------------------------------------------------


def _is_integer(_: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # 1.0 is no id: it may have been rounded


def _is_number(_: Any, value: Any) -> bool:
    return _is_integer(_, value) or (isinstance(value, float) and math.isfinite(value))


def _pattern(_: Any, pattern: str, value: Any, __: Schema) -> Iterator[ValidationError]:
    # Python's `$` also matches before a final newline; ECMA's, which the schemas mean, does not
    if isinstance(value, str) and not re.search(re.sub(r"\$(?=$|\|)", r"\\Z", pattern), value):
        yield ValidationError("pattern")


_Validator: Any = validators.extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


def checker(schema: Schema) -> Check:
    """Return a callable that lists what is wrong with data by this schema."""
    # an empty registry: the default one would fetch a reference from the network
    validate: Check = _Validator(schema, registry=Registry()).iter_errors
    return validate


@dataclass(frozen=True, slots=True)
class Shape:
    """What a check found: worded errors, and the data without the values and keys that are wrong.

    `bad` are the paths of what was left out, and of keys that were probably meant by a misspelt one."""

    errors: tuple[ConfigError, ...]
    data: Any
    bad: frozenset[Path] = frozenset()


def check(source: Source, check: Check) -> Shape:
    """Check a file's data. What is wrong is left out of `Shape.data`, so that the rest can still be resolved."""
    found = [fault for error in check(source.data) for fault in _faults(error)]
    typos = {(fault.path[:-1], fault.meant) for fault in found if fault.meant}
    worded: dict[Path, ConfigError] = {}
    for fault in sorted(found, key=lambda fault: fault.rank):
        if fault.missing and (fault.path[:-1], fault.missing) in typos:
            continue  # the misspelt key is reported, with this one as its fix
        worded.setdefault(fault.path, ConfigError(fault.where(source), fault.message, fault.hint))
    bad = {fault.path for fault in found if fault.prunes}
    meant = {(*path, key) for path, key in typos}
    return Shape(tuple(worded.values()), _pruned(source.data, bad, ()) if bad else source.data, frozenset(bad | meant))


def _pruned(data: Any, bad: AbstractSet[Path], path: Path) -> Any:
    """Copy data without what is bad: a key disappears, a list item becomes None, a whole entry keeps its name."""
    if path in bad:
        return {} if len(path) == 2 and path[0] in ("agents", "models") else None
    if isinstance(data, dict):
        pruned = {key: _pruned(value, bad, (*path, key)) for key, value in data.items()}
        return {key: value for key, value in pruned.items() if value is not None}
    if isinstance(data, list):
        return [_pruned(value, bad, (*path, index)) for index, value in enumerate(data)]
    return data


# --- wording --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Fault:
    """One fault before it is placed: `path` leads to the value, or to the key that should (not) be there."""

    path: Path
    message: str
    hint: str = ""
    at: Literal["value", "key", "parent"] = "value"
    rank: int = 1  # of several faults of one value, the lowest is told
    missing: str = ""
    meant: str = ""

    @property
    def prunes(self) -> bool:
        return self.at != "parent" and bool(self.path)

    def where(self, source: Source) -> Any:
        if self.at == "value":
            return source.value(self.path)
        if self.at == "parent":
            return source.parent(self.path[:-1])
        place, named = source.key(self.path), source.key(self.path[:-1])
        return type(place)(place.file, place.line, place.column, named.path)


_BOOLEANS = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}
_TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def _faults(error: ValidationError) -> Iterator[_Fault]:
    path: Path = tuple(error.absolute_path)
    data: Any = error.instance
    schema = error.schema if isinstance(error.schema, dict) else {}
    if "propertyNames" in error.absolute_schema_path:
        name = str(error.instance)
        yield _Fault((*path, name), f"{shown(name)} is not {schema['x-expects']}", _renamed(name), at="key")
    elif "x-fault" in schema and error.validator == "required":
        key = schema["required"][0]
        yield _Fault((*path, key), schema["x-fault"], schema.get("x-fix", ""), at="parent", missing=key)
    elif "x-fault" in schema:
        yield _Fault(path, schema["x-fault"], schema.get("x-fix", ""), at="key")
    elif error.validator == "additionalProperties":
        yield from _unknown(path, data, schema)
    elif error.validator == "required":
        yield from _missing(path, data, schema)
    else:
        yield _wrong(path, error, schema)


def _unknown(path: Path, data: dict[str, Any], schema: Schema) -> Iterator[_Fault]:
    known = list(schema.get("properties", {}))
    for key in data:
        if key not in known and not key.startswith("x-"):
            meant = nearest(key, [name for name in known if name not in data] or known)
            several = f"known here: {', '.join(known)}" if known else "nothing goes here"
            fix = did_you_mean(key, [meant]) if meant else several
            yield _Fault((*path, key), f"unknown key {shown(key)}", fix, at="key", meant=meant or "")


def _missing(path: Path, data: dict[str, Any], schema: Schema) -> Iterator[_Fault]:
    for key in schema["required"]:
        if key not in data:
            hint = schema.get("x-fix") or ("the first line is version: 1" if key == "version" else f'add "{key}: …"')
            yield _Fault((*path, key), f"missing key {shown(key)}", hint, at="parent", missing=key)


def _wrong(path: Path, error: ValidationError, schema: Schema) -> _Fault:
    value: Any = error.instance
    limit: Any = error.validator_value
    said = "this value" if schema.get("writeOnly") else shown(value)
    match error.validator:
        case "type":
            found = f"not {kind(value)}" if value is not None else "but nothing is written"
            return _Fault(path, f"must be {_expected(schema)}, {found}", _retyped(value, schema), rank=0)
        case "enum":
            words = [_word(option) for option in limit if option is not False]
            hint = did_you_mean(value, words) if isinstance(value, str) else ""
            return _Fault(path, f"must be {listed(words)}, not {said}", hint)
        case "const":
            return _Fault(path, f"must be {_word(limit)}, not {said}")
        case "minLength" | "minItems":
            return _Fault(path, "must not be empty", f"write {_expected(schema)}")
        case "minimum":
            return _Fault(path, f"must be at least {limit}, not {said}")
        case "maximum":
            return _Fault(path, f"must be at most {limit}, not {said}")
        case "exclusiveMinimum":
            return _Fault(path, f"must be more than {limit}, not {said}")
        case _:
            return _Fault(
                path, f"{said} is not {_expected(schema)}", _renamed(value) if "name" in _ends(schema) else ""
            )


def _ends(schema: Schema) -> str:
    return str(schema.get("x-expects", ""))[:6]


def _expected(schema: Schema) -> str:
    types = schema.get("type", "string")
    names = [_TYPE_NAMES[name] for name in ([types] if isinstance(types, str) else types)]
    return str(schema.get("x-expects") or listed(names))


def _word(option: object) -> str:
    return option if isinstance(option, str) else json.dumps(option)


def _retyped(value: Any, schema: Schema) -> str:
    """Word the fix for a value of the wrong type."""
    types = schema.get("type", ())
    types = {types} if isinstance(types, str) else set(types)
    if "boolean" in types and isinstance(value, str | int) and (word := _BOOLEANS.get(str(value).casefold())):
        return f"write {word}"
    if value is None:
        return "remove the key, or write " + ("[]" if "array" in types else "{}" if "object" in types else "a value")
    if isinstance(value, float) and "string" in types:
        return "write it in quotes"
    if "string" in types and isinstance(value, bool | int):
        return "write it in quotes"
    if "array" in types and isinstance(value, str | int):
        return "write it as a list: [ … ]"
    return "write it without quotes" if isinstance(value, str) and types & {"integer", "number"} else ""


def _renamed(value: object) -> str:
    """Propose a name that fits for one that does not."""
    slug = re.sub(r"[^a-z0-9_-]+", "-", str(value).casefold()).strip("-_")[:63]
    return f'write "{masked(slug)}"' if slug and slug != value else ""
