"""The first words of an agent in a place that it was just given: its card's greeting, once, where the file wants it.

Owns when; never what. An agent that has heard or said anything in a place is at home there: the history is the only memory of
it, so a restart, a save or another rule greets nobody again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from loguru import logger

from homunculus.errors import HomunculusError
from homunculus.interfaces import History
from homunculus.model import Address, Agent, BindingSpec
from homunculus.runtime.generation import Generation
from homunculus.runtime.routes import places
from homunculus.runtime.runner import Runner
from homunculus.runtime.sending import Sending

Words = Callable[[Agent], str]


class Greetings:
    """Greet the places of an instance."""

    def __init__(self, history: History, sending: Sending, words: Words) -> None:
        self._history, self._sending, self._words = history, sending, words
        self._one = asyncio.Lock()  # two reasons to look must not both find a place ungreeted

    async def at(self, runner: Runner, generation: Generation) -> None:
        """Greet every place of an instance where an agent is new; a place that cannot be greeted is logged."""
        async with self._one:
            for agent, place in _wanted(runner, generation):
                try:
                    await self._greet(runner, generation, agent, place)
                except HomunculusError as error:
                    logger.bind(adapter=runner.key, place=place, agent=agent.id, reason=str(error)).warning(
                        "A place could not be greeted"
                    )

    async def _greet(self, runner: Runner, generation: Generation, agent: Agent, place: str) -> None:
        plain = Address(runner.spec.platform, runner.key, runner.account, place)
        if await self._history.recent(plain.conversation, agent.id, 1):
            return
        address = await runner.locate(place)
        if generation.routes.owner(address) != agent.id or await self._history.recent(
            address.conversation, agent.id, 1
        ):
            return
        persona = generation.persona(runner.spec, runner.abilities)
        await self._sending.voiced(runner, address, agent, persona, self._words(agent))


def _wanted(runner: Runner, generation: Generation) -> Iterator[tuple[Agent, str]]:
    rules: tuple[BindingSpec, ...] = generation.deployment.bindings
    for rule in rules:
        agent = generation.agents.get(rule.agent_id)
        if rule.key == runner.key and rule.kind != "agent" and agent is not None and agent.spec.greeting:
            for place in places(rule):
                yield agent, place
