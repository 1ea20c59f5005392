"""Named background tasks with an owner. One that dies by surprise is logged under its name, and takes nothing with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from loguru import logger

T = TypeVar("T")
CANCEL_SECONDS = 10.0  # how long somebody else's code may take to notice that it was cancelled


class Tasks:
    """Hold the tasks of one owner until they end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` beside everything else."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def watch(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` for somebody who will look at how it ends: a failure is theirs to tell."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._seen)
        return task

    async def cancel(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        for task in self._running:
            task.cancel()
        while self._running:
            await asyncio.wait(set(self._running))

    def _seen(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.bind(task=task.get_name()).opt(exception=error).error("A background task died")


async def ended_first(*works: Coroutine[Any, Any, Any]) -> int:
    """Run all, cancel the others when one ends, and return that one's position. Raises what it raised.

    Of several that end together the first in order counts. One that ignores its cancellation is reported and left behind.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        first = next((n for n, task in enumerate(tasks) if task.done()), -1)
        for task in tasks:
            task.cancel()
        _, deaf = await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        for task in deaf:
            logger.bind(task=repr(task.get_coro())).error("A task ignores that it was cancelled")
    tasks[first].result()
    return first
