"""Lock and state are found however broken the deployment file is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from homunculus.config.identity import Identity, identify


@pytest.mark.parametrize(
    ("text", "name", "home"),
    [
        ("version: 1\n", "camp", "~/.homunculus"),
        ("bot_name: keep\ndata_home: data\n", "keep", "data"),
        ("{bot_name: keep, data_home: ../data}\n", "keep", "../data"),
        ('bot_name: "keep"  # mine\ndata_home: data\nbroken: [', "keep", "data"),
        ("bot_name: Not A Name\n", "camp", "~/.homunculus"),
        ("bot_name: 7\n", "7", "~/.homunculus"),
        ("bot_name: true\n", "camp", "~/.homunculus"),
        ("data_home: ~nosuchuser/x\n", "camp", "~/.homunculus"),
        ('data_home: "a\\0b"\n', "camp", "~/.homunculus"),
        ("- a list\n", "camp", "~/.homunculus"),
    ],
)
def test_what_is_written_counts_and_the_rest_has_its_default(tmp_path: Path, text: str, name: str, home: str) -> None:
    file = tmp_path / "camp.yaml"
    file.write_text(text)
    expected = Path(os.path.normpath(tmp_path / Path(home).expanduser()))
    assert identify(file) == Identity(name, expected)


def test_a_missing_file_is_named_after_its_path(tmp_path: Path) -> None:
    assert identify(tmp_path / "My Camp!.yaml").bot_name == "my-camp"


@pytest.mark.timeout(10)
def test_a_pipe_or_a_device_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert identify(tmp_path / "pipe.yaml").bot_name == "pipe"
    assert identify(Path("/dev/zero")).bot_name == "zero"
