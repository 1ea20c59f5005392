"""The vectors of one namespace's facts while it is in use, side by side in memory. Knows row numbers, no texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from homunculus.memory.embed import Matrix

_FIRST = 64  # rows to begin with; then it doubles
_BLOCK = 256  # rows that stay in the processor's cache while one vector after the other is compared with them


class Vectors:
    """Rows of numbers with the fact they belong to and the direct message that fact is confined to."""

    def __init__(self, dimensions: int) -> None:
        self._matrix: Matrix = np.empty((_FIRST, dimensions), dtype=np.float32)
        self._rows, self._private = np.empty(_FIRST, dtype=np.int64), list[str]()

    def __len__(self) -> int:
        return len(self._private)

    def add(self, rows: Sequence[int], private: Sequence[str], vectors: Matrix) -> None:
        """Add the vectors of new facts."""
        begin, end = len(self), len(self) + len(rows)
        if end > len(self._rows):
            grown = max(end, 2 * len(self._rows))
            self._matrix = np.resize(self._matrix, (grown, self._matrix.shape[1]))
            self._rows = np.resize(self._rows, grown)
        self._matrix[begin:end] = vectors
        self._rows[begin:end] = rows
        self._private += private

    def nearest(
        self, vectors: Matrix, conversation: str | None, limit: int, also: Collection[int] = ()
    ) -> tuple[dict[int, float], dict[int, float]]:
        """Return how much rows point the same way as whichever of the vectors is nearest (cosine).

        First the `limit` rows that do most, best first, none of another's direct message; then those named in `also`:
        who names a row may see it.
        """
        if not len(self):
            return {}, {}
        likeness = self._likeness(vectors)
        found: dict[int, float] = {}
        wanted = min(4 * limit, len(self))
        best = np.argpartition(-likeness, wanted - 1)[:wanted]
        for place in best[np.argsort(-likeness[best])].tolist():
            if len(found) == limit:
                break
            if conversation is None or self._private[place] in ("", conversation):
                found[int(self._rows[place])] = float(likeness[place])
        named = np.flatnonzero(np.isin(self._rows[: len(self)], list(also))).tolist() if also else ()
        return found, {int(self._rows[place]): float(likeness[place]) for place in named}

    def _likeness(self, vectors: Matrix) -> Matrix:
        found: Matrix = np.empty((len(vectors), len(self)), dtype=np.float32)
        step = _BLOCK if len(vectors) > 1 else len(self)
        for begin in range(0, len(self), step):
            block = slice(begin, min(begin + step, len(self)))
            for vector, row in zip(vectors, found, strict=True):
                np.dot(self._matrix[block], vector, out=row[block])
        best: Matrix = found.max(axis=0)
        return best
