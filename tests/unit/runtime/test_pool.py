"""Shared things are built once, closed after the last loan, and never alive twice."""

from __future__ import annotations

import asyncio

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.runtime.pool import Pool
from tests.unit.runtime.fakes import calm


class Thing:
    def __init__(self) -> None:
        self.closed = False
        self.may_close = asyncio.Event()
        self.may_close.set()

    async def aclose(self) -> None:
        await self.may_close.wait()
        self.closed = True


async def build() -> Thing:
    return Thing()


async def test_borrowers_of_one_key_share_and_the_last_one_closes() -> None:
    pool: Pool[Thing] = Pool("thing")
    one, two = await pool.take("k", build), await pool.take("k", build)
    assert one is two
    pool.release("k")
    await calm()
    before = one.closed
    pool.release("k")
    await calm()
    assert (before, one.closed) == (False, True)
    assert len(pool) == 0


async def test_taking_what_is_still_closing_waits_for_it() -> None:
    pool: Pool[Thing] = Pool("thing")
    old = await pool.take("k", build)
    old.may_close.clear()
    pool.release("k")
    taking = asyncio.create_task(pool.take("k", build))
    await calm()
    assert not taking.done()
    old.may_close.set()
    new = await taking
    assert old.closed
    assert new is not old
    await pool.aclose()
    assert new.closed


async def test_what_never_closes_refuses_its_successor_in_time() -> None:
    pool: Pool[Thing] = Pool("thing", close_seconds=0.01)
    old = await pool.take("k", build)
    old.may_close.clear()
    pool.release("k")
    with pytest.raises(NotReady):
        await pool.take("k", build)
    await pool.aclose()


async def test_a_failed_build_lends_nothing_and_may_be_tried_again() -> None:
    pool: Pool[Thing] = Pool("thing")

    async def fail() -> Thing:
        raise Refused("no")

    with pytest.raises(Refused):
        await pool.take("k", fail)
    assert len(pool) == 0
    await pool.take("k", build)
    await pool.aclose()


async def test_one_that_fails_to_close_does_not_keep_its_successor_out() -> None:
    class Broken(Thing):
        async def aclose(self) -> None:
            raise ZeroDivisionError

    async def broken() -> Thing:
        return Broken()

    pool: Pool[Thing] = Pool("thing")
    await pool.take("k", broken)
    pool.release("k")
    assert not isinstance(await pool.take("k", build), Broken)
    await pool.aclose()
