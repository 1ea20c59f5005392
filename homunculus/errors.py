"""What can go wrong, told by what to do next. Owns the exception tree; never formats for a terminal.

HomunculusError
├── ConfigError      the person who wrote the file: here is the place, the fault and the fix
│   └── ConfigErrors     all of them at once, in file order
├── NotReady         try again later: a dead network, a rate limit, a busy model
├── Refused          do not try again until something changes: a bad token, a forbidden channel
│   └── Spent            a budget is used up until its day is over: silence is the answer, and no failure
├── Uncertain        it may have arrived: never send it again, report it
└── InUse            another process owns it
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class HomunculusError(Exception):
    """Stand above everything this program raises on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Where:
    """Name a place in a file: 1-based line and column, and the path of keys that leads there."""

    file: str
    line: int = 1
    column: int = 1
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path}" if self.path else place


class ConfigError(HomunculusError):
    """Say where a file is wrong, how, and what would be right.

    `where` is the offending key or value, `message` the fault, `hint` the fix (may be empty).
    """

    def __init__(self, where: Where, message: str, hint: str = "") -> None:
        super().__init__(where, message, hint)
        self.where, self.message, self.hint = where, message, hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class ConfigErrors(ConfigError):
    """Carry every error of one load, in file order; `errors` is never empty.

    `watched` are the files and folders whose change could heal it.
    """

    def __init__(
        self,
        errors: tuple[ConfigError, ...],
        warnings: tuple[ConfigError, ...] = (),
        watched: frozenset[Path] = frozenset(),
    ) -> None:
        first = errors[0]
        super().__init__(first.where, first.message, first.hint)
        self.errors, self.warnings, self.watched = errors, warnings, watched

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


class NotReady(HomunculusError):
    """Ask to be tried again; `after` is the least number of seconds to wait, when the other side said one."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.after = reason, after


class Refused(HomunculusError):
    """Say that trying again is useless until a person changes something; `reason` names what."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Spent(Refused):
    """Say that a budget is used up until its day is over. Who gets it as the last word keeps a polite silence."""


class Uncertain(HomunculusError):
    """Say that a send may or may not have arrived: it must be reported and never repeated.

    Only where the platform tells a second try apart may it be repeated; `final` says that this send is none of those.
    """

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.final = reason, final


class InUse(HomunculusError):
    """Say that another process holds what we need; `owner` describes that process."""

    def __init__(self, what: str, owner: str) -> None:
        super().__init__(f"{what} is in use by {owner}")
        self.what, self.owner = what, owner
