"""One worker thread for file work, loading and planning, so that the event loop never does any. Owns the thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Aside:
    """Run synchronous calls one after another in a thread of their own."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `call` in the thread; return or raise what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: call(*args, **kwargs))

    async def aclose(self) -> None:
        """Let the call in hand finish, then end the thread. Safe twice."""
        try:
            idle = asyncio.get_running_loop().run_in_executor(self._executor, int)
        except RuntimeError:  # closed before
            return
        await idle
        self._executor.shutdown()
