"""Puts a foreign card into a characters folder: native YAML, and its portrait beside it. Writes nowhere else.

Names come from the card and are cut to what a file may be called; nothing that is there is replaced unless told to.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homunculus import whole
from homunculus.characters.card import ForeignCard
from homunculus.characters.tavern import ORDER
from homunculus.errors import ConfigError, ConfigErrors, Where

_UNNAMEABLE = re.compile(r"[^\w-]+")
_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])\Z", re.IGNORECASE)
_LONGEST = 60  # characters
_LONGEST_BYTES = 180  # of UTF-8: file systems allow 255 with the suffix


Dump = Callable[[dict[str, Any]], str]


@dataclass(frozen=True, slots=True)
class Installed:
    """What an import made: the card's name for a deployment, its file, and the portrait's."""

    stem: str
    card: Path
    portrait: Path | None


def slug(name: str) -> str:
    """Return a name as a file's stem: letters and digits of any script, `_` and `-`, in lower case."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
    stem = _UNNAMEABLE.sub("-", folded).strip("-_")[:_LONGEST]
    stem = stem.encode()[:_LONGEST_BYTES].decode("utf-8", "ignore").strip("-_")
    return f"{stem}-1" if _DEVICE.match(stem) else stem or "character"


def install(card: ForeignCard, folder: Path, source: Path, *, dump: Dump, force: bool = False) -> Installed:
    """Write a card into a folder. `dump` writes YAML; `source` is the card's own file, which is left as it is.

    Raise ConfigErrors when something else is there already and `force` is not given, or the card is too large for YAML.
    """
    stem = slug(card.data["name"])
    file = folder / f"{stem}.yaml"
    portrait = folder / f"{stem}{card.portrait.suffix}" if card.portrait else None
    _check_free(folder, stem, portrait, source, force=force)
    data = {**card.data, "avatar": portrait.name} if portrait else card.data
    text = dump({name: data[name] for name in ORDER if name in data})
    folder.mkdir(parents=True, exist_ok=True)
    if portrait is not None and card.portrait is not None and not _same(portrait, source):
        whole.put(portrait, card.portrait.content, mode=0o666)
    whole.put(file, text.encode(), mode=0o666)
    return Installed(stem, file, portrait)


def _check_free(folder: Path, stem: str, portrait: Path | None, source: Path, *, force: bool) -> None:
    """Refuse to replace what a person may have worked on. Names are compared without case, as a deployment does."""
    if force:
        return
    known = (
        {unicodedata.normalize("NFC", path.name).casefold(): path for path in folder.iterdir()}
        if folder.is_dir()
        else {}
    )
    wanted = [f"{stem}.yaml", f"{stem}.yml", *([portrait.name] if portrait else [])]
    found = [known[name] for name in wanted if name in known and not _same(known[name], source)]
    errors = [
        ConfigError(Where(str(path)), "this is there already", "name another folder with -o, or add --force")
        for path in found
    ]
    if errors:
        raise ConfigErrors(tuple(errors))


def _same(path: Path, source: Path) -> bool:
    return path.exists() and source.exists() and path.samefile(source)
