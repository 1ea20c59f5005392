"""The bench stays runnable: its smallest row is measured, and says what it measured on."""

from __future__ import annotations

import json

import pytest

from tests.bench.__main__ import ROWS, arguments, main
from tests.bench.report import Figure, quantile


def test_the_bench_measures_a_row_and_says_what_it_measured_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--quick", "--only", "routes", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"machine", "commit", "synchronous", "note"} <= told["about"].keys()
    assert [figure["row"] for figure in told["figures"]] == ["routes", "routes"]
    first, again = (figure["value"] for figure in told["figures"])
    assert 0 < again < first


def test_every_row_of_the_help_can_be_asked_for() -> None:
    assert arguments([part for row in ROWS for part in ("--only", row)]).only == list(ROWS)


@pytest.mark.parametrize(
    ("value", "target", "more", "met"),
    [(5.0, 5.0, False, True), (5.1, 5.0, False, False), (700.0, 700.0, True, True), (699.0, 700.0, True, False)],
)
def test_a_figure_knows_whether_it_meets_its_target(value: float, target: float, more: bool, met: bool) -> None:
    figure = Figure("row", "what", value, "ms", target, more_is_better=more)
    assert figure.met is met
    assert ("MISSED" in figure.shown()) is not met


def test_a_quantile_is_one_of_the_samples() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile(range(100), 0.95) == 95
