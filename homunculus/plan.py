"""What a save changes, as data. `plan(applied, wanted)` is pure: it awaits nothing, reads nothing and decides nothing."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal, TypeVar

from homunculus.model import Deployment

Kind = Literal[
    "adapter", "agent", "channel", "binding", "model", "memory", "server", "character", "ruleset", "settings"
]
Action = Literal["add", "change", "remove"]
Spec = TypeVar("Spec", bound=Hashable)

_SIGNS = {"add": "+", "change": "~", "remove": "-"}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `effect` is `hot`, `restart <adapter>`, `memory` or `process`; `detail` names what differs."""

    kind: Kind
    action: Action
    name: str
    effect: str = "hot"
    detail: str = ""

    def __str__(self) -> str:
        detail = f" ({self.detail})" if self.detail else ""
        return f"{_SIGNS[self.action]} {self.kind} {self.name}{detail}  [{self.effect}]"


@dataclass(frozen=True, slots=True)
class Plan:
    """Every change from one deployment to the next, in a fixed order; empty when nothing would change."""

    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "no changes"

    def of(self, kind: Kind, action: Action | None = None) -> tuple[Change, ...]:
        """Return the changes of one kind, and of one action when given."""
        return tuple(c for c in self.changes if c.kind == kind and action in (None, c.action))

    @property
    def removes(self) -> bool:
        """Tell whether anything would be taken away: a torn save usually looks like that."""
        return any(change.action == "remove" for change in self.changes)

    @property
    def needs_process(self) -> bool:
        """Tell whether it cannot be applied to a running program."""
        return any(change.effect == "process" for change in self.changes)


def nothing(wanted: Deployment) -> Deployment:
    """Return the empty deployment of the same name and data: what a start-up is planned from."""
    return Deployment(bot_name=wanted.bot_name, data_home=wanted.data_home)
