"""Whose data a deployment file speaks of, even when the file is broken: its `bot_name` and `data_home`.

A program must find its lock and its state before the file is valid. Reports nothing: loading the file does that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from homunculus.config.files import Files
from homunculus.config.reader import read
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
    files = Files(file, Path.read_bytes)
    try:
        content = files.bytes(files.file)  # never a pipe, a device or a huge file
    except OSError:
        content = b""
    written = _written(content, str(file))
    name = written.get("bot_name", file.stem)
    return Identity(name if _NAME.match(name) else _slug(file.stem), _home(files, written))


def _home(files: Files, written: dict[str, str]) -> Path:
    try:
        return files.beside(written.get("data_home", DATA_HOME))
    except ValueError:
        return files.beside(DATA_HOME)


def _written(content: bytes, shown: str) -> dict[str, str]:
    try:
        data = read(content, shown).data
    except ConfigErrors:
        data = dict(_LINE.findall(content.decode("utf-8", "replace")))
    if not isinstance(data, dict):
        return {}
    found = {key: data.get(key) for key in ("bot_name", "data_home")}
    # A bare integer is accepted where a name is expected, and True is no integer of YAML.
    return {key: str(value) for key, value in found.items() if value and type(value) in (str, int)}


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_")[:63] or "homunculus"
