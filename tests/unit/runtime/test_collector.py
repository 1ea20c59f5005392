"""Garbage is collected as before once a reload is over, however it ended."""

from __future__ import annotations

import gc

import pytest

from homunculus.runtime.collector import held, settled


def test_nothing_is_collected_in_the_middle_and_everything_after() -> None:
    assert gc.isenabled()
    with held():
        assert not gc.isenabled()
    with pytest.raises(ZeroDivisionError), held():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_what_survived_the_start_is_left_out_of_later_collections() -> None:
    try:
        settled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()
