"""Faults that a test asks for: answers that fail, answers that dawdle. Owns what is still to happen; performs nothing."""

from __future__ import annotations

from dataclasses import dataclass

from homunculus.testing.telegram.refusals import SECOND_POLLER, Json, Refusal, limited, refuse

# What Telegram's edge answers in its own name: no JSON.
_EDGE_PAGES = {502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out"}
STATUSES = (None, 401, 403, 409, 429, 500, *_EDGE_PAGES)


@dataclass(slots=True)
class Fault:
    """Fail the next `left` calls of a method ("" is any); `status=None` cuts the connection instead of answering.

    `after=True` lets the call take effect first: the client cannot know that it did. `bot` 0 is any bot.
    """

    left: int
    status: int | None
    method: str = ""
    retry_after: float = 1.0
    after: bool = False
    bot: int = 0

    def matches(self, method: str, bot: int) -> bool:
        return self.left > 0 and self.method in ("", method) and self.bot in (0, bot)

    def answer(self) -> Json | str:
        """Word the failure: a JSON body, or a page where Telegram's edge answers."""
        assert self.status is not None
        if self.status in _EDGE_PAGES:
            title = f"{self.status} {_EDGE_PAGES[self.status]}"
            return f"<html><head><title>{title}</title></head><body>{title}</body></html>"
        if self.status == 429:
            return limited(self.retry_after).body()
        if self.status == 409:
            return refuse(SECOND_POLLER).body()
        words = {401: "Unauthorized", 403: "Forbidden: user is deactivated", 500: "Internal Server Error"}
        return Refusal(self.status, words[self.status]).body()


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

    def take(self, method: str, bot: int) -> Fault | None:
        fault = next((fault for fault in self._faults if fault.matches(method, bot)), None)
        if fault is not None:
            fault.left -= 1
        return fault

    def clear(self) -> None:
        self._faults.clear()
        self._delays.clear()

    def slow(self, method: str, seconds: float) -> None:
        self._delays[method] = seconds

    def delay(self, method: str) -> float:
        return max(self._delays.get(method, 0.0), self._delays.get("", 0.0))
