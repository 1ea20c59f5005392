"""The front door for cards from elsewhere: whatever file holds one, its native data and its portrait. Writes nothing.

Bounds of what a stranger may send: file 8 MiB, inflated text 2 MiB, nesting 40; see `json_text`, `png` and `charx`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from homunculus.characters import charx, png
from homunculus.characters.charx import Archive
from homunculus.characters.json_text import read_json
from homunculus.characters.tavern import convert
from homunculus.errors import ConfigError, ConfigErrors, Where

MAX_FILE = 8 * 1024 * 1024
SUFFIXES = (".json", ".png", ".charx")
_PICTURES = ((png.SIGNATURE, ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF8", ".gif"))
_DATA_URI = "data:image/"


@dataclass(frozen=True, slots=True)
class Picture:
    """A portrait: its bytes as they came, and the suffix that its first bytes say it should have."""

    content: bytes
    suffix: str


@dataclass(frozen=True, slots=True)
class ForeignCard:
    """A card as read: what it is ("Tavern V2 in a PNG"), its native data, what there is to tell, its portrait."""

    kind: str
    data: dict[str, Any]
    warnings: tuple[ConfigError, ...] = ()
    portrait: Picture | None = None


def read_card(content: bytes, file: str) -> ForeignCard:
    """Read a card of any foreign format. `file` is its name for messages. Raise ConfigErrors when it is none."""
    if len(content) > MAX_FILE:
        fault = f"the file is too large: {len(content) / 1048576:.1f} MiB, at most 8 MiB are read"
        raise ConfigErrors((ConfigError(Where(file), fault, "make its picture smaller"),))
    if content.startswith(png.SIGNATURE):
        return _from_png(content, file)
    if content.startswith(charx.SIGNATURE) or PurePath(file).suffix.casefold() == ".charx":
        return _from_charx(content, file)
    kind, data, warnings = convert(read_json(content, file), _stem(file))
    portrait, told = _icon(data, None, file)
    return ForeignCard(f"{kind} in JSON", data, (*warnings, *told), portrait)


def read_native(content: bytes, file: str) -> tuple[dict[str, Any], tuple[ConfigError, ...]]:
    """Return a foreign card's native data and what there is to tell about it, for whoever needs no portrait."""
    card = read_card(content, file)
    return card.data, card.warnings


def _stem(file: str) -> str:
    return PurePath(file).stem


def _from_png(content: bytes, file: str) -> ForeignCard:
    found = png.card_in(content, file)
    kind, data, warnings = convert(read_json(found.content, f"{file} ({found.keyword})"), _stem(file))
    if found.several:
        again = f"the picture has several chunks {found.keyword}; the first is read"
        warnings = (*warnings, ConfigError(Where(file), again))
    portrait = Picture(png.without_cards(content, file), ".png")
    return ForeignCard(f"{kind} in a PNG, chunk {found.keyword}", data, warnings, portrait)


def _from_charx(content: bytes, file: str) -> ForeignCard:
    archive = charx.read_charx(content, file)
    kind, data, warnings = convert(read_json(archive.card, f"{file}/card.json"), _stem(file))
    portrait, told = _icon(data, archive, file)
    others = len([name for name in archive.names if not name.endswith("/")]) - (portrait is not None)
    if others > 0:
        told = (*told, ConfigError(Where(file), f"dropped: {others} other files of the archive"))
    return ForeignCard(f"{kind} in a CHARX", data, (*warnings, *told), portrait)


def _icon(data: dict[str, Any], archive: Archive | None, file: str) -> tuple[Picture | None, tuple[ConfigError, ...]]:
    """Return the main icon among the assets, where it lies in the card itself: nothing is ever fetched."""
    assets = data.get("imported", {}).get("data", {}).get("assets")
    icons = [asset for asset in assets if _is_icon(asset)] if isinstance(assets, list) else []
    if not icons:
        return None, ()
    uri = str(next((icon for icon in icons if icon.get("name") == "main"), icons[0]).get("uri", ""))
    if uri.startswith("https://") or uri == "ccdefault:":
        told = ConfigError(
            Where(file), "the portrait lies elsewhere and was not fetched", "put a picture beside the card"
        )
        return None, () if uri == "ccdefault:" else (told,)
    found = archive.asset(uri) if archive is not None else _inline(uri)
    suffix = next((suffix for begin, suffix in _PICTURES if found is not None and found.startswith(begin)), None)
    if found is not None and found[:4] == b"RIFF" and found[8:12] == b"WEBP":
        suffix = ".webp"
    if found is None or suffix is None:
        return None, (
            ConfigError(Where(file), "dropped: the portrait is no PNG, JPEG, GIF or WebP picture in the card"),
        )
    return Picture(found, suffix), ()


def _is_icon(asset: Any) -> bool:
    return isinstance(asset, dict) and asset.get("type") == "icon"


def _inline(uri: str) -> bytes | None:
    """Return the bytes of a base64 data address, or None."""
    head, _, packed = uri.partition(",")
    if not (head.startswith(_DATA_URI) and head.endswith(";base64")):
        return None
    try:
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        return None
