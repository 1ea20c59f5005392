"""`homunculus serve`, but for one thing: it kills itself (SIGKILL) at a named point, the n-th time it gets there.

    python -m tests.e2e.mortal committed 7 serve FILE

Owns the points alone; everything else that runs is the real program. Without a point (`-`) it lives on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from itertools import count
from typing import Any

from homunculus.adapters.discord.adapter import DiscordAdapter
from homunculus.cli import main
from homunculus.config import save
from homunculus.memory.keeping import Keeper
from homunculus.pipelines.complete import Complete
from homunculus.runtime.state import State, writes
from homunculus.runtime.state.commit import Commit

Hit = Callable[[], None]


def before(owner: Any, name: str) -> Callable[[Hit], None]:
    """Die as a call begins: nothing of it has happened."""
    return lambda hit: _wrap(owner, name, hit, None)


def after(owner: Any, name: str) -> Callable[[Hit], None]:
    """Die as a call returns: all of it has happened, and its caller does not know."""
    return lambda hit: _wrap(owner, name, None, hit)


# In the order in which one message meets them.
POINTS: dict[str, Callable[[Hit], None]] = {
    "heard": before(State, "record"),
    "in a transaction": after(writes, "apply"),  # statements run, COMMIT not yet
    "committed": after(Commit, "__call__"),  # on the disk, and the loop was not told
    "recorded": after(State, "record"),
    "thinking": before(Complete, "run"),
    "thought": after(Complete, "run"),
    "turn ending": before(State, "finish"),
    "turn ended": after(State, "finish"),
    "sending": before(DiscordAdapter, "send"),
    "delivered": after(DiscordAdapter, "send"),
    "noting": before(State, "sent"),
    "noted": after(State, "sent"),
}
# In the middle of a swap.
SWAP_POINTS: dict[str, Callable[[Hit], None]] = {
    "memory archived": after(Keeper, "archive"),
    "file written": after(save, "replace"),
}


def _wrap(owner: Any, name: str, begins: Hit | None, returns: Hit | None) -> None:
    whole = getattr(owner, name)
    begins, returns = begins or _live_on, returns or _live_on

    @wraps(whole)
    def plain(*args: Any, **kwargs: Any) -> Any:
        begins()
        result = whole(*args, **kwargs)
        returns()
        return result

    @wraps(whole)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        begins()
        result = await whole(*args, **kwargs)
        returns()
        return result

    setattr(owner, name, awaited if asyncio.iscoroutinefunction(whole) else plain)


def _live_on() -> None:
    """Do nothing: this side of the call is not the point."""


def _dying(at: int) -> Hit:
    calls = count(1)

    def hit() -> None:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return hit


if __name__ == "__main__":
    point, number = sys.argv[1:3]
    del sys.argv[1:3]
    if point != "-":
        {**POINTS, **SWAP_POINTS}[point](_dying(int(number)))
    main()
