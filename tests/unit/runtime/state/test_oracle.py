"""Any run of writes leaves what a plain dictionary says, whether they are committed one by one or in groups, and whether the
process then closes, or dies."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import apsw
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from homunculus.model import HistoryLine, Message
from homunculus.runtime.state import State
from homunculus.runtime.store import PendingSwap
from tests.unit.runtime.state.said import address, message, reply

AGENTS, PLACES, IDS = ("kovach", "mira"), ("tavern", "crypt"), ("1", "2", "3", "4")
NOW = 5000.0

agents, places, ids = st.sampled_from(AGENTS), st.sampled_from(PLACES), st.sampled_from(IDS)
texts = st.text(max_size=4)
writes = st.one_of(
    st.tuples(st.just("record"), places, ids, agents, texts, st.integers(1, 4)),
    st.tuples(st.just("edit"), places, ids, texts),
    st.tuples(st.just("delete"), places, ids),
    st.tuples(st.just("settle"), places, st.lists(ids, max_size=2), st.sampled_from(["silent", "failed"])),
    st.tuples(
        st.just("finish"), places, st.lists(ids, max_size=2, unique=True), agents, st.integers(0, 3), st.integers(0, 2)
    ),
    st.tuples(st.just("sent"), st.integers(0, 3), st.integers(0, 1)),
    st.tuples(st.just("unsent"), st.integers(0, 3), st.integers(0, 1), st.sampled_from(["failed", "uncertain"])),
)


@dataclass
class Waiting:
    message: Message | None
    agent: str
    order: int
    outcome: str | None = None
    reply_id: str | None = None


@dataclass
class Said:
    place: str
    agent: str  # who heard it
    line: HistoryLine
    order: int


@dataclass
class Oracle:
    """What should be there, kept by doing one write after the other."""

    inbox: dict[tuple[str, str], Waiting] = field(default_factory=dict)
    history: list[Said] = field(default_factory=list)
    outbox: dict[str, str] = field(default_factory=dict)
    turns: set[str] = field(default_factory=set)
    clock: int = 0
    beginnings: dict[str, int] = field(default_factory=dict)
    swaps: dict[str, int | None] = field(default_factory=dict)  # agent → its beginning before

    def begin_swap(self, agent: str) -> None:
        self.swaps[agent] = self.beginnings.get(agent)
        self.clock += 1
        self.beginnings[agent] = self.clock

    def end_swap(self, agent: str, kept: bool) -> None:
        if agent not in self.swaps:
            return
        before = self.swaps.pop(agent)
        if not kept and before is None:
            del self.beginnings[agent]
        elif not kept:
            self.beginnings[agent] = before or 0

    def hear(self, place: str, agent: str, line: HistoryLine) -> int:
        self.clock += 1
        self.history.append(Said(place, agent, line, self.clock))
        return self.clock

    def record(self, said: Message, agent: str) -> bool:
        key = said.address.place, said.id
        if key in self.inbox:
            return False
        order = self.hear(key[0], agent, HistoryLine(said.id, said.author.name, said.text, said.time))
        self.inbox[key] = Waiting(said, agent, order)
        return True

    def edit(self, place: str, id_: str, text: str) -> None:
        row = self.inbox[place, id_]
        if row.message:
            row.message = replace(row.message, text=text)
        for said in self.history:
            if (said.place, said.line.id) == (place, id_):
                said.line = replace(said.line, text=text)

    def delete(self, place: str, id_: str) -> None:
        row = self.inbox[place, id_]
        row.message, row.outcome = None, row.outcome or "deleted"
        self.history = [said for said in self.history if (said.place, said.line.id) != (place, id_)]

    def settle(self, place: str, ids: list[str], outcome: str) -> None:
        for id_ in ids:
            if self.inbox[place, id_].outcome in (None, "deleted"):
                self.inbox[place, id_].outcome = outcome

    def finish(self, place: str, ids: list[str], agent: str, turn: str, parts: int) -> None:
        if turn in self.turns:
            return
        for id_ in ids:
            row = self.inbox[place, id_]
            row.outcome, row.reply_id = ("answered", f"{turn}-0") if parts else ("silent", None)
            heard = [said for said in self.history if (said.place, said.line.id) == (place, id_)]
            if heard and agent not in {said.agent for said in heard}:
                self.hear(place, agent, heard[0].line)
        for part in range(parts):
            self.turns.add(turn)
            self.hear(place, agent, HistoryLine(f"{turn}-{part}", "Kovach", f"part {part}", NOW, agent))
            self.outbox[f"{turn}-{part}"] = "sending"

    def lines(self, place: str, agent: str, before: int = 10**9) -> list[HistoryLine]:
        return [
            said.line
            for said in self.history
            if (said.place, said.agent) == (place, agent) and self.beginnings.get(agent, 0) < said.order < before
        ]

    def spoken(self, place: str) -> list[HistoryLine]:
        found: dict[str, HistoryLine] = {}
        for said in self.history:
            if said.place == place:
                found.setdefault(said.line.id, said.line)
        return list(found.values())


class StateAgainstOracle(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.oracle = Oracle()
        self.lives = 0
        self.path = self.folder / "0" / "bot.sqlite"
        self.state = self.runner.run(State.open(self.path, clock=lambda: NOW))

    def teardown(self) -> None:
        self.runner.run(self.state.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    @rule(drawn=st.lists(writes, max_size=8), together=st.booleans())
    def write(self, drawn: list[tuple[Any, ...]], together: bool) -> None:
        calls = [call for one in drawn if (call := self.call(*one)) is not None]
        self.runner.run(self.make(calls, together))

    async def make(self, calls: list[tuple[Coroutine[Any, Any, Any], Any]], together: bool) -> None:
        awaitables = [call for call, _ in calls]
        if together:  # while turns ask what was said
            asked = (self.state.recent(address(place).conversation, agent, 3) for place in PLACES for agent in AGENTS)
            results = (await asyncio.gather(*awaitables, *asked))[: len(awaitables)]
        else:
            results = [await call for call in awaitables]
        assert results == [expected for _, expected in calls]

    def call(self, kind: str, *drawn: Any) -> tuple[Coroutine[Any, Any, Any], Any] | None:
        """Do it to the oracle; return the same call to the state, and its result."""
        if kind in ("sent", "unsent"):
            return self.call_outbox(kind, *drawn)
        if kind == "record":
            place, id_, agent, text, time = drawn
            said = message(id_, text, place, float(time))
            return self.state.record(said, agent), self.oracle.record(said, agent)
        place, named, *rest = drawn
        known = [id_ for id_ in named if (place, id_) in self.oracle.inbox]
        if kind == "finish":
            agent, turn, parts = rest
            self.oracle.finish(place, known, agent, f"t{turn}", parts)
            heard = [message(id_, place=place) for id_ in known]
            replies = [reply(f"t{turn}-{part}", f"part {part}", agent) for part in range(parts)]
            return self.state.finish(f"t{turn}", agent, heard, replies, address(place)), None
        if not known:
            return None
        getattr(self.oracle, kind)(place, known if kind == "settle" else known[0], *rest)
        if kind == "settle":
            return self.state.settle([message(id_, place=place) for id_ in known], rest[0], "why"), None
        changed: Literal["edited", "deleted"] = "edited" if kind == "edit" else "deleted"
        return self.state.amend(message(known[0], rest[0] if rest else "", place, kind=changed)), None

    def call_outbox(
        self, kind: str, turn: int, part: int, *outcome: Any
    ) -> tuple[Coroutine[Any, Any, Any], Any] | None:
        id_ = f"t{turn}-{part}"
        if id_ not in self.oracle.outbox:
            return None
        if kind == "sent":
            self.oracle.outbox[id_] = "sent"
            return self.state.sent(id_, f"p-{id_}"), None
        if self.oracle.outbox[id_] != "sent":
            self.oracle.outbox[id_] = outcome[0]
        return self.state.unsent(id_, outcome[0], "why"), None

    @rule(agent=agents)
    def begin_swap(self, agent: str) -> None:
        self.oracle.begin_swap(agent)
        self.runner.run(self.state.begin_swap(PendingSwap(agent, "long-winter", "john", ("one",))))

    @rule(agent=agents, kept=st.booleans())
    def end_swap(self, agent: str, kept: bool) -> None:
        self.oracle.end_swap(agent, kept)
        self.runner.run(self.state.end_swap(agent, kept=kept))

    @rule(dies=st.booleans())
    def open_again(self, dies: bool) -> None:
        self.lives += 1
        later = self.folder / str(self.lives) / "bot.sqlite"
        later.parent.mkdir()
        if not dies:
            self.runner.run(self.state.aclose())
        for file in self.path.parent.glob("bot.sqlite*"):  # what a dead process leaves, but for its shared memory
            if not file.name.endswith("-shm"):
                shutil.copy(file, later.parent / file.name)
        self.runner.run(self.state.aclose())
        self.path = later
        self.state = self.runner.run(State.open(later, clock=lambda: NOW))
        for id_, state in self.oracle.outbox.items():
            self.oracle.outbox[id_] = "uncertain" if state == "sending" else state
        assert all(self.state.seen(message(id_, place=place)) for place, id_ in self.oracle.inbox)

    @invariant()
    def agrees(self) -> None:
        self.runner.run(self.compare())

    async def compare(self) -> None:
        for place in PLACES:
            conversation = address(place).conversation
            for agent in AGENTS:
                assert list(await self.state.recent(conversation, agent, 100)) == self.oracle.lines(place, agent)
            assert list(await self.state.transcript("discord", conversation, 100)) == self.oracle.spoken(place)
        for (place, id_), row in self.oracle.inbox.items():
            found = await self.state.recent(address(place).conversation, row.agent, 2, message(id_, place=place))
            assert list(found) == self.oracle.lines(place, row.agent, row.order)[-2:]
        waiting = sorted(
            (
                row
                for row in self.oracle.inbox.values()
                if row.outcome is None and row.message and row.message.time >= 2
            ),
            key=lambda row: (row.message.time if row.message else 0, row.order),
        )
        assert list(await self.state.unanswered(2.0)) == [(row.message, row.agent) for row in waiting]
        swaps = [PendingSwap(agent, "long-winter", "john", ("one",)) for agent in sorted(self.oracle.swaps)]
        assert list(await self.state.pending_swaps()) == swaps
        unsure = {id_ for id_, state in self.oracle.outbox.items() if state == "uncertain"}
        assert {one.reply.id for one in await self.state.uncertain()} == unsure
        self.compare_rows()

    def compare_rows(self) -> None:
        with apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY) as plain:
            inbox = {
                (conversation.split("/")[2], id_): (outcome, reply_id)
                for conversation, id_, outcome, reply_id in plain.execute(
                    "SELECT conversation, id, outcome, reply_id FROM inbox"
                )
            }
            outbox = {str(reply_id): state for reply_id, state in plain.execute("SELECT reply_id, state FROM outbox")}
        assert inbox == {key: (row.outcome, row.reply_id) for key, row in self.oracle.inbox.items()}
        assert outbox == self.oracle.outbox


def test_any_run_of_writes_leaves_what_a_dictionary_says() -> None:
    drawn_only = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking real files would outlast a test's time
    limits = settings(max_examples=60, stateful_step_count=12, phases=drawn_only, deadline=None)
    run_state_machine_as_test(StateAgainstOracle, settings=limits)
