"""The composition root: the only place that knows every part, and the only importer of dependency_injector.

The container builds; the Supervisor owns what was built. Nobody receives the container: each part is handed the plain
callables it needs. Adapters, models and memory backends arrive by entry point, and are imported when a file names them.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
from dependency_injector import containers, providers
from loguru import logger

from homunculus.adapters.local import LocalHub
from homunculus.characters.lorebook import select
from homunculus.characters.macros import expand
from homunculus.commands import COMMANDS
from homunculus.config.load import Loader
from homunculus.errors import ConfigError, Refused
from homunculus.interfaces import (
    Adapter,
    Backend,
    ChatModel,
    Clock,
    Expand,
    History,
    ModelServices,
    Namespace,
    Outbox,
    Pipeline,
    Platform,
    Provider,
)
from homunculus.model import AdapterSpec, AgentSpec, Deployment, Event, ModelSpec
from homunculus.pipelines.budget import Affordable, Meter
from homunculus.pipelines.complete import Complete
from homunculus.pipelines.deliver import DeliverReply
from homunculus.pipelines.gate import gate
from homunculus.pipelines.greeting import greeting
from homunculus.pipelines.history import ReadHistory
from homunculus.pipelines.prompt import BuildPrompt
from homunculus.pipelines.recall import Recall
from homunculus.pipelines.remember import Remember
from homunculus.rules import excerpts
from homunculus.runtime.desk import Reloads, Swapping
from homunculus.runtime.narrate import Narrator
from homunculus.runtime.state import State
from homunculus.runtime.supervisor import Supervisor
from homunculus.web.events import EventHub
from homunculus.web.traces import Traces

T = TypeVar("T")


class EntryPoints(Mapping[str, T], Generic[T]):
    """The parts of one entry-point group by name; each is imported when it is first asked for."""

    def __init__(self, group: str) -> None:
        self._points: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._loaded:
            point = self._points[name]
            try:
                self._loaded[name] = point.load()
            except ImportError as error:
                source = point.dist.name if point.dist is not None else point.value
                raise Refused(f"{point.group} {name!r} of the package {source} cannot be imported: {error}") from error
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)


class ByName:
    """Turns an aggregate of factories into one plain callable: the part is named by what it is built from."""

    def __init__(self, factories: Callable[..., Any], name: Callable[[Any], str]) -> None:
        self._factories, self._name = factories, name

    def __call__(self, spec: Any, *more: Any) -> Any:
        return self._factories(self._name(spec), spec, *more)


class Bus:
    """Hands every event to each subscriber, in order. A subscriber that fails is logged and passed over."""

    def __init__(self, *subscribers: Callable[[Event], None]) -> None:
        self._subscribers = list(subscribers)

    def subscribe(self, subscriber: Callable[[Event], None]) -> None:
        self._subscribers.append(subscriber)

    def emit(self, event: Event) -> None:
        for subscriber in self._subscribers:
            try:
                subscriber(event)
            except Exception:  # noqa: BLE001 - one listener's fault must not end a turn or a reload
                logger.opt(exception=True).error("a subscriber failed on an event")


class Http:
    """The one HTTP session that every model client shares, made when it is first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    def session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # models limit themselves, each by its own concurrency
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def aclose(self) -> None:
        """Close the session. Safe twice, and when none was made."""
        if self._session is not None:
            await self._session.close()


def weights_cache(environ: Mapping[str, str]) -> Path:
    """Return the folder where model weights are kept: HOMUNCULUS_CACHE, else the user's cache folder."""
    if own := environ.get("HOMUNCULUS_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "homunculus" / "models"
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homunculus" / "models"


def pipeline(history: History, outbox: Outbox, *, prompts: BuildPrompt, meter: Meter) -> Pipeline:
    """Build the stages of a turn in their order."""
    stages = (ReadHistory(history), Recall(), prompts, Complete(meter), DeliverReply(outbox))
    return Pipeline(Affordable(gate, meter), stages, after=(Remember(meter),))


def memory_folders(deployment: Deployment, namespace: str) -> tuple[Path, Path]:
    """Return the folder of a namespace, and the folder of its bot's archives. Raise Refused for what is no name of one."""
    if Path(namespace).name != namespace:
        raise Refused(f"{namespace!r} cannot be a memory namespace: it must name a folder")
    home = deployment.data_home
    return home / "agents" / deployment.bot_name / namespace, home / "archive" / deployment.bot_name


class Namespaces:
    """Builds the memory namespace of an agent in its own folder of the data home."""

    def __init__(self, backends: Callable[..., Namespace]) -> None:
        self._backends = backends

    def __call__(self, deployment: Deployment, agent: AgentSpec) -> Namespace:
        return self.named(deployment, agent.namespace)

    def named(self, deployment: Deployment, namespace: str) -> Namespace:
        """Build the namespace of a name, whoever it belongs to."""
        folder, archive = memory_folders(deployment, namespace)
        return self._backends(deployment.memory.backend, folder, archive, deployment.memory)


def _platform(spec: AdapterSpec) -> str:
    return spec.platform


def _provider(spec: ModelSpec) -> str:
    return spec.provider


class _Built:
    """One factory of an aggregate: looks its entry point up when it is called, so that naming it imports nothing."""

    def __init__(self, group: Mapping[str, Any], name: str) -> None:
        self._group, self._name = group, name

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        return self._group[self._name].build(*arguments, **more)


class _BuiltAdapter(_Built):
    """The same for an adapter: a platform that keeps something gets the bot's private folder."""

    def __call__(self, spec: AdapterSpec, *, kept: Path, **more: Any) -> Adapter:
        platform: Platform = self._group[self._name]
        return platform.build(spec, **more, **({"folder": kept} if platform.keeps else {}))


class _BuiltModel(_Built):
    """The same for a model: the services stand after its spec."""

    def __call__(self, spec: ModelSpec, *, services: ModelServices) -> ChatModel:
        return super().__call__(spec, services)  # type: ignore[no-any-return]


def _factories(
    group: Mapping[str, Any], built: type[_Built], every: Mapping[str, Any] | None = None, **given: Mapping[str, Any]
) -> dict[str, providers.Factory[Any]]:
    """Return a factory for each entry point: `every` is given to all, `given` to those named."""
    return {name: providers.Factory(built(group, name), **(every or {}), **given.get(name, {})) for name in group}


PLATFORMS: Mapping[str, Platform] = EntryPoints("homunculus.platforms")
PROVIDERS: Mapping[str, Provider] = EntryPoints("homunculus.models")
BACKENDS: Mapping[str, Backend] = EntryPoints("homunculus.memory")


def folds_case(platform: str) -> bool:
    """Tell whether the places of a platform are the same in any case."""
    return platform in PLATFORMS and PLATFORMS[platform].folds_case


def read_foreign(content: bytes, file: str) -> tuple[dict[str, Any], tuple[ConfigError, ...]]:
    """Read a card of another format. Its readers are imported by the first deployment that names one."""
    from homunculus.characters.card import read_native

    return read_native(content, file)


def required_keys(provider: str) -> tuple[str, ...]:
    """Return the keys of the file that a model provider cannot do without."""
    return PROVIDERS[provider].required


class Container(containers.DeclarativeContainer):
    """Everything one running program is made of. What it depends on must be given, `state` opened; the rest is built on
    demand."""

    state = providers.Dependency(instance_of=State)
    environ = providers.Object(os.environ)
    reloads: providers.Dependency[Callable[[], Reloads]] = providers.Dependency()  # built around the supervisor
    swaps: providers.Dependency[Callable[[], Swapping]] = providers.Dependency()  # the same
    kept: providers.Dependency[Path] = providers.Dependency(instance_of=Path)  # for what adapters keep between runs
    clock: providers.Object[Clock] = providers.Object(time.time)  # of what was said and learned
    macros: providers.Object[Expand] = providers.Object(expand)

    loader = providers.Singleton(
        Loader,
        platforms=PLATFORMS,
        providers=PROVIDERS,
        backends=BACKENDS,
        rulesets=providers.Callable(excerpts),
        environ=environ,
        requires=providers.Object(required_keys),
        foreign=providers.Object(read_foreign),
    )
    hub = providers.Singleton(LocalHub, clock)
    events = providers.Singleton(EventHub)
    traces = providers.Singleton(Traces)
    # Traces before the hub: whoever waited for the end of a turn may ask for its trace at once.
    narrator = providers.Singleton(Narrator)
    bus = providers.Singleton(
        Bus, narrator.provided.observe, traces.provided.observe, events.provided.observe, hub.provided.observe
    )
    http = providers.Singleton(Http)
    services = providers.Singleton(
        ModelServices,
        session=http.provided.session,
        expand=macros,
        cache=providers.Callable(weights_cache, environ),
        emit=bus.provided.emit,
    )
    # The local platform is part of this program's own server: its rooms outlive every adapter.
    adapters = providers.FactoryAggregate(
        _factories(PLATFORMS, _BuiltAdapter, every={"kept": kept}, local={"hub": hub})
    )
    models = providers.FactoryAggregate(_factories(PROVIDERS, _BuiltModel, every={"services": services}))
    memory = providers.FactoryAggregate(_factories(BACKENDS, _Built, every={"clock": clock}))
    prompts = providers.Singleton(BuildPrompt, macros, providers.Object(select))
    meter = providers.Singleton(Meter, state, clock)
    pipelines = providers.Factory(pipeline, prompts=prompts, meter=meter)
    namespaces = providers.Singleton(Namespaces, memory.provider)
    supervisor = providers.Singleton(
        Supervisor,
        state=state,
        build_adapter=providers.Singleton(ByName, adapters.provider, _platform),
        build_model=providers.Singleton(ByName, models.provider, _provider),
        build_namespace=namespaces,
        build_pipeline=pipelines.provider,
        commands=providers.Object(COMMANDS),
        reloads=reloads,
        swaps=swaps,
        traced=traces.provided.told,
        greeting=providers.Callable(partial, greeting, expand=macros),
        emit=bus.provided.emit,
        clock=clock,
    )
