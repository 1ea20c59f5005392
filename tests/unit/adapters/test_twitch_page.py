"""The page about Twitch names the tests that prove it; they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "platforms" / "twitch.md"


def named() -> list[tuple[str, str]]:
    """Return (file, test) for each test the table names; `…` repeats the file, "" stands for all of it."""
    found, file = [], ""
    for one in re.findall(r"`((?:tests/|…)[^`]*)`", PAGE.read_text("utf-8").partition("## What proves it")[2]):
        path, _, test = one.partition("::")
        file = path if path != "…" else file
        found.append((file, test))
    return found


def test_every_proof_that_the_page_names_exists() -> None:
    proofs = named()
    assert len(proofs) > 40
    missing = [
        f"{file}::{test}"
        for file, test in proofs
        if not (ROOT / file).is_file() or (test and f"def {test}(" not in (ROOT / file).read_text("utf-8"))
    ]
    assert missing == []
