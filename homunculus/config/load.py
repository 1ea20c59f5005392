"""From a path to a Deployment, or to every error at once. Owns the order of reading; knows no section of the file."""

from __future__ import annotations

import contextlib
import functools
import json
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path
from typing import Any

from homunculus.config import source
from homunculus.config.card import CardCache, ReadForeign, no_foreign_cards
from homunculus.config.draft import Draft
from homunculus.config.files import Files, Read
from homunculus.config.findings import Findings, ordered
from homunculus.config.reader import read_fast
from homunculus.config.resolve import Installed, Resolved, resolve
from homunculus.config.schema import Check, Schema, Shape, check, checker, deployment_schema
from homunculus.config.secrets import Secrets
from homunculus.config.source import Source
from homunculus.config.verdict import Verdict, verdict
from homunculus.errors import ConfigError, ConfigErrors, Where
from homunculus.interfaces import Platform
from homunculus.model import Deployment

_OLD_KEYS = {"discord", "agent", "runtime", "model"}  # sections that only v0.1 and v0.2 have
_NEW_KEYS = {"version", "messaging", "agents", "channels", "bindings"}
_SPACEBOT = {"messaging", "bindings", "agents", "defaults", "llm"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A deployment and what is allowed but probably not meant, in file order."""

    deployment: Deployment
    warnings: tuple[ConfigError, ...] = ()


@dataclass(frozen=True)
class Loader:
    """Load deployment files, knowing what is installed. Calls may overlap, each in a thread of its own.

    `platforms` are the descriptors by name, `providers` and `backends` the names of model providers and memory backends,
    `rulesets` the built-in excerpts by name, `requires` what a provider cannot do without, `environ`
    where `env:` secrets are looked up first, `foreign` reads cards of other formats. `fast` False uses the reference readers
    alone, which say the same and take longer.
    """

    platforms: Mapping[str, Platform]
    providers: Collection[str]
    backends: Collection[str]
    rulesets: Mapping[str, str]
    environ: Mapping[str, str]
    requires: Callable[[str], tuple[str, ...]] = field(default=lambda provider: (), repr=False, compare=False)
    fast: bool = field(default=True, compare=False)
    foreign: ReadForeign = field(default=no_foreign_cards, repr=False, compare=False)

    def __call__(self, path: Path, read: Read = Path.read_bytes) -> Loaded:
        """Read, check and resolve a file. Every file is read through `read`, which raises OSError.

        Raise ConfigErrors with everything that is wrong, in file order, and what to watch for a repair.
        """
        files = Files(path, read)
        shown = files.shown(files.file)
        if self.fast and (loaded := self._load_fast(files, shown)) is not None:
            return loaded
        try:
            parsed = _parse(files, shown, source.read)
        except ConfigErrors as errors:
            raise ConfigErrors(errors.errors, watched=frozenset(files.watched)) from None
        return self._resolve(files, parsed, check(parsed, self._check))

    def _load_fast(self, files: Files, shown: str) -> Loaded | None:
        """Load an ordinary file without an error; None when it is anything else: the reference readers word that."""
        with contextlib.suppress(_Unusual, ConfigErrors):
            parsed = _parse(files, shown, _read_fast)
            if self._verdict(parsed.data):
                return self._resolve(files, parsed, Shape((), parsed.data))
        return None

    @functools.cached_property
    def _cards(self) -> CardCache:
        return CardCache(self.fast, self.foreign)

    @functools.cached_property
    def _schema(self) -> Schema:
        return deployment_schema(self.platforms, self.providers, self.backends)

    @functools.cached_property
    def _check(self) -> Check:
        return checker(self._schema)

    @functools.cached_property
    def _verdict(self) -> Verdict:
        return verdict(self._schema)

    def _resolve(self, files: Files, parsed: Source, shape: Shape) -> Loaded:
        findings = Findings(parsed, [*parsed.faults, *shape.errors])
        secrets = Secrets(files, self.environ, findings)
        secrets.load_dotenv()
        draft = Draft(parsed, shape.data, shape.bad, findings, files, secrets, self.platforms)
        installed = Installed(self.providers, self.backends, self.rulesets, self._cards, self.requires)
        found = resolve(draft, installed, shape_is_right=not findings.errors)
        errors, warnings = _findings(found, findings, secrets, parsed.file)
        watched = frozenset(files.watched)
        if errors or found.deployment is None:
            raise ConfigErrors(errors, warnings, watched)
        return Loaded(changed(found.deployment, digest=files.digest(), watched=watched), warnings)


def _findings(
    found: Resolved, findings: Findings, secrets: Secrets, file: str
) -> tuple[tuple[ConfigError, ...], tuple[ConfigError, ...]]:
    errors = map(secrets.scrubbed, (*findings.errors, *found.errors))
    warnings = map(secrets.scrubbed, (*findings.warnings, *found.warnings))
    return ordered(errors, file), ordered(warnings, file)


class _Unusual(Exception):
    """The fast reader leaves this text to the reference reader."""


def _read_fast(content: bytes, file: str) -> Source:
    found = read_fast(content, file)
    if found is None:
        raise _Unusual
    return found


def _parse(files: Files, shown: str, read: Callable[[bytes, str], Source]) -> Source:
    """Read the deployment file itself. Raise ConfigErrors when there is nothing in it to check."""
    files.watched.add(files.file.parent / ".env")
    try:
        content = files.bytes(files.file)
    except FileNotFoundError:
        raise _hopeless(shown, "the file does not exist", "check its name, or run homunculus init") from None
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise _hopeless(shown, f"the file cannot be read: {reason}", "check what it is and who may read it") from None
    _refuse_old(files.file, content, shown)
    try:
        parsed = read(content, shown)
    except ConfigErrors:
        if len(content) <= source.MAX_BYTES and _toml_keys(content) & _SPACEBOT:
            raise _old(shown, "a Spacebot TOML file") from None
        raise
    if parsed.data is None:
        raise _hopeless(shown, "the file is empty", "begin with version: 1")
    if not isinstance(parsed.data, dict):
        raise _hopeless(shown, "a deployment is a mapping of keys to values", "begin with version: 1")
    if _OLD_KEYS & parsed.data.keys() and not _NEW_KEYS & parsed.data.keys():
        raise _old(shown, "a v0.1 or v0.2 file")
    return parsed


def _refuse_old(path: Path, content: bytes, shown: str) -> None:
    """Refuse formats of before by their names, whatever YAML would make of them."""
    if path.suffix.casefold() == ".toml":
        raise _old(shown, "a Spacebot TOML file")
    if path.suffix.casefold() == ".json" and len(content) <= source.MAX_BYTES and "version" not in _json(content):
        raise _old(shown, "a v0.1 or v0.2 file")


def _json(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {"version": None}  # not JSON either: let YAML say where
    return found if isinstance(found, dict) else {}


def _toml_keys(content: bytes) -> set[str]:
    try:
        return set(tomllib.loads(content.decode("utf-8-sig")))
    except (ValueError, RecursionError):
        return set()


def _old(shown: str, what: str) -> ConfigErrors:
    return _hopeless(shown, f"{what}; converting those is not available yet", "write a deployment with version: 1")


def _hopeless(shown: str, fault: str, fix: str) -> ConfigErrors:
    return ConfigErrors((ConfigError(Where(shown), fault, fix),))
