"""An operator reads of every bot and model that changes, once each, and of nothing else."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from loguru import logger

from homunculus.logs import set_up
from homunculus.model import AdapterChanged, Address, ModelProgress, Reloaded, Trace, TurnEnded
from homunculus.runtime.narrate import Narrator


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    set_up("INFO", "text", stream)
    yield stream
    logger.remove()


def told(stream: io.StringIO) -> list[str]:
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def test_a_bot_that_fails_is_told_with_its_reason(lines: io.StringIO) -> None:
    narrator = Narrator()
    narrator.observe(AdapterChanged("discord:keeper", "failed", "the token is refused"))
    narrator.observe(AdapterChanged("discord", "ready"))
    narrator.observe(AdapterChanged("discord", "connecting"))
    assert told(lines) == [
        "ERROR   An adapter changed its state adapter=discord:keeper state=failed reason=the token is refused",
        "INFO    An adapter changed its state adapter=discord state=ready",
    ]


def test_a_download_is_told_in_steps_and_a_failure_once(lines: io.StringIO) -> None:
    narrator = Narrator()
    for done in range(0, 101, 1):
        narrator.observe(ModelProgress("default", "fetching", done * 1_000_000, 100_000_000))
    for _ in range(3):
        narrator.observe(ModelProgress("default", "failed", detail="no network"))
    assert [line.split("done=")[-1].split(" ")[0] for line in told(lines)[:-1]] == ["0", "20", "40", "60", "80", "100"]
    assert told(lines)[-1] == "ERROR   A model cannot be used model=default reason=no network"


def test_an_uncertain_reply_is_told_and_an_answered_one_is_not(lines: io.StringIO) -> None:
    narrator, address = Narrator(), Address("discord", "discord", "1", "2", label="discord:3:2")
    for outcome in ("answered", "silent", "uncertain"):
        trace = Trace("t", ("1",), address.label, "kovach", "channels[0]", outcome, "cut off")
        narrator.observe(TurnEnded(address, trace))
    narrator.observe(Reloaded("applied", 1))
    [line] = told(lines)
    assert line.startswith("WARNING A reply may or may not have arrived; it is not sent again")
