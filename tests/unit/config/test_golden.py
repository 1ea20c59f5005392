"""Every faulty deployment of tests/golden/config says exactly what is expected, exactly where its marker stands.

A file is an input, a line `----------`, and one message a line. `⟦` marks where each error belongs and `⟪` each warning, in
order; the marks are taken out before loading, and line and column are counted from them here. `========== name` begins a
further file. After `---------- warnings` stand warnings, of a file that is otherwise right.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from homunculus.errors import ConfigError, ConfigErrors
from tests.unit.config.world import loader, populate

GOLDEN = Path(__file__).parents[2] / "golden" / "config"
CASES = sorted(GOLDEN.glob("*.yaml"))
DEPLOYMENT = "campaign.yaml"


def split(text: str) -> tuple[dict[str, str], bool, list[str]]:
    """Return the marked input files, whether warnings are expected, and the expected messages."""
    match = re.search(r"^----------( warnings)?\n", text, re.MULTILINE)
    assert match, "a golden file needs a line of dashes"
    parts = re.split(r"^========== (.*)\n", text[: match.start()], flags=re.MULTILINE)
    files = {DEPLOYMENT: parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    return files, bool(match[1]), text[match.end() :].splitlines()


def marks(files: dict[str, str], sign: str) -> list[str]:
    """Count `file:line:column` of every mark, the deployment file first."""
    found = []
    for name in sorted(files, key=lambda name: (name != DEPLOYMENT, name)):
        for number, line in enumerate(files[name].split("\n"), 1):
            for match in re.finditer(sign, line):
                column = len(re.sub("[⟦⟧⟪⟫]", "", line[: match.start()])) + 1
                found.append(f"{name}:{number}:{column}")
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_says_what_is_wrong_and_where(case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, only_warnings, expected = split(case.read_text(encoding="utf-8").replace("{LONG}", "x" * 2400))
    places = marks(files, "⟪" if only_warnings else "⟦")
    assert len(places) == len(expected), "one mark for each message"
    populate(tmp_path, {name: re.sub("[⟦⟧⟪⟫]", "", text) for name, text in files.items()})
    monkeypatch.chdir(tmp_path)
    found: tuple[ConfigError, ...]
    if only_warnings:
        found = loader()(Path(DEPLOYMENT)).warnings
    else:
        with pytest.raises(ConfigErrors) as caught:
            loader()(Path(DEPLOYMENT))
        found = caught.value.errors
        assert str(caught.value) == "\n".join(map(str, found))
    wanted = [f"{place}: {message}" for place, message in zip(places, expected, strict=True)]
    assert [str(error) for error in found] == wanted


def test_there_are_enough_of_them() -> None:
    assert len([case for case in CASES if "---------- warnings" not in case.read_text(encoding="utf-8")]) >= 40
