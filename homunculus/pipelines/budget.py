"""Counts what models are used for, by agent and conversation, and keeps each to its budget of a day (UTC).

Owns today's totals, prices and limits; keeping them is the Ledger's. A budget is looked at before a call, so the calls
under way when it is used up still end. Past it a model is passed over: its fallbacks answer, and where none may, the NPC
stays silent without a sign, as it does wherever it will not answer. The log says so once a day, the status all day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from loguru import logger

from homunculus.errors import Spent
from homunculus.interfaces import ChatModel, Clock, Gate, Mode, Turn, Verdict
from homunculus.model import Agent, Completion, Message, ModelSpec, PriceSpec, Prompt, Usage
from homunculus.pipelines.tokens import PER_MESSAGE, count_tokens

MILLION = 1_000_000
SHOWN_CONVERSATIONS = 20  # in a report: those that used most


class Ledger(Protocol):
    """Where usage is kept beyond this process."""

    def spend(self, used: Usage) -> None:
        """Add one call to its day; never waits and never raises."""

    async def usage(self, day: str) -> tuple[Usage, ...]:
        """Return what was used on a day."""


@dataclass(frozen=True, slots=True)
class Account:
    """On whose account a model is asked: an agent, and the conversation by storage key and by its label for people."""

    agent_id: str
    conversation: str = ""
    label: str = ""

    @classmethod
    def of(cls, turn: Turn) -> Account:
        """Return whose turn it is."""
        return cls(turn.agent.id, turn.address.conversation, turn.address.label)


class Meter:
    """Counts what models are used for, and says which may not be used any more today. One for the whole program."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        # All the mutable state that outlives a call:
        self._day = day_of(clock())
        self._totals: dict[str, Usage] = {}  # of today, by model
        self._told: set[str] = set()  # models whose end was logged today

    async def open(self) -> None:
        """Take up today's totals where an earlier run left them."""
        for used in await self._ledger.usage(self._day):
            self._count(used)

    def refusal(self, spec: ModelSpec) -> str:
        """Return why a model may not be asked any more today, or ""."""
        self._turn_page()
        reason = over(spec, self._totals.get(spec.id))
        if not reason:
            self._told.discard(spec.id)
        elif spec.id not in self._told:
            self._told.add(spec.id)
            logger.bind(model=spec.id, reason=reason).warning("A model rests until midnight UTC: its budget is used up")
        return reason

    def metered(self, model: ChatModel, account: Account) -> Metered:
        """Return a model that is asked on an account."""
        return Metered(model, self, account)

    def charge(self, spec: ModelSpec, done: Completion, prompt: Prompt, account: Account) -> None:
        """Count one call. Where the provider did not say what it used, that is estimated."""
        self._turn_page()
        estimated = not (done.tokens_in or done.tokens_out)
        if estimated:
            asked = sum(count_tokens(message.content) + PER_MESSAGE for message in prompt.messages)
            done = replace(done, tokens_in=asked, tokens_out=count_tokens(done.text))
        used = Usage(
            self._day,
            spec.id,
            account.agent_id,
            account.conversation,
            account.label,
            calls=1,
            estimated=int(estimated),
            tokens_in=done.tokens_in,
            tokens_out=done.tokens_out,
            cache_read=done.cache_read,
            cache_written=done.cache_written,
            cost=cost(spec.price, done),
        )
        self._count(used)
        self._ledger.spend(used)
        self.refusal(spec)

    def exhausted(self, models: Iterable[ModelSpec]) -> tuple[str, ...]:
        """Return a sentence for each of these models that rests until tomorrow."""
        return tuple(f"{spec.id}: {reason}" for spec in models if (reason := self.refusal(spec)))

    async def report(self, models: Iterable[ModelSpec]) -> dict[str, Any]:
        """Return today's usage for the status: by model with its budget, by agent, and of the largest conversations."""
        self._turn_page()
        rows = await self._ledger.usage(self._day)
        talks = sorted(_summed(rows, lambda used: (used.conversation, used.agent_id)), key=_largest)[
            :SHOWN_CONVERSATIONS
        ]
        return {
            "day": self._day,
            "models": [self._shown(spec) for spec in models],
            "agents": [{"agent_id": used.agent_id, **_counts(used)} for used in _summed(rows, lambda u: u.agent_id)],
            "conversations": [
                {"conversation": used.label or used.conversation, "agent_id": used.agent_id, **_counts(used)}
                for used in talks
            ],
        }

    def _shown(self, spec: ModelSpec) -> dict[str, Any]:
        budget, used = spec.budget, self._totals.get(spec.id, Usage(self._day, spec.id, "", ""))
        limits = {"tokens_per_day": budget.tokens_per_day, "cost_per_day": budget.cost_per_day}
        return {
            "model": spec.id,
            **_counts(used),
            "priced": spec.price is not None,
            **limits,
            "spent": over(spec, used),
        }

    def _count(self, used: Usage) -> None:
        before = self._totals.get(used.model)
        self._totals[used.model] = used if before is None else added(before, used)

    def _turn_page(self) -> None:
        """Begin a new day; a clock that is set back begins none."""
        today = day_of(self._clock())
        if today > self._day:
            self._day = today
            self._totals.clear()
            self._told.clear()


@dataclass(frozen=True, slots=True)
class Metered:
    """A model that is asked on an account: past its budget it raises Spent, and each call is counted, also one that failed."""

    model: ChatModel
    meter: Meter
    account: Account

    @property
    def spec(self) -> ModelSpec:
        return self.model.spec

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Ask. What was heard of an answer that broke off has been paid for, so it is counted by estimate."""
        if reason := self.meter.refusal(self.spec):
            raise Spent(reason)
        heard = _Heard(on_text)
        try:
            done = await self.model.complete(prompt, heard)
        except BaseException:
            if heard.parts:
                broken = Completion("".join(heard.parts), self.spec.id, self.spec.provider)
                self.meter.charge(self.spec, broken, prompt, self.account)
            raise
        self.meter.charge(self.spec, done, prompt, self.account)
        return done

    async def warm(self, prompt: Prompt) -> None:
        """Warm the model itself."""
        await self.model.warm(prompt)

    async def aclose(self) -> None:
        """Do nothing: the model belongs to whoever lent it."""


@dataclass(slots=True)
class _Heard:
    """Hands pieces on and keeps them."""

    on_text: Callable[[str], None] | None
    parts: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        self.parts.append(text)
        if self.on_text is not None:
            self.on_text(text)


@dataclass(frozen=True, slots=True)
class Affordable:
    """A gate that keeps an NPC silent, without a sign of having heard, while every model of it rests."""

    gate: Gate
    meter: Meter

    def __call__(self, agent: Agent, mode: Mode, message: Message) -> Verdict:
        verdict = self.gate(agent, mode, message)
        if not verdict.answer or not agent.models:
            return verdict
        reasons = self.meter.exhausted(agent.models)
        return Verdict(answer=False, reason="; ".join(reasons)) if len(reasons) == len(agent.models) else verdict


def day_of(seconds: float) -> str:
    """Return the UTC day of a moment."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def cost(price: PriceSpec | None, done: Completion) -> float:
    """Return what a call cost; 0 without a price."""
    if price is None:
        return 0.0
    read = price.input if price.cache_read is None else price.cache_read
    write = price.input if price.cache_write is None else price.cache_write
    plain = max(0, done.tokens_in - done.cache_read - done.cache_written)
    parts = (plain * price.input, done.cache_read * read, done.cache_written * write, done.tokens_out * price.output)
    return sum(parts) / MILLION


def over(spec: ModelSpec, used: Usage | None) -> str:
    """Return which budget of a model is used up, or ""."""
    budget = spec.budget
    if used is None:
        return ""
    if budget.tokens_per_day is not None and used.tokens >= budget.tokens_per_day:
        return f"its budget of {budget.tokens_per_day:,} tokens a day is used up until midnight UTC"
    if budget.cost_per_day is not None and spec.price is not None and used.cost >= budget.cost_per_day:
        return f"its budget of {budget.cost_per_day:g} a day is used up until midnight UTC"
    return ""


def added(one: Usage, other: Usage) -> Usage:
    """Return both together, under the names of the first."""
    return replace(
        one,
        calls=one.calls + other.calls,
        estimated=one.estimated + other.estimated,
        tokens_in=one.tokens_in + other.tokens_in,
        tokens_out=one.tokens_out + other.tokens_out,
        cache_read=one.cache_read + other.cache_read,
        cache_written=one.cache_written + other.cache_written,
        cost=one.cost + other.cost,
    )


def _summed(rows: Iterable[Usage], key: Callable[[Usage], object]) -> list[Usage]:
    found: dict[object, Usage] = {}
    for used in rows:
        name = key(used)
        found[name] = added(found[name], used) if name in found else used
    return list(found.values())


def _largest(used: Usage) -> tuple[float, int]:
    return -used.cost, -used.tokens


def _counts(used: Usage) -> Mapping[str, Any]:
    return {
        "calls": used.calls,
        "estimated": used.estimated,
        "tokens_in": used.tokens_in,
        "tokens_out": used.tokens_out,
        "cache_read": used.cache_read,
        "cache_written": used.cache_written,
        "cost": round(used.cost, 6),
    }
