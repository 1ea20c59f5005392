"""What tests of models share: services that record, and where the embedded model's weights are."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest
from aiohttp import ClientSession

from homunculus.interfaces import ModelServices
from homunculus.model import Event, ModelProgress
from homunculus.models.embedded import weights


def no_session() -> ClientSession:
    raise AssertionError("this model must not touch the network")


def expand(text: str, *, char: str, user: str) -> str:
    """Stand in for the macros, visibly: the real ones have tests of their own."""
    return text.replace("{{char}}", f"<{char}>").replace("{{user}}", f"<{user}>")


@dataclass
class Recorder:
    """Keep the events of a model; `heard` is set by the first."""

    events: list[Event] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.heard.set()

    @property
    def phases(self) -> list[str]:
        return [event.phase for event in self.events if isinstance(event, ModelProgress)]


def services(
    cache: Path = Path("nowhere"),
    session: Callable[[], ClientSession] = no_session,
    emit: Callable[[Event], None] = lambda event: None,
) -> ModelServices:
    return ModelServices(session=session, expand=expand, cache=cache, emit=emit)


def weights_cache() -> Path:
    """Return the folder that `homunculus fetch-model` fills for tests: kept between runs."""
    if home := os.environ.get("HOMUNCULUS_CACHE"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "homunculus" / "models"


def embedded_cache() -> Path:
    """Return a cache that holds the weights; skip with the command that gets them, or fail under CI."""
    cache = weights_cache()
    if importlib.util.find_spec("xllamacpp") is None:
        missing("xllamacpp is not installed; run: pip install 'homunculus[embedded]'")
    if weights.find(cache) is None:
        missing(f"the embedded model's weights are not in {cache}; run: homunculus fetch-model")
    return cache


def missing(sentence: str) -> NoReturn:
    """Skip with the sentence that says what to install, or fail where everything must be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
