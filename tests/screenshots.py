"""Make the pictures of the page in docs/images: `python -m tests.screenshots`. Needs Chromium; asks nothing of the network."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, Page, async_playwright

from homunculus.model import (
    AdapterChanged,
    Address,
    Author,
    Message,
    MessageReceived,
    ModelProgress,
    Receipt,
    Reloaded,
    Reply,
    ReplySent,
)
from tests.e2e.browser import chromium, launched, sign_in
from tests.unit.web.stage import Stage, broken

IMAGES = Path(__file__).parent.parent / "docs" / "images"
SIZES = {360: 760, 1440: 900}
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


def furnish() -> Stage:
    """Return a stage with something to say."""
    return Stage(
        says={
            "kovach-eod": "*He puts the ledger down, slowly.* Flour's by the door. Lamp oil's a nickel.\n\nThe cellar? Nailed shut since the war. "
            "Folk who ask twice don't come a third time.",
            "lin": "*斟满茶盏* 客官说的那个人，昨夜确实来过。他走的时候，鞋底沾着后山的红泥。",
        },
        fails={"odette": "the model default did not answer within 30 s"},
    )


async def elsewhere(stage: Stage) -> None:
    """Let something happen that is no business of the open conversation."""
    place = Address("discord", "discord:keeper", "9", "1", space="42", label="discord:keeper:42:1")
    question = Message("d1", place, Author("5", "Mirela"), "Kovach, do you still sell lamp oil?", mentioned=True)
    stage.emit(AdapterChanged("discord:keeper", "ready"))
    stage.emit(MessageReceived(question, Receipt.RECORDED, "kovach-eod"))
    stage.emit(ReplySent(place, Reply("t.0", "kovach-eod", "Kovach", "Two tins left. Cash."), "d2"))
    stage.emit(Reloaded("applied", 7, ("~ agent lin (model)  [hot]", "+ channel 听雨楼  [hot]")))


async def say(page: Page, text: str) -> None:
    """Say something as a person would, and wait until it was answered or could not be."""
    before = await page.locator(".line:not(.mine), .aside").count()
    await page.fill("#words", text)
    await page.press("#words", "Enter")
    await page.locator(".line:not(.mine), .aside").nth(before).wait_for()


@asynccontextmanager
async def opened(browser: Browser, stage: Stage, width: int, scheme: Scheme) -> AsyncIterator[tuple[Page, str]]:
    """Open the page, signed in."""
    async with stage, stage.up() as at:
        context = await browser.new_context(
            viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme, reduced_motion="reduce"
        )
        page = await context.new_page()
        await sign_in(page, stage, at)
        try:
            yield page, at.url
        finally:
            await context.close()


async def shoot(browser: Browser, width: int, scheme: Scheme) -> None:
    """Make every picture of one size and colour scheme."""
    stage = furnish()
    async with opened(browser, stage, width, scheme) as (page, url):

        async def picture(name: str) -> None:
            await page.screenshot(path=IMAGES / f"{name}-{width}-{scheme}.png")

        if width < 800:
            await picture("company")
        await page.goto(f"{url}/#%40kovach-eod")
        await page.locator(".opening .greeting").wait_for()
        await elsewhere(stage)
        await say(page, "Evening. Flour, and a question: what's behind the cellar door?")
        stage.may_think.clear()
        await page.fill("#words", "I heard knocking. From *inside*.")
        await page.press("#words", "Enter")
        await page.locator("#typing:not([hidden])").wait_for()
        await page.locator(".notice button").click()
        await picture("chat")
        await page.locator(".how-link").first.click()
        await page.locator(".stages li").first.wait_for()
        await picture("trace")
        await page.keyboard.press("Escape")
        stage.may_think.set()
        await page.goto(f"{url}/#{'%40lin'}")
        await page.locator("#who-name", has_text="林娘").wait_for()
        await say(page, "掌柜的，昨晚那位戴斗笠的客人去了哪里？")
        await picture("chinese")
        await page.goto(f"{url}/#{'%40odette'}")
        await page.locator("#who-name", has_text="Odette").wait_for()
        await say(page, "Is the Necronomicon on loan?")
        stage.reloads.errors, stage.reloads.running_equals_file = broken(), False
        stage.emit(Reloaded("refused", 7, errors=tuple(map(str, broken()))))
        stage.emit(ModelProgress("default", "fetching", 35_700_000, 105_500_000))
        await page.locator(".notice progress").wait_for()
        await page.locator(".notice[data-tone=wrong]").wait_for()
        await picture("trouble")
        await page.context.clear_cookies()
        await page.goto(url + "/sign-in?code=used")
        await picture("door")


async def main() -> int:
    """Make all pictures."""
    if chromium() is None:
        print("Chromium is not installed; apt-get install chromium", file=sys.stderr)
        return 3
    await asyncio.to_thread(IMAGES.mkdir, parents=True, exist_ok=True)
    async with async_playwright() as playwright, launched(playwright) as browser:
        for width in SIZES:
            for scheme in SCHEMES:
                await shoot(browser, width, scheme)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
