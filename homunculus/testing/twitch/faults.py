"""Faults that a test asks for: answers that fail, answers that dawdle.

Owns the list of faults still to happen. Never performs a request.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Fault:
    """Fail the next `left` matching requests; `status=None` cuts the connection instead of answering.

    `after=True` lets the request take effect first: the client cannot know that it did.
    """

    left: int
    status: int | None
    path_contains: str = ""
    method: str = ""
    retry_after: float = 1.0
    after: bool = False

    def matches(self, method: str, path: str) -> bool:
        """Tell whether a request is one of those that were meant."""
        return self.left > 0 and self.path_contains in path and self.method in ("", method)


class Faults:
    """Hold the faults to come, in the order they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._delays: dict[str, float] = {}

    def add(self, fault: Fault) -> None:
        """Ask for one more."""
        self._faults.append(fault)

    @property
    def left(self) -> int:
        """Count the failures that were asked for and have not happened yet."""
        return sum(fault.left for fault in self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        """Use up one failure of the first fault that means this request."""
        fault = next((fault for fault in self._faults if fault.matches(method, path)), None)
        if fault is not None:
            fault.left -= 1
        return fault

    def slow(self, path_contains: str, seconds: float) -> None:
        """Hold back matching answers from now on; 0 ends it."""
        self._delays[path_contains] = seconds

    def delay(self, path: str) -> float:
        """Return for how long the answer to a path is held back."""
        return max((seconds for part, seconds in self._delays.items() if part in path), default=0.0)
