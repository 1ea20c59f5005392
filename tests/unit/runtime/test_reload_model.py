"""What runs is the last settled valid text, whatever is done to the files and however."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from tests.unit.runtime.reload_model import drive

LONG = os.environ.get("HOMUNCULUS_SOAK") == "1"


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of reloads fill a log with nothing new."""
    logger.disable("homunculus.runtime")
    yield
    logger.enable("homunculus.runtime")


@pytest.mark.timeout(7200 if LONG else 240)
@pytest.mark.parametrize("language", [drive.LINES, drive.YAML], ids=["lines", "yaml"])
async def test_what_runs_is_the_last_settled_valid_text_after_any_edits(
    tmp_path: Path, language: drive.Language
) -> None:
    """Four worlds at once: most of the time is spent waiting, and each is the others' bad weather."""
    for turn in range(25 if LONG else 1):
        seeds = range(100 + 4 * turn, 104 + 4 * turn)
        edits = 500 if LONG else 250
        worlds = (drive.model(tmp_path / str(seed), edits, seed, language=language) for seed in seeds)
        for report in await asyncio.gather(*worlds):
            print(report)
            assert not report.torn, report
            assert not report.missed, report
            assert report.applied > report.edits / 20, "the generator writes too little that is valid to prove anything"


@pytest.mark.timeout(1200 if LONG else 240)
async def test_of_mixed_saves_none_is_applied_torn_and_none_is_missed(tmp_path: Path) -> None:
    count = 750 if LONG else 150
    for report in await asyncio.gather(*(drive.saves(tmp_path / str(seed), count, seed) for seed in range(4))):
        print(report)
        assert not report.torn, report
        assert not report.missed, report
