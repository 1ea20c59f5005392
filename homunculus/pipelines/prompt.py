"""Builds what a model is asked, and reads like the prompt it builds. Stable text first: a prefix cache lives on it.

Players' text is data: `speech` makes every message one speaker's lines, so none can begin a line as somebody else or open a
section. Macros are expanded in the card's text, before any player's text is near. What does not fit is left out, and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from homunculus.interfaces import CountsTokens, Expand, SelectLore, Turn
from homunculus.model import Agent, ChatMessage, Fact, HistoryLine, Lore, Message, Prompt
from homunculus.pipelines.sections import Section, joined, lore_section, memory_section, stable_sections
from homunculus.pipelines.speech import speaker, spoken, unmarked
from homunculus.pipelines.tokens import PER_MESSAGE, count_tokens

_MOST_LETTERS = 12  # that one token ever covers, so that a huge text is not counted whole
_LEAST_LETTERS = 80  # of a message that are kept, however small the budget
_MOST_STOPS = 4  # the protocol's own limit
_LORE_SHARE, _MEMORY_SHARE = 0.4, 0.5  # of what the fixed parts leave, and of what the lore then leaves
_LARGE_BOOK = 20  # entries, from which on choosing among them would hold up the loop


@dataclass(frozen=True, slots=True)
class Layout:
    """One prompt, the tokens of its parts by name, and what was left out, in words."""

    prompt: Prompt
    tokens: tuple[tuple[str, int], ...]
    cut: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the character knows that bears on what is said; `facts` is how many of the memories fit."""

    sections: tuple[Section, ...]
    lore: Lore
    facts: int


@dataclass(frozen=True, slots=True)
class BuildPrompt:
    """Fill `turn.prompt` within the agent's token budget."""

    expand: Expand
    lore: SelectLore
    count: Callable[[str], int] = count_tokens
    name: ClassVar[str] = "prompt"

    async def run(self, turn: Turn) -> None:
        own = _tokenizer(*turn.models)
        build = replace(self, count=partial(_counted, own)) if own is not None else self
        lay_out = partial(build.lay_out, turn.agent, turn.history, turn.messages, turn.memories)
        layout = await asyncio.to_thread(lay_out) if own is not None or _large(turn.agent) else lay_out()
        turn.prompt = layout.prompt
        total = f"{len(layout.prompt.messages)} messages, about {sum(n for _, n in layout.tokens)} tokens"
        turn.notes[self.name] = "; ".join((total, *layout.cut))

    def lay_out(
        self,
        agent: Agent,
        history: tuple[HistoryLine, ...],
        messages: tuple[Message, ...],
        memories: tuple[Fact, ...] = (),
    ) -> Layout:
        """Lay out the stable text, lore, memories, the newest history that fits, and the messages of the turn."""
        card, budget = agent.character, agent.spec.token_budget
        user = speaker(messages[-1].author.name, card.name)
        expand = partial(self.expand, char=card.name, user=user)
        stable = stable_sections(agent, expand)
        system, closing = ChatMessage("system", joined(stable)), ChatMessage("system", expand(card.post_history))
        left = budget - self._cost(system) - self._cost(closing)
        now = self._now(agent, messages, left)
        room = left - sum(map(self._cost, now))
        known = self._known(agent, [*_texts(history), *_texts(messages)], _spoken(history), expand, memories, room)
        past = self._newest(history, room - self._costs(known), card.name)
        talk = merged(_with_depth([*past, *now], known.lore))
        texts = (system, ChatMessage("system", joined(known.sections)), *talk, closing)
        prompt = Prompt(
            messages=tuple(message for message in texts if message.content),
            turn=tuple(m.text for m in messages),
            char=card.name,
            user=user,
            stop=tuple(f"\n{name}:" for name in (card.name, *_speakers(agent, history, messages)))[:_MOST_STOPS],
        )
        tokens = (
            *((section.name, self.count(section.text)) for section in (*stable, *known.sections)),
            ("lore at depth", sum(self.count(each.text) for each in known.lore.at_depth)),
            ("history", sum(map(self._cost, past))),
            ("messages", sum(map(self._cost, now))),
            ("post_history", self.count(closing.content)),
        )
        cut = _left_out(known.lore, len(memories) - known.facts, len(history) - len(past))
        return Layout(prompt, tuple((name, number) for name, number in tokens if number), tuple(cut))

    def warm(self, agent: Agent) -> Prompt:
        """Return the stable beginning of every prompt of this agent, for a model's prefix cache."""
        card, user = agent.character, "the player"
        text = joined(stable_sections(agent, partial(self.expand, char=card.name, user=user)))
        return Prompt(messages=(ChatMessage("system", text),), char=card.name, user=user)

    def _now(self, agent: Agent, messages: Sequence[Message], left: int) -> list[ChatMessage]:
        """Return the messages of the turn; each has a share of what is left, and of a quarter of the budget at least."""
        share = max(left, agent.spec.token_budget // 4) // len(messages)
        return [self._said(message, share, agent.character.name) for message in messages]

    def _known(
        self,
        agent: Agent,
        texts: Sequence[str],
        spoken_before: int,
        expand: Callable[[str], str],
        memories: tuple[Fact, ...],
        room: int,
    ) -> _Known:
        """Choose what the character knows that bears on what is said: lore first, then memories, within their shares."""
        card, room = agent.character, max(0, room)
        lore = Lore()
        if card.knowledge:
            budget = int(room * _LORE_SHARE)
            lore = self.lore(
                card.lorebook,
                card.knowledge,
                texts,
                spoken=spoken_before,
                count=self.count,
                expand=expand,
                budget=budget,
            )
        world = lore_section(lore)
        facts = self._fitting(memories, int((room - self.count(world.text)) * _MEMORY_SHARE))
        sections = (world, memory_section(card.name, facts))
        return _Known(tuple(section for section in sections if section.text), lore, len(facts))

    def _fitting(self, memories: tuple[Fact, ...], room: int) -> list[Fact]:
        """Keep the first facts that fit: the best stand first."""
        kept: list[Fact] = []
        for fact in memories:
            room -= self.count(fact.text) + 1
            if room < 0:
                break
            kept.append(fact)
        return kept

    def _said(self, message: Message, share: int, npc: str) -> ChatMessage:
        """Return one message of the turn, cut to its share of the budget: nobody fills a prompt with one message."""
        name = message.author.name
        whole = ChatMessage("user", spoken(name, _shown(message)[: share * _MOST_LETTERS], npc), speaker(name, npc))
        text = whole.content
        while self._cost(whole) > share and len(text) > _LEAST_LETTERS:
            text = text[: max(_LEAST_LETTERS, len(text) * share // self._cost(whole) - 1)]
            whole = ChatMessage("user", f"{text}…", whole.name)
        return whole

    def _cost(self, message: ChatMessage) -> int:
        return self.count(message.content) + PER_MESSAGE if message.content else 0

    def _costs(self, known: _Known) -> int:
        system = self.count(joined(known.sections)) + PER_MESSAGE if known.sections else 0
        return system + sum(self.count(each.text) + PER_MESSAGE for each in known.lore.at_depth)

    def _newest(self, history: tuple[HistoryLine, ...], room: int, npc: str) -> list[ChatMessage]:
        kept: list[ChatMessage] = []
        for line in reversed(history):
            message = _remembered(line, npc)
            room -= self._cost(message)
            if room < 0:
                break
            kept.append(message)
        return kept[::-1]


def merged(messages: Iterable[ChatMessage]) -> Iterator[ChatMessage]:
    """Join neighbours of one role: many chat templates demand that roles alternate."""
    waiting: ChatMessage | None = None
    for message in messages:
        if waiting is not None and waiting.role == message.role:
            name = waiting.name if waiting.name == message.name else ""
            waiting = ChatMessage(message.role, f"{waiting.content}\n{message.content}", name)
            continue
        if waiting is not None:
            yield waiting
        waiting = message
    if waiting is not None:
        yield waiting


def _texts(said: Iterable[HistoryLine | Message]) -> list[str]:
    return [one.text for one in said]


def _spoken(history: Iterable[HistoryLine]) -> int:
    return sum(line.agent_id is not None for line in history)


def _tokenizer(first: object = None, *_: object) -> CountsTokens | None:
    """Return the model that is asked first, if it counts by itself."""
    return first if isinstance(first, CountsTokens) else None


def _counted(model: CountsTokens, text: str) -> int:
    """Count as the model does; while it cannot tell, as close as an estimate comes."""
    own = model.count_tokens(text)
    return count_tokens(text) if own is None else own


def _large(agent: Agent) -> bool:
    entries = agent.character.knowledge
    return len(entries) > _LARGE_BOOK or any(entry.use_regex for entry in entries)


def _with_depth(talk: list[ChatMessage], lore: Lore) -> list[ChatMessage]:
    """Put each entry that asks for it so many messages before the newest end."""
    placed = list(talk)
    for each in sorted(lore.at_depth, key=lambda each: each.depth):
        placed.insert(max(0, len(placed) - each.depth), ChatMessage(each.role, each.text))
    return placed


def _left_out(lore: Lore, facts: int, lines: int) -> Iterator[str]:
    if lore.dropped:
        yield f"lore that did not fit: {', '.join(lore.dropped)}"
    if lore.slow:
        yield f"patterns that took too long: {', '.join(lore.slow)}"
    if facts:
        yield f"{facts} facts did not fit"
    if lines:
        yield f"{lines} older lines did not fit"


def _remembered(line: HistoryLine, npc: str) -> ChatMessage:
    if line.agent_id is not None:
        return ChatMessage("assistant", unmarked(line.text))
    return ChatMessage("user", spoken(line.author, line.text, npc), speaker(line.author, npc))


def _shown(message: Message) -> str:
    names = " ".join(f"[image: {name}]" for name in message.attachments)
    return " ".join(part for part in (message.text, names) if part)


def _speakers(agent: Agent, history: tuple[HistoryLine, ...], messages: tuple[Message, ...]) -> list[str]:
    """List who else speaks here, the latest first and each once: a model must not write their lines."""
    latest = [m.author.name for m in reversed(messages)] + [h.author for h in reversed(history) if h.agent_id is None]
    return list(dict.fromkeys(speaker(name, agent.character.name) for name in latest))
