"""One running program from lock to lock: state, supervisor, reloads, the web server, and the order in which they end.

Owns that order. Everything is built by the container; signals and printing are the command line's. A start-up is a reload
from nothing; a shutdown stops reloads, drains and closes the adapters, then the server, then the state.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from homunculus import __version__
from homunculus.config.identity import Identity, identify
from homunculus.config.load import Loaded
from homunculus.config.redact import redacted, secret_values
from homunculus.container import Container, folds_case
from homunculus.interfaces import ChatModel, Clock
from homunculus.logs import scrub, threshold
from homunculus.model import AdapterSpec, Deployment, Prompt
from homunculus.plan import Plan, plan
from homunculus.runtime.lock import ProcessLock, RunFile, state_path
from homunculus.runtime.outcome import Outcome
from homunculus.runtime.probe import Probe, ask
from homunculus.runtime.reload import Reloader
from homunculus.runtime.state import State
from homunculus.runtime.supervisor import Supervisor
from homunculus.runtime.swap import Swaps
from homunculus.runtime.warm import Warmer
from homunculus.site import Site
from homunculus.web.app import Phase, Running
from homunculus.web.sessions import Sessions

Read = Callable[[Path], bytes]


@dataclass(slots=True)
class Program:
    """What runs, for whoever started it. `phase` is what `/readyz` tells."""

    file: Path
    identity: Identity
    container: Container
    supervisor: Supervisor
    reloader: Reloader
    site: Site
    swaps: Swaps
    outcome: Outcome | None = None
    phase: Phase = "starting"

    async def watch(self) -> None:
        """Reload on every save, until cancelled."""
        await self.reloader.run()


@asynccontextmanager
async def started(
    file: Path,
    *,
    environ: Mapping[str, str] | None = None,
    strict: bool = False,
    only: Collection[str] | None = None,
    clock: Clock = time.time,
) -> AsyncIterator[Program]:
    """Run a deployment for as long as the context lasts. `only` keeps the platforms named there, and no web server.

    `clock` dates what is said and learned: a campaign of months can be played in a minute.

    Raise InUse when another process runs it, ConfigErrors when the file is invalid and nothing ran before.
    """
    identity = await asyncio.to_thread(identify, file)
    async with AsyncExitStack() as stack:
        stack.enter_context(ProcessLock(identity.data_home, identity.bot_name))
        state = await State.open(state_path(identity.data_home, identity.bot_name), clock=clock)
        stack.push_async_callback(state.aclose)
        program: Program
        container = Container(
            state=state,
            kept=state_path(identity.data_home, identity.bot_name, ".kept"),
            reloads=lambda: program.reloader,
            swaps=lambda: program.swaps,
            environ=dict(os.environ if environ is None else environ),
            clock=clock,
        )
        stack.push_async_callback(container.http().aclose)
        program = _assembled(file, identity, container, state, only)
        stack.callback(RunFile(identity.data_home, identity.bot_name).remove)
        stack.push_async_callback(program.site.aclose)
        stack.push_async_callback(program.supervisor.aclose)
        warmer = _warmer(program)
        stack.push_async_callback(warmer.aclose)
        stack.push_async_callback(program.reloader.aclose)
        await container.meter().open()
        program.outcome = await program.reloader.start(strict)
        await program.site.settled()
        warmer.begin()
        program.phase = "running"
        try:
            yield program
        finally:
            program.phase = "draining"


def _assembled(
    file: Path, identity: Identity, container: Container, state: State, only: Collection[str] | None
) -> Program:
    supervisor, clock = container.supervisor(), container.clock()
    site = Site(identity, file, lambda sessions: _running(program, state, sessions), container.events().close)
    loader = container.loader()

    def load(path: Path, read: Read) -> Loaded:
        loaded = loader(path, read)
        scrub.hide(secret_values(loaded.deployment))
        return loaded if only is None else replace(loaded, deployment=_reduced(loaded.deployment, only))

    async def apply(wanted: Deployment) -> None:
        if not supervisor.generation:
            await swaps.recover(partial(container.namespaces().named, wanted))
        await supervisor.apply(wanted)
        if only is None:
            threshold.set(wanted.log_level)
        site.follow(wanted.server)

    async def add_generation(text: str, digest: str) -> int:
        return await state.add_generation(text, digest, clock())

    async def last_generation() -> tuple[int, str] | None:
        kept = await state.generations()
        return (kept[-1].number, kept[-1].text) if kept else None

    reloader = Reloader(
        file,
        load=load,
        plan=plan,
        apply=apply,
        emit=container.bus().emit,
        add_generation=add_generation,
        last_generation=last_generation,
        redact=redacted,
    )
    swaps = Swaps(file, load=load, look=reloader, store=state, holds=supervisor.holds, memory=supervisor.memory)
    program = Program(file, identity, container, supervisor, reloader, site, swaps)
    return program


def _reduced(deployment: Deployment, only: Collection[str]) -> Deployment:
    """Leave out every platform but those named, and the web server; those are on, whatever the file says."""
    written = [replace(adapter, enabled=True) for adapter in deployment.adapters if adapter.platform in only]
    missing = [AdapterSpec(platform) for platform in only if platform not in {a.platform for a in written}]
    return replace(deployment, adapters=(*written, *missing), server=replace(deployment.server, enabled=False))


def _warmer(program: Program) -> Warmer:
    """Warm what runs now: each agent's first model, with the text that every prompt of it begins with."""
    supervisor, prompts = program.supervisor, program.container.prompts()

    def wanted() -> Iterator[tuple[ChatModel, Prompt]]:
        for spec in supervisor.applied.agents:
            agent, models = supervisor.agent(spec.id), supervisor.models(spec.id)
            if agent is not None and models:
                yield models[0], prompts.warm(agent)

    warmer = Warmer(wanted)
    program.container.bus().subscribe(warmer.observe)
    return warmer


def _running(program: Program, state: State, sessions: Sessions) -> Running:
    """Say to the web part what it may see and do."""
    supervisor, reloader, container = program.supervisor, program.reloader, program.container
    meter = container.meter()

    async def planned(text: str | None) -> Plan:
        return await asyncio.to_thread(_planned, program, text)

    async def routed(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return ask(supervisor.routes, supervisor.applied, Probe.of(arguments), folds_case).shown()

    return Running(
        version=__version__,
        phase=lambda: program.phase,
        deployment=lambda: supervisor.applied,
        generation=lambda: reloader.outcome.generation,
        adapters=supervisor.adapters,
        reloads=reloader,
        rooms=container.hub(),
        plan=planned,
        route=routed,
        send=supervisor.send,
        events=container.events(),
        traces=container.traces(),
        sessions=sessions,
        overrides=state.overrides,
        uncertain=state.uncertain,
        state_fault=lambda: state.fault,
        usage=lambda: meter.report(supervisor.applied.models),
        exhausted=lambda: meter.exhausted(supervisor.applied.models),
        memory=supervisor.memories.lent,
        changing=supervisor.memories.changing,
        unremembered=lambda: supervisor.after.unremembered,
    )


def _planned(program: Program, text: str | None) -> Plan:
    """Plan a text, or the file as it lies there, against what runs. Raises ConfigErrors."""
    file = program.file.absolute()

    def read(path: Path) -> bytes:
        return text.encode() if text is not None and path == file else path.read_bytes()

    wanted = program.container.loader()(file, read).deployment
    scrub.hide(secret_values(wanted))
    return plan(program.supervisor.applied, wanted)
