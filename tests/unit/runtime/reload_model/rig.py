"""A Reloader with a recorder for what it applies and a process that saves: the stage of every test here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from homunculus.errors import ConfigErrors
from homunculus.model import Deployment, Event, Reloaded
from homunculus.plan import Plan, plan
from homunculus.runtime.examine import Load
from homunculus.runtime.reload import Reloader
from homunculus.runtime.settle import Pace
from tests.unit.runtime.reload_model import dialect, writer
from tests.unit.runtime.reload_model.generator import Edit
from tests.unit.runtime.reload_model.grammar import Key


class Writer:
    """The saving process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def perform(self, edits: list[Edit]) -> list[float]:
        """Perform edits in order; return the monotonic time at which each was complete."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(edits).encode() + b"\n")
        await self._process.stdin.drain()
        answer = await self._process.stdout.readline()
        assert answer, "the writer died"
        times: list[float] = json.loads(answer)
        return times


@contextlib.asynccontextmanager
async def writing() -> AsyncIterator[Writer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-SE",
        str(Path(writer.__file__)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        yield Writer(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await process.wait()


class Rig:
    """A Reloader whose `apply` records; `changed` is notified on whatever it says."""

    def __init__(
        self,
        file: Path,
        *,
        load: Load = dialect.load,
        seen: Callable[[Deployment], Key] = dialect.seen,
        pace: Pace | None = None,
        poll: float = 60.0,
        retry: float = 10.0,
        texts: list[str] | None = None,
        plan_of: Callable[[Deployment, Deployment], Plan] = plan,
    ) -> None:
        self.applied: list[tuple[Key, float]] = []
        self.events: list[Reloaded] = []
        self.texts = texts if texts is not None else []
        self.refuse: Exception | None = None
        self._seen, self._changed = seen, asyncio.Event()
        self.reloader = Reloader(
            file,
            load=load,
            plan=plan_of,
            apply=self._apply,
            emit=self._emit,
            add_generation=self._add,
            last_generation=self._last,
            redact=lambda deployment: deployment.text,
            pace=pace,
            poll=poll,
            retry=retry,
        )

    @property
    def running(self) -> Key | None:
        return self.applied[-1][0] if self.applied else None

    async def until(self, holds: Callable[[], bool], seconds: float = 8.0) -> bool:
        """Wait until something holds, looking whenever the Reloader says anything; False when it never does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not holds():
                    self._changed.clear()
                    await self._changed.wait()
        return holds()

    async def _apply(self, deployment: Deployment) -> None:
        if self.refuse:
            raise self.refuse
        self.applied.append((self._seen(deployment), time.monotonic()))
        self._changed.set()

    def _emit(self, event: Event) -> None:
        assert isinstance(event, Reloaded)
        self.events.append(event)
        self._changed.set()

    async def _add(self, text: str, digest: str) -> int:
        assert digest == dialect.sha256(text)
        self.texts.append(text)
        return len(self.texts)

    async def _last(self) -> tuple[int, str] | None:
        return (len(self.texts), self.texts[-1]) if self.texts else None


@contextlib.asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Start and watch for as long as the context lasts."""
    with contextlib.suppress(ConfigErrors):
        await rig.reloader.start()
    task = asyncio.create_task(rig.reloader.run())
    try:
        yield rig
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await rig.reloader.aclose()
