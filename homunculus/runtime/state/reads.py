"""What the state database is asked. Owns every query; never changes a row.

A query answers with one row, a JSON array: stepping through rows would hand the interpreter lock over at each of them.
"""

from __future__ import annotations

import json
from typing import Any, cast, get_args

import apsw

from homunculus.model import Address, HistoryLine, Message, Reply
from homunculus.runtime.state.rows import GenerationRow, UnsureReply, message_of
from homunculus.runtime.state.tables import scalar
from homunculus.runtime.state.tails import Row
from homunculus.runtime.store import Mark, OverrideKey, Overrides

DISORDER_SECONDS = 10.0  # no platform promises that messages of one moment arrive in their order
DISORDER_MESSAGES = 10


def _rows(connection: apsw.Connection, sql: str, **bindings: object) -> list[Any]:
    return cast("list[Any]", json.loads(str(scalar(connection, sql, bindings))))


RECENT = """
SELECT json_group_array(json_array(seq, id, author, text, time, speaker) ORDER BY seq) FROM (
    SELECT seq, id, author, text, time, speaker FROM history
    WHERE conversation = :conversation AND agent_id = :agent AND seq < coalesce(
        (SELECT seq FROM inbox WHERE conversation = :before_conversation AND id = :before_id), 9223372036854775807
    ) AND seq > coalesce((SELECT seq FROM beginnings WHERE beginnings.agent_id = :agent), 0)
    ORDER BY seq DESC LIMIT :limit
)
"""


def recent(
    connection: apsw.Connection, conversation: str, agent_id: str, limit: int, before: tuple[str, str] | None
) -> tuple[Row, ...]:
    """Return the newest lines of one agent's history and their places, oldest first; `before` is the key of a message."""
    before_conversation, before_id = before or (None, None)
    found = _rows(
        connection,
        RECENT,
        conversation=conversation,
        agent=agent_id,
        limit=max(0, limit),
        before_conversation=before_conversation,
        before_id=before_id,
    )
    return tuple((seq, HistoryLine(*line)) for seq, *line in found)


TRANSCRIPT = """
SELECT json_group_array(json_array(id, author, text, time, speaker) ORDER BY first) FROM (
    SELECT min(seq) AS first, id, author, text, time, speaker FROM history WHERE conversation = :conversation
    GROUP BY id ORDER BY first DESC LIMIT :limit
)
"""


def transcript(connection: apsw.Connection, conversation: str, limit: int) -> tuple[HistoryLine, ...]:
    """Return the newest of what was said in a conversation, oldest first, each once, whoever heard it."""
    found = _rows(connection, TRANSCRIPT, conversation=conversation, limit=max(0, limit))
    return tuple(HistoryLine(*line) for line in found)


UNANSWERED = """
SELECT json_group_array(json_array(json(message), agent_id) ORDER BY time, seq) FROM inbox
WHERE outcome IS NULL AND time >= :since
"""


def unanswered(connection: apsw.Connection, since: float) -> tuple[tuple[Message, str], ...]:
    """Return the messages that have waited since `since` or later, oldest first, each with its agent's id."""
    found = _rows(connection, UNANSWERED, since=since)
    return tuple((message_of(message), agent_id) for message, agent_id in found)


# Reading each conversation's end by the index costs the same however much lies before it.
MARKS = """
WITH RECURSIVE places (name) AS (
    SELECT min(conversation) FROM inbox WHERE conversation >= :low AND conversation < :high
    UNION ALL
    SELECT (SELECT min(conversation) FROM inbox WHERE conversation > name AND conversation < :high)
    FROM places WHERE name IS NOT NULL
)
SELECT json_group_array(json((
    SELECT json_array(
        json_group_array(json_array(id, time) ORDER BY time DESC, seq DESC),
        json((SELECT json_extract(message, '$.address') FROM inbox WHERE inbox.seq = newest))
    ) FROM (
        SELECT inbox.seq, inbox.id, inbox.time, max(inbox.seq) OVER () AS newest FROM (
            SELECT history.seq AS line FROM history CROSS JOIN inbox ON inbox.seq = history.seq
            WHERE history.conversation = name AND history.speaker IS NULL AND inbox.message IS NOT NULL
            ORDER BY history.seq DESC LIMIT :limit
        ) CROSS JOIN inbox ON inbox.seq = line
    )
))) FROM places WHERE name IS NOT NULL
"""


def marks(connection: apsw.Connection, platform: str, account: str) -> tuple[Mark, ...]:
    """Return up to where each conversation of an account is recorded: a little before its newest message."""
    low = f"{platform}/{account}/"
    high = low[:-1] + chr(ord("/") + 1)
    newest = _rows(connection, MARKS, low=low, high=high, limit=DISORDER_MESSAGES)
    found = (_mark(rows, address) for rows, address in newest if rows)
    return tuple(mark for mark in found if mark.address.account == account)  # an account's id may hold a slash


def _mark(rows: list[Any], address: dict[str, Any]) -> Mark:
    recent = [(id_, time) for id_, time in rows if time > rows[0][1] - DISORDER_SECONDS]
    id_, time = recent[-1]
    return Mark(Address(**address), id_, time, known=len(recent) - 1)


UNCERTAIN = """
SELECT json_group_array(json_array(json(reply), json(address), reason, changed) ORDER BY created, reply_id) FROM outbox
WHERE state = 'uncertain'
"""


def uncertain(connection: apsw.Connection) -> tuple[UnsureReply, ...]:
    """Return the posts whose fate is unknown, oldest first."""
    return tuple(
        UnsureReply(Reply(**reply), Address(**address), reason, since)
        for reply, address, reason, since in _rows(connection, UNCERTAIN)
    )


def overrides(connection: apsw.Connection) -> Overrides:
    """Return every override."""
    found = _rows(connection, "SELECT json_group_array(json_array(conversation, agent_id, key, value)) FROM overrides")
    return {
        (conversation, agent, key): value for conversation, agent, key, value in found if key in get_args(OverrideKey)
    }


GENERATIONS = """
SELECT json_group_array(json_array(number, at, digest, text) ORDER BY number) FROM generations
WHERE :number IS NULL OR number = :number
"""


def generations(connection: apsw.Connection, number: int | None = None) -> tuple[GenerationRow, ...]:
    """Return the kept generations, oldest first; only that of one number, when given."""
    return tuple(GenerationRow(*row) for row in _rows(connection, GENERATIONS, number=number))


KEYS = """
SELECT json_group_array(json_array(conversation, id) ORDER BY seq) FROM (
    SELECT seq, conversation, id FROM inbox ORDER BY seq DESC LIMIT :limit
)
"""


def newest_keys(connection: apsw.Connection, limit: int) -> list[tuple[str, str]]:
    """Return the keys of the messages recorded last, oldest first."""
    return [(conversation, id_) for conversation, id_ in _rows(connection, KEYS, limit=limit)]


LAST = """
SELECT json_array(
    (SELECT max(seq) FROM inbox), (SELECT max(seq) FROM history), (SELECT max(seq) FROM beginnings)
)
"""


def last_seq(connection: apsw.Connection) -> int:
    """Return the highest `seq` that was given."""
    found = _rows(connection, LAST)
    return max(seq or 0 for seq in found)
