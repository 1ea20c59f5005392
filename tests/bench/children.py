"""Processes of their own for what is measured and what measures it: asked by lines of JSON, answered the same way.

Owns their life and their figures (CPU time, memory); never what a role does.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Answer = dict[str, Any]
Do = Callable[..., Awaitable[Any]]


class Child:
    """One running role. `ask` waits for the answer; what it tells unasked is in `news`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.news: asyncio.Queue[Answer] = asyncio.Queue()
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(), name="what a child says")

    async def ask(self, do: str, /, **arguments: Any) -> Any:
        """Have something done and return what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        await self.process.stdin.drain()
        answer = await self._answers.get()
        if "fault" in answer:
            raise RuntimeError(f"{do}: {answer['fault']}")
        return answer["result"]

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            said = json.loads(line)
            (self.news if "news" in said else self._answers).put_nowait(said)
        self._answers.put_nowait({"fault": "the process ended"})
        self.news.put_nowait({"news": "ended"})

    async def end(self) -> None:
        assert self.process.stdin is not None
        with suppress(ConnectionError, RuntimeError):
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        await self._reading


@asynccontextmanager
async def child(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Run `python -m tests.bench.<module>` for as long as the context lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.bench.{module}", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=ROOT,
        limit=1 << 26,
    )
    one = Child(process)
    try:
        yield one
    finally:
        await one.end()


# --- inside a child -------------------------------------------------------------------------------------------------


def tell(news: str, **more: Any) -> None:
    """Say something unasked."""
    print(json.dumps({"news": news, **more}), flush=True)


async def obey(deeds: Mapping[str, Do]) -> None:
    """Do what the parent asks, one thing after the other, until it hangs up."""
    lines = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    everything = {**FIGURES, **deeds}
    async for line in lines:
        order = json.loads(line)
        do = everything[order.pop("do")]
        try:
            answer: Answer = {"result": await do(**order)}
        except Exception as error:
            answer = {"fault": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    transport.close()


async def _cpu() -> float:
    """Return the CPU time of all threads of this process so far, in seconds."""
    return time.process_time()


async def _resident() -> int:
    gc.collect()
    return resident(os.getpid())


FIGURES: Mapping[str, Do] = {"cpu": _cpu, "resident": _resident}


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_of(pid: int) -> float:
    """Return the CPU time of a process by the kernel's count (steps of 10 ms), in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
