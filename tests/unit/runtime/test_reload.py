"""One way from a save to a running deployment, and what stays true when it cannot be walked."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from homunculus.errors import ConfigError, ConfigErrors, NotReady, Refused, Where
from homunculus.model import AgentSpec, Character, Deployment
from homunculus.plan import Change, Plan, plan
from homunculus.runtime.settle import Pace
from tests.unit.runtime.reload_model import dialect
from tests.unit.runtime.reload_model.dialect import Loaded, sha256
from tests.unit.runtime.reload_model.rig import Rig, running

ONE = "bot tests\nagent a0001\n"
TWO = "bot tests\nagent a0001\nagent a0002\n"
FAULTY = "bot tests\nagnet a0001\nagent a0002\nagent a0002\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "characters").mkdir()
    path = tmp_path / "deployment.txt"
    path.write_text(ONE)
    return path


def runs(rig: Rig, text: str) -> Callable[[], bool]:
    return lambda: rig.running is not None and rig.running[0] == text and rig.reloader.running_equals_file


def told(rig: Rig, words: str) -> bool:
    return any(words in str(error) for error in rig.reloader.errors)


# --- starting --------------------------------------------------------------------------------------------------------


async def test_a_start_is_a_reload_from_nothing(file: Path) -> None:
    rig = Rig(file)
    outcome = await rig.reloader.start()
    assert (outcome.result, outcome.generation, outcome.digest) == ("applied", 1, sha256(ONE))
    assert [change.name for change in outcome.plan.of("agent", "add")] == ["a0001"]
    assert rig.running == (ONE, (), "")
    assert rig.reloader.running_equals_file
    assert [event.result for event in rig.events] == ["applied"]
    await rig.reloader.aclose()


async def test_a_restart_on_the_same_text_makes_no_new_generation(file: Path) -> None:
    rig = Rig(file, texts=[TWO, ONE])
    assert (await rig.reloader.start()).generation == 2
    assert rig.texts == [TWO, ONE]
    await rig.reloader.aclose()


async def test_a_start_with_an_invalid_file_runs_the_text_that_ran_last_and_tells_every_error(file: Path) -> None:
    file.write_text(FAULTY)
    rig = Rig(file, texts=[TWO])
    outcome = await rig.reloader.start()
    assert rig.running == (TWO, (), "")
    assert outcome.result == "refused"
    assert [error.where.line for error in rig.reloader.errors] == [2, 4]
    assert not rig.reloader.running_equals_file
    assert len(rig.events[-1].errors) == 2
    await rig.reloader.aclose()


async def test_a_start_on_the_last_text_goes_over_to_the_file_once_it_is_valid(file: Path) -> None:
    file.write_text(FAULTY)
    async with running(Rig(file, texts=[TWO])) as rig:
        file.write_text(ONE)
        assert await rig.until(runs(rig, ONE))
        assert rig.events[-1].result == "applied"


async def test_restoring_the_text_that_runs_applies_nothing_and_says_so(file: Path) -> None:
    async with running(Rig(file)) as rig:
        file.write_text(FAULTY)
        assert await rig.until(lambda: bool(rig.reloader.errors))
        file.write_text(ONE)
        assert await rig.until(lambda: rig.reloader.running_equals_file)
        assert [event.result for event in rig.events] == ["applied", "refused", "unchanged"]
        assert len(rig.applied) == 1


@pytest.mark.parametrize(("texts", "strict"), [([], False), ([TWO], True), ([FAULTY], False)])
async def test_a_start_without_anything_valid_raises_every_error(file: Path, texts: list[str], strict: bool) -> None:
    file.write_text(FAULTY)
    rig = Rig(file, texts=texts)
    with pytest.raises(ConfigErrors) as caught:
        await rig.reloader.start(strict)
    assert [error.where.line for error in caught.value.errors] == [2, 4]
    assert not rig.applied
    await rig.reloader.aclose()


async def test_a_start_without_a_file_says_so(file: Path) -> None:
    file.unlink()
    rig = Rig(file)
    with pytest.raises(ConfigErrors, match="does not exist"):
        await rig.reloader.start()
    await rig.reloader.aclose()


# --- saving ----------------------------------------------------------------------------------------------------------


async def test_a_broken_save_leaves_what_runs_and_tells_every_error_with_its_place(file: Path) -> None:
    async with running(Rig(file)) as rig:
        file.write_text(FAULTY)
        assert await rig.until(lambda: len(rig.events) == 2)
        assert rig.running == (ONE, (), "")
        assert not rig.reloader.running_equals_file
        assert rig.events[-1].errors == (
            f"{file}:2:1: cannot understand 'agnet a0001'",
            f"{file}:4:1: cannot understand 'agent a0002'",
        )


async def test_the_same_broken_text_is_told_once_and_another_one_again(file: Path) -> None:
    async with running(Rig(file)) as rig:
        file.write_text(FAULTY)
        assert await rig.until(lambda: len(rig.events) == 2)
        file.touch()
        await asyncio.sleep(0.3)
        assert len(rig.events) == 2
        file.write_text(FAULTY + "# still broken\n")
        assert await rig.until(lambda: len(rig.events) == 3)


async def test_a_missing_card_that_appears_heals_the_deployment_by_itself(file: Path) -> None:
    async with running(Rig(file)) as rig:
        file.write_text(ONE + "card a0001 kovach\n")
        assert await rig.until(lambda: bool(rig.reloader.errors))
        (file.parent / "characters" / "kovach.card").write_text("name Kovach\n")
        assert await rig.until(lambda: rig.reloader.running_equals_file)
        assert rig.running == (ONE + "card a0001 kovach\n", (("a0001", "Kovach"),), "")


async def test_a_folder_of_cards_that_did_not_exist_heals_it_too(file: Path) -> None:
    (file.parent / "characters").rmdir()
    async with running(Rig(file)) as rig:
        file.write_text(ONE + "card a0001 kovach\n")
        assert await rig.until(lambda: bool(rig.reloader.errors))
        (file.parent / "characters").mkdir()
        (file.parent / "characters" / "kovach.card").write_text("name Kovach\n")
        assert await rig.until(lambda: rig.reloader.running_equals_file)


async def test_an_edited_card_and_a_token_that_appears_are_reloads(file: Path) -> None:
    card = file.parent / "characters" / "kovach.card"
    card.write_text("name Kovach\n")
    file.write_text(ONE + "card a0001 kovach\nkey\n")
    async with running(Rig(file)) as rig:
        card.write_text("name Kovach the Elder\n")
        assert await rig.until(lambda: rig.running is not None and "Elder" in str(rig.running[1]))
        (file.parent / ".env").write_text("KEY=secret\n")
        assert await rig.until(lambda: rig.running is not None and rig.running[2] == "secret")
        assert rig.texts == [file.read_text()], "the text did not change, so there is no new generation"


async def test_a_comment_plans_nothing_and_is_kept_as_a_generation(file: Path) -> None:
    async with running(Rig(file)) as rig:
        file.write_text(ONE + "# a note\n")
        assert await rig.until(lambda: len(rig.events) == 2)
        outcome = rig.reloader.outcome
        assert (outcome.result, outcome.plan, outcome.generation) == ("applied", Plan(), 2)
        assert rig.texts == [ONE, ONE + "# a note\n"]


async def test_what_cannot_change_live_is_refused_with_its_line(file: Path) -> None:
    def plan_of(applied: Deployment, wanted: Deployment) -> Plan:
        process = "bot other" in wanted.text
        return Plan((Change("settings", "change", "bot_name", "process", "tests → other"),) if process else ())

    def load(path: Path, read: Callable[[Path], bytes]) -> Loaded:
        return Loaded(Deployment("tests", Path("data"), file=path, text=read(path).decode()))

    file.write_text("# x\nbot_name: tests\n")
    async with running(Rig(file, load=load, plan_of=plan_of, seen=lambda found: (found.text, (), ""))) as rig:
        file.write_text("# x\nbot_name: bot other\n")
        assert await rig.until(lambda: bool(rig.reloader.errors))
        assert str(rig.reloader.errors[0]) == (
            f"{file}:2:1: bot_name: cannot change while the program runs (tests → other); undo it, or restart the program"
        )
        assert len(rig.applied) == 1


async def test_what_fails_to_apply_is_refused_and_the_next_save_passes(file: Path) -> None:
    async with running(Rig(file)) as rig:
        for failure, words in ((Refused("no room for memory"), "no room for memory"), (KeyError("x"), "KeyError")):
            rig.refuse = failure
            file.write_text(f"{TWO}# {words}\n")
            assert await rig.until(partial(told, rig, words))
            assert rig.running == (ONE, (), "")
        rig.refuse = None
        file.write_text(TWO)
        assert await rig.until(runs(rig, TWO))


async def test_an_apply_that_failed_in_passing_is_tried_again_without_a_save_and_told_once(file: Path) -> None:
    async with running(Rig(file, retry=0.05)) as rig:
        rig.refuse = NotReady("the disk is full")
        file.write_text(TWO)
        assert await rig.until(partial(told, rig, "the disk is full"))
        await asyncio.sleep(0.3)  # several tries
        assert [event.result for event in rig.events] == ["applied", "refused"]
        rig.refuse = None
        assert await rig.until(runs(rig, TWO))


async def test_a_loader_that_crashes_on_a_text_does_not_end_the_reload(file: Path) -> None:
    def load(path: Path, read: Callable[[Path], bytes]) -> Loaded:
        if b"crash" in read(path):
            raise RecursionError("deep")
        return dialect.load(path, read)

    async with running(Rig(file, load=load)) as rig:
        file.write_text(ONE + "# crash\n")
        assert await rig.until(lambda: bool(rig.reloader.errors))
        assert "cannot be loaded: RecursionError" in str(rig.reloader.errors[0])
        file.write_text(TWO)
        assert await rig.until(runs(rig, TWO))


async def test_a_store_that_cannot_keep_a_generation_does_not_undo_what_is_live(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(file)

    async def full(text: str, digest: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rig.reloader, "_add_generation", full)
    assert (await rig.reloader.start()).result == "applied"
    assert rig.reloader.running_equals_file
    await rig.reloader.aclose()


async def test_a_burst_of_saves_ends_in_the_last_one_with_few_applied(file: Path) -> None:
    async with running(Rig(file)) as rig:
        for number in range(60):
            file.with_name("tmp").write_text(f"{ONE}# {number}\n")
            file.with_name("tmp").replace(file)
            await asyncio.sleep(0.001)
        assert await rig.until(runs(rig, f"{ONE}# 59\n"))
        assert len(rig.applied) < 20


async def test_a_save_held_open_past_the_patience_is_told_and_goes_live_when_closed(file: Path) -> None:
    async with running(Rig(file, pace=Pace(patience=0.1))) as rig:
        with file.open("w") as held:
            held.write(TWO)
            held.flush()
            assert await rig.until(lambda: "still being written" in str(rig.reloader.errors))
            assert rig.running == (ONE, (), "")
        assert await rig.until(runs(rig, TWO))
        assert [event.result for event in rig.events] == ["applied", "refused", "applied"]


async def test_nothing_is_loaded_twice_for_one_save(file: Path) -> None:
    loads: list[str] = []

    def load(path: Path, read: Callable[[Path], bytes]) -> Loaded:
        loads.append(read(path).decode())
        return dialect.load(path, read)

    async with running(Rig(file, load=load)) as rig:
        await asyncio.sleep(0.3)  # the look when the watcher is up
        loads.clear()
        file.with_name("tmp").write_text(TWO)
        file.with_name("tmp").replace(file)
        assert await rig.until(runs(rig, TWO))
        await asyncio.sleep(0.3)
        assert loads == [TWO]


async def test_loading_and_planning_never_happen_on_the_event_loop(file: Path) -> None:
    where: set[str] = set()

    def load(path: Path, read: Callable[[Path], bytes]) -> Loaded:
        where.add(threading.current_thread().name)
        return dialect.load(path, read)

    def plan_of(applied: Deployment, wanted: Deployment) -> Plan:
        where.add(threading.current_thread().name)
        return plan(applied, wanted)

    async with running(Rig(file, load=load, plan_of=plan_of)) as rig:
        file.write_text(TWO)
        assert await rig.until(runs(rig, TWO))
    assert where
    assert threading.current_thread().name not in where


# --- asking ----------------------------------------------------------------------------------------------------------


async def test_a_request_works_without_a_watcher(file: Path) -> None:
    rig = Rig(file)
    await rig.reloader.start()
    assert (await rig.reloader.request()).result == "unchanged"
    file.write_text(TWO)
    outcome = await rig.reloader.request()
    assert (outcome.result, outcome.digest) == ("applied", sha256(TWO))
    assert [event.result for event in rig.events] == ["applied", "unchanged", "applied"]
    await rig.reloader.aclose()


async def test_concurrent_requests_share_one_look(file: Path) -> None:
    rig = Rig(file)
    await rig.reloader.start()
    file.write_text(TWO)
    outcomes = await asyncio.gather(*(rig.reloader.request() for _ in range(20)))
    assert {outcome.result for outcome in outcomes} == {"applied"}
    assert len(rig.events) == 2
    await rig.reloader.aclose()


async def test_a_request_made_during_a_look_sees_what_was_written_before_it(file: Path) -> None:
    rig = Rig(file)
    await rig.reloader.start()
    first = asyncio.create_task(rig.reloader.request())
    await asyncio.sleep(0.005)
    file.write_text(TWO)
    assert (await rig.reloader.request()).digest == sha256(TWO)
    await first
    assert rig.running == (TWO, (), "")
    await rig.reloader.aclose()


async def test_a_request_gets_the_outcome_of_its_text_even_if_the_watcher_was_quicker(file: Path) -> None:
    async with running(Rig(file)) as rig:
        file.write_text(TWO)
        assert await rig.until(runs(rig, TWO))
        outcome = await rig.reloader.request(hashlib.sha256(TWO.encode()).hexdigest())
        assert outcome.result == "applied"
        assert [change.name for change in outcome.plan.changes] == ["a0002"]
        assert (await rig.reloader.request()).result == "unchanged"


async def test_cancelling_a_caller_does_not_end_the_look(file: Path) -> None:
    rig = Rig(file)
    await rig.reloader.start()
    file.write_text(TWO)
    caller = asyncio.create_task(rig.reloader.request())
    await asyncio.sleep(0)
    caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller
    assert await rig.until(runs(rig, TWO))
    await rig.reloader.aclose()


async def test_closing_ends_everything_and_a_switch_that_began_is_finished(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = Rig(file)
    await rig.reloader.start()
    began, may = asyncio.Event(), asyncio.Event()

    async def slow(deployment: Deployment) -> None:
        began.set()
        await may.wait()
        await rig._apply(deployment)

    monkeypatch.setattr(rig.reloader, "_apply", slow)
    file.write_text(TWO)
    asking = asyncio.create_task(rig.reloader.request())
    await began.wait()
    closing = asyncio.create_task(rig.reloader.aclose())
    await asyncio.sleep(0.01)
    may.set()
    await closing
    await rig.reloader.aclose()
    assert rig.running == (TWO, (), "")
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert "reload" not in {thread.name.rstrip("_0123456789") for thread in threading.enumerate()}


async def test_warnings_are_known_and_told(file: Path) -> None:
    def load(path: Path, read: Callable[[Path], bytes]) -> Loaded:
        warning = ConfigError(Where(str(path), 2, 1), "nothing routes to a0001")
        agent = AgentSpec("a0001", Character("c", "C"), "a0001")
        return Loaded(Deployment("tests", Path("data"), agents=(agent,), text=read(path).decode()), (warning,))

    rig = Rig(file, load=load, seen=lambda found: (found.text, (), ""))
    await rig.reloader.start()
    assert [str(warning) for warning in rig.reloader.warnings] == [f"{file}:2:1: nothing routes to a0001"]
    assert rig.events[-1].warnings == (f"{file}:2:1: nothing routes to a0001",)
    await rig.reloader.aclose()
