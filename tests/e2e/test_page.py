"""The chat page in a real browser, against a real server on loopback."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from homunculus.model import Address, ModelProgress, Reloaded, Reply, ReplySent
from homunculus.web.server import Listening
from tests.e2e.browser import launched, required, sign_in
from tests.unit.web.stage import TOKEN, Stage, Status, broken

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>{{char}}'


# One browser for all of them, so one loop: starting it costs more than any test.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    required()
    async with async_playwright() as playwright, launched(playwright) as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with Stage() as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def at(stage: Stage) -> AsyncIterator[Listening]:
    async with stage.up() as listening:
        yield listening


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, stage: Stage, at: Listening) -> AsyncIterator[Page]:
    """The page, signed in; fails when it asked another server for anything, or when a script or style was refused."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    page = await context.new_page()
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None)
    await sign_in(page, stage, at)
    yield page
    await context.close()
    assert [url for url in asked if not url.startswith(at.url)] == []
    assert not [url for url in asked if TOKEN in url]
    assert errors == []


async def enter(page: Page, at: Listening, place: str) -> None:
    await page.goto(f"{at.url}/#{place}")
    await page.locator("#opening h3").wait_for()


async def say(page: Page, text: str) -> None:
    await page.fill("#words", text)
    await page.press("#words", "Enter")


async def test_a_message_is_answered_and_the_trace_names_the_model(page: Page, stage: Stage, at: Listening) -> None:
    stage.says["kovach-eod"] = "*He nods.* Evening."
    await enter(page, at, "@kovach-eod")
    stage.may_think.clear()
    await say(page, "Hello")
    await expect(page.locator("#typing")).to_contain_text("Kovach is writing")
    await expect(page.locator(".agent", has_text="Kovach").locator(".mind")).to_contain_text("writing")
    stage.may_think.set()
    reply = page.locator(".line:not(.mine)")
    await expect(reply.locator(".bubble")).to_have_text("He nods. Evening.")
    await expect(reply.locator("em")).to_have_text("He nods.")
    await expect(page.locator("#typing")).to_be_hidden()
    await expect(page.locator(".line.mine")).to_have_count(1)
    await reply.locator(".how-link").click()
    await expect(page.locator("#how")).to_contain_text("default (embedded)")
    await expect(page.locator(".stages li")).to_have_count(4)
    await page.keyboard.press("Escape")
    await expect(page.locator("#how")).to_be_hidden()
    await page.reload()
    await expect(page.locator(".line")).to_have_count(2)  # what was said is still there


async def test_text_of_people_and_npcs_is_only_text(page: Page, stage: Stage, at: Listening) -> None:
    stage.says["lin"] = HOSTILE
    drawn = replace(stage.current.agents[1].character, name=HOSTILE, description=HOSTILE, greeting=HOSTILE)
    agents = (stage.current.agents[0], replace(stage.current.agents[1], character=drawn), *stage.current.agents[2:])
    stage.current = replace(stage.current, agents=agents, bot_name=HOSTILE)
    stage.reloads.running_equals_file, stage.reloads.errors = False, broken()
    await page.reload()
    await enter(page, at, "@lin")
    await page.fill("#me", HOSTILE[:60])
    await say(page, HOSTILE)
    await expect(page.locator(".line:not(.mine) .bubble")).to_have_text(HOSTILE)
    await expect(page.locator(".line.mine .bubble")).to_have_text(HOSTILE)
    assert await page.locator("img[src=x], .bubble script, .agent script").count() == 0
    assert await page.title() not in ("1", "2")


async def test_the_programs_own_word_is_neither_a_persons_nor_an_npcs(page: Page, stage: Stage, at: Listening) -> None:
    await enter(page, at, "@kovach-eod")
    address = Address("local", "local", "local", "@kovach-eod", label="local:@kovach-eod")
    reply = Reply("order.0", "", "Homunculus", "Kovach (kovach-eod), model default")
    stage.emit(ReplySent(address, reply, stage.hub.post(address, reply)))
    line = page.locator(".line", has_text="model default")
    await expect(line.locator(".by b")).to_have_text("Homunculus")
    assert "mine" not in (await line.get_attribute("class") or "").split()
    await page.reload()
    assert "mine" not in (await line.get_attribute("class") or "").split()


async def test_a_turn_that_fails_is_told_in_place(page: Page, stage: Stage, at: Listening) -> None:
    stage.fails["odette"] = "the model default did not answer within 30 s"
    await enter(page, at, "@odette")
    await say(page, "Anyone?")
    await expect(page.locator(".aside.wrong")).to_have_text(
        "Odette Marsh could not answer: the model default did not answer within 30 s"
    )
    await expect(page.locator("#typing")).to_be_hidden()


async def test_what_could_not_be_said_stays_in_the_box(page: Page, stage: Stage, at: Listening) -> None:
    await enter(page, at, "@lin")
    stage.hub.detach(stage.adapter)
    await say(page, "Hello")
    await expect(page.locator(".aside.wrong")).to_contain_text("That was not said")
    await expect(page.locator("#words")).to_have_value("Hello")
    stage.hub.attach(stage.adapter)


async def test_a_save_is_told_and_a_broken_one_stays_until_mended(page: Page, stage: Stage) -> None:
    stage.reloads.running_equals_file, stage.reloads.errors = False, broken()
    stage.emit(Reloaded("refused", 7, errors=tuple(map(str, broken()))))
    banner = page.locator(".notice[data-tone=wrong]")
    await expect(banner).to_contain_text("The file has 2 errors")
    await expect(banner.locator("code").first).to_have_text("deployments/campaigns.yaml:41:14")
    await expect(banner).to_contain_text('did you mean "support"?')
    await page.reload()
    await expect(banner).to_be_visible()
    await page.locator("#wire[data-state=live]").wait_for()
    first = stage.current.agents[0]
    stage.current = replace(stage.current, agents=(replace(first, model="rehearsal"), *stage.current.agents[1:]))
    stage.reloads.running_equals_file, stage.reloads.errors = True, ()
    stage.emit(Reloaded("applied", 8, ("~ agent kovach-eod (model)  [hot]", "+ channel x  [hot]")))
    await expect(page.locator(".notice[data-tone=fine]")).to_contain_text("Saved: 2 changes live")
    await expect(banner).to_have_count(0)
    await expect(page.locator(".agent", has_text="Kovach")).to_contain_text("rehearsal · scripted")
    await page.locator(".notice button").click()
    await expect(page.locator(".notice")).to_have_count(0)


async def test_a_model_shows_how_it_gets_ready(page: Page, stage: Stage) -> None:
    stage.emit(ModelProgress("default", "fetching", 25_000_000, 100_000_000))
    bar = page.locator(".notice progress")
    await expect(bar).to_have_attribute("value", "25000000")
    await expect(page.locator(".agent", has_text="Kovach")).to_contain_text("default: fetching 25 %")
    stage.emit(ModelProgress("default", "loading"))
    await expect(page.locator(".notice")).to_contain_text("is loading")
    assert await bar.get_attribute("value") is None
    stage.emit(ModelProgress("default", "ready"))
    await expect(bar).to_have_count(0)
    stage.emit(ModelProgress("default", "failed", detail="no space left"))
    await expect(page.locator(".notice[data-tone=wrong]")).to_contain_text("no space left")


async def test_adapters_show_their_state_and_why(page: Page, stage: Stage) -> None:
    chip = page.locator('.chip[data-key="telegram:support"]')
    await expect(chip).to_have_attribute("data-state", "retrying")
    await chip.locator("summary").focus()
    await page.keyboard.press("Enter")
    await expect(chip.locator("p")).to_contain_text("the network is unreachable")
    stage.states[3] = Status("telegram", "support", "ready")
    stage.emit(Reloaded("applied", 8))
    await expect(chip).to_have_attribute("data-state", "ready")


async def test_a_portrait_takes_the_place_of_the_letter(
    page: Page, stage: Stage, at: Listening, tmp_path: Path
) -> None:
    portrait = tmp_path / "lin.png"
    portrait.write_bytes(base64.b64decode(PIXEL))
    first, second, *others = stage.current.agents
    drawn = [
        replace(agent, character=replace(agent.character, avatar=str(path)))
        for agent, path in ((first, tmp_path / "lost.png"), (second, portrait))
    ]
    stage.current = replace(stage.current, agents=(*drawn, *others))
    await page.reload()
    await expect(page.locator(".agent", has_text="林娘").locator(".seal img")).to_be_visible()
    await expect(page.locator(".agent", has_text="Kovach").locator(".seal")).to_have_text("K")


async def test_declared_places_are_rooms_of_their_own(page: Page, stage: Stage, at: Listening) -> None:
    await page.get_by_role("link", name="听雨楼").click()
    await expect(page.locator("#who-where")).to_have_text("in 听雨楼")
    await say(page, "你好")
    await expect(page.locator(".line:not(.mine)")).to_have_count(1)
    await page.get_by_role("link", name="Brannoc").click()
    await expect(page.locator("#who-name")).to_have_text("Brannoc Ironquill")
    await expect(page.locator(".line")).to_have_count(0)
    await stage.hub.say("听雨楼", user="bo", text="还在吗")
    await expect(page.locator(".unread")).to_have_text("1")


async def test_everything_works_by_keyboard(page: Page, at: Listening) -> None:
    await page.goto(at.url)
    await page.locator(".agent a").first.wait_for()
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    reached: set[str] = set()
    for _ in range(40):
        await page.keyboard.press("Tab")
        reached.add(
            await page.evaluate("document.activeElement.id || document.activeElement.closest('li')?.className || ''")
        )
    assert {"agent", "log-frame", "me", "words"} <= reached
    await page.locator(".agent a").first.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#words")).to_be_focused()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(page.locator(".line.mine .bubble")).to_have_text("one\ntwo")


@pytest.mark.parametrize("width", [320, 360, 768, 1024, 1440])
async def test_nothing_overflows_sideways(page: Page, stage: Stage, at: Listening, width: int) -> None:
    stage.says["lin"] = "很" * 400 + " https://example.org/" + "a" * 300
    stage.reloads.running_equals_file, stage.reloads.errors = False, broken()
    await page.set_viewport_size({"width": width, "height": 700})
    await page.goto(at.url)
    await page.locator(".agent").first.wait_for()
    assert await _overflow(page) == []
    await page.goto(f"{at.url}/#@lin")
    await say(page, "x" * 300)
    await page.locator(".line:not(.mine)").wait_for()
    assert await _overflow(page) == []
    await page.locator(".how-link").click()
    await page.locator(".stages li").first.wait_for()
    assert await _overflow(page) == []


async def _overflow(page: Page) -> list[str]:
    """List the visible elements that stick out of the window."""
    found: list[str] = await page.evaluate(
        """() => {
          const wide = document.documentElement.clientWidth;
          const out = [...document.querySelectorAll("body *")].filter((e) => {
            const box = e.getBoundingClientRect();
            return e.checkVisibility() && box.width > 1 && (box.right > wide + 1 || box.left < -1);
          }).map((e) => `${e.tagName}.${e.className}`);
          return document.documentElement.scrollWidth > wide ? ["document", ...out] : out;
        }"""
    )
    return found


async def test_a_phone_shows_one_thing_at_a_time(page: Page, at: Listening) -> None:
    await page.set_viewport_size({"width": 360, "height": 700})
    await page.goto(at.url)
    await expect(page.locator(".company")).to_be_visible()
    await expect(page.locator(".talk")).to_be_hidden()
    await page.get_by_role("link", name="Kovach").click()
    await expect(page.locator(".company")).to_be_hidden()
    await expect(page.locator("#words")).to_be_visible()
    await page.locator("#back").click()
    await expect(page.locator(".company")).to_be_visible()


async def test_the_page_finds_its_way_back_after_the_stream_broke(page: Page, stage: Stage, at: Listening) -> None:
    await enter(page, at, "@lin")
    for reader in tuple(stage.events._readers):
        reader.leave()
    await expect(page.locator("#wire")).to_have_attribute("data-state", "lost")
    await stage.hub.say("@lin", user="bo", text="while you were away")
    await asyncio.gather(*stage.turns)
    await expect(page.locator("#wire")).to_have_attribute("data-state", "live")
    await expect(page.locator(".line")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_words_can_be_read(page: Page, stage: Stage, at: Listening, scheme: str) -> None:
    """Contrast of at least 4.5:1 (WCAG 2.2, 1.4.3) for the inks on the papers they lie on."""
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    pairs = [("ink", "paper"), ("ink", "leaf"), ("faded", "paper"), ("faded", "leaf"), ("seal", "paper"), ("seal", "leaf"),
             ("seal-ink", "seal"), ("slip-ink", "slip"), ("ink", "shade"), ("moss", "paper")]  # fmt: skip
    for ink, paper in pairs:
        ratio = await page.evaluate(
            """([ink, paper]) => {
              const light = (name) => {
                const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
                const part = (at) => {
                  const c = parseInt(hex.slice(at, at + 2), 16) / 255;
                  return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
                return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
              };
              const [a, b] = [light(ink), light(paper)].sort((x, y) => y - x);
              return (a + 0.05) / (b + 0.05);
            }""",
            [ink, paper],
        )
        assert ratio >= 4.5, f"{ink} on {paper}: {ratio:.2f}"
