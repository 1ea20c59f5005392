"""Keeps the test run honest: minutes reserved for each suite, and a checked-in number of skips.

Both are judged at the end of a whole run (the command of the README), never when a few tests are picked.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

MINUTES = {
    "unit": 9.0,
    "contract": 1.5,
    "golden": 0.5,
    "e2e": 14.0,
}  # of a worker: 12.5 by the clock, 15 with all of .ci/run
SKIPS = Path(__file__).with_name("skips.txt")  # how many tests skip where every program is installed


class Budget:
    """Adds up what each suite took and how many tests skipped."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.skipped: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        suite = Path(report.nodeid.split("::")[0]).parts[1] if report.nodeid.startswith("tests/") else "elsewhere"
        self.seconds[suite] += report.duration  # type: ignore[assignment]  # Counter holds any number
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def faults(self) -> list[str]:
        """Say which suite took more than its minutes, and how many skips are unaccounted for under CI."""
        late = [
            f"suite {suite} took {self.seconds[suite] / 60:.1f} of its {minutes:g} minutes"
            for suite, minutes in MINUTES.items()
            if self.seconds[suite] > 60 * minutes
        ]
        allowed = int(SKIPS.read_text())
        if os.environ.get("CI") == "true" and len(self.skipped) != allowed:
            late.append(f"{len(self.skipped)} tests skipped, tests/skips.txt says {allowed}: {self.skipped}")
        return late

    @staticmethod
    def owns(config: pytest.Config) -> bool:
        """Tell whether this process hears of every test: workers hear of their own alone."""
        return whole_run(config) and not hasattr(config, "workerinput")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        spent = ", ".join(f"{suite} {seconds:.0f} s" for suite, seconds in sorted(self.seconds.items()))
        terminalreporter.write_line(f"time by suite: {spent}")
        if self.owns(config):
            for fault in self.faults():
                terminalreporter.write_line(f"FAULT: {fault}", red=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.OK and self.owns(session.config) and self.faults():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def whole_run(config: pytest.Config) -> bool:
    """Tell whether every test was asked for."""
    picked = config.option.keyword or config.option.markexpr or config.getoption("lf", default=False)
    return not picked and [Path(arg).name for arg in config.args] == ["tests"]
