"""Builds turns for the tests of stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from homunculus.interfaces import ChatModel, Turn
from homunculus.model import (
    Address,
    Agent,
    AgentSpec,
    Author,
    Character,
    Completion,
    HistoryLine,
    Message,
    ModelSpec,
    Prompt,
    RulesetSpec,
)

KOVACH = Character(
    stem="kovach",
    name="Kovach",
    nickname="Kov",
    description="A taciturn veteran who trusts {{user}} little.",
    personality="Cautious, loyal.",
    language="en",
    stats=(("STR", 65), ("SAN", 52.5)),
    skills=(("Spot Hidden", 45),),
    inventory=("old revolver", "field flask"),
    examples=("{{user}}: Any news?\n{{char}}: No.",),
    post_history="{{char}} answers in one breath.",
)
TAVERN = Address("local", "local", "local", "tavern", label="local:tavern")


def agent(card: Character = KOVACH, **settings: int) -> Agent:
    spec = replace(AgentSpec("kovach-eod", card, "kovach-eod"), **settings)  # type: ignore[arg-type]
    return Agent(spec, RulesetSpec("coc7e", "Roll d100 under the skill."), ())


def said(text: str, who: str = "Ana", message_id: str = "1", **fields: object) -> Message:
    return Message(message_id, TAVERN, Author(who.lower(), who), text, **fields)  # type: ignore[arg-type]


def line(text: str, who: str = "Ana", agent_id: str | None = None) -> HistoryLine:
    return HistoryLine("0", who, text, agent_id=agent_id)


def turn(*messages: Message, models: tuple[ChatModel, ...] = (), of: Agent | None = None) -> Turn:
    return Turn(id="t1", agent=of or agent(), messages=messages or (said("Hello."),), models=models)


class Says:
    """A model that answers with fixed words, or raises what it is given."""

    def __init__(self, answer: str | Exception, model_id: str = "default") -> None:
        self.answer, self.spec, self.asked = answer, ModelSpec(model_id, "scripted"), list[Prompt]()

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        self.asked.append(prompt)
        if isinstance(self.answer, Exception):
            raise self.answer
        return Completion(self.answer, self.spec.id, self.spec.provider)

    async def warm(self, prompt: Prompt) -> None:
        self.asked.append(prompt)

    async def aclose(self) -> None:
        self.asked.clear()
