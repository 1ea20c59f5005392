"""The nearest facts are those that a comparison of every number with every other finds, whatever was added when."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homunculus.memory.vectors import Vectors

WIDE, LARGEST = (
    8,
    1000,
)  # whole numbers, whose products a float32 adds up exactly: what is nearer is nearer in any order


def filled(rows: int, seed: int, at_once: int) -> tuple[Vectors, np.ndarray, list[str]]:
    """Fill a table in steps; return it, its numbers and whose direct message each row belongs to. Row n is named 10 n."""
    chance = np.random.default_rng(seed)
    numbers = chance.integers(-LARGEST, LARGEST, (rows, WIDE)).astype(np.float32)
    private = [("", "", "dm-1", "dm-2")[place] for place in chance.integers(0, 4, rows)]
    table = Vectors(WIDE)
    for begin in range(0, rows, at_once):
        end = min(begin + at_once, rows)
        table.add([10 * row for row in range(begin, end)], private[begin:end], numbers[begin:end])
    return table, numbers, private


@settings(max_examples=60)
@given(
    rows=st.integers(0, 700),
    seed=st.integers(0, 2**32),
    at_once=st.sampled_from([1, 7, 64, 700]),
    pieces=st.integers(1, 4),
    limit=st.integers(1, 12),
    conversation=st.sampled_from([None, "tavern", "dm-1"]),
)
def test_the_nearest_are_found_and_nobody_elses(
    rows: int, seed: int, at_once: int, pieces: int, limit: int, conversation: str | None
) -> None:
    table, numbers, private = filled(rows, seed, at_once)
    asked = np.random.default_rng(seed + 1).integers(-LARGEST, LARGEST, (pieces, WIDE)).astype(np.float32)
    also = [10 * row for row in range(0, rows, 97)]
    found, named = table.nearest(asked, conversation, limit, also)
    like = {
        10 * row: max(sum(int(a) * int(b) for a, b in zip(numbers[row], one, strict=True)) for one in asked)
        for row in range(rows)
    }
    assume(len(set(like.values())) == rows)  # of two that are equally near either may be the first
    heard = {
        row: value for row, value in like.items() if conversation is None or private[row // 10] in ("", conversation)
    }
    wanted = sorted(heard, key=lambda row: -heard[row])
    # Of the 4 · limit nearest, those that may not be heard here are passed over.
    within = sorted(like, key=lambda row: -like[row])[: 4 * limit]
    wanted = [row for row in wanted if row in within][:limit]
    assert list(found) == wanted
    assert found == {row: like[row] for row in wanted}
    assert named == {row: like[row] for row in also}
