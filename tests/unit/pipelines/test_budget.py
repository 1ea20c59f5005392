"""What models are used for is counted by agent and conversation, and a model keeps to its budget of a day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from loguru import logger

from homunculus.errors import NotReady, Refused, Spent
from homunculus.interfaces import Mode, Verdict
from homunculus.model import BudgetSpec, ChatMessage, Completion, Message, ModelSpec, PriceSpec, Prompt, Usage
from homunculus.pipelines.budget import Account, Affordable, cost
from homunculus.pipelines.complete import Complete
from homunculus.pipelines.gate import gate
from homunculus.pipelines.tokens import PER_MESSAGE, count_tokens
from tests.unit.pipelines.meters import NOON, Clock, Ledger, meter
from tests.unit.pipelines.turns import Says, agent, said, turn

ASKED = Prompt((ChatMessage("system", "You keep a small shop."), ChatMessage("user", "Ana: hi")), char="Kovach")
ANA = Account("kovach-eod", "local/local/tavern", "local:tavern")
DAY = 86_400.0


class Counts(Says):
    """A model that says what it used."""

    def __init__(self, spec: ModelSpec, tokens: tuple[int, ...] = (100, 20)) -> None:
        super().__init__("Evening.", spec.id)
        self.spec, self.tokens = spec, tokens

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        done = await super().complete(prompt)
        return Completion(done.text, done.model, done.provider, *self.tokens)


def limited(name: str = "haiku", *, tokens: int | None = None, money: float | None = None, **more: object) -> ModelSpec:
    return ModelSpec(name, "openai", budget=BudgetSpec(tokens, money), **more)  # type: ignore[arg-type]


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message} {extra}")
    yield lines
    logger.remove(sink)


# --- counting --------------------------------------------------------------------------------------------------------


async def test_a_call_is_kept_with_who_made_it_and_where() -> None:
    ledger = Ledger()
    price = PriceSpec(1.0, 5.0, cache_read=0.1, cache_write=1.25)
    model = Counts(limited(price=price), (1_000_000, 200_000, 400_000, 100_000))
    await meter(ledger).metered(model, ANA).complete(ASKED)
    (used,) = ledger.kept
    assert (used.day, used.model, used.agent_id) == ("2026-11-26", "haiku", "kovach-eod")
    assert (used.conversation, used.label) == ("local/local/tavern", "local:tavern")
    assert (used.calls, used.estimated, used.tokens_in, used.tokens_out) == (1, 0, 1_000_000, 200_000)
    assert used.cost == pytest.approx(0.5 * 1.0 + 0.4 * 0.1 + 0.1 * 1.25 + 0.2 * 5.0)


def test_what_went_through_a_cache_costs_as_other_input_unless_it_is_written() -> None:
    done = Completion("", "m", "p", 1_000_000, 0, 600_000, 100_000)
    assert cost(PriceSpec(2.0, 9.0), done) == pytest.approx(2.0)
    assert cost(PriceSpec(2.0, 9.0, cache_read=0.0), done) == pytest.approx(0.8)
    assert cost(None, done) == 0


async def test_a_provider_that_does_not_say_is_estimated_and_marked() -> None:
    ledger = Ledger()
    await meter(ledger).metered(Counts(limited(), (0, 0)), ANA).complete(ASKED)
    (used,) = ledger.kept
    asked = sum(count_tokens(message.content) + PER_MESSAGE for message in ASKED.messages)
    assert (used.estimated, used.tokens_in, used.tokens_out) == (1, asked, count_tokens("Evening."))


class BreaksOff(Says):
    """A model that says something and then fails, or is not heard any more."""

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        assert on_text is not None
        on_text("Once upon a ")
        on_text("time")
        assert isinstance(self.answer, BaseException)
        raise self.answer


@pytest.mark.parametrize("end", [NotReady("cut"), asyncio.CancelledError(), ZeroDivisionError()])
async def test_an_answer_that_broke_off_was_paid_for(end: BaseException) -> None:
    ledger, heard = Ledger(), list[str]()
    broken = BreaksOff("")
    broken.answer = end  # type: ignore[assignment]  # a cancellation is no Exception
    with pytest.raises(type(end)):
        await meter(ledger).metered(broken, ANA).complete(ASKED, heard.append)
    assert heard == ["Once upon a ", "time"]
    (used,) = ledger.kept
    assert (used.estimated, used.tokens_out) == (1, count_tokens("Once upon a time"))


async def test_a_call_that_said_nothing_cost_nothing() -> None:
    ledger = Ledger()
    with pytest.raises(NotReady):
        await meter(ledger).metered(Says(NotReady("refused")), ANA).complete(ASKED)
    assert ledger.kept == []


# --- the budget of a day ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (limited(tokens=240), "its budget of 240 tokens a day is used up until midnight UTC"),
        (limited(money=0.0004, price=PriceSpec(1, 5)), "its budget of 0.0004 a day is used up until midnight UTC"),
    ],
)
async def test_a_model_whose_budget_is_used_up_is_not_asked(spec: ModelSpec, reason: str, warnings: list[str]) -> None:
    counts = Counts(spec)
    metered = meter().metered(counts, ANA)
    await metered.complete(ASKED)
    await metered.complete(ASKED)
    assert len(warnings) == 1, "said when it happens, not when somebody next asks"
    for _ in range(3):
        with pytest.raises(Spent, match=f"^{reason}$"):
            await metered.complete(ASKED)
    assert len(counts.asked) == 2
    assert len(warnings) == 1
    assert reason in warnings[0]


async def test_a_limit_of_costs_without_a_price_limits_nothing() -> None:
    metered = meter().metered(Counts(limited(money=0.0001)), ANA)
    for _ in range(3):
        await metered.complete(ASKED)


async def test_a_new_day_begins_a_new_budget_and_a_clock_set_back_does_not(warnings: list[str]) -> None:
    clock = Clock(NOON + DAY / 2 - 1)
    metered = meter(clock=clock).metered(Counts(limited(tokens=100)), ANA)
    await metered.complete(ASKED)
    with pytest.raises(Spent):
        await metered.complete(ASKED)
    clock.now -= DAY
    with pytest.raises(Spent):
        await metered.complete(ASKED)
    clock.now += DAY + 2
    await metered.complete(ASKED)
    assert len(warnings) == 2, "each day says so once"


async def test_a_budget_survives_a_restart() -> None:
    ledger = Ledger()
    await meter(ledger).metered(Counts(limited(tokens=100)), ANA).complete(ASKED)
    again = meter(ledger)
    await again.open()
    with pytest.raises(Spent):
        await again.metered(Counts(limited(tokens=100)), ANA).complete(ASKED)
    tomorrow = meter(ledger, Clock(NOON + DAY))
    await tomorrow.open()
    await tomorrow.metered(Counts(limited(tokens=100)), ANA).complete(ASKED)


async def test_a_raised_budget_lets_the_model_speak_again_at_once(warnings: list[str]) -> None:
    one = meter()
    await one.metered(Counts(limited(tokens=100)), ANA).complete(ASKED)
    await one.metered(Counts(limited(tokens=200)), ANA).complete(ASKED)
    with pytest.raises(Spent):
        await one.metered(Counts(limited(tokens=200)), ANA).complete(ASKED)
    assert len(warnings) == 2


async def test_a_fallback_answers_for_a_model_that_rests() -> None:
    one, complete = turn(models=(Counts(limited(tokens=1)), Counts(limited("spare")))), Complete(meter())
    one.prompt = ASKED
    await complete.run(one)
    again = turn(models=one.models)
    again.prompt = ASKED
    await complete.run(again)
    assert again.completion is not None
    assert again.completion.model == "spare"
    assert [(attempt.model, attempt.reason) for attempt in again.attempts] == [
        ("haiku", "its budget of 1 tokens a day is used up until midnight UTC")
    ]


async def test_when_every_model_rests_the_turn_ends_in_silence_and_when_one_failed_it_fails() -> None:
    one = meter()
    for spec in (limited(tokens=1), limited("spare", tokens=1)):
        await one.metered(Counts(spec), ANA).complete(ASKED)
    resting = turn(models=(Counts(limited(tokens=1)), Counts(limited("spare", tokens=1))))
    resting.prompt = ASKED
    with pytest.raises(Spent, match=r"haiku: its budget .*; spare: its budget"):
        await Complete(one).run(resting)
    failing = turn(models=(Counts(limited(tokens=1)), Says(NotReady("busy"), "local")))
    failing.prompt = ASKED
    with pytest.raises(Refused, match="local: busy") as raised:
        await Complete(one).run(failing)
    assert not isinstance(raised.value, Spent)


# --- the gate --------------------------------------------------------------------------------------------------------


def judged(one: Affordable, message: Message, *models: ModelSpec, mode: Mode = "mention") -> Verdict:
    return one(replace(agent(), models=models), mode, message)


async def test_nothing_visible_happens_while_every_model_rests() -> None:
    counted = meter()
    one = Affordable(gate, counted)
    spent, free = limited(tokens=1), limited("free")
    addressed = said("Kovach?")
    assert judged(one, addressed, spent).answer
    await counted.metered(Counts(spent), ANA).complete(ASKED)
    silent = judged(one, addressed, spent)
    assert (silent.answer, silent.reason) == (
        False,
        "haiku: its budget of 1 tokens a day is used up until midnight UTC",
    )
    assert judged(one, addressed, spent, free).answer, "a fallback can answer"
    assert judged(one, said("hello")) == gate(agent(), "mention", said("hello")), "other reasons come first"


# --- the status ------------------------------------------------------------------------------------------------------


async def test_the_report_says_what_was_used_against_which_budget_by_whom_and_where() -> None:
    ledger = Ledger(Usage("2026-11-25", "haiku", "kovach-eod", "x", calls=9, tokens_in=9))
    one = meter(ledger)
    spec = limited(tokens=240, money=2.0, price=PriceSpec(1, 5))
    elsewhere = Account("ines", "discord/1/2", "discord:1:2")
    for account in (ANA, ANA, elsewhere):
        try:
            await one.metered(Counts(spec), account).complete(ASKED)
        except Spent:
            await one.metered(Counts(limited("spare"), (5, 5)), account).complete(ASKED)
    report = await one.report([spec, limited("spare"), limited("unused")])
    assert report["day"] == "2026-11-26"
    haiku, spare, unused = report["models"]
    assert (haiku["model"], haiku["calls"], haiku["tokens_in"], haiku["tokens_out"]) == ("haiku", 2, 200, 40)
    assert (haiku["tokens_per_day"], haiku["cost_per_day"], haiku["cost"]) == (240, 2.0, 0.0004)
    assert haiku["spent"] == "its budget of 240 tokens a day is used up until midnight UTC"
    assert (spare["calls"], spare["spent"], spare["priced"]) == (1, "", False)
    assert unused["calls"] == 0
    assert {used["agent_id"]: used["calls"] for used in report["agents"]} == {"kovach-eod": 2, "ines": 1}
    assert [(used["conversation"], used["calls"]) for used in report["conversations"]] == [
        ("local:tavern", 2),
        ("discord:1:2", 1),
    ]
    assert one.exhausted([spec, limited("spare")]) == (f"haiku: {haiku['spent']}",)


async def test_the_report_stays_short_however_many_conversations_there_are() -> None:
    ledger = Ledger(*(Usage("2026-11-26", "m", "a", str(i), calls=1, tokens_in=i) for i in range(100)))
    talks = (await meter(ledger).report([]))["conversations"]
    assert [used["conversation"] for used in talks] == [str(i) for i in range(99, 79, -1)]
