"""What one load has to say: errors and warnings with their places. Owns order; never decides what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from homunculus.config.source import Source
from homunculus.config.words import Path
from homunculus.errors import ConfigError, Where


@dataclass(slots=True)
class Findings:
    """Collect the findings about one file. `path` leads to the value, or key, that is meant."""

    source: Source
    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[ConfigError] = field(default_factory=list)

    def error(self, path: Path, message: str, hint: str = "") -> None:
        """Report a wrong value."""
        self.errors.append(ConfigError(self.source.value(path), message, hint))

    def key_error(self, path: Path, message: str, hint: str = "") -> None:
        """Report a wrong key, or something missing in the mapping under it."""
        self.errors.append(ConfigError(self.source.key(path), message, hint))

    def warn(self, path: Path, message: str, hint: str = "") -> None:
        """Report a value that is allowed but probably not meant."""
        self.warnings.append(ConfigError(self.source.value(path), message, hint))

    def key_warn(self, path: Path, message: str, hint: str = "") -> None:
        """Report an entry that is allowed but probably not meant."""
        self.warnings.append(ConfigError(self.source.key(path), message, hint))

    def line(self, path: Path) -> int:
        """Return the line of an entry, for messages that point back."""
        return self.source.line(path)


def ordered(found: Iterable[ConfigError], first: str) -> tuple[ConfigError, ...]:
    """Sort findings in file order, the deployment file before all others; drop what is said twice."""
    unique = {(error.where, error.message): error for error in found}

    def place(error: ConfigError) -> tuple[bool, Where]:
        return error.where.file != first, error.where

    return tuple(sorted(unique.values(), key=place))
