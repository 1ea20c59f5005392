"""A real `homunculus serve` process, driven through its file, its API, its events and its signals, as a user would."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

Event = dict[str, Any]
ROOT = Path(__file__).parents[2]


@dataclass
class Serving:
    """One running server: its address, what it printed, and every event since it came up."""

    process: asyncio.subprocess.Process
    address: str
    session: aiohttp.ClientSession
    printed: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    events: list[tuple[str, Event]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def get(self, path: str) -> Any:
        async with self.session.get(self.address + path) as response:
            assert response.status == 200, (response.status, await response.text())
            return await response.json()

    async def post(self, path: str, **body: Any) -> Any:
        async with self.session.post(self.address + path, json=body) as response:
            assert response.status < 300, (response.status, await response.text())
            return await response.json()

    async def say(self, chat: str, text: str, *, user: str = "ana", **body: Any) -> Any:
        """Say something in a local place and return the answer: the message's id and the replies."""
        where = f"/api/local/{quote(chat, safe='@')}/messages"
        return await self.post(where, user=user, text=text, wait=True, **body)

    async def ask(self, chat: str, text: str, *, user: str = "ana", **body: Any) -> list[str]:
        """Say something in a local place and return the texts of the replies."""
        return [reply["text"] for reply in (await self.say(chat, text, user=user, **body))["replies"]]

    async def traced(self, message: Any, stage: str) -> str:
        """Return what the trace of a message, as `say` answered it, tells of a stage."""
        trace = await self.get(f"/api/trace/{message['id']}")
        return next(str(span["detail"]) for span in trace["stages"] if span["stage"] == stage)

    async def until(self, found: Callable[[Serving], Any], seconds: float = 20.0) -> Any:
        """Wait until `found` says something true of the log or the events; return it."""
        try:
            async with asyncio.timeout(seconds), self.changed:
                while not (result := found(self)):
                    await self.changed.wait()
                return result
        except TimeoutError:
            raise TimeoutError("the server never got there; its last words:\n" + "\n".join(self.log[-15:])) from None

    async def event(self, kind: str, after: int = 0, seconds: float = 20.0, **fields: Any) -> Event:
        """Wait for an event of this kind with these fields, counted from the event number `after`."""

        def found(serving: Serving) -> Event | None:
            for name, event in serving.events[after:]:
                if name == kind and all(event.get(key) == value for key, value in fields.items()):
                    return event
            return None

        event: Event = await self.until(found, seconds)
        return event

    async def ready(self, key: str, seconds: float = 20.0) -> None:
        """Wait until an adapter is ready, whether or not its event was seen."""
        states = {adapter["runtime_key"]: adapter["state"] for adapter in (await self.get("/api/status"))["adapters"]}
        if states.get(key) != "ready":
            await self.event("adapter", runtime_key=key, state="ready", seconds=seconds)

    async def stopped(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(by)
        async with asyncio.timeout(20):
            return await self.process.wait()

    async def _told(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip())
            await self._told()

    async def read_events(self, up: asyncio.Event) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.session.get(f"{self.address}/api/events", timeout=timeout) as stream:
            up.set()
            kind = ""
            async for raw in stream.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    self.events.append((kind, json.loads(line.removeprefix("data:"))))
                    await self._told()


@asynccontextmanager
async def serving(
    file: Path,
    *options: str,
    env: Mapping[str, str] | None = None,
    token: str = "",
    program: Sequence[str] = ("homunculus",),
    preexec: Callable[[], None] | None = None,
) -> AsyncIterator[Serving]:
    """Run `homunculus serve FILE` until the context ends. The file must keep its data under `home` beside it.

    `token` is the one that the file names; without it the one that the server made is used. `program` is a module that
    runs the command under some hardship, with its arguments; `preexec` runs in the process before the program does.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *program, "serve", str(file), *options),
        preexec_fn=preexec,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        cwd=file.parent,
    )
    tasks: list[asyncio.Task[None]] = []
    try:
        printed = await _first_words(process)
        address = next(line.split()[1].partition("/sign-in")[0] for line in printed if line.startswith("Open "))
        token = token or next((file.parent / "home" / "state").glob("*.token")).read_text().strip()
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            server = Serving(process, address, session, printed)
            up = asyncio.Event()
            tasks += [
                asyncio.create_task(server.read_log(), name="server log"),
                asyncio.create_task(server.read_events(up), name="server events"),
            ]
            await asyncio.wait_for(up.wait(), 10)
            yield server
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _ended(process)


async def _first_words(process: asyncio.subprocess.Process) -> list[str]:
    assert process.stdout is not None
    assert process.stderr is not None
    printed: list[str] = []
    async with asyncio.timeout(30):
        while not any(line.startswith("Open ") for line in printed):
            line = await process.stdout.readline()
            if not line:
                raise AssertionError("serve ended: " + (await process.stderr.read()).decode())
            printed.append(line.decode().rstrip())
    return printed


async def _ended(process: asyncio.subprocess.Process) -> None:
    try:
        await asyncio.wait_for(process.communicate(), 15)
    except TimeoutError:
        process.kill()
        await process.communicate()


def deployed(folder: Path, text: str, *stems: str, **values: str) -> Path:
    """Write a deployment and the characters it names; return its file. `{home}` in the text is where its data goes."""
    for stem in stems:
        write(folder / "characters" / f"{stem}.yaml", f"name: {stem.title()}\ndescription: Somebody.\n")
    file = folder / "deployments" / "camp.yaml"
    write(file, text.format(home=file.parent / "home", **values))
    return file


def write(path: Path, text: str) -> None:
    """Save as most editors do: a temporary file beside it, renamed over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, "utf-8")
    fresh.replace(path)
