"""Sets up the log: one sink on stderr, everybody else's logging led into it, secrets taken out by value.

Owns what a line looks like and what must never stand in one. The text of a line is constant; what varies is bound to it.
"""

from __future__ import annotations

import base64
import json
import logging
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, TextIO
from urllib.parse import quote, quote_plus

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message, Record

HIDDEN = "<secret>"
_SHORTEST = 6  # a shorter value would blank out ordinary words
_NOISY = ("httpx", "httpcore", "hpack", "asyncio", "uvicorn", "watchfiles")


class Scrubber:
    """Replaces secret values wherever they stand, also URL-encoded, in base64 or inside JSON.

    The only mutable state is the set of values, which only grows: an old token stays secret after it was changed.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._forms: tuple[str, ...] = ()

    def hide(self, values: Iterable[str]) -> None:
        """Add secret values; shorter ones than six characters are passed over."""
        fresh = {value for value in values if len(value) >= _SHORTEST} - self._values
        if not fresh:
            return
        self._values |= fresh
        forms = {form for value in self._values for form in _forms(value)}
        self._forms = tuple(sorted(forms, key=len, reverse=True))  # the longest first: one may contain another

    def __call__(self, text: str) -> str:
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text


def _forms(value: str) -> set[str]:
    raw = value.encode()
    encoded = {base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()}
    plain = {value, quote(value), quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
    return plain | encoded | {form.rstrip("=") for form in encoded}


scrub = Scrubber()


class Threshold:
    """The least level that is written; a reload may change it."""

    def __init__(self) -> None:
        self.number = 0

    def set(self, level: str) -> None:
        """Write lines of this level and above from now on."""
        self.number = logger.level(level).no

    @property
    def debugging(self) -> bool:
        return self.number <= logger.level("DEBUG").no

    def passes(self, record: Record) -> bool:
        return record["level"].no >= self.number


threshold = Threshold()


def set_up(
    level: str = "INFO",
    style: Literal["text", "json"] = "text",
    stream: TextIO | None = None,
    scrubber: Scrubber = scrub,
) -> None:
    """Send every log line of this process to `stream` (stderr), scrubbed."""
    threshold.set(level)
    logger.remove()
    write = _json_sink if style == "json" else _text_sink
    logger.add(
        write(stream or sys.stderr, scrubber),
        level=0,
        filter=threshold.passes,
        format=_text_format,
        diagnose=False,  # loguru would show the values of variables in a traceback
        backtrace=False,
        colorize=style == "text" and (stream or sys.stderr).isatty(),
    )
    logging.basicConfig(handlers=[_Intercept()], level=logging.INFO, force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def _text_sink(stream: TextIO, scrubber: Scrubber) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        stream.write(scrubber(str(message)))
        stream.flush()

    return write


def _json_sink(stream: TextIO, scrubber: Scrubber) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        record = message.record
        line = {
            **{key: _plain(value) for key, value in record["extra"].items() if not key.startswith("_")},
            "time": record["time"].isoformat(),
            "level": record["level"].name,
            "source": record["name"],
            "message": record["message"],
        }
        if record["exception"] is not None:
            line["exception"] = str(message).partition("\n")[2]
        stream.write(scrubber(json.dumps(line, ensure_ascii=False)) + "\n")
        stream.flush()

    return write


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool | None) else str(value)


def _text_format(record: Record) -> str:
    shown = {key: str(value) for key, value in record["extra"].items()}
    bound = (f" {key}={_one_line(text)}" for key, text in shown.items() if text not in record["message"])
    record["extra"]["_bound"] = "".join(bound)
    return "<dim>{time:HH:mm:ss}</dim> <level>{level: <7}</level> {message}<dim>{extra[_bound]}</dim>\n{exception}"


def _one_line(text: str) -> str:
    """Escape line breaks and control characters: what a player wrote must not look like a line of the log."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class _Intercept(logging.Handler):
    """Leads the standard library's log records into loguru; a library's traceback is for those who debug."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        text, error = record.getMessage(), record.exc_info
        if error and error[1] is not None and not threshold.debugging:
            text, error = f"{text}: {type(error[1]).__name__}: {error[1]}", None
        logger.bind(logger=record.name).opt(exception=error).log(level, "{}", text)
