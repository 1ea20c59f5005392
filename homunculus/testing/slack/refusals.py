"""The refusals Slack answers with: an error code in a JSON body, nearly always under HTTP 200.

Owns the form of a refusal. Never decides when one applies.
Source: Slack's "Using the Slack Web API: Evaluating responses" and the error tables of each method.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Refusal(Exception):
    """Carry one error answer: `error` is Slack's code, `more` what stands beside it (`needed`, `provided`)."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error, self.more = error, more

    def body(self) -> Json:
        return {"ok": False, "error": self.error, **self.more}
