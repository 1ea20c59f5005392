"""Turns the JSON of a foreign card into the data of a native one: v0.1, tavern V1, V2, V3 and whatever comes after.

Sources: chara_card_v2 (malfoyslastname/character-card-spec-v2), chara_card_v3 (kwaroran/character-card-spec-v3). What
has no place in a native card is kept under `imported:`, out of every prompt, so that an export has it again. A card sets
no path, no token, no model and no adapter: no field of one ever becomes such a key.
"""

from __future__ import annotations

import re
from typing import Any

from homunculus.characters.fields import BOOK, CHARACTER, ENTRY, MAX_ENTRIES, OWN, Conversion, texts
from homunculus.characters.fields import UNFIT as _UNFIT
from homunculus.characters.json_text import Json, Path
from homunculus.errors import ConfigError, ConfigErrors

START = "<START>"
SPECS = {"chara_card_v2": "2.0", "chara_card_v3": "3.0"}
OURS = "homunculus"  # our key in `extensions`
ORDER = (
    *("name", "nickname", "description", "personality", "background", "scenario", "language", "avatar"),
    *("greeting", "alternate_greetings", "group_only_greetings", "examples", "system_prompt", "post_history"),
    *("ruleset", "stats", "skills", "inventory", "lorebook", "knowledge"),
    *("creator", "character_version", "tags", "creator_notes", "imported"),
)
_SPEC = re.compile(r"chara_card_v([0-9]{1,3})\Z")
_VERSION = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4})?\Z")
_STARTS = re.compile(r"^[ \t]*<START>[ \t]*(?:\r?\n|\Z)|<START>", re.IGNORECASE | re.MULTILINE)
_V1 = frozenset(("name", "description", "personality", "scenario", "first_mes", "mes_example"))
_V01 = frozenset(("background", "stats", "skills", "inventory"))
_LIKELY = _V1 | _V01


def convert(source: Json, stem: str) -> tuple[str, dict[str, Any], tuple[ConfigError, ...]]:
    """Return what kind of card this is, its native data in the order of `ORDER`, and what there is to tell.

    `stem` names a card that has no name. Raise ConfigErrors when the JSON is no character card.
    """
    root = source.data
    if not isinstance(root, dict):
        raise _refused(source, "a character card is a mapping in braces", "export the card again")
    conversion = Conversion(source)
    if isinstance(root.get("data"), dict) and ("spec" in root or _LIKELY & root["data"].keys()):
        if root.get("spec") == "lorebook_v3":
            raise _refused(
                source, "this is a lorebook without a character", "copy its entries under knowledge: of a card"
            )
        kind, card = _with_data(conversion, root)
    else:
        if not _LIKELY & root.keys():
            raise _refused(source, "this JSON is no character card", "a card has at least a name and a description")
        kind, card = _flat(conversion, root)
    return kind, _completed(conversion, card, stem), conversion.warnings


def _refused(source: Json, fault: str, fix: str) -> ConfigErrors:
    return ConfigErrors((ConfigError(source.where(), fault, fix),))


# --- the two layouts ------------------------------------------------------------------------------------------------


def _with_data(conversion: Conversion, root: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Convert a card whose fields stand under `data`: V2 and later."""
    spec, version = _spec(conversion, root)
    card, rest = _character(conversion, root["data"], ("data",), v3=spec != "chara_card_v2")
    beside = {name: value for name, value in root.items() if name not in {"spec", "spec_version", "data", *_V1}}
    imported: dict[str, Any] = {"spec": spec, "spec_version": version}
    if rest:
        imported["data"] = conversion.kept(rest, ("data",))
    if beside:
        imported["card"] = conversion.kept(beside, ())
    card["imported"] = imported
    return f"Tavern V{spec.removeprefix('chara_card_v')}", card


def _flat(conversion: Conversion, root: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Convert a card whose fields stand at the root: V1 and our own v0.1."""
    own, rest = conversion.take(root, (), OWN)
    card, rest = _character(conversion, rest, (), v3=False)
    if rest:
        card["imported"] = {"data": conversion.kept(rest, ())}
    return "v0.1" if own and "first_mes" not in root else "Tavern V1", {**card, **own}


def _spec(conversion: Conversion, root: dict[str, Any]) -> tuple[str, str]:
    """Return the specification a card follows and its version; tell when we do not know it."""
    written, version = root.get("spec"), root.get("spec_version")
    found = _SPEC.match(written) if isinstance(written, str) else None
    if found is None:
        conversion.warn(("spec",), "this names no specification we know; read as chara_card_v2")
        return "chara_card_v2", SPECS["chara_card_v2"]
    spec = found[0] if found[0] in SPECS else "chara_card_v3" if int(found[1]) > 3 else "chara_card_v2"
    if found[0] != spec:
        conversion.warn(("spec",), f"the card follows {found[0]}, which is not known here; read as {spec}")
        return spec, SPECS[spec]
    version = str(version) if isinstance(version, str | float | int) and _VERSION.match(str(version)) else SPECS[spec]
    if float(version) > float(SPECS[spec]):
        known = f"version {SPECS[spec]} is known here; what is new in {version} is kept and not used"
        conversion.warn(("spec_version",), known, "look for a newer version of this program")
    return spec, version


# --- the levels -----------------------------------------------------------------------------------------------------


def _character(
    conversion: Conversion, level: dict[str, Any], path: Path, *, v3: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Convert the level that holds the character; return it, and what has no place in it."""
    card, rest = conversion.take(level, path, CHARACTER)
    card["examples"] = split_examples(card.pop("examples", ""))
    if join_examples(card["examples"]) != level.get("mes_example", "") and isinstance(level.get("mes_example"), str):
        rest["mes_example"] = level["mes_example"]  # written in a way of its own: an export has it as it was
    extensions = conversion.mapping(rest, "extensions", path)
    ours = extensions.get(OURS)
    if isinstance(ours, dict):
        card.update(_ours(conversion, ours, (*path, "extensions", OURS), level))
        extensions = {name: value for name, value in extensions.items() if name != OURS}
    if extensions:
        rest["extensions"] = extensions
    book = conversion.mapping(rest, "character_book", path)
    if isinstance(level.get("character_book"), dict):
        card["lorebook"], card["knowledge"] = _book(conversion, book, (*path, "character_book"), v3=v3)
    return card, rest


def _ours(conversion: Conversion, ours: dict[str, Any], path: Path, level: dict[str, Any]) -> dict[str, Any]:
    """Take what an export of ours wrote for itself; unknown keys of it mean nothing."""
    card, rest = conversion.take(ours, path, OWN)
    examples = texts(rest.get("examples", _UNFIT))
    if examples is not _UNFIT and join_examples(examples) == level.get("mes_example"):
        card["examples"] = examples
    return card


def _book(conversion: Conversion, book: dict[str, Any], path: Path, *, v3: bool) -> tuple[dict[str, Any], list[Any]]:
    settings, rest = conversion.take(book, path, BOOK)
    entries = rest.pop("entries", [])
    listed = list(entries.items() if isinstance(entries, dict) else enumerate(entries)) if _several(entries) else []
    if not _several(entries):
        conversion.warn((*path, "entries"), "not used: this is not a list")
    if len(listed) > MAX_ENTRIES:
        conversion.warn((*path, "entries"), f"only the first {MAX_ENTRIES:,} entries are taken", "split the lorebook")
    _keep(conversion, settings, rest, path)
    found = [_entry(conversion, entry, (*path, "entries", key), v3=v3) for key, entry in listed[:MAX_ENTRIES]]
    return settings, [entry for entry in found if entry is not None]


def _several(entries: Any) -> bool:
    return isinstance(entries, list | dict)


def _entry(conversion: Conversion, level: Any, path: Path, *, v3: bool) -> dict[str, Any] | None:
    if not isinstance(level, dict):
        conversion.warn(path, "dropped: this is not an entry")
        return None
    entry, rest = conversion.take(level, path, ENTRY)
    entry = {"keys": [], "content": "", **entry}
    extensions = rest.get("extensions")
    ours = extensions.get(OURS) if isinstance(extensions, dict) else None
    if isinstance(extensions, dict) and isinstance(ours, dict):
        rest["extensions"] = {name: value for name, value in extensions.items() if name != OURS}
        if ours.get("scope") in ("public", "character", "gm"):
            entry["scope"] = ours["scope"]
        if isinstance(ours.get("enabled"), bool):
            entry["enabled"] = ours["enabled"]
    written_always = {"enabled": True, "insertion_order": 0, "scope": "character"} | (
        {"use_regex": False} if v3 else {}
    )
    for name, default in written_always.items():
        if entry.get(name) == default:
            del entry[name]
    _keep(conversion, entry, rest, path)
    return entry


def _keep(conversion: Conversion, level: dict[str, Any], rest: dict[str, Any], path: Path) -> None:
    """Keep what has no place of its own at a level: its extensions, and unknown fields."""
    extensions = conversion.mapping(rest, "extensions", path)
    if extensions:
        level["extensions"] = conversion.kept(extensions, (*path, "extensions"))
    if rest:
        level["imported"] = conversion.kept(rest, path)


# --- the whole ------------------------------------------------------------------------------------------------------


def _completed(conversion: Conversion, card: dict[str, Any], stem: str) -> dict[str, Any]:
    """Return the card in the order people read it, without what is empty, and with what a native card must have."""
    if not card.get("name"):
        conversion.warn((), "the card has no name; it is called after its file", "write name: in the new card")
        card["name"] = stem or "Nameless"
    if not any(card.get(name) for name in ("description", "personality")):
        conversion.warn((), "the card says nothing about who this is", "write description: in the new card")
    card.setdefault("description", "")
    needed = ("name", "description", "lorebook")
    return {name: card[name] for name in ORDER if name in card and (card[name] or name in needed)}


def split_examples(text: str) -> list[str]:
    """Split example talk where `<START>` begins a new one."""
    return [part for part in (found.strip("\r\n") for found in _STARTS.split(text)) if part.strip()]


def join_examples(examples: list[str]) -> str:
    """Write examples as foreign cards do."""
    return "\n".join(f"{START}\n{example}" for example in examples)
