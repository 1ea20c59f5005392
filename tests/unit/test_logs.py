"""The log says what happened on one line and never says a secret."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from homunculus.logs import HIDDEN, Scrubber, set_up, threshold

TOKEN = "MTk4NjIy.Cl2FMQ/zN+7R=="


@pytest.fixture(autouse=True)
def quiet_afterwards() -> Iterator[None]:
    yield
    logger.remove()
    logging.getLogger().handlers.clear()


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "shown",
    [TOKEN, quote(TOKEN, safe=""), base64.b64encode(TOKEN.encode()).decode(), json.dumps(TOKEN)],
    ids=["raw", "url", "base64", "json"],
)
def test_a_secret_is_taken_out_in_every_form(style: str, shown: str) -> None:
    stream, scrubber = io.StringIO(), Scrubber()
    scrubber.hide([TOKEN])
    set_up("DEBUG", style, stream, scrubber)  # type: ignore[arg-type]
    logger.bind(url=f"https://host/bot{shown}/x").info("asked {}", shown)
    logging.getLogger("some.library").warning("failed for %s", shown)
    try:
        raise ValueError(f"bad token {shown}")
    except ValueError:
        logger.exception("it broke")
    text = stream.getvalue()
    assert TOKEN not in text
    assert shown not in text
    assert text.count(HIDDEN) >= 4


def test_an_old_secret_stays_secret_after_it_was_changed() -> None:
    scrubber = Scrubber()
    scrubber.hide(["old-token"])
    scrubber.hide(["new-token"])
    assert scrubber("old-token new-token") == f"{HIDDEN} {HIDDEN}"


def test_a_line_of_a_player_cannot_become_two_lines_of_json() -> None:
    stream = io.StringIO()
    set_up("INFO", "json", stream)
    logger.bind(text='x"}\n{"level": "CRITICAL"').info("a message")
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["level"] == "INFO"


def test_what_is_bound_is_shown_beside_a_constant_text() -> None:
    stream = io.StringIO()
    set_up("INFO", "text", stream)
    logger.bind(adapter="discord:keeper").warning("an adapter failed")
    assert stream.getvalue().rstrip().endswith("an adapter failed adapter=discord:keeper")


def test_the_level_can_change_while_running() -> None:
    stream = io.StringIO()
    set_up("WARNING", "text", stream)
    logger.info("unheard")
    threshold.set("DEBUG")
    logger.debug("heard")
    assert "unheard" not in stream.getvalue()
    assert "DEBUG   heard" in stream.getvalue()


@pytest.mark.parametrize(("level", "lines"), [("INFO", 1), ("DEBUG", 4)])
def test_a_librarys_traceback_is_shown_to_those_who_debug(level: str, lines: int) -> None:
    stream = io.StringIO()
    set_up(level, "text", stream)
    try:
        raise OSError("no route")
    except OSError:
        logging.getLogger("discord.client").exception("Attempting a reconnect")
    assert "Attempting a reconnect" in stream.getvalue()
    assert "no route" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) >= lines
    assert ("Traceback" in stream.getvalue()) == (level == "DEBUG")


def test_a_bound_text_cannot_begin_a_line_of_its_own() -> None:
    stream = io.StringIO()
    set_up("INFO", "text", stream)
    logger.bind(author="Ana\n00:00:00 CRITICAL all is lost").info("a message")
    assert len(stream.getvalue().splitlines()) == 1


@given(st.text(min_size=6, max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_no_surroundings_save_a_secret(secret: str, before: str, after: str) -> None:
    scrubber = Scrubber()
    scrubber.hide([secret])
    left = scrubber(before + secret + after)
    assert secret not in left.replace(HIDDEN, "\x00") or secret in HIDDEN
