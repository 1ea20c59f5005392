"""The characters folder: which cards there are, and what each says. Never knows who uses one.

A card's name is its file's stem, compared after NFC and case-folding. A faulty card is an error where an agent uses it and
a warning elsewhere.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from homunculus.config.card import FOREIGN, NATIVE, Card, CardCache
from homunculus.config.draft import Draft, text, texts
from homunculus.config.files import is_file, is_folder
from homunculus.config.words import Path, did_you_mean, masked, shown
from homunculus.errors import ConfigError, Where
from homunculus.model import Character, Knowledge, Lorebook

_STEM = re.compile(r"[\w-]+\Z")  # Unicode letters and digits, _ and -
_PLAIN = (
    "description",
    "personality",
    "background",
    "scenario",
    "language",
    "greeting",
    "system_prompt",
    "post_history",
    "creator",
    "creator_notes",
)
_ENTRY = (
    *("content", "scope", "enabled", "constant", "selective", "insertion_order", "priority"),
    *("case_sensitive", "use_regex", "position"),
)
_BOOK = ("scan_depth", "token_budget", "recursive_scanning")


@dataclass(slots=True)
class Cards:
    """The characters a deployment file can refer to, and those it does."""

    draft: Draft
    cache: CardCache
    folder: FilePath
    folder_missing: bool = False
    errors: list[ConfigError] = field(default_factory=list)
    warnings: list[ConfigError] = field(default_factory=list)
    _files: dict[str, list[FilePath]] = field(default_factory=dict)
    _foreign: dict[str, FilePath] = field(default_factory=dict)
    _used: dict[FilePath, Card | None] = field(default_factory=dict)
    _characters: dict[FilePath, Character] = field(default_factory=dict)

    def find(self, written: str, path: Path) -> tuple[Character, Card] | None:
        """Return the character that `path` in the deployment file refers to; report it when there is none."""
        if FilePath(written).suffix.casefold() in (*NATIVE, *FOREIGN) or "/" in written or "\\" in written:
            return self._at(written, path)
        found = self._files.get(_folded(written))
        if not found:
            self._absent(written, path)
            return None
        return self._load(found[0], path)

    def check_unused(self) -> None:
        """Warn of faulty cards that no agent uses."""
        for files in self._files.values():
            for file in files:
                if file not in self._used:
                    self.warnings.extend(self._read(file).errors)

    def _at(self, written: str, path: Path) -> tuple[Character, Card] | None:
        """Load a card named by its file, relative to the deployment file."""
        try:
            file = self.draft.files.beside(written)
        except ValueError as error:
            self.draft.findings.error(path, str(error), "write the name of a character")
            return None
        return self._load(file, path)

    def _load(self, file: FilePath, path: Path) -> tuple[Character, Card] | None:
        if file not in self._used:
            try:
                self._used[file] = card = self._read(file)
                self.errors.extend(card.errors)
                self.warnings.extend(card.warnings)
            except OSError:
                self._used[file] = None
        card_or_none = self._used[file]
        if card_or_none is None:
            near = self._files.get(_folded(file.stem))
            fix = f"did you mean {shown(near[0].stem)}?" if near else "write the path of a card that is there"
            self.draft.findings.error(path, f"no card {self.draft.files.shown(file)}", fix)
        if card_or_none is None or card_or_none.errors:
            return None
        if file not in self._characters:
            self._characters[file] = self._character(card_or_none, file)
        return self._characters[file], card_or_none

    def _read(self, file: FilePath) -> Card:
        return self.cache.parse(self.draft.files.bytes(file), self.draft.files.shown(file))

    def _absent(self, written: str, path: Path) -> None:
        """Word why a name leads to no card, and watch for the file that would heal it."""
        if _STEM.match(written):
            self.draft.files.watched.add(self.folder / f"{written}.yaml")
        if self.folder_missing:
            return  # reported once, where the folder is named
        place = self.draft.files.shown(self.folder)
        foreign = self._foreign.get(_folded(written))
        if not _STEM.match(written):
            fault, fix = f"{shown(written)} cannot be a character's name", "use letters, digits, _ and -"
        elif foreign:
            fault = f"no character {shown(written)} in {place}"
            beside = FilePath(os.path.relpath(foreign, self.draft.files.file.parent)).as_posix()
            fix = f"write {beside}, or import it: homunculus card import {self.draft.files.shown(foreign)}"
        else:
            stems = [files[0].stem for files in self._files.values()]
            fault = f"no character {shown(written)} in {place}"
            fix = did_you_mean(written, stems, f"write {masked(written)}.yaml there")
        self.draft.findings.error(path, fault, fix)

    def _character(self, card: Card, file: FilePath) -> Character:
        data = card.data
        return Character(
            stem=unicodedata.normalize("NFC", file.stem),
            name=text(data["name"]),
            nickname=text(data.get("nickname", "")),
            avatar=self._avatar(card, file),
            examples=texts(data.get("examples")),
            ruleset=text(data.get("ruleset", "")),
            stats=_numbers(data.get("stats", {})),
            skills=_numbers(data.get("skills", {})),
            inventory=texts(data.get("inventory")),
            knowledge=tuple(_lore(entry) for entry in data.get("knowledge", ())),
            lorebook=Lorebook(**{key: data["lorebook"][key] for key in _BOOK if key in data.get("lorebook", {})}),
            alternate_greetings=texts(data.get("alternate_greetings")),
            group_only_greetings=texts(data.get("group_only_greetings")),
            character_version=text(data.get("character_version", "")),
            tags=texts(data.get("tags")),
            path=self.draft.files.shown(file),
            **{key: data[key] for key in _PLAIN if key in data},
        )

    def _avatar(self, card: Card, file: FilePath) -> str:
        if file.suffix.casefold() == ".png":
            return str(file)  # the card is its own portrait
        written: str = card.data.get("avatar", "")
        if not written or written.startswith("https://"):
            return written
        portrait = self.draft.files.beside(written, file)
        self.draft.files.watched.add(portrait)
        if not is_file(portrait) and card.source is not None:
            where = card.source.value(("avatar",))
            hint = "put the picture beside the card"
            missing = ConfigError(where, f"{self.draft.files.shown(portrait)} does not exist", hint)
            if missing.args not in [warning.args for warning in self.warnings]:
                self.warnings.append(missing)
        return str(portrait)


def open_cards(draft: Draft, cache: CardCache) -> Cards:
    """List the characters folder; report a folder that is not there and files that share one name."""
    folder, missing = _folder(draft)
    cards = Cards(draft, cache, folder, missing)
    for file in draft.files.folder(folder):
        if file.suffix.casefold() in NATIVE and not file.name.startswith(".") and is_file(file):
            cards._files.setdefault(_folded(file.stem), []).append(file)
        elif file.suffix.casefold() in (".json", ".charx"):  # a .png beside a card is its portrait
            cards._foreign[_folded(file.stem)] = file
    for several in cards._files.values():
        for later in several[1:]:
            where = Where(draft.files.shown(later))
            fault = f"the same character as {several[0].name}: names are compared without case"
            cards.errors.append(ConfigError(where, fault, "rename one of them"))
    return cards


def _folder(draft: Draft) -> tuple[FilePath, bool]:
    written = draft.data.get("characters")
    if written is None:
        beside, above = (draft.files.beside(name) for name in ("characters", "../characters"))
        draft.files.watched.update((beside, above))
        return (above if is_folder(above) and not is_folder(beside) else beside), draft.doubtful(("characters",))
    try:
        folder = draft.files.beside(written)
    except ValueError as error:
        draft.findings.error(("characters",), str(error), "write the path of a folder")
        return draft.files.beside("characters"), True
    there = is_folder(folder)
    if not there:
        draft.findings.error(("characters",), f"no folder {draft.files.shown(folder)}", "make it, or name another")
    return folder, not there


def _folded(stem: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())


def _numbers(entries: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((name, number) for name, number in entries.items() if not name.startswith("x-"))


def _lore(entry: dict[str, Any]) -> Knowledge:
    written = {key: entry[key] for key in _ENTRY if key in entry}
    name, secondary = text(entry.get("name", "")), texts(entry.get("secondary_keys"))
    return Knowledge(keys=texts(entry["keys"]), name=name, secondary_keys=secondary, **written)


def report_card(cards: Cards, card: Card, path: Path, message: str, hint: str) -> None:
    """Report a fault of a card that only its use shows, in the card's own file."""
    if card.source is not None:
        cards.errors.append(ConfigError(card.source.value(path), message, hint))
