"""Real deployment files for the real loader: written line by line, never with a YAML library."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from homunculus.config import Loaded, Loader
from homunculus.interfaces import Platform
from homunculus.model import Deployment
from tests.unit.runtime.reload_model.grammar import Key, Text


def _never(*_: object) -> None:
    raise AssertionError("nothing is built here")


class YamlGrammar:
    """Write deployments whose agents come last: a text cut between two agents is valid and says less."""

    def write(self, said: Text) -> str:
        return "".join(f"{line}\n" for line in self._lines(said))

    def torn(self, said: Text, chance: random.Random) -> tuple[Text, str]:
        cut = Text(said.agents[: chance.randint(1, len(said.agents))])
        return cut, self.write(cut)[:-1] if chance.random() < 0.5 else self.write(cut)

    def junk(self, said: Text) -> list[str]:
        whole, first = self.write(said), said.agents[0]
        return [
            f"{whole}  {first}: {{character: c0}}\n",  # a duplicate key
            f"{whole}  x1: {{charakter: c0}}\n",
            f"{whole}  x1: {{character: nobody}}\n",
            f"{whole}  x1: {{character: c0\n",
            "version: 1\nagents: [\n",
            "\x01\x02binary\n",
            "just words\n",
        ]

    def card(self, content: str) -> str:
        return f"name: Someone\ndescription: '{content}'\n"

    def card_name(self, card: str) -> str:
        return f"{card}.yaml"

    def _lines(self, said: Text) -> list[str]:
        key = (
            ["  haiku: {provider: openai, name: x, base_url: 'http://127.0.0.1:9/v1', api_key: 'env:KEY'}"]
            if said.key
            else []
        )
        agents = [f"  {agent}: {{character: {said.cards.get(agent, 'plain')}}}" for agent in said.agents]
        models = ["models:", "  default: {provider: scripted, otherwise: hm}", *key]
        return ["version: 1", "bot_name: tests", f"x-note: '{said.note}'", *models, "agents:", *agents]


def loader() -> Callable[[Path, Callable[[Path], bytes]], Loaded]:
    """Return the real loader for a program with a local platform and two model providers."""
    local = Platform("local", _never, (), (), (), (), (), "chat_id", agent_places=True, default_on=True)  # type: ignore[arg-type]
    return Loader(
        {"local": local}, ("scripted", "openai", "embedded"), ("sqlite", "none", "qmd"), {"coc7e": "", "dnd5e": ""}, {}
    )


def seen(deployment: Deployment) -> Key:
    """Tell what runs, in the generator's terms."""
    cards = tuple((a.id, a.character.description) for a in deployment.agents if a.character.stem != "plain")
    keys = [model.api_key.value or "" for model in deployment.models if model.api_key]
    return deployment.text, cards, keys[0] if keys else ""
