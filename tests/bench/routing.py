"""Route resolution alone: the table of 10,000 bindings, asked for places it has not met, and for places it has."""

from __future__ import annotations

import time
from collections.abc import Sequence

from homunculus.model import AdapterSpec, Address, Author, BindingSpec, Message
from homunculus.runtime.routes import Routes
from tests.bench.files import channel_id
from tests.bench.report import Figure, median
from tests.bench.stage import Run

US = 1e6
ANA = Author("1", "Ana")


def _binding(number: int) -> BindingSpec:
    return BindingSpec(
        agent_id=f"npc{number % 10}",
        platform="discord",
        channel_ids=(channel_id(0, number),),
        path=f"bindings[{number}]",
    )


def _message(number: int) -> Message:
    address = Address("discord", "discord", "7", channel_id(0, number), space="42")
    return Message(id=str(number), address=address, author=ANA, text="hello")


def _each(routes: Routes, messages: Sequence[Message]) -> float:
    """Return the CPU seconds of one resolution."""
    match = routes.match
    began = time.thread_time()
    for message in messages:
        match(message)
    return (time.thread_time() - began) / len(messages)


async def routes(run: Run) -> list[Figure]:
    count = run.times(10_000, 1_000)
    bindings = [_binding(number) for number in range(count)]
    messages = [_message(number) for number in range(count)]
    first, again = [], []
    for _ in range(run.times(7, 3)):
        table = Routes(bindings, [AdapterSpec(platform="discord")], None)
        first.append(_each(table, messages))
        again.append(_each(table, messages))
        if any(table.match(message).agent_id != f"npc{i % 10}" for i, message in enumerate(messages)):
            raise RuntimeError("a route is wrong: the figure would mean nothing")
    how = f"{count:,} bindings, each asked for once a round; CPU of the thread"
    return [
        Figure("routes", "route resolution, first time", median(first) * US, "µs", 4.0, how=how),
        Figure("routes", "route resolution, repeated", median(again) * US, "µs", 1.0),
    ]
