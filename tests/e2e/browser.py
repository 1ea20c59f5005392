"""The Chromium of this system, for the tests of the pages. Owns how it is found and started; fetches nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, Playwright

from homunculus.web.server import Listening
from tests.unit.web.stage import Stage

NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """Return the path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def required() -> str:
    """Return the path of a Chromium; skip the test without one, and fail it in CI."""
    if (path := chromium()) is not None:
        return path
    sentence = "chromium is not installed; apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@asynccontextmanager
async def launched(playwright: Playwright) -> AsyncIterator[Browser]:
    """Start it for as long as the context lasts."""
    browser = await playwright.chromium.launch(executable_path=chromium(), args=list(SWITCHES))
    try:
        yield browser
    finally:
        await browser.close()


async def sign_in(page: Page, stage: Stage, at: Listening) -> None:
    """Follow a fresh sign-in link until the chat is there."""
    await page.goto(f"{at.url}/sign-in?code={stage.sessions.issue_code()}")
    await page.wait_for_url(f"{at.url}/")
    await page.locator("#agents .agent").first.wait_for()
    await page.locator("#wire[data-state=live]").wait_for()
