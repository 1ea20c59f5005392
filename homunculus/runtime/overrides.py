"""What people changed by command in one conversation: the mode of an agent there, or that it is paused.

Owns the copy in memory that the gate reads; the state keeps the rows. It wins over the file and is no part of it.
"""

from __future__ import annotations

from typing import cast

from homunculus.interfaces import Mode
from homunculus.model import Agent
from homunculus.runtime import store


class Overrides:
    """Answer how an agent behaves in a conversation."""

    def __init__(self, kept: store.Store) -> None:
        self._store = kept
        self._values: dict[tuple[str, str, store.OverrideKey], str] = {}

    async def load(self) -> None:
        """Read what was kept from before."""
        self._values = dict(await self._store.overrides())

    def all(self) -> store.Overrides:
        """Return every override, for status."""
        return dict(self._values)

    def mode(self, conversation: str, agent: Agent) -> Mode:
        """Return the mode that holds there: an override, else the agent's `respond`."""
        return cast("Mode", self._values.get((conversation, agent.id, "mode"), agent.spec.respond))

    def has_mode(self, conversation: str, agent: Agent) -> bool:
        """Tell whether the mode there is an override."""
        return (conversation, agent.id, "mode") in self._values

    def paused(self, conversation: str, agent: Agent) -> bool:
        """Tell whether the agent was told to be silent there."""
        return (conversation, agent.id, "paused") in self._values

    async def set(self, conversation: str, agent_id: str, key: store.OverrideKey, value: str | None) -> None:
        """Keep an override, or forget it with None; it holds as soon as this returns."""
        await self._store.set_override(conversation, agent_id, key, value)
        if value is None:
            self._values.pop((conversation, agent_id, key), None)
        else:
            self._values[conversation, agent_id, key] = value
