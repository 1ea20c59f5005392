"""What a call costs of the CPU, whatever else the test's process and the machine are busy with."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

TRIES = 3

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what a call returns; fail when each of three tries took this thread longer than `seconds` of CPU.

    Only this thread is counted, and what the suite keeps alive is left to no collector: a limit that other tests can
    bring down says nothing of the code it is set for. What grows too fast takes too long three times.
    """
    taken: list[float] = []
    gc.freeze()
    try:
        while len(taken) < TRIES:
            began = time.thread_time()
            found = call()
            taken.append(time.thread_time() - began)
            if taken[-1] < seconds:
                return found
    finally:
        gc.unfreeze()
    raise AssertionError(f"{min(taken):.2f} s of CPU at the least of {TRIES} tries, allowed are {seconds}")
