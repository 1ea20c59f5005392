"""The commands of the chat as Telegram's menu shows them: it knows first words only. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from telegram import BotCommand

from homunculus.model import CommandSpec

MOST = 100
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_LONGEST = 256


def menu(commands: Sequence[CommandSpec]) -> list[BotCommand]:
    """Return one entry for each first word, in order: what it does, or which words may follow it."""
    words: dict[str, list[CommandSpec]] = {}
    for command in commands:
        if _NAME.fullmatch(command.words[0]):
            words.setdefault(command.words[0], []).append(command)
    return [BotCommand(word, _about(specs)) for word, specs in list(words.items())[:MOST]]


def _about(specs: list[CommandSpec]) -> str:
    about = (
        specs[0].about
        if len(specs) == 1 and len(specs[0].words) == 1
        else " · ".join(" ".join(spec.words[1:]) or spec.about for spec in specs)
    )
    about = about.strip() or specs[0].words[0]
    return about if len(about) <= _LONGEST else f"{about[: _LONGEST - 1]}…"
