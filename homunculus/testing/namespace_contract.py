"""The promises that every memory keeps, as pytest suites to inherit: `NamespaceContract`, and `MemoryContract` on top of it.

Owns what a namespace promises; never knows a backend. To test a backend of your own, say how one is built and inherit:

    class TestExample(MemoryContract):
        def build(self, folder: Path, archive: Path, spec: MemorySpec) -> Namespace:
            return ExampleNamespace(folder, archive, spec)

A backend that remembers nothing inherits `NamespaceContract` alone. Tests need pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from homunculus.errors import Refused
from homunculus.interfaces import Namespace
from homunculus.model import Fact, MemorySpec, Note, Session

ANA = Note("Ana owes Kovach three dollars.", "ana @ local:tavern", session="4", date="12 Oct 1925")
BORIS = Note("Boris promised to mend the lighthouse lamp.", "boris @ local:tavern")
CHINESE = Note("科瓦奇把左轮手枪藏在地板下面。", "安娜 @ local:tavern")
SEVEN, TEN = 1_795_806_000.0, 1_795_816_800.0  # 2026-11-27T19:00:00Z and 22:00:00Z
PATIENCE = 30.0  # seconds until a promise that should be kept within one counts as broken


def texts(facts: tuple[Fact, ...]) -> list[str]:
    """Return what the facts say."""
    return [fact.text for fact in facts]


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, until it is so."""
    async with asyncio.timeout(PATIENCE):
        while not await look():  # noqa: ASYNC110 - a backend may look at its files now and then, and tells nobody
            await asyncio.sleep(0.05)


class NamespaceContract:
    """Inherit and say how one is built: every test is a promise of `homunculus.interfaces.Namespace`."""

    pytestmark = pytest.mark.asyncio
    spec = MemorySpec(top_k=6)

    def build(self, folder: Path, archive: Path, spec: MemorySpec) -> Namespace:
        """Return a new, unopened namespace; every subclass has its own."""
        raise NotImplementedError("say how a namespace is built")

    def named(self, home: Path, name: str, bot: str = "campaigns") -> Namespace:
        """Return an unopened namespace where the program would have it."""
        return self.build(home / "agents" / bot / name, home / "archive" / bot, self.spec)

    @asynccontextmanager
    async def opened(self, home: Path, name: str = "kovach") -> AsyncIterator[Namespace]:
        """Keep a namespace open for as long as the context lasts."""
        namespace = self.named(home, name)
        try:
            await namespace.open()
            yield namespace
        finally:
            await namespace.aclose()

    @pytest.fixture
    async def memory(self, tmp_path: Path) -> AsyncIterator[Namespace]:
        """Yield an open, blank namespace."""
        async with self.opened(tmp_path) as namespace:
            yield namespace

    # -- life

    async def test_opening_makes_the_folder_and_its_memory_file(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, "kovach-eod"):
            assert "kovach-eod" in (tmp_path / "agents/campaigns/kovach-eod/memory/MEMORY.md").read_text("utf-8")

    async def test_opening_again_leaves_a_persons_text_alone(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path):
            written = tmp_path / "agents/campaigns/kovach/memory/MEMORY.md"
            written.write_text("Ana is a friend.", "utf-8")
        async with self.opened(tmp_path):
            assert written.read_text("utf-8") == "Ana is a friend."

    async def test_closing_is_safe_twice_and_without_opening(self, tmp_path: Path) -> None:
        namespace = self.named(tmp_path, "never-opened")
        await namespace.aclose()
        await namespace.aclose()
        assert not (tmp_path / "agents").exists()

    async def test_a_disk_that_refuses_is_refused_by_name(self, tmp_path: Path) -> None:
        (tmp_path / "agents").write_text("a file", "utf-8")
        namespace = self.named(tmp_path, "npc")
        with pytest.raises(Refused, match=r"npc|agents"):
            await namespace.open()
        await namespace.aclose()

    async def test_a_blank_memory_recalls_nothing(self, memory: Namespace) -> None:
        assert await memory.facts() == ()
        assert await memory.recall("who owes money?", "local/tavern") == ()
        assert await memory.search("who owes money?") == ()
        assert await memory.forgotten() == ()
        assert await memory.archives() == ()
        await memory.settled()

    @pytest.mark.parametrize("name", ["../kovach", "Kovach", "kovach/..", "con\n", "ko vach", "科瓦奇", "a" * 64])
    async def test_a_name_that_is_none_never_becomes_a_folder(self, name: str, tmp_path: Path) -> None:
        folder = tmp_path / "agents" / "campaigns"
        with pytest.raises(Refused):
            self.build(Path(f"{folder}/{name}"), tmp_path / "archive", self.spec)
        assert not folder.exists()

    async def test_a_namespace_that_is_a_door_into_another_is_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path, "kovach"):
            (tmp_path / "agents/campaigns/door").symlink_to(tmp_path / "agents/campaigns/kovach")
            with pytest.raises(Refused, match="symbolic link"):
                await self.named(tmp_path, "door").open()

    # -- sessions

    async def test_sessions_are_counted_with_their_dates(self, memory: Namespace) -> None:
        assert await memory.sessions() == ()
        assert await memory.begin_session(SEVEN, "12 Oct 1925") == Session(1, SEVEN, date="12 Oct 1925")
        assert await memory.end_session(TEN, "13 Oct 1925") == Session(1, SEVEN, TEN, "12 Oct 1925", "13 Oct 1925")
        assert await memory.begin_session(TEN + 60) == Session(2, TEN + 60)
        assert await memory.sessions() == (
            Session(1, SEVEN, TEN, "12 Oct 1925", "13 Oct 1925"),
            Session(2, TEN + 60),
        )

    async def test_one_session_runs_at_a_time(self, memory: Namespace) -> None:
        with pytest.raises(Refused, match="no session is running; session start"):
            await memory.end_session(TEN)
        await memory.begin_session(SEVEN)
        with pytest.raises(Refused, match="session 1 has been running since 2026-11-27T19:00:00Z; end it first"):
            await memory.begin_session(TEN)
        assert await memory.sessions() == (Session(1, SEVEN),)

    async def test_sessions_survive_a_restart(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as memory:
            await memory.begin_session(SEVEN, "12 Oct 1925")
        async with self.opened(tmp_path) as memory:
            assert (await memory.end_session(TEN)).number == 1
            assert await memory.sessions() == (Session(1, SEVEN, TEN, "12 Oct 1925"),)

    async def test_sessions_are_archived_and_restored_with_the_memory(self, memory: Namespace) -> None:
        await memory.begin_session(SEVEN, "12 Oct 1925")
        name = await memory.archive()
        assert await memory.sessions() == ()
        assert (await memory.begin_session(TEN)).number == 1
        await memory.restore(name)
        assert await memory.sessions() == (Session(1, SEVEN, date="12 Oct 1925"),)
        [other] = await memory.archives()
        await memory.restore(other)
        assert await memory.sessions() == (Session(1, TEN),)

    async def test_sessions_corrected_by_hand_count(self, memory: Namespace, tmp_path: Path) -> None:
        await memory.begin_session(SEVEN, "12 Oct 1295")
        log = tmp_path / "agents/campaigns/kovach/memory/SESSIONS.md"
        corrected = log.read_text("utf-8").replace("Session 1", "Session 7").replace("1295", "1925")
        log.write_text(f"{corrected}Boris was late.\n", "utf-8")
        assert await memory.sessions() == (Session(7, SEVEN, date="12 Oct 1925"),)
        await memory.end_session(TEN)
        assert (await memory.begin_session(TEN + 60)).number == 8
        assert "Boris was late.\n" in log.read_text("utf-8")

    async def test_two_who_begin_at_once_begin_one_session(self, memory: Namespace, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as other:
            begun = await asyncio.gather(*(one.begin_session(SEVEN) for one in (memory, other)), return_exceptions=True)
        assert sorted(type(one).__name__ for one in begun) == ["Refused", "Session"]
        assert await memory.sessions() == (Session(1, SEVEN),)

    async def test_sessions_are_no_facts(self, memory: Namespace) -> None:
        await memory.begin_session(SEVEN, "the night of the harpoon")
        await memory.settled()
        assert await memory.facts() == ()
        assert await memory.search("harpoon session") == ()
        assert await memory.recall("harpoon session", None) == ()


class MemoryContract(NamespaceContract):
    """The promises of a memory that remembers."""

    # -- learning

    async def test_what_was_added_is_found_with_where_it_came_from(self, memory: Namespace) -> None:
        added = await memory.add(ANA, BORIS, CHINESE)
        assert texts(added) == [ANA.text, BORIS.text, CHINESE.text]
        assert len({fact.id for fact in added}) == 3
        await memory.settled()
        found = (await memory.search("dollars Kovach"))[0]
        assert (found.id, found.text, found.source) == (added[0].id, ANA.text, ANA.source)
        assert (found.session, found.date) == ("4", "12 Oct 1925")
        assert found.time > 1_700_000_000
        assert (await memory.search("左轮手枪"))[0].text == CHINESE.text

    async def test_what_was_acknowledged_is_in_the_file_of_its_day(self, memory: Namespace, tmp_path: Path) -> None:
        [fact] = await memory.add(ANA)
        written = tmp_path / "agents/campaigns/kovach/memory" / fact.file
        assert f"- {fact.id}: {ANA.text} <!-- src: ana @ local:tavern" in written.read_text("utf-8")

    async def test_facts_are_listed_in_the_order_they_were_learned(self, memory: Namespace) -> None:
        for number in range(5):
            await memory.add(Note(f"fact number {number}"))
        assert texts(await memory.facts()) == [f"fact number {number}" for number in range(5)]

    async def test_the_same_words_again_are_one_fact(self, memory: Namespace) -> None:
        [first] = await memory.add(ANA)
        [second] = await memory.add(Note("  ana OWES Kovach three dollars "))
        both = await memory.add(BORIS, BORIS)
        assert second.id == first.id
        assert both[0].id == both[1].id
        assert len(await memory.facts()) == 2

    async def test_a_text_of_several_lines_is_one_line(self, memory: Namespace) -> None:
        await memory.add(Note("one\n## two\r\n- three\u2028four <!-- five -->"))
        assert texts(await memory.facts()) == ["one ## two - three four <!-- five -->"]

    async def test_nothing_is_not_a_fact(self, memory: Namespace) -> None:
        with pytest.raises(Refused):
            await memory.add(Note(" \n\t"))

    async def test_a_restart_forgets_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as memory:
            await memory.add(ANA, BORIS)
        async with self.opened(tmp_path) as memory:
            await memory.settled()
            assert (await memory.search("lighthouse lamp"))[0].text == BORIS.text

    async def test_many_who_add_at_once_lose_nothing(self, memory: Namespace, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as other:
            adding = (
                (memory if number % 2 else other).add(Note(f"The number {number} tram stopped")) for number in range(40)
            )
            await asyncio.gather(*adding)
            assert len({fact.id for fact in await memory.facts()}) == 40

    async def test_a_fact_belongs_to_the_session_in_which_it_was_said(self, memory: Namespace) -> None:
        await memory.begin_session(SEVEN, "12 Oct 1925")
        await memory.end_session(TEN, "13 Oct 1925")
        await memory.add(
            Note("The lamp went out.", "ana", said=SEVEN + 0.5),
            Note("The ferry sank.", "ana", said=TEN + 60),
            Note("The tram stopped.", "ana"),
            Note("The pilot fell.", "ana", session="0", said=SEVEN),
        )
        await memory.settled()
        facts = await memory.facts()
        assert [(fact.session, fact.date) for fact in facts] == [("1", "12 Oct 1925"), ("", ""), ("", ""), ("0", "")]
        assert (await memory.search("lamp"))[0].session == "1"

    async def test_sessions_go_on_from_those_that_facts_name(self, memory: Namespace) -> None:
        await memory.add(ANA, BORIS)
        assert (await memory.begin_session(SEVEN)).number == int(ANA.session) + 1

    # -- recalling

    async def test_recall_is_bounded(self, memory: Namespace) -> None:
        await memory.add(*(Note(f"The tram number {number} goes to the docks") for number in range(30)))
        await memory.settled()
        assert len(await memory.recall("tram docks", None)) == self.spec.top_k
        assert len(await memory.search("tram docks", None, 3)) == 3

    async def test_a_pinned_fact_is_recalled_whatever_is_asked(self, memory: Namespace) -> None:
        [fact] = await memory.add(ANA)
        assert texts(await memory.recall("zzz", None)) == []
        assert (await memory.pin(fact.id)).pinned
        assert texts(await memory.recall("zzz", None)) == [ANA.text]
        await memory.pin(fact.id, pinned=False)
        assert texts(await memory.recall("zzz", None)) == []

    async def test_the_game_masters_own_words_come_first(self, memory: Namespace, tmp_path: Path) -> None:
        await memory.add(ANA)
        own = tmp_path / "agents/campaigns/kovach/memory/MEMORY.md"
        own.write_text("# Kovach\n\nKovach never drinks;\nhe promised his wife.\n\n- He limps.\n", "utf-8")
        await memory.settled()
        recalled = await memory.recall("dollars", None)
        assert texts(recalled) == ["Kovach never drinks; he promised his wife.", "He limps.", ANA.text]
        assert [fact.curated for fact in recalled] == [True, True, False]

    async def test_what_was_said_in_private_is_recalled_there_alone(self, memory: Namespace) -> None:
        await memory.add(Note("The password is swordfish.", "ana", private="local/bot/dm:ana"), BORIS)
        await memory.settled()
        asked = "what is the password swordfish"
        assert texts(await memory.recall(asked, "local/bot/dm:ana"))[:1] == ["The password is swordfish."]
        assert texts(await memory.search(asked, "local/bot/dm:ana"))[:1] == ["The password is swordfish."]
        for elsewhere in ("local/bot/tavern", "local/bot/dm:boris", "local/bot/dm:an", "local/bot/dm:ana#1", ""):
            assert "swordfish" not in str(await memory.recall(asked, elsewhere))
            assert "swordfish" not in str(await memory.search(asked, elsewhere))

    async def test_the_same_words_said_aloud_are_no_longer_private(self, memory: Namespace) -> None:
        await memory.add(Note("The password is swordfish.", private="local/bot/dm:ana"))
        await memory.add(Note("The password is swordfish.", "boris, aloud"))
        await memory.settled()
        assert texts(await memory.recall("password swordfish", "local/bot/tavern")) == ["The password is swordfish."]

    @pytest.mark.parametrize(
        "query", ["", " ", '"', "a OR", "NEAR(", "*", "lex: x", "--help", "\x00", "' ; DROP", "-" * 999]
    )
    async def test_a_question_is_never_a_command(self, query: str, memory: Namespace) -> None:
        await memory.add(ANA)
        assert isinstance(await memory.recall(query, None), tuple)
        assert texts(await memory.facts()) == [ANA.text]

    # -- people at the files

    async def test_a_line_added_by_hand_is_found(self, memory: Namespace, tmp_path: Path) -> None:
        await memory.add(BORIS)
        assert await memory.search("harpoon") == ()
        day = next((tmp_path / "agents/campaigns/kovach/memory").glob("2*.md"))
        with day.open("a", encoding="utf-8") as file:
            file.write("- Old Marsh keeps a harpoon\n")

        async def found() -> bool:
            return texts(await memory.search("harpoon")) == ["Old Marsh keeps a harpoon"]

        await until(found)

    async def test_a_line_changed_or_taken_out_by_hand_is_changed_or_gone(
        self, memory: Namespace, tmp_path: Path
    ) -> None:
        [ana, _] = await memory.add(ANA, BORIS)
        await memory.settled()
        day = tmp_path / "agents/campaigns/kovach/memory" / ana.file
        day.write_text(day.read_text("utf-8").replace("three dollars", "nine guineas"), "utf-8")

        async def changed() -> bool:
            found = await memory.search("guineas")
            return [(fact.id, fact.text) for fact in found] == [(ana.id, "Ana owes Kovach nine guineas.")]

        await until(changed)
        assert await memory.search("three dollars") == () or "three" not in str(await memory.search("three dollars"))
        kept = [line for line in day.read_text("utf-8").splitlines() if "guineas" not in line]
        day.with_suffix(".tmp").write_text("\n".join(kept), "utf-8")
        day.with_suffix(".tmp").replace(day)

        async def gone() -> bool:
            return "guineas" not in str(await memory.search("guineas"))

        await until(gone)
        assert texts(await memory.facts()) == [BORIS.text]

    async def test_what_is_no_file_of_its_own_is_not_read(self, memory: Namespace, tmp_path: Path) -> None:
        async with self.opened(tmp_path, "john") as john:
            [secret] = await john.add(Note("canary of john"))
        folder = tmp_path / "agents/campaigns"
        (folder / "kovach/memory/2020-01-01.md").symlink_to(folder / "john/memory" / secret.file)
        os.mkfifo(folder / "kovach/memory/2020-01-02.md")
        (folder / "kovach/memory/2020-01-03.md").mkdir()
        await memory.settled()
        assert await memory.facts() == ()
        assert await memory.search("canary") == ()

    # -- forgetting and the archive

    async def test_a_forgotten_fact_is_gone_and_can_be_brought_back(self, memory: Namespace) -> None:
        ana, boris = await memory.add(ANA, BORIS)
        assert (await memory.forget(ana.id)).text == ANA.text
        assert await memory.facts() == (boris,)
        assert texts(await memory.search("dollars")) == []
        assert [(fact.id, fact.time) for fact in await memory.forgotten()] == [(ana.id, ana.time)]
        await memory.restore(ana.id)
        assert {fact.id: fact for fact in await memory.facts()}[ana.id] == ana
        assert await memory.forgotten() == ()
        await memory.settled()
        assert texts(await memory.search("dollars"))[:1] == [ANA.text]

    async def test_other_words_keep_the_fact(self, memory: Namespace) -> None:
        [ana] = await memory.add(ANA)
        amended = await memory.amend(ana.id, "Ana owes Kovach\nnothing.")
        assert (amended.id, amended.text, amended.source) == (ana.id, "Ana owes Kovach nothing.", ANA.source)
        assert await memory.facts() == (amended,)

    async def test_unknown_ids_are_refused(self, memory: Namespace) -> None:
        await memory.add(ANA)
        calls: tuple[Callable[[str], Awaitable[object]], ...] = (memory.forget, memory.restore, memory.pin)
        for call in calls:
            for ident in ("z9z9z9", "", "../x", "kovach-20200101T000000Z", "john-20200101T000000Z"):
                with pytest.raises(Refused):
                    await call(ident)
        with pytest.raises(Refused):
            await memory.amend("z9z9z9", "other words")
        assert texts(await memory.facts()) == [ANA.text]

    async def test_the_game_masters_file_is_never_written(self, memory: Namespace, tmp_path: Path) -> None:
        own = tmp_path / "agents/campaigns/kovach/memory/MEMORY.md"
        own.write_bytes(b"Kovach limps.\r\n")
        [fact] = await memory.facts()
        for work in (memory.forget(fact.id), memory.amend(fact.id, "no"), memory.pin(fact.id)):
            with pytest.raises(Refused, match=r"MEMORY\.md"):
                await work
        await memory.add(ANA)
        assert own.read_bytes() == b"Kovach limps.\r\n"

    async def test_an_archived_memory_leaves_a_blank_one_and_can_be_brought_back(
        self, memory: Namespace, tmp_path: Path
    ) -> None:
        before = await memory.add(ANA, BORIS)
        name = await memory.archive()
        assert (tmp_path / "archive/campaigns" / name / "memory").is_dir()
        assert name.startswith("kovach-")
        assert await memory.facts() == ()
        assert texts(await memory.search("dollars")) == []
        assert await memory.archives() == (name,)
        await memory.add(CHINESE)
        await memory.restore(name)
        assert await memory.facts() == before
        [other] = await memory.archives()
        await memory.restore(other)
        assert texts(await memory.facts()) == [CHINESE.text]
        await memory.settled()
        assert texts(await memory.search("左轮手枪")) == [CHINESE.text]

    # -- isolation

    async def test_nothing_crosses_to_another_namespace(self, memory: Namespace, tmp_path: Path) -> None:
        async with self.opened(tmp_path, "kovach-eod") as near, self.opened(tmp_path, "john") as john:
            await near.add(Note("canary of the near one"))
            [secret] = await john.add(Note("canary of john"))
            gone = await john.archive()
            await john.add(Note("second canary of john"))
            await memory.settled()
            assert await memory.search("canary") == ()
            assert await memory.recall("canary", None) == ()
            assert await memory.archives() == ()
            for what in (gone, secret.id):
                with pytest.raises(Refused):
                    await memory.restore(what)
            await john.settled()
            assert texts(await john.search("canary")) == ["second canary of john"]
