"""The file: its folder, modes, connections, schema and versions. Never a row of it.

SQLite's settings are those that keep what was acknowledged: WAL with `synchronous=FULL`, one writing connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from homunculus.errors import NotReady, Refused
from homunculus.private import private_folder, refusal

LOG_PAGES = 250  # of 4 KiB, before the log is folded into the file: on a disk with little room it must leave some
BUSY_MS = 5_000  # an operator's backup may hold the file for a moment

# `conversation` is Address.conversation: platform, account, place and thread in one. `seq` counts both inbox and history,
# given when a write is asked for, so the order of a conversation does not depend on how writes are grouped.
# A deleted message keeps its inbox row without content: the same id delivered again is still a duplicate.
FIRST = """
CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    time REAL NOT NULL,
    recorded REAL NOT NULL,
    message TEXT,
    outcome TEXT,
    reason TEXT NOT NULL DEFAULT '',
    reply_id TEXT,
    done REAL,
    UNIQUE (conversation, id)
) STRICT;
CREATE INDEX inbox_waiting ON inbox (time) WHERE outcome IS NULL;
CREATE INDEX inbox_age ON inbox (recorded);

CREATE TABLE history (
    seq INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    id TEXT NOT NULL,
    speaker TEXT,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    time REAL NOT NULL,
    UNIQUE (conversation, id, agent_id)
) STRICT;
CREATE INDEX history_order ON history (conversation, seq, agent_id);

CREATE TABLE outbox (
    reply_id TEXT PRIMARY KEY,
    turn_id TEXT NOT NULL,
    address TEXT NOT NULL,
    reply TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('sending', 'sent', 'failed', 'uncertain')),
    message_id TEXT,
    reason TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    changed REAL NOT NULL
) STRICT;
CREATE INDEX outbox_turn ON outbox (turn_id);
CREATE INDEX outbox_open ON outbox (state, changed) WHERE state IN ('sending', 'uncertain');
CREATE INDEX outbox_age ON outbox (created);

CREATE TABLE overrides (
    conversation TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (conversation, agent_id, key)
) STRICT;

CREATE TABLE generations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    digest TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
"""

# What models were used for, added up; days are UTC.
USAGE = """
CREATE TABLE usage (
    day TEXT NOT NULL,
    model TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    conversation TEXT NOT NULL,
    label TEXT NOT NULL,
    calls INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_written INTEGER NOT NULL,
    cost REAL NOT NULL,
    PRIMARY KEY (day, model, agent_id, conversation)
) STRICT, WITHOUT ROWID;
"""

# Where an agent's history begins since it was given another character, and the swaps that were begun and not ended.
SWAPS = """
CREATE TABLE beginnings (agent_id TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE swaps (
    agent_id TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    character TEXT NOT NULL,
    archives TEXT NOT NULL,
    beginning INTEGER
) STRICT, WITHOUT ROWID;
"""

Step = Callable[[apsw.Connection], None]


def create(connection: apsw.Connection) -> None:
    """Step from an empty file to version 1."""
    if scalar(connection, "SELECT count(*) FROM sqlite_schema"):
        raise Refused("it holds tables of another program; move it aside")
    run(connection, FIRST)


def count_usage(connection: apsw.Connection) -> None:
    """Step to version 2."""
    run(connection, USAGE)


def know_swaps(connection: apsw.Connection) -> None:
    """Step to version 3."""
    run(connection, SWAPS)


# Step n leads from version n to n + 1; a released step never changes.
LADDER: tuple[Step, ...] = (create, count_usage, know_swaps)


def connect(path: Path, ladder: Sequence[Step] = LADDER) -> apsw.Connection:
    """Open the file for writing, making or upgrading it. Raise Refused or NotReady, naming it, when that cannot be."""
    private_folder(path.parent)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its side files the mode of this one
        path.chmod(0o600)
    except OSError as error:
        raise refusal(path, error) from error
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_MS)
        climb(connection, ladder)
        run(
            connection,
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA fullfsync=ON; PRAGMA trusted_schema=OFF",
        )
        run(connection, f"PRAGMA journal_size_limit=16777216; PRAGMA wal_autocheckpoint={LOG_PAGES}")
        run(connection, "PRAGMA foreign_keys=OFF")
    except (apsw.Error, NotReady, Refused) as error:
        connection.close()
        told = told_as(error)
        raise type(told)(f"{path}: {told.reason}") from error
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """Open a file that is already open for writing, for questions only."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    connection.set_busy_timeout(BUSY_MS)
    return connection


def climb(connection: apsw.Connection, ladder: Sequence[Step]) -> None:
    """Bring the schema to the ladder's top, every step or none; a newer file is refused before anything is written."""
    version = int(scalar(connection, "PRAGMA user_version"))
    if version > len(ladder):
        raise Refused(
            f"a newer homunculus wrote it (schema {version}, this one knows {len(ladder)}); "
            "upgrade this program, or move the file aside to start without it"
        )
    if version == len(ladder):
        return
    run(connection, "BEGIN IMMEDIATE")
    try:
        for step in ladder[version:]:
            step(connection)
        run(connection, f"PRAGMA user_version={len(ladder)}; COMMIT")
    except BaseException:
        if connection.in_transaction:
            run(connection, "ROLLBACK")
        raise


def run(connection: apsw.Connection, sql: str, bindings: dict[str, object] | None = None) -> None:
    """Run every statement of `sql` to its end."""
    for _ in connection.execute(sql, bindings):
        pass


def scalar(connection: apsw.Connection, sql: str, bindings: dict[str, object] | None = None) -> Any:
    """Return the first column of the first row; None without a row."""
    return connection.execute(sql, bindings).get


class Damaged(Refused):
    """Say that the file is no database any more: no write will succeed until a person has moved it away."""


TRY_AGAIN = (
    apsw.IOError,
    apsw.BusyError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.CantOpenError,
    apsw.InterruptError,
)


def told_as(error: apsw.Error | NotReady | Refused) -> NotReady | Refused:
    """Say a database error by what to do next."""
    if isinstance(error, NotReady | Refused):
        return error
    if isinstance(error, apsw.FullError):
        return NotReady("the disk of the state database is full, and nothing was kept of this; free some space")
    if isinstance(error, apsw.ReadOnlyError):
        return NotReady("the state database is read-only; make its folder and its disk writable again")
    if isinstance(error, TRY_AGAIN):
        return NotReady(f"the state database cannot be used now: {error}; see to its disk")
    if isinstance(error, apsw.NotADBError | apsw.CorruptError):
        return Damaged(
            f"the state database is damaged ({error}); move the file away and start again: a new one is made"
        )
    return Refused(f"the state database cannot do this: {error}")
