"""Turns the data of a native card into the JSON of a tavern card, V2 or V3. Nothing that an import kept is lost.

What tavern cards have no field for stands under `extensions.homunculus`. Entries that are the game master's alone are
written disabled, so that no other program puts them into a prompt.
"""

from __future__ import annotations

from typing import Any, Literal

from homunculus.characters.decorators import split_decorators
from homunculus.characters.fields import BOOK, CHARACTER, ENTRY, OWN, Field
from homunculus.characters.tavern import OURS, SPECS, join_examples, split_examples

Spec = Literal["chara_card_v2", "chara_card_v3"]

_LISTS = ("alternate_greetings", "tags")
_TEXTS = (
    *("name", "description", "personality", "scenario", "first_mes", "mes_example"),
    *("creator_notes", "system_prompt", "post_history_instructions", "creator", "character_version"),
)
_OF_V3 = frozenset(
    (
        *("assets", "nickname", "creator_notes_multilingual", "source", "group_only_greetings"),
        *("creation_date", "modification_date"),
    )
)


def to_tavern(card: dict[str, Any], spec: Spec | None = None) -> dict[str, Any]:
    """Return a native card's data as a tavern card: as the specification it came in, else V3, unless one is named."""
    imported = card.get("imported", {})
    came = imported.get("spec")
    chosen = spec or (came if came in SPECS else "chara_card_v3")
    version = imported.get("spec_version", SPECS[chosen]) if came == chosen else SPECS[chosen]
    data = _data(card, imported.get("data", {}), v3=chosen == "chara_card_v3")
    return {**imported.get("card", {}), "spec": chosen, "spec_version": version, "data": data}


def for_v2_readers(card: dict[str, Any]) -> dict[str, Any]:
    """Return a V2 card for programs that do not know V3: without its fields, and without decorators in the lore."""
    whole = to_tavern(card, "chara_card_v2")
    data = {name: value for name, value in whole["data"].items() if name not in _OF_V3}
    if "character_book" in data:
        entries = [
            {**entry, "content": split_decorators(entry["content"])[1]} if isinstance(entry["content"], str) else entry
            for entry in data["character_book"]["entries"]
        ]
        data["character_book"] = {**data["character_book"], "entries": entries}
    return {**whole, "data": data}


def _data(card: dict[str, Any], kept: dict[str, Any], *, v3: bool) -> dict[str, Any]:
    data: dict[str, Any] = {**dict.fromkeys(_TEXTS, ""), **{name: [] for name in _LISTS}}
    if v3:
        data["group_only_greetings"] = []
    examples = [str(example) for example in card.get("examples", [])]
    own = _renamed(card, OWN)
    joined = _examples(examples, kept.get("mes_example"))
    if isinstance(joined, str) and split_examples(joined) != examples:
        own["examples"] = examples
    data |= {name: value for name, value in kept.items() if name != "extensions"}
    data |= {**_renamed(card, CHARACTER), "mes_example": joined}
    extensions = kept.get("extensions", {})
    data["extensions"] = {**extensions, OURS: own} if own else extensions
    if "lorebook" in card or "knowledge" in card:
        data["character_book"] = _book(card.get("lorebook", {}), card.get("knowledge", []), v3=v3)
    return data


def _examples(examples: list[str], kept: Any) -> Any:
    """Return the example talk: as it was imported while that still says the same, else written anew."""
    same = split_examples(kept) == examples if isinstance(kept, str) else kept is not None and not examples
    return kept if same else join_examples(examples)


def _renamed(level: dict[str, Any], fields: tuple[Field, ...]) -> dict[str, Any]:
    """Return what stands in a native mapping by the names of foreign cards; what needs more than a name is left out."""
    chosen = [field for field in fields if field.ours in level and field.ours != "examples"]
    return {field.theirs: field.convert(_plain(level[field.ours])) for field in chosen}


def _plain(value: Any) -> Any:
    """Drop the notes of the native format: keys that begin with x-."""
    if isinstance(value, dict):
        return {name: entry for name, entry in value.items() if not name.startswith("x-")}
    return value


def _book(lorebook: dict[str, Any], knowledge: list[dict[str, Any]], *, v3: bool) -> dict[str, Any]:
    return {
        "extensions": {},
        **lorebook.get("imported", {}),
        **({"extensions": lorebook["extensions"]} if "extensions" in lorebook else {}),
        **_renamed(lorebook, BOOK),
        "entries": [_entry(entry, v3=v3) for entry in knowledge],
    }


def _entry(entry: dict[str, Any], *, v3: bool) -> dict[str, Any]:
    scope = entry.get("scope", "character")
    written: dict[str, Any] = {
        "keys": [],
        "extensions": {},
        "enabled": True,
        "insertion_order": 0,
        **({"use_regex": False} if v3 else {}),
        **entry.get("imported", {}),
        **({"extensions": entry["extensions"]} if "extensions" in entry else {}),
        **_renamed(entry, ENTRY),
    }
    if scope != "character":
        ours = {"scope": scope, "enabled": written["enabled"]} if scope == "gm" else {"scope": scope}
        written["extensions"] = {**written["extensions"], OURS: ours}
        written["enabled"] = written["enabled"] and scope != "gm"
    return written
