"""A suite that outgrows its minutes, or a skip nobody accounted for, fails the whole run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.budget import MINUTES, Budget

ROOT = Path(__file__).parents[2]


def report(nodeid: str, seconds: float = 0.0, outcome: str = "passed") -> pytest.TestReport:
    return pytest.TestReport(nodeid, ("", 0, ""), {}, outcome, None, "call", duration=seconds)  # type: ignore[arg-type]


def test_all_suites_together_stay_below_a_ci_run() -> None:
    workers = int(re.search(r"-n (\d+)", (ROOT / ".ci" / "run").read_text())[1])  # type: ignore[index]
    assert sum(MINUTES.values()) / workers <= 12.5


def test_a_suite_over_its_minutes_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    budget = Budget()
    budget.pytest_runtest_logreport(report("tests/golden/test_x.py::test_a", 29))
    assert budget.faults() == []
    budget.pytest_runtest_logreport(report("tests/golden/test_x.py::test_b", 2))
    assert budget.faults() == ["suite golden took 0.5 of its 0.5 minutes"]


def test_an_unaccounted_skip_is_a_fault_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget()
    for number in range(40):
        budget.pytest_runtest_logreport(report(f"tests/unit/test_x.py::test_{number}", outcome="skipped"))
    monkeypatch.setenv("CI", "true")
    assert len(budget.faults()) == 1
    monkeypatch.setenv("CI", "false")
    assert budget.faults() == []
