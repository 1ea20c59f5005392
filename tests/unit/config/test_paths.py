"""Schemas and examples are found in the package, else in the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.config import paths


def test_the_checkout_s_schemas_are_found() -> None:
    assert {path.name for path in paths.schema_dir().iterdir()} >= {"deployment.schema.json", "character.schema.json"}


def test_packaged_data_win_and_a_bare_package_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "homunculus"
    monkeypatch.setattr(paths, "_PACKAGE", package)
    with pytest.raises(FileNotFoundError, match="reinstall homunculus"):
        paths.example_dir("characters")
    beside, inside = tmp_path / "characters", package / "_data" / "characters"
    for folder in (beside, inside):
        folder.mkdir(parents=True)
    (beside / "a.yaml").touch()
    assert paths.example_dir("characters") == beside
    (inside / "a.yaml").touch()
    assert paths.example_dir("characters") == inside
