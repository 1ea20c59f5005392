"""Faults that a test asks for: answers that fail, answers that dawdle.

Owns the list of faults still to happen. Never performs a request.
"""

from __future__ import annotations

from dataclasses import dataclass

from homunculus.testing.discord.limits import limited

# What Discord's edge answers in its own name: no JSON.
_EDGE_PAGES = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}


@dataclass(slots=True)
class Fault:
    """Fail the next `left` matching requests; `status=None` cuts the connection instead of answering.

    `after=True` lets the request take effect first: the client cannot know that it did.
    """

    left: int
    status: int | None
    path_contains: str = ""
    method: str = ""
    retry_after: float = 0.5
    via: bool = True
    global_: bool = False
    after: bool = False

    def matches(self, method: str, path: str) -> bool:
        return self.left > 0 and self.path_contains in path and self.method in ("", method)

    def answer(self) -> tuple[object, dict[str, str]]:
        """Word the failure: a JSON body, or a text where Discord's edge answers, and extra headers."""
        if self.status == 429 and not self.via:
            return "error code: 1015", {"Retry-After": "60"}
        if self.status == 429:
            return limited(self.retry_after, scope="global" if self.global_ else "user")
        if self.status in _EDGE_PAGES:
            title = f"{self.status} {_EDGE_PAGES[self.status]}"
            return f"<html><head><title>{title}</title></head><body>{title}</body></html>", {}
        return {"message": f"{self.status}: Internal Server Error", "code": 0}, {}


class Faults:
    """Hold the faults to come, in the order they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._delays: dict[str, float] = {}

    def add(self, fault: Fault) -> None:
        self._faults.append(fault)

    @property
    def left(self) -> int:
        """Count the failures that were asked for and have not happened yet."""
        return sum(fault.left for fault in self._faults)

    def take(self, method: str, path: str) -> Fault | None:
        fault = next((fault for fault in self._faults if fault.matches(method, path)), None)
        if fault is not None:
            fault.left -= 1
        return fault

    def slow(self, path_contains: str, seconds: float) -> None:
        self._delays[path_contains] = seconds

    def delay(self, path: str) -> float:
        return max((seconds for part, seconds in self._delays.items() if part in path), default=0.0)
