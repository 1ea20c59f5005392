"""`homunculus chat`: talk to an NPC in the terminal. Through the running server when there is one, else without any."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from homunculus.cli import output
from homunculus.cli.client import Server, local_path
from homunculus.cli.inspect import load, server_for
from homunculus.errors import HomunculusError, Refused
from homunculus.model import AgentSpec, Deployment, Event, ModelProgress, TurnEnded
from homunculus.program import Program, started

Say = Callable[[str], Awaitable[tuple[tuple[str, str], ...]]]  # a line → the replies, as (author, text)


def chat(file: Path, agent_id: str | None) -> int:
    """Talk until the input ends; return the exit code."""
    server = server_for(file)
    if server is not None:
        return asyncio.run(_through(server, agent_id))
    agent = _chosen(load(file).deployment, agent_id)
    return asyncio.run(_alone(file, agent.id))


def _chosen(deployment: Deployment, agent_id: str | None) -> AgentSpec:
    ids = [agent.id for agent in deployment.agents]
    if not ids:
        raise Refused("the deployment has no agent; add one under agents:")
    agent = deployment.agent(agent_id or ids[0])
    if agent is None:
        raise Refused(f"there is no agent {agent_id!r}; there are: {', '.join(ids)}")
    return agent


async def _through(server: Server, agent_id: str | None) -> int:
    """Talk through a running server: one agent is one local place."""
    agents = (await asyncio.to_thread(server.get, "/api/agents"))["agents"]
    agent = next((a for a in agents if agent_id in (None, a["id"])), None)
    if agent is None:
        raise Refused(f"there is no agent {agent_id!r}; there are: {', '.join(a['id'] for a in agents)}")

    async def say(text: str) -> tuple[tuple[str, str], ...]:
        body = {"user": getpass.getuser(), "text": text, "wait": True}
        answer = await asyncio.to_thread(server.post, local_path(f"@{agent['id']}"), body, 600.0)
        if not answer["replies"]:
            _explain(await asyncio.to_thread(server.get, f"/api/trace/{answer['id']}"))
        return tuple((reply["author"], reply["text"]) for reply in answer["replies"])

    return await _talk(say, agent["card"]["name"], agent["card"]["greeting"])


def _explain(trace: dict[str, str]) -> None:
    output.note(f"({trace['outcome']}: {trace['reason']})")


async def _alone(file: Path, agent_id: str) -> int:
    """Talk in this process: the same pipeline with the local platform alone."""
    async with started(file, only={"local"}) as program:
        agent = program.supervisor.agent(agent_id)
        if agent is None:
            raise Refused(f"there is no agent {agent_id!r}")
        program.container.bus().subscribe(_report)
        hub = program.container.hub()
        await _local_ready(program)

        async def say(text: str) -> tuple[tuple[str, str], ...]:
            _, replies = await hub.ask(f"@{agent_id}", user=getpass.getuser(), text=text)
            return tuple((reply.author, reply.text) for reply in replies)

        return await _talk(say, agent.character.name, agent.character.greeting)


async def _local_ready(program: Program) -> None:
    """Wait until the local platform is open."""
    changed = asyncio.Event()
    program.container.bus().subscribe(lambda _: changed.set())
    while any(adapter.state == "connecting" for adapter in program.supervisor.adapters()):
        await changed.wait()
        changed.clear()


def _report(event: Event) -> None:
    if isinstance(event, TurnEnded) and event.trace.outcome != "answered":
        output.note(f"({event.trace.outcome}: {event.trace.reason})")
    if isinstance(event, ModelProgress) and event.phase != "warming":
        share = f" {100 * event.done // event.total} %" if event.total else ""
        output.note(f"({event.model}: {event.phase}{share} {event.detail})".replace(" )", ")"))


async def _talk(say: Say, name: str, greeting: str) -> int:
    if output.terminal():
        output.note(f"You are talking to {name}. An empty line or Ctrl-D ends it.")
        if greeting and "{{" not in greeting:
            output.say(f"{name}: {greeting}", "bold")
    lines = _lines()
    while True:
        _prompt()
        if not (line := await lines.get()):
            return 0
        try:
            for author, text in await say(line):
                output.say(f"{author}: {text}", "bold")
        except HomunculusError as error:
            output.note(f"({error})", "red")


def _prompt() -> None:
    if output.terminal() and sys.stdin.isatty():
        sys.stdout.write("> ")
        sys.stdout.flush()


def _lines() -> asyncio.Queue[str]:
    """Read lines of stdin until an empty one or the end, which is an empty line too.

    In a daemon thread, and past the buffer of sys.stdin: waiting there would keep an interrupted program from ending.
    """
    loop, lines = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        waiting = b""
        with suppress(RuntimeError, OSError):  # the loop or the terminal has ended, and nobody listens any more
            while piece := os.read(sys.stdin.fileno(), 65536):
                *whole, waiting = (waiting + piece).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, line.decode("utf-8", "replace").strip())
            for line in (waiting, b""):
                loop.call_soon_threadsafe(lines.put_nowait, line.decode("utf-8", "replace").strip())

    threading.Thread(target=read, name="terminal", daemon=True).start()
    return lines
