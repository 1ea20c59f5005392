"""What happened, as lines of the log: the one subscriber that tells an operator. Owns wording; decides nothing.

Reloads and failed turns are told where they happen, with what only that place knows.
"""

from __future__ import annotations

from loguru import logger

from homunculus.model import AdapterChanged, Event, ModelProgress, TurnEnded

_LEVELS = {"ready": "INFO", "retrying": "WARNING", "unconfigured": "WARNING", "failed": "ERROR"}


def narrate(event: Event) -> None:
    """Log an event that an operator should see, once."""
    match event:
        case AdapterChanged(runtime_key=key, state=state, reason=reason):
            bound = {"adapter": key, "state": state} | ({"reason": reason} if reason else {})
            logger.bind(**bound).log(_LEVELS.get(state, "DEBUG"), "An adapter changed its state")
        case ModelProgress(model=model, phase="failed", detail=detail):
            logger.bind(model=model, reason=detail).error("A model cannot be used")
        case ModelProgress(model=model, phase="ready"):
            logger.bind(model=model).info("A model is ready")
        case TurnEnded(trace=trace) if trace.outcome == "uncertain":
            logger.bind(conversation=trace.conversation, agent=trace.agent_id, reason=trace.reason).warning(
                "A reply may or may not have arrived; it is not sent again"
            )
        case _:
            pass
