"""What every test gets: a failure when it leaks a task, and `needs` for programs that come from elsewhere."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, settings

from tests.budget import Budget

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")

INSTALL = {
    "chromium": "apt-get install chromium",
    "node": "npm install -g node@22",
    "qmd": "npm install --prefix .node @tobilu/qmd@2.8 node@22, then put .node/node_modules/.bin on the PATH",
}


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget(), "budget")


def missing_program(name: str) -> str | None:
    """Return the sentence that says how to get a program, or None when it is there."""
    if shutil.which(name):
        return None
    return f"{name} is not installed; {INSTALL.get(name, 'install it')}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for program in marker.args:
            if sentence := missing_program(program):
                if os.environ.get("CI") == "true":
                    pytest.fail(sentence, pytrace=False)
                pytest.skip(sentence)


@pytest.fixture(autouse=True)
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Fail a test that leaves a task behind: whoever starts one ends it."""
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)  # lets tasks that were just cancelled finish
    leaked = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    for task in leaked:
        task.cancel()
    await asyncio.gather(*leaked, return_exceptions=True)
    assert not leaked, f"leaked tasks: {sorted(task.get_name() for task in leaked)}"
