"""What models were used for and what that cost: counts of one day, one model, one agent, one conversation. Plain data."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls of a model on one day (UTC, `2026-11-26`), in tokens and in the currency that its prices are written in.

    `conversation` is the storage key, `label` what people call it. `tokens_in` counts whole prompts, with what a prefix
    cache served and kept. `estimated` of the calls were counted by us: their provider did not say.
    """

    day: str
    model: str
    agent_id: str
    conversation: str
    label: str = field(default="", compare=False)
    calls: int = 0
    estimated: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cache_read: int = 0
    cache_written: int = 0
    cost: float = 0.0

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out
