"""`homunculus serve`: run a deployment until it is told to stop. Owns signals and the table that a person sees first."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from loguru import logger

from homunculus import __version__
from homunculus.cli import output
from homunculus.errors import Refused
from homunculus.program import Program, started
from homunculus.runtime import collector

_FIRST_SECONDS = 2.0
_SWITCH_SECONDS = 0.0005  # a load in its thread must not hold the conversations up; the default is ten times that
_CANNOT_START = frozenset({"failed", "retrying", "unconfigured"})


class Stop:
    """What a signal asked for. The first one drains; a second one ends the process at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.by: signal.Signals | None = None

    def ask(self, by: signal.Signals) -> None:
        """Take a signal."""
        if self.by is not None:
            # Nothing is awaited any more: what is durable is durable, the rest is found again at the next start.
            signal.signal(by, signal.SIG_DFL)
            signal.raise_signal(by)
        self.by = by
        self.asked.set()

    @property
    def exit_code(self) -> int:
        return 130 if self.by is signal.SIGINT else 0


async def serve(file: Path, *, strict: bool, watch: bool) -> int:
    """Run until stopped; return the exit code."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    stop = Stop()
    with _signals(stop):
        async with started(file, strict=strict) as program:
            await _first_states(program)
            collector.settled()
            show(program)
            if strict:
                await _all_started(program, stop)
            await _until(stop, program, watch)
            logger.info("stopping: finishing the turns in hand")
    return stop.exit_code


async def _until(stop: Stop, program: Program, watch: bool) -> None:
    async with asyncio.TaskGroup() as services:
        watching = services.create_task(program.watch(), name="watch the deployment file") if watch else None
        await stop.asked.wait()
        if watching is not None:
            watching.cancel()


async def _first_states(program: Program) -> None:
    """Wait a moment for adapters that connect at once, so that the table says something about them."""
    changed = asyncio.Event()
    program.container.bus().subscribe(lambda _: changed.set())
    with suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_SECONDS):
            while any(adapter.state == "connecting" for adapter in program.supervisor.adapters()):
                await changed.wait()
                changed.clear()


async def _all_started(program: Program, stop: Stop) -> None:
    """Wait until every enabled adapter is ready. Raise Refused as soon as one cannot start."""
    changed = asyncio.Event()
    program.container.bus().subscribe(lambda _: changed.set())
    while not stop.asked.is_set():
        states = [adapter for adapter in program.supervisor.adapters() if adapter.enabled]
        for adapter in states:
            if adapter.state in _CANNOT_START:
                raise Refused(f"--strict: {adapter.runtime_key} cannot start: {adapter.reason}")
        if program.site.fault:
            raise Refused(f"--strict: the web server cannot start: {program.site.fault}")
        if all(adapter.state == "ready" for adapter in states):
            return
        changed.clear()
        waits = {asyncio.ensure_future(changed.wait()), asyncio.ensure_future(stop.asked.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


@contextmanager
def _signals(stop: Stop) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    handled = (signal.SIGTERM, signal.SIGINT)
    if sys.platform == "win32":
        for each in handled:
            signal.signal(each, lambda number, _: loop.call_soon_threadsafe(stop.ask, signal.Signals(number)))
        yield
        return
    for each in handled:
        loop.add_signal_handler(each, stop.ask, each)
    try:
        yield
    finally:
        for each in handled:
            loop.remove_signal_handler(each)


def show(program: Program) -> None:
    """Print the one table of a start: adapters, agents, addresses."""
    deployment, site = program.supervisor.applied, program.site
    places = {agent.id: 0 for agent in deployment.agents}
    for rule in deployment.bindings:
        if rule.kind != "agent" and rule.agent_id in places:
            places[rule.agent_id] += 1
    rows: list[tuple[str, str, str, str]] = [
        ("adapter", a.runtime_key, a.state, a.reason) for a in program.supervisor.adapters()
    ]
    rows += [
        ("agent", agent.id, agent.character.name, f"model {agent.model}, {agent.respond}, {_rules(places[agent.id])}")
        for agent in deployment.agents
    ]
    server = "ready" if site.listening else "failed" if site.fault else "disabled"
    rows.append(("server", site.listening.url if site.listening else "-", server, site.fault))
    title = f"homunculus {__version__} · {deployment.bot_name} · {program.file}"
    output.show_table(title, ("", "name", "state", "more"), rows)
    if link := site.sign_in_link():
        output.say(f"Open {link}", "bold")


def _rules(count: int) -> str:
    return f"{count} rule" if count == 1 else f"{count} rules"
