"""When Python looks for cyclic garbage: never in the middle of reading a deployment, and not through what lives for good.

A load makes hundreds of thousands of objects at a thousand channels; each full collection meanwhile walks all of them with
every other thread stopped, which was the longest stall of a reload by far (docs/performance.md).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Collect nothing while the context lasts. Meant for one reload at a time: an inner end lets go for the outer too."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def settled() -> None:
    """Collect once, and leave out of every later collection what has survived the start of the program."""
    gc.collect()
    gc.freeze()
