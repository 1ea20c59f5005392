"""A deployment file on its way to being a Deployment: what every section reads and where it reports. Resolves nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from homunculus.config.files import Files
from homunculus.config.findings import Findings
from homunculus.config.secrets import Secrets
from homunculus.config.source import Source
from homunculus.config.words import Path, did_you_mean, shown
from homunculus.interfaces import Platform

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])\Z")

Entries = Iterable[tuple[Path, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Draft:
    """`data` holds only what has the right shape; `bad` are the paths that were left out of it."""

    source: Source
    data: dict[str, Any]
    bad: frozenset[Path]
    findings: Findings
    files: Files
    secrets: Secrets
    platforms: Mapping[str, Platform]
    _known: dict[str, frozenset[str]] = field(default_factory=dict)
    _fixes: dict[tuple[str, str], str] = field(default_factory=dict)

    def section(self, key: str) -> dict[str, Any]:
        """Return a mapping of the root; empty when it was not written."""
        found = self.data.get(key)
        return found if isinstance(found, dict) else {}

    def named(self, *path: str) -> Entries:
        """List the entries of a mapping of names, without the keys that begin with x-."""
        here: Any = self.data
        for part in path:
            here = here.get(part, {})
        return (((*path, key), value) for key, value in here.items() if not key.startswith("x-"))

    def listed(self, *path: str) -> Entries:
        """List the entries of a list that have the right shape."""
        here: Any = self.data
        for part in path:
            here = here.get(part, {})
        return (((*path, index), value) for index, value in enumerate(here) if isinstance(value, dict))

    def doubtful(self, path: Path) -> bool:
        """Tell whether what stands at `path` has the wrong shape, so that nothing should be concluded from it."""
        return bool(self.bad) and any(path[:end] in self.bad for end in range(1, len(path) + 1))

    def raw(self, *path: str) -> Any:
        """Return what was written, right or wrong; None when nothing was."""
        here = self.source.data
        for part in path:
            here = here.get(part) if isinstance(here, dict) else None
        return here

    def known(self, section: str) -> frozenset[str]:
        """List the names under a section, also of entries that are wrong: referring to those is no second error."""
        if section not in self._known:
            found = self.raw(section)
            names = found if isinstance(found, dict) else ()
            self._known[section] = frozenset(key for key in names if not key.startswith("x-"))
        return self._known[section]

    def refers(self, path: Path, name: str, what: str, known: Collection[str], otherwise: str = "") -> bool:
        """Tell whether a reference hits; report it when it does not."""
        if name in known:
            return True
        if name.startswith("x-"):
            otherwise = "keys that begin with x- are ignored; give it another name"
        if (what, name) not in self._fixes:
            self._fixes[what, name] = did_you_mean(name, sorted(known), otherwise)
        self.findings.error(path, f"no {what} {shown(name)}", self._fixes[what, name])
        return False

    def check_name(self, path: Path, name: str, *, at_key: bool = False) -> bool:
        """Tell whether a name can be a folder's on every system; report it when it cannot."""
        report = self.findings.key_error if at_key else self.findings.error
        if _DEVICE.match(name):
            report(path, f"{shown(name)} is the name of a device on Windows", f'write "{name}-1"')
        elif not _NAME.match(name):
            report(path, f"{shown(name)} is longer than 63 characters", "shorten it")
        else:
            return True
        return False


def text(value: Any) -> str:
    """Return an id as text: an integer becomes its decimal string."""
    return value if isinstance(value, str) else str(value)


def texts(value: Any) -> tuple[str, ...]:
    """Return a list of ids, or the one that was written alone, as text."""
    if value is None:
        return ()
    return tuple(text(item) for item in (value if isinstance(value, list) else [value]) if item is not None)


def switch(value: Any, default: str) -> Any:
    """Return a word that may be `off`, for which `false` is accepted."""
    return default if value is None else "off" if value is False else value
