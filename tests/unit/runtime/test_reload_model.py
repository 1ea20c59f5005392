"""What runs is the last settled valid text, whatever is done to the files and however."""

from __future__ import annotations

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


@pytest.mark.timeout(600 if LONG else 240)
@pytest.mark.parametrize("language", [drive.LINES, drive.YAML], ids=["lines", "yaml"])
@pytest.mark.parametrize("part", range(25 if LONG else 1))
async def test_what_runs_is_the_last_settled_valid_text_after_any_edits(
    tmp_path: Path, part: int, language: drive.Language
) -> None:
    report = await drive.model(tmp_path / "world", 2000 if LONG else 1000, seed=20 + part, language=language)
    print(report)
    assert not report.torn, report
    assert not report.missed, report
    assert report.applied > report.edits / 20, "the generator writes too little that is valid to prove anything"


@pytest.mark.timeout(1200 if LONG else 240)
async def test_of_mixed_saves_none_is_applied_torn_and_none_is_missed(tmp_path: Path) -> None:
    report = await drive.saves(tmp_path / "world", 3000 if LONG else 300, seed=7)
    print(report)
    assert not report.torn, report
    assert not report.missed, report
