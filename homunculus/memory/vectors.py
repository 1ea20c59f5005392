"""The vectors of one namespace's facts while it is in use, side by side in memory. Knows row numbers, no texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from homunculus.memory.embed import Matrix

_FIRST = 64  # rows to begin with; then it doubles


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

    def nearest(self, vector: Matrix, conversation: str | None, limit: int, least: float) -> list[int]:
        """Return the rows that point most the same way, best first; none below `least`, none of another's direct message."""
        if not len(self):
            return []
        likeness = self._matrix[: len(self)] @ vector
        found: list[int] = []
        wanted = min(4 * limit, len(self))
        best = np.argpartition(-likeness, wanted - 1)[:wanted]
        for place in best[np.argsort(-likeness[best])].tolist():
            if likeness[place] < least or len(found) == limit:
                break
            if conversation is None or self._private[place] in ("", conversation):
                found.append(int(self._rows[place]))
        return found
