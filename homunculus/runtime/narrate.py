"""What happened, as lines of the log: the one subscriber that tells an operator. Owns wording; decides nothing.

Reloads and failed turns are told where they happen, with what only that place knows.
"""

from __future__ import annotations

from loguru import logger

from homunculus.model import AdapterChanged, Event, ModelProgress, TurnEnded

_LEVELS = {"ready": "INFO", "retrying": "WARNING", "failed": "ERROR"}  # what is unconfigured, the file's warnings say

_STEP = 20  # percent of a download between two lines


class Narrator:
    """Log what an operator should see, each thing once. Remembers what it said of each model last."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[str, str]] = {}

    def observe(self, event: Event) -> None:
        match event:
            case AdapterChanged(runtime_key=key, state=state, reason=reason):
                bound = {"adapter": key, "state": state} | ({"reason": reason} if reason else {})
                logger.bind(**bound).log(_LEVELS.get(state, "DEBUG"), "An adapter changed its state")
            case ModelProgress(phase="failed" | "ready" | "fetching"):
                self._model(event)
            case TurnEnded(trace=trace) if trace.outcome == "uncertain":
                logger.bind(conversation=trace.conversation, agent=trace.agent_id, reason=trace.reason).warning(
                    "A reply may or may not have arrived; it is not sent again"
                )
            case _:
                pass

    def _model(self, event: ModelProgress) -> None:
        share = 100 * event.done // event.total // _STEP * _STEP if event.total else 0
        said = (event.phase, f"{share} %" if event.phase == "fetching" else event.detail)
        if self._models.get(event.model) == said:
            return
        self._models[event.model] = said
        if event.phase == "failed":
            logger.bind(model=event.model, reason=event.detail).error("A model cannot be used")
        elif event.phase == "fetching":
            logger.bind(model=event.model, done=said[1], megabytes=event.total // 1_000_000).info("A model is fetched")
        else:
            logger.bind(model=event.model).info("A model is ready")
