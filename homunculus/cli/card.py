"""Commands about character cards: import, export, show. Owns what is said about a card; reading one is not its work.

What a card says is a stranger's text: on its way to a terminal it loses everything that is not printable.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homunculus import whole
from homunculus.characters import png
from homunculus.characters.card import MAX_FILE, SUFFIXES, Picture, read_card
from homunculus.characters.export import for_v2_readers, to_tavern
from homunculus.characters.install import install
from homunculus.cli import output
from homunculus.config.card import CardCache
from homunculus.config.write import dump
from homunculus.errors import ConfigError, ConfigErrors, Refused, Where

_NATIVE = (".yaml", ".yml")
_ABOUT = ("name", "nickname", "language", "creator", "character_version", "tags", "ruleset")
_TOLD = ("description", "personality", "background", "scenario", "greeting", "system_prompt", "post_history")
_COUNTED = {
    "alternate_greetings": ("alternate greeting", "alternate greetings"),
    "group_only_greetings": ("greeting for groups", "greetings for groups"),
    "examples": ("example", "examples"),
    "knowledge": ("lore entry", "lore entries"),
}
_CUT = 300  # characters of a text that `show` prints


@dataclass(frozen=True, slots=True)
class _Read:
    """A card of any format as the commands need it."""

    kind: str
    data: dict[str, Any]
    warnings: tuple[ConfigError, ...] = ()
    portrait: Picture | None = None


# --- import ---------------------------------------------------------------------------------------------------------


def import_card(source: Path, folder: Path | None, as_json: bool, *, force: bool) -> int:
    """Write a foreign card as native YAML, and its portrait; say what was done and what was not used."""
    if source.suffix.casefold() in _NATIVE:
        raise _wrong(source, "this is a native card already", "copy it into the characters folder")
    card = read_card(_content(source), str(source))
    try:
        made = install(card, folder or _characters(), source, dump=dump, force=force)
    except OSError as error:
        raise Refused(f"the card cannot be written: {error.strerror or error}; check the folder") from error
    files = [str(path) for path in (made.card, made.portrait) if path is not None]
    kept = _kept(card.data)
    if as_json:
        warnings = [*map(output.finding, card.warnings)]
        output.show_json({"name": made.stem, "kind": card.kind, "files": files, "kept": kept, "warnings": warnings})
        return 0
    for file in files:
        output.say(f"created {file}", "green")
    output.say(f"read    {card.kind}: {_shown(card.data['name'])}{_counts(card.data)}")
    if kept:
        output.say(f"kept    for exports only: {_shown(', '.join(kept))}")
    output.show_findings((), card.warnings)
    output.say(f"Next: write character: {made.stem} into a deployment", "bold")
    return 0


def _characters() -> Path:
    """Return the folder a deployment file in the working directory would use."""
    beside, above = Path("characters"), Path("../characters")
    return above if above.is_dir() and not beside.is_dir() else beside


def _content(file: Path) -> bytes:
    """Read an ordinary file within the bound of cards. Raise ConfigErrors."""
    try:
        if not file.is_file():
            there = file.exists()
            raise _wrong(
                file, "this is no file" if there else "the file does not exist", "name a .json, .png or .charx file"
            )
        with file.open("rb") as stream:
            return stream.read(MAX_FILE + 1)
    except OSError as error:
        raise _wrong(
            file, f"the file cannot be read: {error.strerror or 'unknown reason'}", "check who may read it"
        ) from None


def _wrong(file: Path, fault: str, fix: str) -> ConfigErrors:
    return ConfigErrors((ConfigError(Where(str(file)), fault, fix),))


def _kept(data: dict[str, Any]) -> list[str]:
    """List what an import keeps and nothing here uses."""
    imported = data.get("imported", {})
    levels = [imported.get("data", {}), imported.get("card", {})]
    entries = sum("imported" in entry or "extensions" in entry for entry in data.get("knowledge", []))
    books = data.get("lorebook", {})
    return [
        *(name for level in levels for name in level),
        *(f"lorebook {name}" for name in ("extensions", "imported") if name in books),
        *([f"more about {_count(entries, *_COUNTED['knowledge'])}"] if entries else []),
    ]


def _counts(data: dict[str, Any]) -> str:
    counted = [_count(len(data[name]), *words) for name, words in _COUNTED.items() if data.get(name)]
    return f" ({', '.join(counted)})" if counted else ""


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


# --- export ---------------------------------------------------------------------------------------------------------


def export_card(name: str, target: Path, folder: Path | None, as_json: bool, *, force: bool) -> int:
    """Write a card for other programs; as PNG it carries V2 and V3, as JSON the specification it came in, or V3."""
    suffix = target.suffix.casefold()
    if suffix not in (".png", ".json"):
        raise _wrong(target, "cards are exported as .png or .json", "name such a file")
    if target.exists() and not force:
        raise _wrong(target, "this is there already", "name another file, or add --force")
    source = _named(name, folder or _characters())
    card = _read(source)
    if suffix == ".png":
        picture, drawn = _picture(card, source)
        cards = (("chara", _json(for_v2_readers(card.data))), ("ccv3", _json(to_tavern(card.data, "chara_card_v3"))))
        content = png.with_cards(picture, str(source), cards)
    else:
        content, drawn = _json(to_tavern(card.data), indent=2), False
    read_card(content, str(target))  # whoever gets it must be able to read it: within the bounds, and whole
    try:
        whole.put(target, content, mode=0o666)
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}; check the folder") from error
    if as_json:
        output.show_json({"file": str(target), "name": card.data["name"], "placeholder": drawn})
        return 0
    output.say(f"created {target}", "green")
    if drawn:
        output.note("the card has no PNG portrait beside it: the picture is a plain one")
    return 0


def _named(name: str, folder: Path) -> Path:
    """Return the file of a card named by its stem, or by its path."""
    if Path(name).suffix.casefold() in (*_NATIVE, *SUFFIXES) or "/" in name or "\\" in name:
        return Path(name)
    wanted = unicodedata.normalize("NFC", name).casefold()
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    natives = [file for file in files if file.suffix.casefold() in _NATIVE]
    found = next((file for file in natives if unicodedata.normalize("NFC", file.stem).casefold() == wanted), None)
    if found is None:
        known = ", ".join(file.stem for file in natives) or "none"
        raise _wrong(folder, f"no character {_shown(name)} here", f"there are: {known}")
    return found


def _picture(card: _Read, source: Path) -> tuple[bytes, bool]:
    """Return the PNG that carries the card, and whether it is a plain one made for it."""
    if card.portrait is not None and card.portrait.suffix == ".png":
        return card.portrait.content, False
    avatar = card.data.get("avatar", "")
    if avatar and not avatar.startswith("https://") and (source.parent / avatar).is_file():
        content = _content(source.parent / avatar)
        if content.startswith(png.SIGNATURE):
            return content, False
    return png.placeholder(), True


def _json(card: dict[str, Any], indent: int | None = None) -> bytes:
    try:
        return json.dumps(card, ensure_ascii=False, allow_nan=False, indent=indent).encode()
    except ValueError:
        raise ConfigError(Where("the card"), "a number under imported: is not finite", "remove it") from None


# --- show -----------------------------------------------------------------------------------------------------------


def show_card(source: Path, as_json: bool) -> int:
    """Print what a card says, and what of it would not be used."""
    card = _read(source)
    if as_json:
        warnings = [*map(output.finding, card.warnings)]
        portrait = card.portrait.suffix.removeprefix(".") if card.portrait else None
        output.show_json({"kind": card.kind, "card": card.data, "portrait": portrait, "warnings": warnings})
        return 0
    output.say(card.kind, "bold")
    for name, text in _facts(card):
        output.say(f"{name}: {_shown(text)}")
    output.show_findings((), card.warnings)
    return 0


def _facts(card: _Read) -> Iterator[tuple[str, str]]:
    data = card.data
    for name in (*_ABOUT, *_TOLD):
        if value := data.get(name):
            yield name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    for name in _COUNTED:
        if data.get(name):
            yield name, str(len(data[name]))
    for name in ("stats", "skills"):
        if data.get(name):
            yield name, ", ".join(f"{key} {number:g}" for key, number in data[name].items() if not key.startswith("x-"))
    if data.get("creator_notes"):
        yield "creator_notes", data["creator_notes"]
    if card.portrait is not None:
        yield "portrait", f"{card.portrait.suffix.removeprefix('.').upper()}, {len(card.portrait.content):,} bytes"
    if kept := _kept(data):
        yield "kept for exports only", ", ".join(kept)


def _shown(text: str) -> str:
    """Return a stranger's text on one line, cut, without what a terminal would obey."""
    line = " ".join(text.split())
    plain = "".join(character if character.isprintable() else "�" for character in line[:_CUT])
    return plain + ("…" if len(line) > _CUT else "")


def _read(source: Path) -> _Read:
    """Read a card of any format. Raise ConfigErrors."""
    content = _content(source)
    if source.suffix.casefold() in _NATIVE:
        card = CardCache().parse(content, str(source))
        if card.errors:
            raise ConfigErrors(card.errors)
        return _Read("native card", card.data)
    foreign = read_card(content, str(source))
    return _Read(foreign.kind, foreign.data, foreign.warnings, foreign.portrait)
