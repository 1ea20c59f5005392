"""A swap is done or it is not: at whatever step it fails, or the program dies, file, memory and history agree."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from homunculus.errors import ConfigErrors, HomunculusError, NotReady, Refused
from homunculus.interfaces import Namespace
from homunculus.memory.sqlite_namespace import SqliteNamespace
from homunculus.model import Agent, MemorySpec, Note
from homunculus.runtime.generation import resolved
from homunculus.runtime.holds import Holds
from homunculus.runtime.outcome import Outcome
from homunculus.runtime.state import State
from homunculus.runtime.swap import Swaps
from tests.unit.config.world import loader, populate
from tests.unit.runtime.state.said import address, message

FILE = """\
version: 1
agents:
  keeper: {character: kovach, memory_namespace: long-winter}   # the veteran
channels:
  - {platform: local, channel_id: tavern, agent_id: keeper}
"""
SWAPPED = FILE.replace("kovach", "john")
SPOKEN = "The mill burned down."


class Crash(BaseException):
    """The process ends here: nothing after it runs, not even what would take things back."""


Fault = type[Crash] | HomunculusError | OSError


@dataclass
class Trouble:
    """Counts the steps of a swap, and lets one of them end badly: before it was done, or after."""

    step: int = -1
    after: bool = False
    fault: Fault = Crash
    names: list[str] = field(default_factory=list)

    async def around(self, name: str, work: Callable[[], Any]) -> Any:
        here = len(self.names) == self.step
        self.names.append(name)
        if here and not self.after:
            raise self.fault
        done = await work()
        if here and self.after:
            raise self.fault
        return done


class Troubled:
    """Something whose methods are steps."""

    def __init__(self, thing: Any, trouble: Trouble, *steps: str) -> None:
        self._thing, self._trouble, self._steps = thing, trouble, steps

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._thing, name)
        if name not in self._steps:
            return method
        return lambda *given, **more: self._trouble.around(name, lambda: method(*given, **more))


class Look:
    """Looks at the file as the reloader does, and remembers what runs."""

    def __init__(self, file: Path) -> None:
        self.file, self.running = file, b""

    async def request(self, digest: str = "") -> Outcome:
        try:
            loader()(self.file)
        except ConfigErrors as errors:
            return Outcome("refused", 1, errors=errors.errors)
        self.running = self.file.read_bytes()
        return Outcome("applied", 1)


class Table:
    """A bot's folder, and what a swap works on."""

    def __init__(self, folder: Path) -> None:
        populate(folder, {"camp.yaml": FILE})
        self.folder, self.file = folder, folder / "camp.yaml"
        self.look = Look(self.file)
        self.state: State

    def namespace(self, name: str = "long-winter") -> SqliteNamespace:
        spec = MemorySpec(embeddings="off")
        return SqliteNamespace(self.folder / "home/agents/camp" / name, self.folder / "home/archive/camp", spec)

    def agent(self) -> Agent:
        deployment = loader()(self.file).deployment
        return resolved(deployment, deployment.agents[0])

    async def begin(self) -> None:
        self.state = await State.open(self.folder / "home/state/camp.sqlite")
        memory = self.namespace()
        await memory.open()
        await memory.add(Note(SPOKEN))
        await memory.aclose()
        await self.state.record(message("m1", SPOKEN), "keeper")

    def swaps(self, memory: Namespace, trouble: Trouble | None = None) -> Swaps:
        trouble = trouble or Trouble()
        return Swaps(
            self.file,
            load=loader(),
            look=Troubled(self.look, trouble, "request"),
            store=Troubled(self.state, trouble, "begin_swap", "end_swap"),
            holds=Holds(),
            memory=lambda agent_id: Troubled(memory, trouble, "archives", "archive"),
        )

    async def restart(self) -> None:
        """Begin anew after a crash, as a start of the program does."""
        await self.state.aclose()
        self.state = await State.open(self.folder / "home/state/camp.sqlite")
        memory = self.namespace()
        await self.swaps(memory).recover(lambda name: self.namespace(name))
        await self.look.request()

    async def stands(self) -> str:
        """Say which of the two it is, and fail when it is neither."""
        memory = self.namespace()
        facts = [fact.text for fact in await memory.facts()]
        archives = await memory.archives()
        await memory.aclose()
        history = [line.text for line in await self.state.recent(address().conversation, "keeper", 10)]
        text = self.file.read_text()
        assert self.look.running.decode() == text
        assert await self.state.pending_swaps() == ()
        assert list(self.folder.glob(".camp.yaml*")) == []
        if text == FILE:
            assert (facts, history, archives) == ([SPOKEN], [SPOKEN], ())
            return "before"
        assert text == SWAPPED
        assert (facts, history, len(archives)) == ([], [], 1)
        return "after"


@pytest.fixture
async def table(tmp_path: Path) -> Any:
    made = Table(tmp_path)
    await made.begin()
    yield made
    await made.state.aclose()


async def attempt(table: Table, trouble: Trouble, monkeypatch: pytest.MonkeyPatch) -> BaseException | None:
    """Swap under a trouble, the writing of the file being a step like the others."""
    from homunculus.config import save

    real, memory = save.replace, table.namespace()

    def replace(file: Path, before: bytes, after: bytes) -> None:
        asyncio.run(trouble.around("replace", lambda: asyncio.to_thread(real, file, before, after)))

    monkeypatch.setattr(save, "replace", replace)
    try:
        done = await table.swaps(memory, trouble).swap(table.agent(), "john")
        assert (done.before, done.after) == ("Kovach", "John")
    except (Crash, HomunculusError) as error:
        return error
    finally:
        monkeypatch.setattr(save, "replace", real)
        await memory.aclose()
    return None


STEPS = ["request", "archives", "begin_swap", "archive", "replace", "request", "end_swap"]


async def test_a_swap_takes_these_steps_and_is_done(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    trouble = Trouble()
    assert await attempt(table, trouble, monkeypatch) is None
    assert trouble.names == STEPS
    assert await table.stands() == "after"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
async def test_a_crash_at_any_step_leaves_all_or_nothing(
    table: Table, step: int, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await attempt(table, Trouble(step, after), monkeypatch), Crash)
    await table.restart()
    written = STEPS.index("replace")
    assert await table.stands() == ("after" if (step, after) >= (written, True) else "before")
    await table.restart()  # and nothing is left that another start would do
    await table.stands()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("step", "fault"),
    [
        (step, fault)
        for step in range(len(STEPS) - 1)
        for fault in (NotReady("a busy disk"), Refused("a read-only disk"))
    ]
    + [(STEPS.index("replace"), OSError(28, "No space left on device"))],
    ids=repr,
)
async def test_a_failure_at_any_step_takes_everything_back_at_once(
    table: Table, step: int, after: bool, fault: HomunculusError | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = await attempt(table, Trouble(step, after, fault), monkeypatch)
    assert isinstance(error, NotReady | Refused)
    await table.look.request()
    assert await table.stands() == "before"


async def test_a_text_that_was_saved_over_the_swap_wins_and_the_memory_comes_back(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, saved = table.namespace(), FILE.replace("# the veteran", "# by hand")

    class Raced(Look):
        async def request(self, digest: str = "") -> Outcome:
            if digest:
                self.file.write_text(saved)
            return await super().request()

    table.look = Raced(table.file)
    with pytest.raises(Refused, match="saved by somebody else"):
        await table.swaps(memory).swap(table.agent(), "john")
    assert table.file.read_text() == saved
    assert [fact.text for fact in await memory.facts()] == [SPOKEN]
    assert [line.text for line in await table.state.recent(address().conversation, "keeper", 10)] == [SPOKEN]
    assert await table.state.pending_swaps() == ()
    await memory.aclose()


async def test_a_second_swap_keeps_the_first_ones_beginning_when_it_fails(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await attempt(table, Trouble(), monkeypatch) is None
    await table.state.record(message("m2", "Evening."), "keeper")
    memory = table.namespace()
    swaps = table.swaps(memory, Trouble(4, False, Refused("no")))
    with pytest.raises(Refused):
        await swaps.swap(table.agent(), "nobody")
    monkeypatch.setattr("homunculus.config.save.replace", lambda *_: (_ for _ in ()).throw(Refused("read-only")))
    with pytest.raises(Refused, match="read-only"):
        await table.swaps(memory).swap(table.agent(), "ana")
    assert [line.text for line in await table.state.recent(address().conversation, "keeper", 10)] == ["Evening."]
    await memory.aclose()
