"""Memories that are lent to who tends them: closed by no reload, changed by one at a time, and by nobody during a swap."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from homunculus.errors import Refused
from homunculus.memory import none
from homunculus.model import MemorySpec
from homunculus.runtime.generation import Generation
from homunculus.runtime.holds import Holds
from homunculus.runtime.memories import Memories
from tests.unit.runtime.fakes import agent, deployment


def generation(number: int, folder: Path, *names: str) -> Generation:
    made = Generation.of(number, deployment([], [replace(agent(name), namespace=f"{name}-past") for name in names], []))
    made.namespaces = {name: none.build(folder / str(number) / name, folder, MemorySpec()) for name in names}
    return made


async def test_what_is_lent_outlives_a_reload_and_is_given_back_after_it(tmp_path: Path) -> None:
    old, new = generation(1, tmp_path, "kovach"), generation(2, tmp_path, "kovach")
    now, freed = [old], asyncio.Event()
    old.lend(freed.set)
    memories = Memories(lambda: now[-1], Holds())
    with memories.lent("kovach-past") as memory:
        now.append(new)
        old.retire()
        assert memory is old.namespaces["kovach"]
        assert not freed.is_set()
        with memories.lent("kovach-past") as next_one:
            assert next_one is new.namespaces["kovach"]
    assert freed.is_set()


async def test_what_no_agent_has_is_not_lent(tmp_path: Path) -> None:
    memories = Memories(lambda: generation(1, tmp_path, "kovach"), Holds())
    for name in ("kovach", "", "../kovach-past"):
        with pytest.raises(Refused, match="no running agent"), memories.lent(name):
            pass
        with pytest.raises(Refused, match="no running agent"):
            async with memories.changing(name):
                pass


async def test_one_at_a_time_changes_a_memory_and_others_do_not_wait(tmp_path: Path) -> None:
    current, did = generation(1, tmp_path, "kovach", "marsh"), list[str]()
    memories, go = Memories(lambda: current, Holds()), asyncio.Event()

    async def change(name: str, who: str) -> None:
        async with memories.changing(name):
            did.append(who)
            await go.wait()
            did.append(who)

    async with asyncio.TaskGroup() as tasks:
        for who in ("first", "second"):
            tasks.create_task(change("kovach-past", who))
        await asyncio.sleep(0)
        tasks.create_task(change("marsh-past", "other"))
        await asyncio.sleep(0)
        assert did == ["first", "other"]
        go.set()
    assert [who for who in did if who != "other"] == ["first", "first", "second", "second"]


async def test_a_swap_waits_for_a_change_and_the_next_change_for_the_swap(tmp_path: Path) -> None:
    current, did, holds = generation(1, tmp_path, "kovach"), list[str](), Holds()
    memories, go = Memories(lambda: current, holds), asyncio.Event()

    async def change(who: str) -> None:
        async with memories.changing("kovach-past"):
            did.append(f"{who} begins")
            await go.wait()
            did.append(f"{who} ends")

    async def swap() -> None:
        async with holds.held("kovach", 10):
            did.append("swap begins")
            for _ in range(20):
                await asyncio.sleep(0)
            did.append("swap ends")

    async with asyncio.TaskGroup() as tasks:
        for work in (change("first"), swap(), change("second")):
            tasks.create_task(work)
            await asyncio.sleep(0)
        go.set()
    pairs = [f"{who} {what}" for who in ("first", "swap", "second") for what in ("begins", "ends")]
    assert did == pairs
