"""One process that runs command lines one after the other, for tests of commands that need no process of their own.

Each gets its own stdout and stderr and the working directory it asks for, and goes through the same `run` as the script.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


class Commands:
    """Run `homunculus …` in the process that was given."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        words = [*map(str, arguments)]
        self._process.stdin.write(json.dumps([words, str(cwd)]) + "\n")
        self._process.stdin.flush()
        code, out, err = json.loads(self._process.stdout.readline())
        return subprocess.CompletedProcess(words, code, out, err)


@contextlib.contextmanager
def commands() -> Iterator[Commands]:
    """Start the process; end it by closing its input."""
    started = [sys.executable, "-m", __name__]
    with subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Commands(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=30) == 0


def _serve() -> None:
    from homunculus.cli import run

    for line in sys.stdin:
        words, folder = json.loads(line)
        os.chdir(folder)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
        print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)


if __name__ == "__main__":
    _serve()
