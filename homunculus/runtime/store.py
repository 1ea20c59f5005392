"""What the runtime needs of the state database. Owns the Protocol alone; `homunculus.runtime.state` keeps it.

The inbox key of a message is (platform, account, conversation place, message id): never the instance's name, or a renamed
instance would answer twice. A turn ends in one transaction (`finish`), and only then is anything sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from homunculus.interfaces import History
from homunculus.model import Address, Message, Reply

UNHEARD = ""  # in place of an agent's id: for what no agent is to remember, such as a command
OverrideKey = Literal["mode", "paused"]
Overrides = Mapping[tuple[str, str, OverrideKey], str]  # (conversation, agent id, key) → value


@dataclass(frozen=True, slots=True)
class Mark:
    """Up to where a conversation is recorded: what came after the message `after` has to be asked for.

    `time` is that message's own; `known` more were recorded after it, so that small disorder on the way costs nothing.
    """

    address: Address
    after: str
    time: float
    known: int = 0


@dataclass(frozen=True, slots=True)
class PendingSwap:
    """An agent that is being given another character, as the file writes it; `archives` are those there were before."""

    agent_id: str
    namespace: str
    character: str
    archives: tuple[str, ...] = ()


class SwapStore(Protocol):
    """The swaps that were begun and not ended, durable."""

    async def begin_swap(self, swap: PendingSwap) -> None:
        """Let an agent's history begin here, and note the swap until it is ended, in one transaction."""

    async def end_swap(self, agent_id: str, *, kept: bool) -> None:
        """End a swap; one that is not `kept` gives the agent its history back."""

    async def pending_swaps(self) -> tuple[PendingSwap, ...]:
        """Return the swaps that were begun and not ended."""


class Store(History, Protocol):
    """The inbox, the history, the outbox and the overrides, durable. Every method that awaits returns after the commit."""

    @property
    def opened_at(self) -> float:
        """When this process opened the state, in seconds since the epoch: nothing later can be in it from before."""

    def seen(self, message: Message) -> bool:
        """Claim a message: False the first time, True ever after. Looks at recent keys in memory and never blocks."""

    async def record(self, message: Message, agent_id: str) -> bool:
        """Write the inbox row and the agent's history line (none of UNHEARD); False when the database already had it.

        When it raises, nothing was written and the claim of `seen` is given back: the platform will deliver it again.
        """

    async def amend(self, message: Message) -> None:
        """Update (kind `edited`) or remove (kind `deleted`) the stored message and its history line, if there is one."""

    async def settle(self, messages: Sequence[Message], outcome: str, reason: str = "") -> None:
        """End the inbox rows of messages that got no reply: `silent` or `failed`."""

    async def finish(
        self, turn_id: str, agent_id: str, messages: Sequence[Message], replies: Sequence[Reply], address: Address
    ) -> None:
        """End a turn in one transaction: inbox rows done, history lines of the replies, outbox rows already SENDING.

        What is said unasked answers no messages; of UNHEARD it leaves no history.
        """

    async def extend(self, turn_id: str, agent_id: str, replies: Sequence[Reply], address: Address) -> None:
        """Bring a turn that ended with the beginning of its first reply to all of its replies, in one transaction.

        The first reply gets its final text; the others get history lines and outbox rows, SENDING.
        """

    async def sent(self, reply_id: str, message_id: str) -> None:
        """Note that a reply arrived as `message_id`; may go with the next commit."""

    async def unsent(self, reply_id: str, outcome: Literal["failed", "uncertain"], reason: str) -> None:
        """Note that a reply did not arrive, or that nobody can tell."""

    async def unanswered(self, since: float) -> tuple[tuple[Message, str], ...]:
        """Return what was recorded at or after `since` and never ended, oldest first, each with its agent's id."""

    async def last_recorded(self, platform: str, account: str) -> tuple[Mark, ...]:
        """Return a mark for each conversation of an account that was ever recorded, for as long as it is kept."""

    async def overrides(self) -> Overrides:
        """Return every override of a conversation."""

    async def set_override(self, conversation: str, agent_id: str, key: OverrideKey, value: str | None) -> None:
        """Set an override, or remove it with None."""
