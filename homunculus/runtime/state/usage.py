"""The table of usage: one row for each day, model, agent and conversation. Owns its statements; never a price or a limit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter

import apsw

from homunculus.model import Usage
from homunculus.runtime.state.rows import dumps
from homunculus.runtime.state.tables import run, scalar

KEEP_DAYS = 400  # a year and the month in which one looks back at it

SPEND = """
INSERT INTO usage (
    day, model, agent_id, conversation, label, calls, estimated, tokens_in, tokens_out, cache_read, cache_written, cost
)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9,
    value->>10, value->>11
FROM json_each(:rows) WHERE true
ON CONFLICT (day, model, agent_id, conversation) DO UPDATE SET
    label = excluded.label,
    calls = calls + excluded.calls,
    estimated = estimated + excluded.estimated,
    tokens_in = tokens_in + excluded.tokens_in,
    tokens_out = tokens_out + excluded.tokens_out,
    cache_read = cache_read + excluded.cache_read,
    cache_written = cache_written + excluded.cache_written,
    cost = cost + excluded.cost
"""
OF_DAY = """
SELECT json_group_array(json_array(
    day, model, agent_id, conversation, label, calls, estimated, tokens_in, tokens_out, cache_read, cache_written, cost
) ORDER BY model, agent_id, conversation) FROM usage WHERE day = :day
"""

_COLUMNS = attrgetter(*(field.name for field in fields(Usage)))  # the table's, in the order of the statements


@dataclass(frozen=True, slots=True)
class Spend:
    """Rows to be added to what is there."""

    rows: tuple[str, ...]

    @classmethod
    def of(cls, used: Iterable[Usage]) -> Spend:
        return cls(tuple(dumps(_COLUMNS(one)) for one in used))


def spend(connection: apsw.Connection, jobs: Iterable[Spend]) -> None:
    """Add each row to its day."""
    rows = [row for job in jobs for row in job.rows]
    if rows:
        run(connection, SPEND, {"rows": f"[{','.join(rows)}]"})


def of_day(connection: apsw.Connection, day: str) -> tuple[Usage, ...]:
    """Return what was used on a day."""
    return tuple(Usage(*row) for row in json.loads(str(scalar(connection, OF_DAY, {"day": day}))))


def forget(connection: apsw.Connection, now: float) -> None:
    """Let go of days that are too old."""
    sql = "DELETE FROM usage WHERE day < date(:now, 'unixepoch', :age)"
    run(connection, sql, {"now": now, "age": f"-{KEEP_DAYS} days"})
