"""What a group of writes does to the tables. Owns every statement that changes a row; never a transaction.

Each kind of write is one statement for the whole group, fed with one JSON array of rows. Kinds run in a fixed order, which
is one that leaves the same rows as the order of the calls, as long as a message is recorded before anything else is done
to it: rows carry their `seq`, and where two calls meet at one row the later, or the stronger, is the one handed over.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from homunculus.runtime.state.tables import run, scalar
from homunculus.runtime.state.usage import Spend, forget, spend

HISTORY_LINES = 2_000
KEEP_SECONDS = 7 * 86_400.0
GENERATIONS = 50

Key = tuple[str, str]  # conversation, message id


@dataclass(frozen=True, slots=True)
class Record:
    """[seq, conversation, id, agent, time, recorded, message, author, text]"""

    seq: int
    row: str


@dataclass(frozen=True, slots=True)
class Edit:
    """[conversation, id, text, attachments, history text]"""

    key: Key
    row: str


@dataclass(frozen=True, slots=True)
class Delete:
    """[conversation, id, now]"""

    key: Key
    row: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Rows of [conversation, id, outcome, reason, now]"""

    rows: tuple[tuple[Key, str], ...]


@dataclass(frozen=True, slots=True)
class Finish:
    """`done`: [conversation, id, outcome, reply id, now, agent, seq]; `lines`: [seq, conversation, agent, id, author, text, time];
    `posts`: [reply id, turn id, address, reply, now]"""

    turn_id: str
    done: tuple[tuple[Key, str], ...]
    lines: tuple[str, ...]
    posts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unsent:
    """[reply id, state, reason, now]"""

    reply_id: str
    row: str


@dataclass(frozen=True, slots=True)
class Sent:
    """[reply id, platform's id, now]"""

    reply_id: str
    row: str


@dataclass(frozen=True, slots=True)
class Call:
    """A rare write that brings its own statements."""

    function: Callable[[apsw.Connection], Any]


def patient(job: Any) -> bool:
    """Tell whether a write may wait for company: what it says is known to whoever asks, and nothing waits for it."""
    return isinstance(job, Sent | Spend)


def apply(connection: apsw.Connection, jobs: Sequence[Any]) -> list[Any]:
    """Run the jobs inside the caller's transaction and return their results: of a Record and a Finish, whether it was new."""
    kinds: defaultdict[type, list[Any]] = defaultdict(list)
    for job in jobs:
        kinds[type(job)].append(job)
    fresh = _record(connection, kinds[Record])
    _feed(connection, EDIT, _last((job.key, job.row) for job in kinds[Edit]))
    _feed(connection, DELETE, _last((job.key, job.row) for job in kinds[Delete]))
    _feed(connection, SETTLE, _first(row for job in kinds[Settle] for row in job.rows))
    ended = _finish(connection, kinds[Finish])
    _feed(connection, UNSENT, _last((job.reply_id, job.row) for job in kinds[Unsent]))
    _feed(connection, SENT, _last((job.reply_id, job.row) for job in kinds[Sent]))
    spend(connection, kinds[Spend])
    return [_result(connection, job, fresh, ended) for job in jobs]


def _result(connection: apsw.Connection, job: Any, fresh: frozenset[int], ended: Sequence[Finish]) -> Any:
    if isinstance(job, Call):
        return job.function(connection)
    if isinstance(job, Finish):
        return any(job is one for one in ended)
    return job.seq in fresh if isinstance(job, Record) else None


def _last(rows: Iterable[tuple[Any, str]]) -> Iterable[str]:
    return dict(rows).values()


def _first(rows: Iterable[tuple[Any, str]]) -> Iterable[str]:
    found: dict[Any, str] = {}
    for key, row in rows:
        found.setdefault(key, row)
    return found.values()


def _array(rows: Iterable[str]) -> str:
    return f"[{','.join(rows)}]"


def _feed(connection: apsw.Connection, sql: str, rows: Iterable[str]) -> None:
    if rows:
        run(connection, sql, {"rows": _array(rows)})


# --- a message arrives ----------------------------------------------------------------------------------------------

RECORD = """
INSERT INTO inbox (seq, conversation, id, agent_id, time, recorded, message)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->6 FROM json_each(:rows) WHERE true
ON CONFLICT (conversation, id) DO NOTHING;

INSERT INTO history (seq, conversation, agent_id, id, author, text, time)
SELECT value->>0, value->>1, value->>3, value->>2, value->>7, value->>8, value->>4 FROM json_each(:rows)
WHERE value->>3 <> '' AND EXISTS (SELECT 1 FROM inbox WHERE inbox.seq = value->>0)
ON CONFLICT (conversation, id, agent_id) DO NOTHING;
"""
FRESH = """
SELECT json_group_array(value->>0) FROM json_each(:rows) WHERE EXISTS (SELECT 1 FROM inbox WHERE inbox.seq = value->>0)
"""


def _record(connection: apsw.Connection, jobs: Sequence[Record]) -> frozenset[int]:
    if not jobs:
        return frozenset()
    rows: dict[str, object] = {"rows": _array(job.row for job in jobs)}
    run(connection, RECORD, rows)
    return frozenset(json.loads(str(scalar(connection, FRESH, rows))))


# --- it changes, or needs no reply ----------------------------------------------------------------------------------

# An edit may come without author, time or mention: only what was written changes.
EDIT = """
UPDATE inbox SET message = json_set(message, '$.text', value->>2, '$.attachments', json(value->3)) FROM json_each(:rows)
WHERE inbox.conversation = value->>0 AND inbox.id = value->>1 AND message IS NOT NULL;

UPDATE history SET text = value->>4 FROM json_each(:rows)
WHERE history.conversation = value->>0 AND history.id = value->>1 AND speaker IS NULL;
"""
DELETE = """
UPDATE inbox SET message = NULL, outcome = coalesce(outcome, 'deleted'), done = coalesce(done, value->>2)
FROM json_each(:rows) WHERE inbox.conversation = value->>0 AND inbox.id = value->>1;

DELETE FROM history WHERE speaker IS NULL AND seq IN (
    SELECT history.seq FROM json_each(:rows) CROSS JOIN history
    WHERE history.conversation = value->>0 AND history.id = value->>1
);
"""
SETTLE = """
UPDATE inbox SET outcome = value->>2, reason = value->>3, done = value->>4 FROM json_each(:rows)
WHERE inbox.conversation = value->>0 AND inbox.id = value->>1 AND coalesce(outcome, 'deleted') = 'deleted';
"""


# --- a turn ends ----------------------------------------------------------------------------------------------------

KNOWN = """
SELECT json_group_array(value) FROM json_each(:turns) WHERE EXISTS (SELECT 1 FROM outbox WHERE outbox.turn_id = value)
"""
# A message that was recorded for one agent and answered by another has been seen by both: the line is copied.
COPY = """
INSERT INTO history (seq, conversation, agent_id, id, author, text, time)
SELECT value->>6, history.conversation, value->>5, history.id, author, text, time
FROM json_each(:rows) CROSS JOIN history
WHERE history.conversation = value->>0 AND history.id = value->>1 AND history.agent_id <> value->>5 AND speaker IS NULL
ON CONFLICT DO NOTHING;
"""
DONE = """
UPDATE inbox SET outcome = value->>2, reply_id = value->>3, reason = '', done = value->>4 FROM json_each(:rows)
WHERE inbox.conversation = value->>0 AND inbox.id = value->>1;
"""
LINES = """
INSERT INTO history (seq, conversation, agent_id, id, speaker, author, text, time)
SELECT value->>0, value->>1, value->>2, value->>3, value->>2, value->>4, value->>5, value->>6 FROM json_each(:rows);
"""
POSTS = """
INSERT INTO outbox (reply_id, turn_id, address, reply, state, created, changed)
SELECT value->>0, value->>1, value->2, value->3, 'sending', value->>4, value->>4 FROM json_each(:rows);
"""


def _finish(connection: apsw.Connection, jobs: Sequence[Finish]) -> Sequence[Finish]:
    if not jobs:
        return ()
    turns = json.dumps([job.turn_id for job in jobs])
    new = list(_new(jobs, set(json.loads(str(scalar(connection, KNOWN, {"turns": turns}))))))
    _feed(connection, COPY, [row for job in new for _, row in job.done])
    _feed(connection, DONE, _last(row for job in new for row in job.done))
    _feed(connection, LINES, [row for job in new for row in job.lines])
    _feed(connection, POSTS, [row for job in new for row in job.posts])
    return new


def _new(jobs: Sequence[Finish], known: set[str]) -> Iterable[Finish]:
    for job in jobs:
        if job.turn_id not in known:
            yield job
            if job.posts:
                known.add(job.turn_id)


# --- it ended with the beginning of its reply -----------------------------------------------------------------------

FINAL = """
UPDATE history SET text = :text WHERE conversation = :conversation AND agent_id = :agent AND id = :reply;

UPDATE outbox SET reply = :post WHERE reply_id = :reply;
"""


def extend(connection: apsw.Connection, final: dict[str, object], lines: Sequence[str], posts: Sequence[str]) -> None:
    """Give a turn's first reply its final text, and add the rest of what was said."""
    run(connection, FINAL, final)
    _feed(connection, LINES, lines)
    _feed(connection, POSTS, posts)


# --- a reply leaves -------------------------------------------------------------------------------------------------

UNSENT = """
UPDATE outbox SET state = value->>1, reason = value->>2, changed = value->>3 FROM json_each(:rows)
WHERE reply_id = value->>0 AND state <> 'sent';
"""
SENT = """
UPDATE outbox SET state = 'sent', message_id = value->>1, reason = '', changed = value->>2 FROM json_each(:rows)
WHERE reply_id = value->>0;
"""


# --- rare writes ----------------------------------------------------------------------------------------------------


def doubt(connection: apsw.Connection, reason: str, now: float) -> None:
    """Turn every post that was leaving into one whose fate is unknown."""
    sql = "UPDATE outbox SET state = 'uncertain', reason = :reason, changed = :now WHERE state = 'sending'"
    run(connection, sql, {"reason": reason, "now": now})


def touch(connection: apsw.Connection) -> None:
    """Write a page that changes nothing: whether that can be done is all that is asked."""
    version = int(scalar(connection, "PRAGMA user_version"))
    run(connection, f"PRAGMA user_version={version}")


def set_override(connection: apsw.Connection, conversation: str, agent_id: str, key: str, value: str | None) -> None:
    """Set an override; None takes it away."""
    row: dict[str, object] = {"conversation": conversation, "agent": agent_id, "key": key, "value": value}
    if value is None:
        run(
            connection, "DELETE FROM overrides WHERE (conversation, agent_id, key) = (:conversation, :agent, :key)", row
        )
    else:
        run(connection, "INSERT OR REPLACE INTO overrides VALUES (:conversation, :agent, :key, :value)", row)


def add_generation(connection: apsw.Connection, text: str, digest: str, at: float) -> int:
    """Keep an applied file under the next number, and the newest of them all."""
    row: dict[str, object] = {"at": at, "digest": digest, "text": text}
    run(connection, "INSERT INTO generations (at, digest, text) VALUES (:at, :digest, :text)", row)
    number = connection.last_insert_rowid()
    run(connection, "DELETE FROM generations WHERE number <= :gone", {"gone": number - GENERATIONS})
    return number


LONG = (
    "SELECT json_group_array(conversation) FROM (SELECT conversation FROM history GROUP BY 1 HAVING count(*) > :keep)"
)
PRUNE = """
DELETE FROM inbox WHERE recorded < :age;
DELETE FROM outbox WHERE created < :age;
DELETE FROM history WHERE seq IN (
    SELECT history.seq FROM json_each(:conversations) CROSS JOIN history WHERE history.conversation = value AND history.seq <= (
        SELECT seq FROM history AS kept WHERE kept.conversation = value ORDER BY seq DESC LIMIT 1 OFFSET :keep
    )
);
"""


def prune(connection: apsw.Connection, now: float, conversations: Sequence[str] | None = None) -> None:
    """Let go of what is too old, and of old lines in these conversations (None: in every one, found by reading an index)."""
    if conversations is None:
        conversations = json.loads(str(scalar(connection, LONG, {"keep": HISTORY_LINES})))
    names = json.dumps(conversations)
    run(connection, PRUNE, {"age": now - KEEP_SECONDS, "keep": HISTORY_LINES, "conversations": names})
    forget(connection, now)
