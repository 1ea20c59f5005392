"""The arguments of a command, typed: read from a line, described to a platform. Pure; wrong ones are a Misuse with a fix."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from homunculus.model import ParameterSpec


class Misuse(Exception):
    """Say what is wrong with a line that a person typed, and what would be right; its text is shown to them."""


class Parameter(Protocol):
    """One argument in its place."""

    @property
    def spec(self) -> ParameterSpec:
        """Describe it to a platform that completes commands."""

    def read(self, words: str) -> tuple[str, str]:
        """Take it off the front of what is left of the line; return its value and the rest. Raise Misuse."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One word out of a few. Where it is not `required`, another word in its place is left to what follows."""

    name: str
    about: str
    values: tuple[str, ...]
    required: bool = True

    @property
    def spec(self) -> ParameterSpec:
        """Describe it."""
        return ParameterSpec(self.name, self.about, required=self.required, choices=self.values)

    def read(self, words: str) -> tuple[str, str]:
        """Read one word, ignoring case."""
        word, _, rest = words.partition(" ")
        value = word.casefold()
        if value not in self.values and not self.required:
            return "", words
        if not word:
            raise Misuse(f"{self.name} is missing: {listed(self.values)}")
        if value not in self.values:
            raise Misuse(f"{quoted(word)} is no {self.name}; {suggestion(value, self.values)}")
        return value, rest.strip()


@dataclass(frozen=True, slots=True)
class Word:
    """One word of any kind, such as an id."""

    name: str
    about: str

    @property
    def spec(self) -> ParameterSpec:
        """Describe it."""
        return ParameterSpec(self.name, self.about)

    def read(self, words: str) -> tuple[str, str]:
        """Read up to the next white space; what follows keeps its line breaks."""
        word, rest = (*words.split(maxsplit=1), "", "")[:2]
        if not word:
            raise Misuse(f"{self.name} is missing: {self.about}")
        return word, rest


@dataclass(frozen=True, slots=True)
class Rest:
    """All that is left of the line, line breaks included; nothing only where it is not `required`."""

    name: str
    about: str
    required: bool = True

    @property
    def spec(self) -> ParameterSpec:
        """Describe it."""
        return ParameterSpec(self.name, self.about, required=self.required)

    def read(self, words: str) -> tuple[str, str]:
        """Read everything."""
        if not words and self.required:
            raise Misuse(f"{self.name} is missing: {self.about}")
        return words, ""


def read(parameters: Sequence[Parameter], words: str) -> Mapping[str, str]:
    """Read every argument in order; return them by name. Raise Misuse for one that is missing, wrong, or too many."""
    values: dict[str, str] = {}
    rest = words.strip()
    for parameter in parameters:
        values[parameter.spec.name], rest = parameter.read(rest)
    if rest:
        raise Misuse(f"{quoted(rest)} is too much")
    return values


def suggestion(word: str, known: Sequence[str]) -> str:
    """Return the nearest of some words as a question, or all of them."""
    near = difflib.get_close_matches(word[:40], known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"it is one of {listed(known)}"


def listed(words: Sequence[str]) -> str:
    """Write words as a list for people."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def quoted(words: str) -> str:
    """Show a piece of what was typed, on one line and not all of a long one."""
    shown = " ".join(words.split())
    return f"“{shown if len(shown) <= 40 else f'{shown[:40]}…'}”"
