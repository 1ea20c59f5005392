"""What a character knows, and what of it belongs into one prompt. Plain frozen data; owns no rule of matching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Placement = Literal["before_char", "after_char", "personality", "scenario"]
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Knowledge:
    """One entry of a lorebook: said when one of `keys` comes up; `gm` scope never reaches a prompt.

    `insertion_order`: lower stands earlier. `priority`: lower is dropped first; None takes `insertion_order` for it.
    `case_sensitive` None leaves it to the kind of key: plain ones ignore case. `content` may begin with decorators.
    """

    keys: tuple[str, ...]
    content: str
    scope: Literal["public", "character", "gm"] = "character"
    name: str = ""
    enabled: bool = True
    constant: bool = False
    selective: bool = False
    secondary_keys: tuple[str, ...] = ()
    insertion_order: float = 0
    priority: float | None = None
    case_sensitive: bool | None = None
    use_regex: bool = False
    position: Literal["before_char", "after_char"] = "after_char"


@dataclass(frozen=True, slots=True)
class Lorebook:
    """How a character's entries are looked for: in how many messages, within how many tokens, and in one another.

    None leaves it to the program: `scan_depth` 4 messages, `token_budget` what the caller has.
    """

    scan_depth: int | None = None
    token_budget: int | None = None
    recursive_scanning: bool = False


@dataclass(frozen=True, slots=True)
class LoreAtDepth:
    """A text to stand `depth` messages before the newest end of the history, in a role of its own."""

    depth: int
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Lore:
    """The entries that belong into one prompt, each text once and in its order, without decorators.

    `dropped` names those that matched and did not fit, `slow` the patterns that were given up; both are for the trace.
    """

    before_char: tuple[str, ...] = ()
    after_char: tuple[str, ...] = ()
    personality: tuple[str, ...] = ()
    scenario: tuple[str, ...] = ()
    at_depth: tuple[LoreAtDepth, ...] = ()
    dropped: tuple[str, ...] = ()
    slow: tuple[str, ...] = ()
