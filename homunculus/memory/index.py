"""The derived index of a namespace: `index.sqlite`. Follows the Markdown files; deleting it loses nothing.

Owns the database and the vectors in memory; blocks, so it runs in threads, and lets one thread in at a time. A database
that is missing, damaged or of another version is built anew; where none can be written, one in memory takes its place.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import apsw
from loguru import logger

from homunculus.memory import database, lines, ranking, words
from homunculus.memory.embed import DIMENSIONS, Embedder
from homunculus.memory.lines import CURATED, Place
from homunculus.memory.markdown import Markdown
from homunculus.memory.pieces import pieces
from homunculus.model import Fact

if TYPE_CHECKING:
    from homunculus.memory.vectors import Vectors

T = TypeVar("T")
Rows = database.Rows

_SHARE = 0.8  # of the best match's weight that another match by words needs beside matches by meaning
_RANKED, _RANKED_ALONE = 300, 1_000_000  # facts that a query by words ranks at most: beside one by meaning, and alone
_CANDIDATES = 50  # of each order, at least
_AT_ONCE = 16  # facts that are embedded before a search answers; more are embedded aside
LOOK_SECONDS = 0.5  # how old the knowledge of the files may be that a question is answered from
_BATCH = 8  # texts that are embedded at a time, so that a question never waits long

_FACT = "id, text, time, source, session, date, private, gm, pinned, curated, file"
_SEEN = "(private = '' OR :where IS NULL OR private = :where)"


class Index:
    """Find facts by words and by meaning. `embedder` None is by words alone."""

    def __init__(self, path: Path, files: Markdown, embedder: Embedder | None) -> None:
        self._path, self._files = path, files
        self._embedder = embedder
        self._lock = threading.RLock()
        # All the mutable state; nothing of it while the namespace is idle:
        self._database: apsw.Connection | None = None
        self._vectors: Vectors | None = None
        self._version = -1  # of the database when the vectors were read
        self._refused = False  # by the disk: the database is in memory
        self._homeless = False
        self._looked = -LOOK_SECONDS  # when the files were followed last
        self._changes = 0  # that were told, counted
        self._empty = False  # they held nothing then
        self.unsettled = True  # facts may wait to be embedded

    # -- what is asked

    @property
    def is_empty(self) -> bool:
        """Tell whether there was nothing at all a moment ago: then there is no need to ask."""
        return self._empty and self._is_fresh

    def search(self, query: str, conversation: str | None, limit: int) -> tuple[Fact, ...]:
        """Return the facts that fit a query, best first, as `Namespace.search`."""
        return self._safely(lambda: self._search(query, conversation, limit, max(limit, _CANDIDATES)), fresh=False)

    def recall(self, query: str, conversation: str | None, limit: int) -> tuple[Fact, ...]:
        """Return what is always known, for half of `limit` at most, then what fits a query."""
        return self._safely(lambda: self._recall(query, conversation, limit), fresh=False)

    def look(self) -> None:
        """Follow the files with the next question: something was changed from here."""
        self._changes += 1
        self._looked = -LOOK_SECONDS

    def always(self, conversation: str | None) -> tuple[Fact, ...]:
        """Return the facts that are recalled whatever is asked: pinned ones, then those of MEMORY.md."""
        return self._safely(lambda: self._always(conversation))

    def of(self, ids: Sequence[str], conversation: str | None) -> dict[str, Fact]:
        """Return those of the facts that are there and may be heard in a conversation, by their ids."""
        return self._safely(lambda: self._of(ids, conversation))

    def known(self, text: str, private: str) -> Fact | None:
        """Return the fact that says the same in the same words, for the same ears."""
        rows = self._safely(
            lambda: self._query(
                f"SELECT {_FACT} FROM facts WHERE key = :key AND private IN ('', :private) ORDER BY row LIMIT 1",
                key=_key(text),
                private=private,
            )
        )
        return _fact(rows[0]) if rows else None

    def __contains__(self, fact_id: object) -> bool:
        """Tell whether an id is in use."""
        return bool(self._safely(lambda: self._query("SELECT 1 FROM facts WHERE id = :id LIMIT 1", id=fact_id)))

    def __len__(self) -> int:
        return int(self._safely(lambda: self._query("SELECT count(*) FROM facts"))[0][0])

    @property
    def pending(self) -> int:
        """Return how many facts wait to be embedded."""
        return self._safely(self._pending)

    def embed(self, most: int = _BATCH) -> int:
        """Embed some of the facts that wait; return how many still do."""
        return self._safely(lambda: self._embed(most))

    def sync(self) -> None:
        """Follow the files."""
        self._safely(lambda: None)

    def close(self) -> None:
        """Free everything; the next question opens it again."""
        with self._lock:
            self._vectors = None
            opened, self._database = self._database, None
            self._refused = False
            if opened is not None:
                with suppress(apsw.Error):  # what could not be written is derived anyway
                    opened.close()

    # -- the database

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self._looked < LOOK_SECONDS

    def _safely(self, work: Callable[[], T], *, fresh: bool = True) -> T:
        """Work on a database that follows the files; heal it once, or do without the disk.

        Where it need not be `fresh`, what was followed a moment ago will do.
        """
        with self._lock:
            for attempt in range(3):
                try:
                    if fresh or self._database is None or not self._is_fresh:
                        self._look_now()
                    return work()
                except database.BROKEN as error:
                    if attempt:
                        raise
                    logger.bind(index=str(self._path), reason=str(error)).warning("A memory index is built anew")
                    self._discard()
                except database.UNWRITABLE as error:
                    if self._refused:
                        raise
                    log = logger.bind(index=str(self._path), reason=str(error))
                    log.warning("A memory index cannot be written; it is kept in memory meanwhile")
                    self.close()
                    self._refused = True
                except BaseException:
                    self._vectors = None  # whatever was taken up belongs to a transaction that did not happen
                    raise
            raise AssertionError("each attempt returns or raises")

    def _look_now(self) -> None:
        began, changes = time.monotonic(), self._changes
        if self._homeless and self._files.folder.is_dir():
            self.close()
        self._follow()
        self._empty = not self._query("SELECT 1 FROM facts LIMIT 1")
        if changes == self._changes:  # else what was changed meanwhile may have been missed
            self._looked = began

    def _opened(self) -> apsw.Connection:
        if self._database is None:
            # Where nothing was ever remembered, asking makes no folder.
            self._homeless = not self._files.folder.is_dir()
            model = self._embedder.model if self._embedder else ""
            self._database = database.connected(None if self._refused or self._homeless else self._path, model)
        return self._database

    def _discard(self) -> None:
        self.close()
        database.remove(self._path)

    def _query(self, sql: str, **values: Any) -> Rows:
        return database.rows(self._opened(), sql, values)

    # -- following the files

    def _follow(self) -> None:
        current = {name: repr(signature) for name, signature in self._files.signatures().items()}
        opened = self._opened()
        if dict(self._query("SELECT name, signature FROM files")) == current:
            return
        self.unsettled = True
        with database.transaction(opened):
            known = {row[0]: row[1:] for row in self._query("SELECT * FROM files")}
            removed = sum(self._drop(name) for name in known.keys() - current.keys()) > 0
            for name, signature in current.items():
                before = known.get(name)
                if before is None or before[0] != signature:
                    removed |= self._read(name, signature, before)
            if removed:
                opened.execute("DELETE FROM vectors WHERE key NOT IN (SELECT key FROM facts)")
                self._vectors = None

    def _drop(self, name: str, where: str = "file = ?") -> bool:
        """Take the facts of a file out; tell whether there were any."""
        opened = self._opened()
        opened.execute(f"DELETE FROM words WHERE rowid IN (SELECT row FROM facts WHERE {where})", (name,))
        opened.execute(f"DELETE FROM facts WHERE {where}", (name,))
        gone = opened.changes() > 0
        if "tail" not in where:
            opened.execute("DELETE FROM files WHERE name = ?", (name,))
        return gone

    def _read(self, name: str, signature: str, before: tuple[Any, ...] | None) -> bool:
        """Read a file, or only what was added to it; tell whether facts went out of the index."""
        content = self._files.content(name)
        place, begin = lines.beginning(name), 0
        if before is not None and name != CURATED and _continues(content, before):
            begin, place = before[1], Place(before[3], before[4], bool(before[5]))
            removed = self._drop(name, "+file = ? AND tail")
        else:
            removed = self._drop(name)
        end = content.rfind(b"\n") + 1 if name != CURATED else 0
        if name == CURATED:
            self._insert(name, content, place, tail=False)
        else:
            self._insert(name, content[begin:end], place, tail=False)
        digest = blake2b(content[:end], digest_size=16).digest()
        self._opened().execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, signature, end, digest, place.time, place.line, place.comment),
        )
        if name != CURATED:
            self._insert(name, content[end:], place, tail=True)
        return removed

    def _insert(self, name: str, content: bytes, place: Place, *, tail: bool) -> None:
        if not content:
            return
        opened = self._opened()
        text = content.decode("utf-8", "surrogateescape")
        for line in lines.parsed(name, text, place, _InFile(opened, name)):
            fact = line.fact
            key = _key(fact.text)
            opened.execute(
                "INSERT INTO facts VALUES (NULL,?,?,?,?,?,?,?,?,?,?,?,?,?, EXISTS (SELECT 1 FROM vectors WHERE key = ?))",
                (
                    *(fact.id, name, fact.text, key, fact.time, fact.source, fact.session, fact.date, fact.private),
                    *(fact.gm, fact.pinned, fact.curated, tail, key),
                ),
            )
            row = opened.last_insert_rowid()
            opened.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row, words.indexed(fact.text)))
            self._take_vector(row, key, fact.private)

    # -- vectors

    def _take_vector(self, row: int, key: bytes, private: str) -> None:
        """Put the vector that a text already had beside its new row."""
        if self._vectors is not None:
            import numpy as np

            for (blob,) in self._query("SELECT vector FROM vectors WHERE key = :key", key=key):
                self._vectors.add([row], [private], np.frombuffer(blob, dtype=np.float16).astype(np.float32)[None])

    def _pending(self) -> int:
        if self._embedder is None:
            return 0
        return int(self._query("SELECT count(*) FROM facts WHERE NOT embedded")[0][0])

    def _embed(self, most: int) -> int:
        if self._embedder is None:
            self.unsettled = False
            return 0
        waiting = self._query("SELECT key, text FROM facts WHERE NOT embedded ORDER BY row DESC LIMIT :most", most=most)
        unique: dict[bytes, str] = dict(waiting)
        if unique:
            vectors = self._embedder([*unique.values()])
            self._keep_vectors([*unique], vectors)
        left = self._pending()
        self.unsettled = left > 0
        return left

    def _keep_vectors(self, keys: Sequence[bytes], vectors: Any) -> None:
        opened = self._opened()
        with database.transaction(opened):
            for key, vector in zip(keys, vectors, strict=True):
                small = vector.astype("float16").tobytes()
                opened.execute("INSERT OR REPLACE INTO vectors VALUES (?, ?)", (key, small))
                rows = self._query(
                    "UPDATE facts SET embedded = 1 WHERE key = :key AND NOT embedded RETURNING row, private", key=key
                )
                if self._vectors is not None:
                    for row, private in rows:
                        self._vectors.add([row], [private], vector[None])

    def _loaded(self) -> Vectors:
        """Return the vectors, read again when another process changed the index."""
        version = self._opened().pragma("data_version")
        if self._vectors is None or version != self._version:
            import numpy as np

            from homunculus.memory.vectors import Vectors

            self._vectors, self._version = Vectors(DIMENSIONS), version
            rows = self._query("SELECT row, private, vector FROM facts JOIN vectors USING (key) ORDER BY row")
            if rows:
                flat = np.frombuffer(b"".join(row[2] for row in rows), dtype=np.float16)
                matrix = flat.reshape(len(rows), DIMENSIONS).astype(np.float32)
                self._vectors.add([row[0] for row in rows], [row[1] for row in rows], matrix)
        return self._vectors

    # -- searching

    def _recall(self, query: str, conversation: str | None, limit: int) -> tuple[Fact, ...]:
        always = self._always(conversation)
        return remembered(always, self._search(query, conversation, limit + len(always)), limit)

    def _always(self, conversation: str | None) -> tuple[Fact, ...]:
        kept = f"SELECT {_FACT} FROM facts WHERE (pinned OR curated) AND {_SEEN} ORDER BY pinned DESC, row"
        return tuple(_fact(row) for row in self._query(kept, where=conversation))

    def _of(self, ids: Sequence[str], conversation: str | None) -> dict[str, Fact]:
        found: dict[str, Fact] = {}
        for ident in ids:
            for row in self._query(
                f"SELECT {_FACT} FROM facts WHERE id = :id AND {_SEEN}", id=ident, where=conversation
            ):
                found[ident] = _fact(row)
        return found

    def _search(
        self, query: str, conversation: str | None, limit: int, candidates: int = _CANDIDATES
    ) -> tuple[Fact, ...]:
        lexical = self._by_words(query, conversation, candidates)
        likeness = self._by_meaning(query, conversation, candidates, lexical)
        marks = ",".join(map(str, {*lexical, *likeness}))
        rows = {row[0]: row[1:] for row in self._query(f"SELECT row, key, {_FACT} FROM facts WHERE row IN ({marks})")}
        scores = ranking.fused(
            (
                (ranking.RECENT, ranking.by_time({row: fact[3] for row, fact in rows.items()})),
                (ranking.IN_WORLD, ranking.by_world({row: (fact[6], fact[5]) for row, fact in rows.items()})),
            )
        )
        for row in rows:
            alike = likeness.get(row, ranking.UNKNOWN if self._embedder is not None else 0.0)
            scores[row] = scores.get(row, 0.0) + alike + ranking.WORDS * lexical.get(row, 0.0)
        unique: dict[bytes, Fact] = {}
        for row, score in sorted(scores.items(), key=lambda pair: -pair[1]):
            unique.setdefault(rows[row][0], _fact(rows[row][1:], score))
        return tuple(unique.values())[:limit]

    def _by_words(self, query: str, conversation: str | None, candidates: int) -> dict[int, float]:
        """Return the facts that share telling words with a query, and how much that says (bm25), best first."""
        most, share = (_RANKED_ALONE, 0.0) if self._embedder is None else (_RANKED, _SHARE)
        asked = words.asked(query, lambda parts: self._matching(parts, most), most)
        if not asked:
            return {}
        rows = self._query(
            f"SELECT row, words.rank FROM words JOIN facts ON row = words.rowid WHERE words MATCH :asked AND {_SEEN} "
            "ORDER BY words.rank LIMIT :candidates",
            candidates=candidates,
            asked=asked,
            where=conversation,
        )
        # Ranks are negative, the best is the least: what shares only a common word with the question is no match.
        return {row: -rank for row, rank in rows if rank <= rows[0][1] * share}

    def _matching(self, parts: Sequence[str], most: int) -> list[int]:
        """Return how many facts each part finds, counting to `most` and one more.

        In one statement: between two of them a thread has to wait for the interpreter, which costs more than the counting.
        """
        counted = "SELECT (SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH value LIMIT :most)) FROM json_each(:parts)"
        return [count for (count,) in self._query(counted, parts=json.dumps(parts), most=most + 1)]

    def _by_meaning(
        self, query: str, conversation: str | None, candidates: int, lexical: Collection[int]
    ) -> dict[int, float]:
        """Return how like the query those facts are that have to do with it, and those that share words with it."""
        if self._embedder is None or not query.strip() or self._empty:
            return {}
        if self.unsettled and 0 < self._pending() <= _AT_ONCE:
            self._embed(_AT_ONCE)
        nearest, named = self._loaded().nearest(self._embedder(pieces(query)), conversation, candidates, lexical)
        return named | ranking.meant(nearest)


def remembered(always: Sequence[Fact], fitting: Sequence[Fact], limit: int) -> tuple[Fact, ...]:
    """Return what is always known, for half of `limit` where more fits the question, then what fits it."""
    first = list(always)
    if len(first) > limit // 2:
        rank = {fact.id: place for place, fact in enumerate(fitting)}
        first.sort(key=lambda fact: rank.get(fact.id, len(rank)))
    first = first[: max(limit // 2, limit - len(fitting))]
    met = {_key(fact.text) for fact in first}
    return tuple([*first, *(fact for fact in fitting if _key(fact.text) not in met)][:limit])


class _InFile:
    """The ids that a file's facts have in the index."""

    def __init__(self, database: apsw.Connection, file: str) -> None:
        self._database, self._file = database, file

    def __contains__(self, ident: object) -> bool:
        found = self._database.execute("SELECT 1 FROM facts WHERE id = ? AND +file = ?", (ident, self._file))
        return bool(found.fetchall())


def _continues(content: bytes, before: tuple[Any, ...]) -> bool:
    """Tell whether a file only grew since it was read."""
    _, length, digest = before[:3]
    return bool(0 < length <= len(content) and blake2b(content[:length], digest_size=16).digest() == digest)


def _key(text: str) -> bytes:
    """Return the same key for texts that say the same in the same words."""
    return blake2b((lines.likeness(text) or text).encode(), digest_size=16).digest()


def _fact(row: tuple[Any, ...], score: float = 0.0) -> Fact:
    ident, text, time, source, session, date, private, gm, pinned, curated, file = row
    return Fact(ident, text, time, source, session, date, private, bool(gm), bool(pinned), bool(curated), file, score)
