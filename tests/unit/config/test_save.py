"""A deployment file is replaced whole or not at all, and keeps what is not its text."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from homunculus.config.save import replace
from homunculus.errors import NotReady, Refused


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "camp.yaml"
    path.write_bytes(b"version: 1\n")
    path.chmod(0o640)
    return path


def test_the_text_is_replaced_and_the_mode_stays(file: Path) -> None:
    replace(file, b"version: 1\n", b"version: 1 # new\n")
    assert file.read_bytes() == b"version: 1 # new\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(file.parent.iterdir()) == [file]


def test_the_link_that_leads_to_a_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to("camp.yaml")
    replace(link, b"version: 1\n", b"new\n")
    assert link.is_symlink()
    assert file.read_bytes() == b"new\n"


def test_what_somebody_else_wrote_meanwhile_is_never_overwritten(file: Path) -> None:
    with pytest.raises(NotReady, match="changed at the same moment"):
        replace(file, b"version: 2\n", b"new\n")
    assert file.read_bytes() == b"version: 1\n"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_cannot_be_replaced_stays_and_the_remedy_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: Path) -> Path:
        raise OSError(16, "Device or resource busy", str(self))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(Refused, match="mount its folder instead of the file alone"):
        replace(file, b"version: 1\n", b"new\n")
    monkeypatch.undo()
    assert file.read_bytes() == b"version: 1\n"
    assert list(file.parent.iterdir()) == [file]


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be written"):
        replace(tmp_path / "none.yaml", b"", b"new\n")
