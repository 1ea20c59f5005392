"""Whose data a deployment file speaks of, even when the file is broken: its `bot_name` and `data_home`.

A program must find its lock and its state before the file is valid. Reports nothing: loading the file does that.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from homunculus.config.source import read
from homunculus.errors import ConfigErrors

DATA_HOME = "~/.homunculus"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_LINE = re.compile(r"^(bot_name|data_home):[ \t]+[\"']?([^\"'#\n]+?)[\"']?[ \t]*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Identity:
    """The name and the absolute data folder that locks, state and run files are found by."""

    bot_name: str
    data_home: Path


def identify(file: Path) -> Identity:
    """Read the identity from a deployment file; what is missing or unusable has its default."""
    try:
        content = file.read_bytes()
    except OSError:
        content = b""
    written = _written(content, str(file))
    name = written.get("bot_name", file.stem)
    return Identity(name if _NAME.match(name) else _slug(file.stem), home(file, written.get("data_home", DATA_HOME)))


def home(file: Path, written: str) -> Path:
    """Return the data folder that a file names: relative to the file, `~` being the user's home."""
    return Path(os.path.abspath(file.absolute().parent / Path(written).expanduser()))  # noqa: PTH100 - lexical


def _written(content: bytes, shown: str) -> dict[str, str]:
    try:
        data = read(content, shown).data
    except ConfigErrors:
        data = dict(_LINE.findall(content.decode("utf-8", "replace")))
    if not isinstance(data, dict):
        return {}
    return {key: data[key] for key in ("bot_name", "data_home") if isinstance(data.get(key), str) and data[key]}


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")[:63] or "homunculus"
