"""One adapter instance's life: open, back-off, listen, death, drain, close, and the sends that wait for it.

Owns one task and one session at a time; never routes a message and never knows a deployment. The life, told once:

    wait for the credential → connecting → ready ⟲ (catch up, hear whatever the scope says) → retrying → connecting …
                                                 ↘ failed (until a person changes something)
    stop, at any moment → stopping: hear nothing, finish what is held, close, let the credential go

The lock belongs to the credential, not to the name: that alone makes renames and moved tokens safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from loguru import logger

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.interfaces import Adapter, Aliases, BuildAdapter, Clock, Commands, Edit, Hindered, PlatformHistory
from homunculus.model import AdapterSpec, Address, CommandSpec, Message, Receipt, Reply, Scope
from homunculus.model.events import AdapterState
from homunculus.runtime.catchup import CatchUp, heard
from homunculus.runtime.session import Session
from homunculus.runtime.store import Mark
from homunculus.runtime.tasks import CANCEL_SECONDS, Tasks, ended_first

Sleep = Callable[[float], Awaitable[None]]

FIRST_DELAY, LAST_DELAY = 1.0, 60.0  # seconds between tries to connect; doubled each time, without jitter
STEADY_SECONDS = 60.0  # a session that lived this long starts the back-off anew
OPEN_SECONDS = 60.0  # a connection that takes longer is given up and tried again
CLOSE_SECONDS = 10.0  # an adapter that takes longer to close is left behind
EDIT_TRIES = 4
SEND_SECONDS = 600.0  # what could not leave for so long is given up: nobody waits for it any more
LONGEST_DOUBT = 15.0  # seconds between two tries of a send whose fate is unknown
NONCE_SECONDS = 120.0  # a platform that tells a second try apart does so for a few minutes only


@dataclass(frozen=True, slots=True)
class Wires:
    """What every runner needs of the program around it."""

    build: BuildAdapter
    deliver: Callable[[Runner, Message], Awaitable[Receipt]]
    changed: Callable[[Runner], None]
    clock: Clock
    sleep: Sleep
    drain_seconds: float
    marks: Callable[[str, str], Awaitable[tuple[Mark, ...]]]  # (platform, account)
    resume: Callable[[Runner], Awaitable[None]]  # take up what a crash left unanswered on its account
    commands: tuple[CommandSpec, ...] = ()  # to be offered where the platform completes them


class Runner:
    """Keep one adapter instance connected until it is told to stop."""

    def __init__(self, spec: AdapterSpec, scope: Scope, lock: asyncio.Lock, wires: Wires) -> None:
        self.spec, self._lock, self._wires = spec, lock, wires
        self.abilities: frozenset[str] = frozenset()
        self.aliases: frozenset[str] = frozenset()
        # Of the last session; a reply may be cut while the next one connects.
        self.account, self.limit, self.edit_every = "", 2000, 0.0
        self.hindrances: tuple[str, ...] = ()
        self.state: AdapterState = "connecting"
        self.reason, self.since = "", wires.clock()
        self.unseen: frozenset[str] = frozenset()
        self.gone = False  # no session will ever come again: what waits to be sent has failed
        self._scope, self._held = scope, 0
        self._session: Session | None = None
        self._stopping, self._idle, self._rescoped = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._unfetched: dict[str, Mark] = {}  # of the last session
        self._moved = asyncio.Event()  # set and replaced whenever the session comes or goes
        self._announced: tuple[AdapterState, str] | None = None
        self._tasks = Tasks()
        self._life: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{self.key} {self.state}{f': {self.reason}' if self.reason else ''}>"

    @property
    def key(self) -> str:
        """Return the runtime key of the instance."""
        return self.spec.key

    @property
    def stopping(self) -> bool:
        """Tell whether it was told to stop."""
        return self._stopping.is_set()

    # -- what the supervisor does

    def start(self) -> None:
        """Begin to live, unless the file switches it off or a credential is missing."""
        if not self.spec.enabled:
            self._over("disabled", "")
        elif self.spec.unresolved:
            self._over("unconfigured", f"{', '.join(self.spec.unresolved)} is not set")
        else:
            self._life = self._tasks.start(self._live(), f"adapter {self.key}")

    def update(self, spec: AdapterSpec, scope: Scope) -> None:
        """Take over settings that change live; the session hears the new scope without reconnecting."""
        self.spec = spec
        if scope != self._scope:
            self._scope = scope
            self._rescoped.set()

    def stop(self) -> None:
        """Ask for the end: hear nothing, drain, close. Returns at once."""
        if self._life is not None and not self._life.done() and not self.stopping:
            self._set("stopping")
        self._stopping.set()

    async def ended(self) -> None:
        """Wait until it has closed."""
        if self._life is not None:
            await asyncio.wait({self._life})

    def hold(self) -> None:
        """Count a message that is to be answered through this instance: it drains until that is done."""
        self._held += 1
        self._idle.clear()

    def let_go(self) -> None:
        """Count it off again."""
        self._held -= 1
        if not self._held:
            self._idle.set()

    # -- what a turn does

    async def send(self, address: Address, reply: Reply) -> str:
        """Send one reply through this instance and no other; the platform's message id.

        Waits while the session is down. Raises Refused when it did not arrive and will not, Uncertain when nobody can tell.
        """
        tries, began, doubted = 0, self._wires.clock(), None
        while True:
            session = await self._connected(in_doubt=reply.retried)
            if doubted is not None and self._wires.clock() - doubted > NONCE_SECONDS:
                raise Uncertain("its first try may have arrived, and the platform no longer tells a second one apart")
            try:
                return await session.send(address, reply)
            except NotReady as error:
                # A failure of a session that has died meanwhile is none of the platform's tries.
                tries += session is self._session
                if self._wires.clock() - began >= SEND_SECONDS:
                    kind = Uncertain if reply.retried else Refused
                    raise kind(f"given up after {tries} tries: {error.reason}") from error
                await self._wires.sleep(_delay(tries - 1, error.after))
            except Uncertain as error:
                # Also when its session died over it: the next one speaks for the same account, and the platform remembers.
                if error.final or "nonce" not in session.adapter.abilities:
                    raise
                tries += 1
                doubted = self._wires.clock() if doubted is None else doubted
                reply = replace(reply, retried=True)
                await self._wires.sleep(min(_delay(tries - 1, None), LONGEST_DOUBT))

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None:
        """Change a post of this instance. Twice does no harm, so whatever is not refused is tried again.

        Waits while the session is down. Raises Refused.
        """
        tries = 0
        while True:
            session = await self._connected()
            try:
                return await session.edit(address, message_id, reply)
            except (NotReady, Uncertain) as error:
                tries += session is self._session
                if tries >= EDIT_TRIES:
                    raise Refused(f"given up after {tries} tries: {error.reason}") from error
                after = error.after if isinstance(error, NotReady) else None
                await self._wires.sleep(_delay(tries - 1, after))

    async def whisper(self, message: Message, text: str) -> bool:
        """Show a text to a message's author alone; False where the platform cannot. One try: it is typed again quickly.

        Raises NotReady, Refused or Uncertain.
        """
        return await self._now().whisper(message, text)

    async def locate(self, target: str) -> Address:
        """Return where a person means. Raises NotReady while the session is down, Refused when there is no such place."""
        return await self._now().locate(target)

    def _now(self) -> Session:
        if self._session is None:
            kind = Refused if self.gone else NotReady
            raise kind(self._whereabouts())
        return self._session

    def _whereabouts(self) -> str:
        return f"{self.key} is {self.state}" + (f": {self.reason}" if self.reason else "")

    def acknowledge(self, messages: tuple[Message, ...]) -> Callable[[], None]:
        """Show that an answer is coming, where the instance may and can; call what it returns once it is out."""
        if self._session is None or self.spec.acknowledge == "off":
            return _nothing
        return self._session.acknowledge(messages)

    async def _connected(self, *, in_doubt: bool = False) -> Session:
        while self._session is None:
            if self.gone:
                reason = self._whereabouts()
                raise Uncertain(f"{reason}, and an earlier try may have arrived") if in_doubt else Refused(reason)
            await self._moved.wait()
        return self._session

    # -- its life

    async def _live(self) -> None:
        reason = ""
        try:
            if self._lock.locked():
                self._set("connecting", "another instance is still letting go of this credential")
            if await self._unless_stopped(self._lock.acquire):
                try:
                    reason = await self._sessions()
                finally:
                    self._lock.release()
        finally:
            self._over("stopping" if self.stopping else "failed", reason)

    async def _sessions(self) -> str:
        """Connect again and again until told to stop, or refused: return the reason then."""
        failures = 0
        while not self._stopping.is_set():
            self._set("connecting")
            began = self._wires.clock()
            try:
                await self._session_from_open_to_close()
                continue
            except Refused as error:
                return error.reason
            except NotReady as error:
                reason, after = error.reason, error.after
            except Exception as error:  # noqa: BLE001 - one adapter's bug must not end it, nor anything else
                logger.bind(adapter=self.key).opt(exception=error).error("An adapter failed unexpectedly")
                reason, after = f"it failed unexpectedly: {type(error).__name__}", None
            failures = 0 if self._wires.clock() - began >= STEADY_SECONDS else failures
            self._set("retrying", reason)
            await self._unless_stopped(partial(self._wires.sleep, _delay(failures, after)))
            failures += 1
        return ""

    async def _session_from_open_to_close(self) -> None:
        session = Session(self._wires.build(self.spec))
        try:
            if await self._unless_stopped(partial(self._open, session)):
                self._know(session.adapter)
                self._rescoped.clear()
                if await self._unless_stopped(partial(self._begin, session)):
                    self._move(session)
                    self._set("ready")
                    await self._serve(session)
        finally:
            self._move(None)
            if session.catch_up is not None:
                self._unfetched = session.catch_up.unfetched
            await self._close(session)

    def _know(self, adapter: Adapter) -> None:
        self.account, self.limit, self.abilities = adapter.account, adapter.limit, adapter.abilities
        self.aliases = adapter.aliases if isinstance(adapter, Aliases) else frozenset()
        self.edit_every = adapter.edit_every if isinstance(adapter, Edit) else 0.0
        self.hindrances = adapter.hindrances if isinstance(adapter, Hindered) else ()

    async def _open(self, session: Session) -> None:
        async def deliver(message: Message) -> Receipt:
            if session.catch_up is not None:
                await session.catch_up.older(message.address.conversation)
            return await self._deliver(session, message)

        if await ended_first(session.adapter.open(deliver), _wait(self._wires.sleep, OPEN_SECONDS)) == 1:
            raise NotReady(f"it did not connect within {OPEN_SECONDS:g} seconds")

    async def _deliver(self, session: Session, message: Message) -> Receipt:
        # Not confirmed, so the platform delivers it again: to our successor, if there is one.
        if session.over or self.stopping:
            raise NotReady(f"{self.key} is closing")
        return await self._wires.deliver(self, message)

    async def _begin(self, session: Session) -> None:
        """Hear the scope; where something may have been missed, nothing new is taken before it."""
        adapter = session.adapter
        if "history" in adapter.abilities and isinstance(adapter, PlatformHistory):
            marks = await self._wires.marks(self.spec.platform, self.account)
            session.catch_up = CatchUp(
                self.key,
                adapter,
                # What the last session could not fetch begins where it was to begin then.
                [self._unfetched.get(m.address.conversation, m) for m in marks if heard(self._scope, m.address)],
                partial(self._deliver, session),
                self._wires.clock,
                self._wires.sleep,
            )
            await session.catch_up.begin()
        await self._listen(adapter)

    async def _recover(self, session: Session) -> None:
        """Take up what was left unanswered, then what was never heard: in the order in which it was said."""
        try:
            await self._wires.resume(self)
        except Exception as error:  # noqa: BLE001 - what was said since must be fetched all the same
            logger.bind(adapter=self.key).opt(exception=error).error("Taking up unanswered messages failed")
        if session.catch_up is not None:
            await session.catch_up.run()

    async def _offer(self, adapter: Adapter) -> None:
        """Make the commands known, as often as that fails in passing: typed ones work all the same."""
        if "commands" not in adapter.abilities or not isinstance(adapter, Commands):
            return
        tries = 0
        while (after := await self._offered(adapter)) is not None:
            await self._wires.sleep(_delay(tries, after))
            tries += 1

    async def _offered(self, adapter: Commands) -> float | None:
        """Offer once; return how long to wait at least before the next try, None when there is none."""
        try:
            await adapter.offer(self._wires.commands)
        except (NotReady, Uncertain) as error:
            return error.after or 0.0 if isinstance(error, NotReady) else 0.0
        except Exception as error:  # noqa: BLE001 - nobody is kept from talking by it
            reason = error.reason if isinstance(error, Refused) else type(error).__name__
            logger.bind(adapter=self.key, reason=reason).warning("Commands could not be offered; typed ones work")
        return None

    async def _listen(self, adapter: Adapter) -> None:
        self.unseen = await adapter.listen(self._scope)

    async def _serve(self, session: Session) -> None:
        """Stay while the session lives; raise how it died, or return once drained."""
        adapter = session.adapter
        closed = self._tasks.watch(adapter.closed(), f"session of {self.key}")
        recovering = self._tasks.start(self._recover(session), f"catching up of {self.key}")
        offering = self._tasks.start(self._offer(adapter), f"commands of {self.key}")
        try:
            if await ended_first(self._stopping.wait(), _end(closed), self._hear(adapter)) != 0:
                raise NotReady("the session ended")
            recovering.cancel()
            await ended_first(_end(closed), self._drain(adapter), _wait(self._wires.sleep, self._wires.drain_seconds))
        finally:
            for task in (closed, recovering, offering):
                task.cancel()
            await asyncio.wait({closed, recovering, offering}, timeout=CANCEL_SECONDS)

    async def _hear(self, adapter: Adapter) -> None:
        while True:
            await self._rescoped.wait()
            self._rescoped.clear()
            await self._listen(adapter)

    async def _drain(self, adapter: Adapter) -> None:
        await adapter.listen(Scope())
        await self._idle.wait()

    async def _close(self, session: Session) -> None:
        try:
            if await ended_first(session.aclose(), _wait(self._wires.sleep, CLOSE_SECONDS)) == 1:
                logger.bind(adapter=self.key, seconds=CLOSE_SECONDS).error("An adapter does not close")
        except Exception as error:  # noqa: BLE001 - it is being thrown away
            logger.bind(adapter=self.key).opt(exception=error).error("Closing an adapter failed")

    async def _unless_stopped(self, work: Callable[[], Awaitable[object]]) -> bool:
        """Do `work`, but leave it when told to stop; tell whether it was done."""
        if self.stopping:
            return False
        done = False

        async def doing() -> None:
            nonlocal done
            await work()
            done = True

        await ended_first(doing(), self._stopping.wait())
        return done

    def _move(self, session: Session | None) -> None:
        if session is not self._session:
            self._session = session
            self._signal()

    def _signal(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _over(self, state: AdapterState, reason: str) -> None:
        self.gone = True
        self._set(state, reason)
        self._signal()

    def _set(self, state: AdapterState, reason: str = "") -> None:
        if self.stopping and state != "stopping":
            return
        if (state, reason) == self._announced:
            return
        self._announced = (state, reason)
        self.state, self.reason, self.since = state, reason, self._wires.clock()
        self._wires.changed(self)


def _delay(failures: int, after: float | None) -> float:
    return max(min(FIRST_DELAY * 2.0 ** min(max(failures, 0), 16), LAST_DELAY), after or 0.0)


async def _end(closed: asyncio.Task[None]) -> None:
    await asyncio.wait({closed})
    closed.result()


async def _wait(sleep: Sleep, seconds: float) -> None:
    await sleep(seconds)


def _nothing() -> None:
    """Acknowledge nothing."""
