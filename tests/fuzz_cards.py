"""Fuzzes the card readers with coverage: `python -m tests.fuzz_cards [SECONDS]`, 60 unless named. Needs atheris.

Beside the ten thousand mutants of the tests this finds its own way in. Without atheris it says how to get it and ends.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.unit.characters.mutants import SEEDS

INSTALL = "atheris is not installed; pip install atheris (it has wheels for some platforms and Python versions only)"
_SECONDS_EACH = 2


def main(seconds: int) -> int:
    """Fuzz until the time is over or something crashes; return the exit code."""
    try:
        import atheris
    except ImportError:
        print(INSTALL)
        return 0
    with atheris.instrument_imports():
        from tests.unit.characters.test_hostile import read_or_refuse

    def one(content: bytes) -> None:
        began = time.process_time()
        for file in ("a.json", "a.charx"):
            read_or_refuse(content, file)
        assert time.process_time() - began < 2 * _SECONDS_EACH, "a card that takes too long"

    with tempfile.TemporaryDirectory() as folder:
        for number, (_, content) in enumerate(SEEDS):
            (Path(folder) / str(number)).write_bytes(content)
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=65536", folder], one)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 60))
