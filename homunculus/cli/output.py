"""How results reach a person or a pipe: colour and tables on a terminal, plain lines and JSON elsewhere. Decides nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from homunculus.errors import ConfigError
from homunculus.logs import scrub


def terminal() -> bool:
    """Tell whether stdout is a terminal."""
    return sys.stdout.isatty()


def say(text: str, style: str = "") -> None:
    """Print one result line to stdout: coloured on a terminal, plain and never wrapped in a pipe."""
    text = scrub(text)
    if terminal() and style:
        Console(soft_wrap=True, highlight=False).print(Text(text, style=style))
    else:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def note(text: str, style: str = "dim") -> None:
    """Print a remark to stderr: it is not part of the result."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(Text(scrub(text), style=style))


def show_json(value: Any) -> None:
    """Print a result as JSON."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def finding(error: ConfigError) -> dict[str, Any]:
    """Return a finding as plain data: the same shape the API has."""
    where = error.where
    return {
        "location": f"{where.file}:{where.line}:{where.column}",
        "path": where.path,
        "message": error.message,
        "hint": error.hint,
    }


def show_findings(errors: Iterable[ConfigError], warnings: Iterable[ConfigError]) -> None:
    """Print every finding on a line of its own: errors first, warnings marked as such after their place."""
    for error in errors:
        say(str(error), "bold red")
    for warning in warnings:
        where = warning.where
        text = f"{where.path}: {warning.message}" if where.path else warning.message
        hint = f"; {warning.hint}" if warning.hint else ""
        say(f"{where.file}:{where.line}:{where.column}: warning: {text}{hint}", "yellow")


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on a terminal; in a pipe one row a line, cells apart by tabs, without the title."""
    if not terminal():
        for row in rows:
            say("\t".join(row))
        return
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(scrub(cell), style=STATE_STYLES.get(cell, "")) for cell in row))
    Console().print(table)


STATE_STYLES = {
    "ready": "green",
    "connecting": "cyan",
    "retrying": "yellow",
    "unconfigured": "yellow",
    "failed": "bold red",
    "disabled": "dim",
    "stopping": "dim",
}
