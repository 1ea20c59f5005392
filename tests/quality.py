"""How well questions find their facts: the checked-in sets, what is counted on them, and what the model alone would find."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from homunculus.memory.embed import embedder

FOLDER = Path(__file__).parent / "data/memory"
DEPTH = 10  # what an NPC recalls at most, unless its file says more; a fact further down counts as not found

Ask = Callable[[str], Awaitable[Sequence[str]]]  # a question → the texts found, best first


@dataclass(frozen=True, slots=True)
class Pair:
    """One fact, and a question in other words that only this fact of its set answers."""

    fact: str
    question: str

    @property
    def language(self) -> str:
        """Tell which of the splits it belongs to."""
        if chinese(self.fact) != chinese(self.question):
            return "across languages"
        return "Chinese" if chinese(self.question) else "English"


@dataclass(frozen=True, slots=True)
class Found:
    """At which place each question found its fact, counted from 1; 0 where it did not."""

    places: tuple[int, ...]

    def hit(self, first: int) -> float:
        """Return the share of questions whose fact is among the first so many."""
        return sum(0 < place <= first for place in self.places) / len(self.places)

    @property
    def reciprocal(self) -> float:
        """Return the mean reciprocal rank."""
        return sum(1 / place for place in self.places if place) / len(self.places)


def chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def pairs(name: str) -> tuple[Pair, ...]:
    """Read a set: `questions` and `more`, on which the constants of the ranking were chosen, or `held_out`: never seen."""
    return tuple(Pair(**pair) for pair in json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


def by_model(facts: Sequence[str]) -> Ask:
    """Return the order of the embedding model and nothing else, of whole questions: what a memory has to better."""
    matrix = embedder(facts)

    async def ask(question: str) -> list[str]:
        [vector] = embedder([question])
        return [facts[number] for number in (matrix @ vector).argsort()[::-1][:DEPTH]]

    return ask


def amid(wanted: Sequence[Pair], around: int = 2) -> tuple[Pair, ...]:
    """Return the same pairs, each question amid other talk: so many lines of a month of play before it, and after it."""
    said = re.findall(r"^\w+(?: \(alone\))?: (.{12,})$", (FOLDER / "month.txt").read_text("utf-8"), re.MULTILINE)
    chance = random.Random(len(wanted))
    amidst = []
    for pair in wanted:
        lines = chance.sample([line for line in said if chinese(line) == chinese(pair.question)], 2 * around)
        amidst.append(Pair(pair.fact, " ".join([*lines[:around], pair.question, *lines[around:]])))
    return tuple(amidst)


async def asked(wanted: Sequence[Pair], ask: Ask) -> Found:
    """Ask every question, one after the other."""
    return Found(tuple([_place(pair, await ask(pair.question)) for pair in wanted]))


def split(wanted: Sequence[Pair], found: Found) -> dict[str, Found]:
    """Return what was found overall, and in each language and across them."""
    every = list(zip(wanted, found.places, strict=True))
    languages = ("English", "Chinese", "across languages")
    by_language = {name: Found(tuple(place for pair, place in every if pair.language == name)) for name in languages}
    return {"overall": found} | by_language


def _place(pair: Pair, texts: Sequence[str]) -> int:
    return texts.index(pair.fact) + 1 if pair.fact in texts[:DEPTH] else 0
