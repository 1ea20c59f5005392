"""The `scripted` provider: answers written in the file, for tests, demos and simulations. Knows no network and no chance.

A pattern is searched in each message of the turn, in order, and the first hit wins. Patterns come from the file's author,
messages from players, so every search has a deadline and runs in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import regex

from homunculus.errors import Refused
from homunculus.interfaces import Expand, ModelServices, Provider
from homunculus.model import Completion, ModelSpec, Prompt

SEARCH_SECONDS = 0.25  # for all patterns of one turn; a pattern that is not found by then does not match
SILENCE = "{{char}} says nothing."  # when nothing matches and no `otherwise` is written

Line = tuple["regex.Pattern[str]", str]


@dataclass(frozen=True, slots=True)
class ScriptedModel:
    """Answer with the first line whose pattern is found; the same prompt always gets the same line."""

    spec: ModelSpec
    lines: tuple[Line, ...]
    expand: Expand

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Return the line with its macros replaced; `on_text` gets it in one piece."""
        say = await asyncio.to_thread(first_hit, self.lines, prompt.turn) if self.lines and prompt.turn else None
        if say is None:
            say = self.spec.otherwise or SILENCE
        text = self.expand(say, char=prompt.char, user=prompt.user)
        if on_text is not None:
            on_text(text)
        return Completion(text, self.spec.id, provider.name)

    async def warm(self, prompt: Prompt) -> None:
        """Do nothing: a script is always ready."""

    async def aclose(self) -> None:
        """Do nothing: nothing is held."""


def first_hit(lines: Sequence[Line], turn: Sequence[str], seconds: float = SEARCH_SECONDS) -> str | None:
    """Return what to say to the first message in which a pattern is found, trying patterns in order; else None."""
    deadline = time.monotonic() + seconds
    for message in turn:
        for pattern, say in lines:
            if _found(pattern, message, deadline - time.monotonic()):
                return say
    return None


def _found(pattern: regex.Pattern[str], text: str, seconds: float) -> bool:
    if seconds <= 0:
        return False
    try:
        return pattern.search(text, timeout=seconds, concurrent=True) is not None
    except TimeoutError:
        return False


def build(spec: ModelSpec, services: ModelServices) -> ScriptedModel:
    """Compile the script. Raise Refused, naming the place in the file, for a pattern that is none."""
    place = f"{spec.path or f'models.{spec.id}'}.replies"
    lines = tuple((_compiled(line.when, f"{place}[{i}].when"), line.say) for i, line in enumerate(spec.replies))
    return ScriptedModel(spec, lines, services.expand)


def _compiled(pattern: str, place: str) -> regex.Pattern[str]:
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise Refused(f"{place}: {pattern!r} is not a regular expression: {error}") from error


provider = Provider("scripted", build)
