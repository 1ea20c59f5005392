"""What has to do with a question comes first, what has not is left out, and weak voices only decide between equals."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from homunculus.memory import ranking, sqlite
from homunculus.model import MemorySpec, Note

LIKENESS = st.dictionaries(st.integers(), st.floats(-1, 1), max_size=8).map(
    lambda found: dict(sorted(found.items(), key=lambda pair: -pair[1]))
)


@given(LIKENESS)
def test_what_is_meant_is_the_beginning_of_the_order_or_nothing(likeness: dict[int, float]) -> None:
    meant = ranking.meant(likeness)
    assert list(meant) == list(likeness)[: len(meant)]
    best = max(likeness.values(), default=0.0)
    assert bool(meant) == (best >= ranking.GATE)
    assert all(value >= ranking.LEAST and value >= ranking.SHARE * best for value in meant.values())


def test_a_question_that_nothing_is_like_means_nothing() -> None:
    assert ranking.meant({1: 0.13, 2: 0.12}) == {}
    assert ranking.meant({1: 0.5, 2: 0.26, 3: 0.24}) == {1: 0.5, 2: 0.26}
    assert ranking.meant({1: 0.15, 2: 0.11, 3: 0.09}) == {1: 0.15, 2: 0.11}


async def test_a_name_in_the_question_decides_between_facts_of_one_meaning(tmp_path: Path) -> None:
    names = ("Aldous", "Bertram", "Crispin", "Dagobert", "Eleazar", "Fulbert")
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot", MemorySpec())
    await memory.open()
    try:
        await memory.add(*(Note(f"{name} keeps the money of the guild in a chest.") for name in names))
        await memory.settled()
        first = [(await memory.search(f"Where does {name} hide his gold?"))[0].text.split()[0] for name in names]
        assert first == list(names)
    finally:
        await memory.aclose()


async def test_the_later_of_two_that_say_the_same_comes_first(tmp_path: Path) -> None:
    memory = sqlite.build(tmp_path / "agents/bot/kovach", tmp_path / "archive/bot", MemorySpec())
    await memory.open()
    try:
        await memory.add(
            Note("The ferry leaves at noon.", session="3", date="12 Oct 1925"),
            Note("The ferry leaves at noon.", session="9", date="12 Nov 1925", private="a direct message"),
        )
        await memory.settled()
        await memory.add(Note("The ferry leaves at noon.", session="2", date="1 Oct 1925", private="another"))
        [fact] = await memory.search("When does the ferry leave?")
        assert fact.session == "9"
    finally:
        await memory.aclose()
