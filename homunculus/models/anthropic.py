"""The `anthropic` provider's place: its name is known and checked; the protocol itself is not spoken yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from homunculus.errors import Refused
from homunculus.interfaces import ModelServices, Provider
from homunculus.model import Completion, ModelSpec, Prompt


@dataclass(frozen=True, slots=True)
class AnthropicModel:
    """Refuse every prompt with the sentence that says what to use instead."""

    spec: ModelSpec

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Raise Refused: the agent's fallback answers, or the sentence is shown."""
        raise Refused("the anthropic provider is not available yet in this version; use openai, embedded or scripted")

    async def warm(self, prompt: Prompt) -> None:
        """Do nothing: there is nothing to warm."""

    async def aclose(self) -> None:
        """Do nothing: nothing is held."""


def build(spec: ModelSpec, services: ModelServices) -> AnthropicModel:
    """Return a model that refuses every prompt."""
    return AnthropicModel(spec)


provider = Provider("anthropic", build, needs_key=True)
