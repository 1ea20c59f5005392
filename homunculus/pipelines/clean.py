"""Leaves of what a model said only what the character says. Pure; knows no model.

Models add their thoughts, their own name, marks of their template, and the next speaker's line. None of it is a reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import regex

from homunculus.model import Prompt

_THOUGHT = r"(?:think|thinking|thoughts?|reasoning|reflection|scratchpad)"
_OPENED = re.compile(rf"[<\[]({_THOUGHT})[>\]].*?(?:[<\[]/\1[>\]]|\Z)", re.DOTALL | re.IGNORECASE)
_CLOSED = re.compile(rf"\A.*[<\[]/{_THOUGHT}[>\]]", re.DOTALL | re.IGNORECASE)  # some templates open it in the prompt
_MARK = re.compile(
    r"<[|｜][^<>\n]{1,40}[|｜]>|</s>|<(?:end_of_turn|eos)>", re.IGNORECASE
)  # where a template ends a turn
_HALF_TAG = re.compile(r"(?:<[|｜/]?|\[/?)[\w|｜▁-]{0,40}\Z")
_MOST_OWN = 3  # times that a model may say its own name before it speaks

# A name before a text, as models write it: bold, quoted, bracketed, with a stage direction, with either colon. Everything is
# bounded: an endpoint may send a quarter of a megabyte of blanks.
_GAP = r"[ \t]{0,8}"
_BEFORE = rf"{_GAP}[*_>\[(\"“'#-]{{0,4}}{_GAP}"
_AFTER = rf"[*_\])\"”']{{0,4}}{_GAP}(?:\([^()\n]{{0,40}}\){_GAP})?[:：][*_]{{0,3}}{_GAP}"


@dataclass(frozen=True, slots=True)
class Cleaner:
    """What may be cut from answers to one prompt: the character's own name, and lines of anybody else."""

    own: regex.Pattern[str]
    others: regex.Pattern[str]
    stops: tuple[str, ...]

    @classmethod
    def of(cls, prompt: Prompt) -> Cleaner:
        """Return the cleaner for a prompt: whoever speaks in it must not speak in the answer."""
        names = dict.fromkeys([prompt.char, prompt.user, *_stopped(prompt), *_speakers(prompt)])
        return cls(_named((prompt.char,)), _named(tuple(name for name in names if name)), prompt.stop)

    def whole(self, text: str) -> str:
        """Return what of an answer the character says; empty when that is nothing."""
        text = _MARK.split(_CLOSED.sub("", _OPENED.sub("", text)), maxsplit=1)[0].strip()
        for _ in range(_MOST_OWN):
            text = self.own.sub("", text, count=1)
        kept = f"\n{text}"
        for stop in self.stops:
            kept = kept.split(stop, 1)[0]
        lines = kept.lstrip("\n").split("\n")
        said = next((i for i, line in enumerate(lines) if self.others.match(line)), len(lines))
        return "\n".join(lines[:said]).strip()

    def beginning(self, text: str) -> str:
        """Return what of the beginning of an answer will stay, whatever follows: what may yet be cut is held back."""
        text = self.whole(_HALF_TAG.sub("", text))
        before, _, line = text.rpartition("\n")
        unsure = self.others.match(line, partial=True)
        if unsure is not None and unsure.partial:
            text = before
        half = next((n for stop in self.stops for n in range(len(stop) - 1, 0, -1) if text.endswith(stop[:n])), 0)
        return text[: len(text) - half].rstrip()


@lru_cache(maxsize=1024)  # the same few speak turn after turn
def _named(names: tuple[str, ...]) -> regex.Pattern[str]:
    """Return what finds one of these names at the beginning of a text, as a speaker's."""
    some = "|".join(regex.escape(name) for name in names) or r"(?!)"
    return regex.compile(rf"\A{_BEFORE}(?:{some}){_AFTER}", regex.IGNORECASE)


def _stopped(prompt: Prompt) -> Iterator[str]:
    """Yield the names that stop strings are made of."""
    return (stop[1:-1] for stop in prompt.stop if stop.startswith("\n") and stop.endswith(":"))


def _speakers(prompt: Prompt) -> Iterator[str]:
    """Yield who speaks in a prompt: only a speaker's first line is not indented."""
    for message in prompt.messages:
        if message.role == "user":
            for line in message.content.split("\n"):
                name, colon, _ = line.partition(": ")
                if colon and name and not name[0].isspace():
                    yield name
