"""A small language for deployment files in which half a text is usually valid: the worst case for whoever reads too early.

    bot tests            first line
    agent a0001          an agent
    card a0001 c3        its character: characters/c3.card beside the file
    key                  uses the .env beside the file
    # words              a comment

Owns its writer, the loader that the tests give to a Reloader, and `seen`, which tells what runs in the generator's terms.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homunculus.errors import ConfigError, ConfigErrors, Where
from homunculus.model import AdapterSpec, AgentSpec, Character, Deployment, Secret
from tests.unit.runtime.reload_model.grammar import Key, Text


class LinesGrammar:
    """Write the small language."""

    def write(self, said: Text) -> str:
        return "".join(f"{line}\n" for line in self._lines(said))

    def torn(self, said: Text, chance: random.Random) -> tuple[Text, str]:
        cut = Text(said.agents[: chance.randint(1, len(said.agents))])
        whole = "".join(f"{line}\n" for line in self._lines(cut)[:-1])
        if chance.random() < 0.5:
            return cut, whole
        cut.agents[-1] = cut.agents[-1][:3]  # in the middle of a name
        return cut, whole[:-3]

    def junk(self, said: Text) -> list[str]:
        whole = self.write(said)
        return [f"{whole}agent {said.agents[0]}\n", "\0\x01binary\n", "bot other\n", f"{whole}agent\n", "age"]

    def card(self, content: str) -> str:
        return f"name {content}\n"

    def card_name(self, card: str) -> str:
        return f"{card}.card"

    def _lines(self, said: Text) -> list[str]:
        agents = [f"agent {agent}" for agent in said.agents]
        cards = [f"card {agent} {card}" for agent, card in said.cards.items()]
        return ["bot tests", *agents, *cards, *(["key"] if said.key else []), f"# {said.note}"]


@dataclass(frozen=True)
class Loaded:
    deployment: Deployment
    warnings: tuple[ConfigError, ...] = ()


class Lines:
    """Parse one text; collect every error."""

    def __init__(self, file: Path, read: Callable[[Path], bytes]) -> None:
        self.file, self.read = file, read
        self.errors: list[ConfigError] = []
        self.agents: dict[str, str] = {}
        self.value = ""

    def load(self) -> Loaded:
        text = self.read(self.file).decode()
        lines = text.splitlines()
        if lines[0] != "bot tests":
            self._fault(1, "the first line is not `bot tests`")
        for number, line in enumerate(lines[1:], 2):
            self._line(number, line.split())
        characters = self.file.parent / "characters"
        watched = frozenset({self.file, self.file.parent / ".env", characters})
        cards = {agent: self._card(characters / f"{name}.card") for agent, name in self.agents.items() if name}
        if self.errors:
            raise ConfigErrors(tuple(self.errors), watched=watched)
        agents = tuple(
            AgentSpec(agent, Character(name or "-", cards.get(agent, "-")), agent)
            for agent, name in self.agents.items()
        )
        key = AdapterSpec("local", credentials=(("token", Secret("env:KEY", self.value)),))
        return Loaded(
            Deployment(
                "tests", Path("data"), agents=agents, adapters=(key,), file=self.file, text=text, watched=watched
            )
        )

    def _line(self, number: int, words: list[str]) -> None:
        match words:
            case [] | ["#", *_]:
                pass
            case ["agent", name] if name not in self.agents:
                self.agents[name] = ""
            case ["card", agent, name] if self.agents.get(agent) == "":
                self.agents[agent] = name
            case ["key"]:
                self.value = self._env()
            case _:
                self._fault(number, f"cannot understand {' '.join(words)!r}")

    def _card(self, path: Path) -> str:
        try:
            content = self.read(path).decode()
        except OSError as error:
            self._fault(1, f"{path.name}: {error.strerror}")
            return ""
        if not content.startswith("name "):
            self._fault(1, f"{path.name} has no name")
        return content.removeprefix("name ").removesuffix("\n")

    def _env(self) -> str:
        try:
            return self.read(self.file.parent / ".env").decode().removeprefix("KEY=").removesuffix("\n")
        except OSError:
            return ""

    def _fault(self, line: int, message: str) -> None:
        self.errors.append(ConfigError(Where(str(self.file), line), message))


def load(file: Path, read: Callable[[Path], bytes]) -> Loaded:
    return Lines(file, read).load()


def seen(deployment: Deployment) -> Key:
    """Tell what runs, in the generator's terms."""
    cards = tuple((agent.id, agent.character.name) for agent in deployment.agents if agent.character.stem != "-")
    return deployment.text, cards, deployment.adapters[0].credential("token") or ""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
