"""The tables of `index.sqlite`, and how such a file is opened, judged and thrown away. Knows no facts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

VERSION = 3
BUSY_MS = 5_000

_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE files (name TEXT PRIMARY KEY, signature TEXT, length INTEGER, digest BLOB, time REAL, line INTEGER,
  comment INTEGER) WITHOUT ROWID;
CREATE TABLE facts (row INTEGER PRIMARY KEY, id TEXT, file TEXT, text TEXT, key BLOB, time REAL, source TEXT, session TEXT,
  date TEXT, private TEXT, gm INTEGER, pinned INTEGER, curated INTEGER, tail INTEGER, embedded INTEGER);
CREATE INDEX facts_by_id ON facts (id);
CREATE INDEX facts_by_key ON facts (key);
CREATE INDEX facts_by_file ON facts (file);
CREATE INDEX facts_kept_in_mind ON facts (row) WHERE pinned OR curated;
CREATE INDEX facts_at_the_end ON facts (row) WHERE tail;
CREATE INDEX facts_to_embed ON facts (row) WHERE NOT embedded;
CREATE VIRTUAL TABLE words USING fts5 (text, content='', contentless_delete=1,
  tokenize='porter unicode61 remove_diacritics 2');
CREATE TABLE vectors (key BLOB PRIMARY KEY, vector BLOB) WITHOUT ROWID;
"""
BROKEN = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError)
UNWRITABLE = (apsw.FullError, apsw.IOError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.BusyError, apsw.LockedError)


Rows = list[tuple[Any, ...]]


def connected(path: Path | None, model: str) -> apsw.Connection:
    """Open an index, made if need be; None is one in memory. `model` names what its vectors must be of, "" for any.

    Raise one of BROKEN when the file is not ours, damaged or of another version, one of UNWRITABLE when the disk refuses.
    """
    if path is not None and path.is_symlink():
        path.unlink()  # a door into another namespace, perhaps; what it led to is not ours
    opened = apsw.Connection(str(path) if path is not None else ":memory:")
    try:
        opened.set_busy_timeout(BUSY_MS)
        opened.pragma("journal_mode", "wal")
        opened.pragma("synchronous", "normal")
        opened.pragma("cache_size", -1_024)
        _prepare(opened, model)
    except BaseException:
        opened.close()
        raise
    return opened


def rows(opened: apsw.Connection, sql: str, values: Mapping[str, Any] | None = None) -> Rows:
    """Return all that a statement yields."""
    found: Rows = opened.execute(sql, values).fetchall()
    return found


def remove(path: Path) -> None:
    """Throw an index away with all that SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def transaction(opened: apsw.Connection) -> Iterator[None]:
    """Hold the one right to write from the first look to the commit: what was seen is still so when it is written."""
    opened.execute("BEGIN IMMEDIATE")
    try:
        yield
        opened.execute("COMMIT")
    except BaseException:
        if opened.in_transaction:
            opened.execute("ROLLBACK")
        raise


def _prepare(opened: apsw.Connection, model: str) -> None:
    version = opened.pragma("user_version")
    if version not in (0, VERSION):
        raise apsw.NotADBError(f"it is of version {version}, not {VERSION}")
    if opened.pragma("quick_check", 1) != "ok":
        raise apsw.CorruptError("it is damaged")
    with transaction(opened):
        if opened.pragma("user_version") == 0:
            if rows(opened, "SELECT name FROM sqlite_schema"):
                raise apsw.NotADBError("it holds somebody else's tables")
            opened.execute(_TABLES)
            opened.pragma("user_version", VERSION)
        kept = "".join(row[0] for row in rows(opened, "SELECT value FROM about WHERE key = 'model'"))
        if model and kept != model:
            opened.execute("DELETE FROM vectors; UPDATE facts SET embedded = 0 WHERE embedded")
            opened.execute("INSERT OR REPLACE INTO about VALUES ('model', ?)", (model,))
