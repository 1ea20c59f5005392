"""What the web part may see and do, as one bundle of callables and small Protocols; the container fills it.

Owns no state. Everything here is asked anew on each request, so a reload needs no word to the web part.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from homunculus.errors import ConfigError
from homunculus.interfaces import Namespace
from homunculus.model import Deployment
from homunculus.plan import Plan
from homunculus.runtime.state import UnsureReply
from homunculus.runtime.store import Overrides
from homunculus.web.events import EventHub
from homunculus.web.sessions import Sessions
from homunculus.web.traces import Traces

Phase = Literal["starting", "running", "draining"]


class AdapterStatus(Protocol):
    """One adapter instance as the supervisor sees it; `since` in seconds since the epoch."""

    @property
    def platform(self) -> str: ...
    @property
    def name(self) -> str | None: ...
    @property
    def runtime_key(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def since(self) -> float: ...
    @property
    def binding_count(self) -> int: ...
    @property
    def unseen(self) -> tuple[str, ...]: ...
    @property
    def hindrances(self) -> tuple[str, ...]: ...


class ReloadState(Protocol):
    """What the last look at the file found."""

    @property
    def running_equals_file(self) -> bool: ...
    @property
    def errors(self) -> Sequence[ConfigError]: ...
    @property
    def warnings(self) -> Sequence[ConfigError]: ...


class Post(Protocol):
    """One line said in a local place: `user` on a person's, `agent_id` on an NPC's; `time` since the epoch."""

    @property
    def id(self) -> str: ...
    @property
    def chat(self) -> str: ...
    @property
    def author(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def agent_id(self) -> str | None: ...
    @property
    def text(self) -> str: ...
    @property
    def time(self) -> float: ...


class Rooms(Protocol):
    """The local platform's rooms and waiting callers; they outlive reloads."""

    async def say(self, chat: str, *, user: str, text: str, mention: bool = True, dm: bool = False) -> str:
        """Deliver a message; return its id."""

    async def ask(
        self, chat: str, *, user: str, text: str, mention: bool = True, dm: bool = False
    ) -> tuple[str, tuple[Post, ...]]:
        """Deliver a message and wait for the end of its turn; return its id and the turn's replies."""

    def posts(self, chat: str, after: str | None = None) -> tuple[Post, ...]:
        """Return what was said there, oldest first; only what came after that id, when given."""


@dataclass(frozen=True, slots=True)
class Running:
    """The running program as the web part knows it.

    `plan` takes the text of a deployment (None: the file as it lies there) and may raise ConfigErrors. `route` takes the
    arguments of `homunculus route` under their names, absent ones as None or False, and returns what that command
    prints as JSON. `send` says a text through a runtime key, at a target, and returns the platform's ids. `overrides`
    lists the modes and pauses set from chat, `uncertain` the posts of the last days that may or may not have arrived;
    `state_fault` says why nothing can be recorded now, and is empty when it can. `usage` is what models were used for
    today, as the status shows it; `exhausted` a sentence for each model whose budget of today is used up.

    `memory` lends the memory of a namespace that an agent of the deployment has, `changing` the lock that whoever changes it
    through the API holds; `unremembered` counts the turns since the start of which nothing could be learned.
    """

    version: str
    phase: Callable[[], Phase]
    deployment: Callable[[], Deployment]
    generation: Callable[[], int]
    adapters: Callable[[], Sequence[AdapterStatus]]
    reloads: ReloadState
    rooms: Rooms
    plan: Callable[[str | None], Awaitable[Plan]]
    route: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
    send: Callable[[str, str, str], Awaitable[Sequence[str]]]
    events: EventHub
    traces: Traces
    sessions: Sessions
    overrides: Callable[[], Awaitable[Overrides]]
    uncertain: Callable[[], Awaitable[Sequence[UnsureReply]]]
    state_fault: Callable[[], str]
    usage: Callable[[], Awaitable[Mapping[str, Any]]]
    exhausted: Callable[[], Sequence[str]]
    memory: Callable[[str], AbstractContextManager[Namespace]]
    changing: Callable[[str], AbstractAsyncContextManager[None]]
    unremembered: Callable[[], Mapping[str, int]]
