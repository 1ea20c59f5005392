"""What became of a look at the deployment file, in the words of logs and events. Owns wording; decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from loguru import logger

from homunculus.errors import ConfigError
from homunculus.model import Reloaded
from homunculus.plan import Plan

_LINES = 20  # of a plan in the log: a first start has thousands


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one look at the file. `digest` is the SHA-256 of the file's bytes, "" where it has none."""

    result: Literal["applied", "unchanged", "refused"]
    generation: int
    plan: Plan = field(default_factory=Plan)
    errors: tuple[ConfigError, ...] = ()
    warnings: tuple[ConfigError, ...] = ()
    digest: str = ""

    def event(self, seconds: float) -> Reloaded:
        """Return what subscribers get; `seconds` from the look's begin to its end."""
        return Reloaded(
            self.result,
            self.generation,
            tuple(map(str, self.plan.changes)),
            tuple(map(str, self.errors)),
            tuple(map(str, self.warnings)),
            seconds,
        )

    def log(self, known: frozenset[str] = frozenset(), first: bool = False) -> None:
        """Log each finding with its place, each change that went live, and the result.

        `known` warnings were told before; at the `first` start everything is new, so nothing of it is listed.
        """
        for warning in map(str, self.warnings):
            if warning not in known:
                logger.warning("{finding}", finding=warning)
        for error in self.errors:
            logger.error("{finding}", finding=str(error))
        changes = self.plan.changes if self.result == "applied" and not first else ()
        for change in changes[:_LINES]:
            logger.info("{change}", change=str(change))
        if len(changes) > _LINES:
            logger.info("… and {count} more changes", count=len(changes) - _LINES)
        level, sentence = _SENTENCES[self.result]
        logger.bind(generation=self.generation).log(level, sentence)


_SENTENCES = {
    "applied": ("INFO", "the deployment file is live"),
    "unchanged": ("INFO", "the deployment file says what runs"),
    "refused": ("ERROR", "the deployment file was refused: what ran goes on"),
}
