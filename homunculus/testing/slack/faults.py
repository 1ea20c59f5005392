"""Faults that a test asks for: answers that fail, answers that dawdle.

Owns the list of faults still to happen. Never performs a request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from aiohttp import web


@dataclass(slots=True)
class Fault:
    """Fail the next `left` matching calls; `status=None` cuts the connection instead of answering.

    `after=True` lets the call take effect first: the client cannot know that it did. `error` answers HTTP 200 with that
    error instead of a status.
    """

    left: int
    status: int | None
    method: str = ""
    retry_after: float = 1.0
    after: bool = False
    error: str = ""

    def matches(self, method: str) -> bool:
        return self.left > 0 and self.method in method

    def answer(self) -> web.Response | None:
        """Word the failure; None where there is no answer."""
        if self.error:
            return web.json_response({"ok": False, "error": self.error})
        if self.status is None:
            return None
        if self.status == 429:
            return limited(self.retry_after)
        return web.Response(
            status=self.status, text="<html><body>upstream error</body></html>", content_type="text/html"
        )


class Faults:
    """Hold the faults to come, in the order they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._delays: dict[str, tuple[float, float]] = {}

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    @property
    def left(self) -> int:
        """Count the failures that were asked for and have not happened yet."""
        return sum(fault.left for fault in self._faults)

    def take(self, method: str) -> Fault | None:
        fault = next((fault for fault in self._faults if fault.matches(method)), None)
        if fault is not None:
            fault.left -= 1
        return fault

    def slow(self, method: str, before: float, after: float) -> None:
        self._delays[method] = before, after

    def delays(self, method: str) -> tuple[float, float]:
        """Tell for how long a call waits before it takes effect, and for how long its answer is held back."""
        found = [seconds for part, seconds in self._delays.items() if part in method]
        return max((before for before, _ in found), default=0.0), max((after for _, after in found), default=0.0)


def limited(retry_after: float) -> web.Response:
    """Word a 429. Source: Slack's "Rate limits": a whole number of seconds."""
    return web.json_response(
        {"ok": False, "error": "ratelimited"},
        status=429,
        headers={"Retry-After": str(max(1, math.ceil(retry_after)))},
    )
