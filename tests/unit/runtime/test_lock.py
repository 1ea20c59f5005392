"""One process a bot, and how the others find it."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from homunculus.errors import InUse, Refused
from homunculus.runtime.lock import ProcessLock, RunFile, RunInfo, api_token, running, state_path

HOLDER = """
import os, sys
from pathlib import Path
from homunculus.runtime.lock import ProcessLock, RunFile
home = Path(sys.argv[1])
with ProcessLock(home, "keeper"):
    RunFile(home, "keeper").write(pid=os.getpid(), address="http://127.0.0.1:8420", file=Path("/srv/campaigns.yaml"))
    print("held", flush=True)
    sys.stdin.read()
    RunFile(home, "keeper").remove()
"""


@contextmanager
def another_process(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Run another server of the bot until the context ends, or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_second_process_is_told_who_holds_the_bot_and_since_when(tmp_path: Path) -> None:
    with another_process(tmp_path) as first:
        with pytest.raises(InUse) as caught, ProcessLock(tmp_path, "keeper"):
            pytest.fail("two processes hold one bot")
        written = json.loads(state_path(tmp_path, "keeper", ".lock").read_text())
        assert written["pid"] == first.pid
        assert f"process {first.pid}, running since 20" in caught.value.owner
        assert caught.value.owner.endswith("Z")
        assert "keeper.lock" in caught.value.what
        with ProcessLock(tmp_path, "other-bot"):  # another bot of the same home is free
            pass
    with ProcessLock(tmp_path, "keeper"):
        pass


def test_a_killed_holder_leaves_the_bot_free_and_its_run_file_without_meaning(tmp_path: Path) -> None:
    with another_process(tmp_path) as first:
        expected = RunInfo("keeper", first.pid, "http://127.0.0.1:8420", Path("/srv/campaigns.yaml"))
        assert RunFile(tmp_path, "keeper").read() == expected
        assert running(tmp_path) == (expected,)
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert state_path(tmp_path, "keeper", ".run.json").exists()
    assert RunFile(tmp_path, "keeper").read() is None
    assert running(tmp_path) == ()
    with ProcessLock(tmp_path, "keeper"):
        assert RunFile(tmp_path, "keeper").read() is None  # the file is still that of the dead process


def test_the_lock_is_exclusive_inside_one_process_too(tmp_path: Path) -> None:
    with ProcessLock(tmp_path, "keeper"), pytest.raises(InUse, match=str(os.getpid())), ProcessLock(tmp_path, "keeper"):
        pytest.fail("held twice")


def test_whoever_only_looks_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    with ProcessLock(tmp_path, "keeper"):
        pass
    looking = os.open(state_path(tmp_path, "keeper", ".lock"), os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    gone = threading.Timer(0.05, os.close, [looking])
    gone.start()
    with ProcessLock(tmp_path, "keeper"):
        gone.join()


def test_a_lock_that_nobody_signs_is_in_use_all_the_same(tmp_path: Path) -> None:
    with ProcessLock(tmp_path, "keeper"):
        pass
    silent = os.open(state_path(tmp_path, "keeper", ".lock"), os.O_RDWR)
    fcntl.flock(silent, fcntl.LOCK_EX)
    with pytest.raises(InUse, match="another process"), ProcessLock(tmp_path, "keeper"):
        pytest.fail("held twice")
    os.close(silent)


def test_an_error_inside_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(LookupError), ProcessLock(tmp_path, "keeper"):
        raise LookupError
    with ProcessLock(tmp_path, "keeper"):
        pass


def test_the_run_file_is_written_whole_and_removed_safely_twice(tmp_path: Path) -> None:
    run = RunFile(tmp_path, "keeper")
    with ProcessLock(tmp_path, "keeper"):
        run.write(pid=os.getpid(), address="", file=Path("a.yaml"))
        run.write(pid=os.getpid(), address="http://127.0.0.1:9", file=Path("b.yaml"))
        assert run.read() == RunInfo("keeper", os.getpid(), "http://127.0.0.1:9", Path("b.yaml"))
        run.remove()
        run.remove()
        assert run.read() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', '{"pid": null, "address": "", "file": ""}'])
def test_a_damaged_run_file_means_no_server(tmp_path: Path, text: str) -> None:
    with ProcessLock(tmp_path, "keeper"):
        state_path(tmp_path, "keeper", ".run.json").write_text(text)
        assert RunFile(tmp_path, "keeper").read() is None
        assert running(tmp_path) == ()


def test_everything_is_the_owners_alone_and_no_draft_stays(tmp_path: Path) -> None:
    with ProcessLock(tmp_path, "keeper"):
        RunFile(tmp_path, "keeper").write(pid=os.getpid(), address="", file=Path("a.yaml"))
        api_token(tmp_path, "keeper")
        found = {path.name: mode(path) for path in (tmp_path / "state").iterdir()}
    assert found == {"keeper.lock": 0o600, "keeper.run.json": 0o600, "keeper.token": 0o600}
    assert mode(tmp_path / "state") == 0o700


def test_the_token_is_made_once_and_is_another_for_another_bot(tmp_path: Path) -> None:
    token = api_token(tmp_path, "keeper")
    assert len(token) >= 40
    assert api_token(tmp_path, "keeper") == token
    assert api_token(tmp_path, "other-bot") != token


def test_two_processes_that_make_the_token_at_once_agree(tmp_path: Path) -> None:
    made: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        made.append(api_token(tmp_path, "keeper"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1


def test_an_emptied_token_file_is_filled_again_and_an_open_one_closed(tmp_path: Path) -> None:
    token = api_token(tmp_path, "keeper")
    path = state_path(tmp_path, "keeper", ".token")
    path.chmod(0o644)
    assert api_token(tmp_path, "keeper") == token
    assert mode(path) == 0o600
    path.write_text("\n")
    assert api_token(tmp_path, "keeper") not in ("", token)


def test_a_name_that_is_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        state_path(tmp_path, "../elsewhere")
