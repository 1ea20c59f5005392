"""Decides whether one message is answered. Pure: it awaits nothing and shows nothing."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from homunculus.interfaces import Mode, Verdict
from homunculus.model import Agent, Message

_ASCII_WORD = re.compile(r"[A-Za-z0-9_]")


def gate(agent: Agent, mode: Mode, message: Message) -> Verdict:
    """Say whether `agent`, in this mode, answers a message that was routed to it, and why."""
    if mode == "observe":
        return Verdict(answer=False, reason="it only observes here")
    if not message.text.strip() and not message.mentioned:
        return Verdict(answer=False, reason="the message has neither text nor a mention")
    if message.address.direct:
        return Verdict(answer=True, reason="a direct message")
    if message.mentioned:
        return Verdict(answer=True, reason="it was mentioned")
    if mode == "always":
        return Verdict(answer=True, reason="it answers everything here")
    for name in agent.character.names:
        if named(name, message.text):
            return Verdict(answer=True, reason=f"it was called {name!r}")
    return Verdict(answer=False, reason="it was neither mentioned nor named, and answers only then")


def named(name: str, text: str) -> bool:
    """Tell whether a name stands in a text, ignoring case.

    Word boundaries are ASCII only, so a Chinese name is found inside a sentence that has no spaces.
    """
    pattern = _pattern(unicodedata.normalize("NFC", name).strip())
    return pattern is not None and pattern.search(unicodedata.normalize("NFC", text)) is not None


@lru_cache(maxsize=4096)
def _pattern(name: str) -> re.Pattern[str] | None:
    if not name:
        return None
    before = r"(?<![A-Za-z0-9_])" if _ASCII_WORD.match(name[0]) else ""
    after = r"(?![A-Za-z0-9_])" if _ASCII_WORD.match(name[-1]) else ""
    return re.compile(before + re.escape(name) + after, re.IGNORECASE)
