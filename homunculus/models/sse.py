"""Cuts a stream of bytes into server-sent events. Pure: it reads no socket and judges no content.

Follows https://html.spec.whatwg.org/multipage/server-sent-events.html as far as chat endpoints use it: only `data`.
"""

from __future__ import annotations

import re

LONGEST_LINE = 1 << 20  # bytes; a stream without line ends is not an event stream
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Events:
    """Collect bytes, however they were split, and hand out the data of each event as soon as it is whole."""

    def __init__(self) -> None:
        # All the state between two chunks: an unfinished line, the data lines of an unfinished event.
        self._line: list[bytes] = []
        self._held = 0
        self._data: list[str] = []
        self._after_return = False  # the last byte was CR: a leading LF still belongs to it
        self._started = False

    def feed(self, chunk: bytes) -> list[str]:
        """Return the events that this chunk completes. Raise ValueError for a line over `LONGEST_LINE`."""
        if self._after_return and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if chunk:
            self._after_return = chunk.endswith(b"\r")
        first, *rest = _LINE_END.split(chunk)
        events: list[str] = []
        self._hold(first)
        for part in rest:
            self._end_line(events)
            self._hold(part)
        return events

    def close(self) -> list[str]:
        """Return the event that the end of the stream completes, as lenient clients do."""
        events: list[str] = []
        self._end_line(events)
        self._end_line(events)
        return events

    def _hold(self, part: bytes) -> None:
        self._held += len(part)
        if self._held > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE} bytes")
        if part:
            self._line.append(part)

    def _end_line(self, events: list[str]) -> None:
        line = b"".join(self._line).decode("utf-8", "replace")
        self._line, self._held = [], 0
        if not self._started:
            self._started, line = True, line.removeprefix("\ufeff")
        if not line:
            if self._data:
                events.append("\n".join(self._data))
                self._data = []
            return
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
