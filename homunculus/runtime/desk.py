"""What commands may ask and do, on the running program: the Desk that `homunculus.interfaces` promises them.

Owns no state: it asks the supervisor's parts anew each time, so a reload needs no word to it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from homunculus.errors import Refused
from homunculus.interfaces import Mode, Namespace, Order, Standing, Swapped
from homunculus.model import Agent, Message, Trace
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds
from homunculus.runtime.memories import Memories
from homunculus.runtime.outcome import Outcome
from homunculus.runtime.overrides import Overrides
from homunculus.runtime.runner import Runner
from homunculus.runtime.sending import Sending

Traced = Callable[[Message], Trace | None]


class Reloads(Protocol):
    """What the deployment file last was, and a look at it now."""

    @property
    def outcome(self) -> Outcome: ...

    async def request(self) -> Outcome: ...


class Swapping(Protocol):
    """How an agent gets another character."""

    async def swap(self, agent: Agent, character: str) -> Swapped: ...


@dataclass(frozen=True, slots=True)
class RunningDesk:
    """Stand between a command and what it is about. `traced` tells what became of the message that a message is about."""

    current: Callable[[], Generation]
    runner: Callable[[str], Runner | None]
    overrides: Overrides
    sending: Sending
    reloads: Callable[[], Reloads]
    swaps: Callable[[], Swapping]
    holds: Holds
    memories: Memories
    traced: Traced

    def standing(self, order: Order) -> Standing:
        """Say how the order's agent stands in its conversation."""
        agent, address = _agent(order), order.message.address
        runner, outcome = self.runner(address.adapter), self.reloads().outcome
        mode = self.overrides.mode(address.conversation, agent)
        return Standing(
            mode=mode,
            overridden=self.overrides.has_mode(address.conversation, agent),
            paused=self.overrides.paused(address.conversation, agent),
            adapter=address.adapter,
            hindrances=runner.hindrances if runner is not None else (),
            generation=self.current().number,
            running_equals_file=not outcome.errors,
        )

    def last(self, order: Order) -> Trace | None:
        """Return what became of the message that is meant."""
        return self.traced(order.message)

    async def reload(self) -> tuple[bool, tuple[str, ...]]:
        """Look at the file now."""
        outcome = await self.reloads().request()
        found = outcome.errors or outcome.plan.changes
        return not outcome.errors, tuple(map(str, found))

    async def set_mode(self, order: Order, mode: Mode | None) -> None:
        """Override the mode."""
        await self.overrides.set(order.message.address.conversation, _agent(order).id, "mode", mode)

    async def set_paused(self, order: Order, *, paused: bool) -> None:
        """Silence the agent there, or not."""
        value = "true" if paused else None
        await self.overrides.set(order.message.address.conversation, _agent(order).id, "paused", value)

    async def speak(self, order: Order, text: str) -> None:
        """Say a text as the agent, under its name, through the instance that heard the order."""
        agent, address = _agent(order), order.message.address
        runner = self.runner(address.adapter)
        if runner is None:
            raise Refused(f"{address.adapter} has gone, and no other instance may speak for it")
        await self.holds.passed(agent.id)
        with self.holds.taken(agent.id):
            persona = self.current().persona(runner.spec, runner.abilities)
            await self.sending.voiced(runner, address, agent, persona, text)

    async def swap(self, order: Order, character: str) -> Swapped:
        """Give the agent another character."""
        return await self.swaps().swap(_agent(order), character)

    def memory(self, order: Order) -> Namespace:
        """Return the agent's own memory as it runs now."""
        agent = _agent(order)
        memory = self.current().namespaces.get(agent.id)
        if memory is None:
            raise Refused(f"{agent.id} has no memory")
        return memory

    @asynccontextmanager
    async def tended(self, order: Order) -> AsyncIterator[Namespace]:
        """Lend the agent's own memory to change it, one at a time."""
        name = _agent(order).spec.namespace
        async with self.memories.changing(name):
            with self.memories.lent(name) as memory:
                yield memory


def _agent(order: Order) -> Agent:
    if order.agent is None:
        raise Refused("no NPC answers here")
    return order.agent
