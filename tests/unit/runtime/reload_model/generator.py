"""Random edits, and what should run after each: known from having written it, never from reading it back."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from tests.unit.runtime.reload_model.grammar import Grammar, Key, Text

Edit = dict[str, Any]
WHOLE = ("in_place", "in_place", "slow", "slow", "rename", "rename", "recreate", "stamped", "swap")
CARDS = ("c0", "c1", "c2", "c3")


class World:
    """What lies on the disk after each edit. `now()` is what should run, or None where nothing valid lies there."""

    def __init__(self, folder: Path, seed: int, grammar: Grammar, name: str) -> None:
        self.folder, self.random, self.grammar = folder, random.Random(seed), grammar
        self.file = folder / name
        self._serial = 0
        self._said: Text | None = None  # None: nothing valid
        self._written = ""
        self._cards: dict[str, str] = {}  # only valid ones
        self._env = ""

    def now(self) -> Key | None:
        said = self._said
        if said is None or any(card not in self._cards for card in said.cards.values()):
            return None
        cards = tuple((agent, self._cards[said.cards[agent]]) for agent in said.agents if agent in said.cards)
        return self._written, cards, str(self._env) if said.key else ""

    def first(self) -> list[Edit]:
        """Return the edits that lay the ground: a valid file and every card."""
        return [*(self._card(card) for card in CARDS), self._whole("in_place")]

    def edit(self) -> Edit:
        """Make one edit and know its result."""
        kinds = {
            self._any_whole: 60,
            self._torn: 8,
            self._junk: 8,
            self._nothing: 8,
            self._other_kind: 3,
            self._any_card: 10,
            self._lost_card: 4,
            self._secret: 6,
            self._touch: 3,
        }
        return self.random.choices(list(kinds), list(kinds.values()))[0]()

    # --- the deployment file ----------------------------------------------------------------------------------------

    def _any_whole(self) -> Edit:
        return self._whole(self.random.choice(WHOLE))

    def _whole(self, how: str) -> Edit:
        """Save a valid text."""
        said = self._text()
        return self._save(how, said, self.grammar.write(said))

    def save(self, how: str, grow: bool = False) -> Edit:
        """Save a valid text that needs no card: `how` as in the writer, or `slow`: held open with pauses.

        With `grow` it takes nothing away from the one before.
        """
        said = self._text()
        said.cards.clear()
        if grow and self._said:
            said.agents = [*self._said.agents, f"b{self._serial:05}"]
        return self._save(how, said, self.grammar.write(said))

    def _torn(self) -> Edit:
        """Save the beginning of a text, on purpose: cut where the grammar knows that it is still valid."""
        said = self._text()
        said.cards.clear()
        cut, text = self.grammar.torn(said, self.random)
        return self._save(self._quick(), cut, text)

    def _junk(self) -> Edit:
        return self._save(self._quick(), None, self.random.choice(self.grammar.junk(self._text())))

    def _nothing(self) -> Edit:
        if self.random.random() < 0.5:
            return self._save("in_place", None, "")
        return self._save("remove", None, "")

    def _other_kind(self) -> Edit:
        kinds = ["fifo", "folder"] + ["forbidden"] * (os.geteuid() != 0)
        return self._save(self.random.choice(kinds), None, "")

    def _touch(self) -> Edit:
        return self._how("touch", self.file, "")

    def _save(self, how: str, said: Text | None, text: str) -> Edit:
        edit = self._how(how, self.file, text)
        self._said, self._written = said, text
        return edit

    def _text(self) -> Text:
        """Say something new: a few or many agents, so that most saves also take some away."""
        self._serial += 1
        size = self.random.choice([1, 3, 8, 40, 400])
        agents = [f"a{number:04}" for number in self.random.sample(range(5000), size)]
        cards = {agent: self.random.choice(CARDS) for agent in agents[: self.random.randint(0, 3)]}
        return Text(agents, cards, self.random.random() < 0.3, f"{self._serial}")

    # --- what it reads ----------------------------------------------------------------------------------------------

    def _any_card(self) -> Edit:
        return self._card(self.random.choice(CARDS))

    def _card(self, card: str) -> Edit:
        self._serial += 1
        self._cards[card] = f"{self._serial} {'x' * self.random.choice([5, 5000])}"
        return self._how(self._quick(), self._path(card), self.grammar.card(self._cards[card]))

    def _path(self, card: str) -> Path:
        return self.folder / "characters" / self.grammar.card_name(card)

    def _lost_card(self) -> Edit:
        card = self.random.choice(CARDS)
        self._cards.pop(card, None)
        return self._how(self.random.choice(["remove", "in_place"]), self._path(card), "")

    def _secret(self) -> Edit:
        self._serial += 1
        self._env = self.random.choice(["", f"k{self._serial}"])
        return self._how(self._quick() if self._env else "remove", self.folder / ".env", f"KEY={self._env}\n")

    # --- how --------------------------------------------------------------------------------------------------------

    def _quick(self) -> str:
        return self.random.choice(["in_place", "slow", "rename", "recreate", "stamped"])

    def _how(self, how: str, path: Path, text: str) -> Edit:
        """Describe an edit for the writer; a slow one holds the file open over a few pauses."""
        size, slow = len(text.encode()), how == "slow" or self.random.random() < 0.1
        cuts = sorted(self.random.sample(range(size), min(size, self.random.randint(1, 4)))) if slow else []
        return {
            "how": "in_place" if how == "slow" else how,
            "path": str(path),
            "data": text,
            "cuts": cuts,
            "pauses": [self.random.choice([0.001, 0.004, 0.012, 0.03]) for _ in cuts],
            "rest": self.random.choice([0.0, 0.0, 0.0, 0.002, 0.01, 0.05]),
        }
