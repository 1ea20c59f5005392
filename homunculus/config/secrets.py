"""Where credentials come from: `env:NAME`, `file:PATH`, `.env`, or a literal. Never shows, logs or compares a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from homunculus.config.files import Files
from homunculus.config.findings import Findings
from homunculus.config.words import Path, masked, shown
from homunculus.errors import ConfigError, Where
from homunculus.model import Secret

REDACTED = "<secret>"  # what stands in a kept generation instead of a literal secret
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*\Z", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_SCRUBBED = 6  # shorter values are words of every message; they are never echoed in the first place


def parse_dotenv(text: str) -> tuple[dict[str, str], list[int]]:
    """Read `NAME=value` lines; return the values and the numbers of the lines that are neither that nor a comment.

    `export`, quotes of both kinds and ` #` comments after a value are understood; a later line wins; nothing is expanded.
    """
    values: dict[str, str] = {}
    odd: list[int] = []
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if match:
            values[match[1]] = _unquoted(match[2])
        else:
            odd.append(number)
    return values, odd


def _unquoted(text: str) -> str:
    if text[:1] == "'" and (end := text.find("'", 1)) > 0:
        return text[1:end]
    if text[:1] == '"' and (match := re.match(r'"((?:[^"\\]|\\.)*)"', text)):
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), match[1])
    return "" if text.startswith("#") else re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def blank(value: object) -> bool:
    """Tell whether a credential's key holds nothing, which counts as not written."""
    return value is None or (isinstance(value, str) and not value.strip())


@dataclass(slots=True)
class Secrets:
    """Resolve the secrets of one deployment file, warning about each that is literal or does not resolve."""

    files: Files
    environ: Mapping[str, str]
    findings: Findings
    _dotenv: dict[str, str] = field(default_factory=dict)
    _values: set[str] = field(default_factory=set)

    def load_dotenv(self) -> None:
        """Read the `.env` beside the deployment file, if there is one."""
        path = self.files.file.parent / ".env"
        shown = self.files.shown(path)
        try:
            text = self.files.bytes(path).decode("utf-8-sig")
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError) as error:
            reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else _reason(error)
            self.findings.warnings.append(
                ConfigError(Where(shown), f"cannot be read: {reason}", "save it as UTF-8 text")
            )
            return
        self._dotenv, odd = parse_dotenv(text)
        for line in odd:
            where = Where(shown, line)
            self.findings.warnings.append(ConfigError(where, "not a NAME=value line; ignored", "write NAME=value"))

    def resolve(self, value: Any, path: Path, *, needed: bool = True, unresolved: str = "") -> Secret | None:
        """Return the secret written at `path`, or None when it is blank. `needed` False warns of literals only."""
        if blank(value) or not isinstance(value, str):
            return None
        text = value.strip()
        scheme, _, rest = text.partition(":")
        rest = rest.strip()
        if text == REDACTED:  # the text of a kept generation: the secret itself was never kept
            return Secret("a literal secret of an earlier run")
        if scheme not in ("env", "file"):
            self._values.add(text)
            self.findings.warn(path, "a literal secret in the file", f"move it to .env and write {_suggestion(path)}")
            return Secret("literal", text)
        found, why = self._environment(rest) if scheme == "env" else self._file(rest)
        if found is not None:
            self._values.add(found)
        elif needed:
            self.findings.warn(path, f"{why}{unresolved and ': ' + unresolved}", self._fix(scheme))
        return Secret(f"{scheme}:{masked(rest)}", found)

    def scrubbed(self, error: ConfigError) -> ConfigError:
        """Return the finding without any secret that slipped into it, say as a misplaced key."""
        clean = ConfigError(
            Where(error.where.file, error.where.line, error.where.column, self._scrub(error.where.path)),
            self._scrub(error.message),
            self._scrub(error.hint),
        )
        return error if clean.args == error.args else clean

    def _scrub(self, text: str) -> str:
        for value in self._values:
            if len(value) >= _SCRUBBED and value in text:
                text = text.replace(value, REDACTED)
        return text

    def _environment(self, name: str) -> tuple[str | None, str]:
        found = self.environ.get(name) or self._dotenv.get(name)
        return (found, "") if found and found.strip() else (None, f"{masked(name)} is not set")

    def _file(self, name: str) -> tuple[str | None, str]:
        try:
            text = self.files.bytes(self.files.beside(name)).decode("utf-8")
        except FileNotFoundError:
            return None, f"the file {shown(name)} does not exist"
        except UnicodeDecodeError:
            return None, f"the file {shown(name)} is not text"
        except (OSError, ValueError) as error:
            return None, f"the file {shown(name)} cannot be read: {_reason(error)}"
        text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
        return (text, "") if text.strip() else (None, f"the file {shown(name)} is empty")

    def _fix(self, scheme: str) -> str:
        if scheme == "file":
            return "write the secret into that file"
        return f"set it in the environment or in {self.files.shown(self.files.file.parent / '.env')}"


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it cannot be opened"


def _suggestion(path: Path) -> str:
    """Propose a variable for a literal: `messaging.discord.instances[0].token` → `env:DISCORD_0_TOKEN`."""
    parts = [str(part) for part in path if part not in ("messaging", "models", "instances")]
    return "env:" + re.sub(r"\W+", "_", "_".join(parts), flags=re.ASCII).strip("_").upper()
