"""What a measurement says and how it is shown. Owns the wording of figures and of the machine; measures nothing."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell of the table. `target` is the most it may be, or the least when `more_is_better`; None where none is set."""

    row: str
    what: str
    value: float
    unit: str
    target: float | None = None
    more_is_better: bool = False
    how: str = ""

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.more_is_better else self.value <= self.target

    def shown(self) -> str:
        mark = {True: "ok", False: "MISSED", None: ""}[self.met]
        limit = "" if self.target is None else f"{'≥' if self.more_is_better else '≤'} {self.target:g}"
        return f"{self.what:<58} {number(self.value):>10} {self.unit:<10} {limit:<9} {mark:<7} {self.how}".rstrip()

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def number(value: float) -> str:
    """Show three telling digits."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def quantile(samples: Iterable[float], share: float) -> float:
    """Return the sample below which `share` of all lie (the nearest rank); not a number without samples."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def median(samples: Iterable[float]) -> float:
    found = list(samples)
    return statistics.median(found) if found else float("nan")


def spread(samples: Sequence[float]) -> str:
    """Show the extremes of several rounds."""
    return f"{number(min(samples))} to {number(max(samples))}" if samples else "none"


def machine(folder: Path) -> dict[str, str]:
    """Describe what was measured on; `folder` is where the databases lie."""
    return {
        "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory():.1f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "libraries": ", ".join(f"{name} {version(name)}" for name in ("discord.py", "aiohttp", "apsw")),
        "load when it began": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "synchronous": "FULL (each commit is on the disk before anything depends on it)",
        "disk sync, p50": f"{sync_seconds(folder) * 1000:.2f} ms",
        "commit": _commit(),
    }


def sync_seconds(folder: Path, times: int = 50) -> float:
    """Return the median time of writing 4 KiB and waiting for the disk, in seconds."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        found = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip() + (" with local changes" if dirty.stdout.strip() else "")


def say(text: str) -> None:
    """Tell how far it is, where it does not disturb the table."""
    print(text, file=sys.stderr, flush=True)
