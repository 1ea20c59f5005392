"""The rulesets that come with the program: for now, what the prompt says about each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def excerpts() -> Mapping[str, str]:
    """Return the excerpt of every built-in ruleset by name; each is at most 2,400 characters."""
    folder = files("homunculus.rules") / "excerpts"
    return MappingProxyType(
        {entry.name.removesuffix(".md"): entry.read_text("utf-8").strip() for entry in folder.iterdir()}
    )
