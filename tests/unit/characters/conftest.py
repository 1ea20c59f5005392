"""A folder with characters, which is the working directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.world import populate


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    populate(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path
