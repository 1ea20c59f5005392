"""Changes a deployment's text in place: everything outside the changed value stays byte for byte.

Owns splicing and its proof: a changed text is read again, and must say what it said before but for the change. Pure: never
opens a file, and never checks what a value means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from homunculus.config.reader import read
from homunculus.config.source import Piece, Source, pieces
from homunculus.config.words import Path, masked
from homunculus.config.write import line, word
from homunculus.errors import ConfigError, ConfigErrors, Where

_BOM = b"\xef\xbb\xbf"
_BY_HAND = "change it by hand"


def written_character(content: bytes, agent_id: str) -> str | None:
    """Return the character that a text gives an agent; None when it has no such agent. Raise ConfigErrors."""
    data = read(content, "the deployment file").data
    found = [_at(data, path) for path in _characters(data, agent_id)]
    return str(found[0]) if found and found[0] is not None else None


def with_character(content: bytes, file: str, agent_id: str, character: str) -> bytes:
    """Give an agent another character, wherever the file writes that agent. Raise ConfigError when that cannot be spliced."""
    paths = _characters(read(content, file).data, agent_id)
    if not paths:
        raise ConfigError(Where(file), f'there is no agent "{masked(agent_id)}"', "add it under agents")
    for path in paths:
        content = put(content, file, path, character)
    return content


def put(content: bytes, file: str, path: Path, value: str) -> bytes:
    """Set the text at a path of keys, adding the last key where it is not written. Raise ConfigError, ConfigErrors."""
    before = read(content, file)
    mark = _BOM if content.startswith(_BOM) else b""
    text = _spliced(before, path, value)
    changed = mark + text.encode()
    try:
        after = read(changed, file)
    except ConfigErrors:
        raise _unable(before, path) from None
    if after.faults != before.faults or after.data != _with(before.data, path, value):
        raise _unable(before, path)
    return changed


def _characters(data: Any, agent_id: str) -> list[Path]:
    """Return where the character of an agent stands: under `agents`, or in each channel that writes it in place."""
    if not isinstance(data, dict):
        return []
    agents, channels = data.get("agents"), data.get("channels")
    if isinstance(agents, dict) and agent_id in agents:
        return [("agents", agent_id, "character")]
    entries = enumerate(channels) if isinstance(channels, list) else ()
    return [("channels", index, "character") for index, entry in entries if _in_place(entry, agent_id)]


def _in_place(entry: Any, agent_id: str) -> bool:
    return isinstance(entry, dict) and "agent_id" not in entry and str(entry.get("memory_namespace")) == agent_id


# --- splicing -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """One node of a text and, of a collection, its entries by key or position."""

    piece: Piece
    entries: dict[str | int, _Node] = field(default_factory=dict)
    first: Piece | None = None  # the first key of a mapping


def _spliced(before: Source, path: Path, value: str) -> str:
    text, *parents, last = before.text, *path
    node, flow = _tree(pieces(text)), False
    for part in parents:
        flow = flow or bool(node.piece.value)
        found = node.entries.get(part)
        if found is None or found.piece.kind == "alias":
            raise _unable(before, path)
        node = found
    flow = flow or bool(node.piece.value)
    new = word(value) if flow else line(value)
    if (old := node.entries.get(last)) is not None and old.piece.kind in ("scalar", "alias"):
        kept = _in_quotes(old.piece, new)
        return f"{text[: old.piece.begin]}{kept}{text[old.piece.end :]}"
    if old is not None or node.first is None:
        raise _unable(before, path)
    at = node.first.begin
    between = ", " if flow else f"{_line_break(text)}{' ' * node.first.column}"
    return f"{text[:at]}{word(str(last))}: {new}{between}{text[at:]}"


def _tree(events: Iterator[Piece]) -> _Node:
    return _node(next(events), events)


def _node(piece: Piece, events: Iterator[Piece]) -> _Node:
    node = _Node(piece)
    if piece.kind == "sequence":
        for index, item in enumerate(_until_end(events)):
            node.entries[index] = _node(item, events)
    elif piece.kind == "mapping":
        for key in _until_end(events):
            node.first = node.first or key
            _node(key, events)
            node.entries[key.value] = _node(next(events), events)
    return node


def _until_end(events: Iterator[Piece]) -> Iterator[Piece]:
    for event in events:
        if event.kind == "end":
            return
        yield event


def _in_quotes(old: Piece, new: str) -> str:
    """Keep the quotation marks that a person chose, where they say the same."""
    if new.startswith('"') or old.quote not in ("'", '"') or old.quote in new or "\\" in new:
        return new
    return f"{old.quote}{new}{old.quote}"


def _line_break(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


# --- the proof ------------------------------------------------------------------------------------------------------


def _at(data: Any, path: Path) -> Any:
    for part in path:
        if isinstance(data, dict):
            data = data.get(str(part))
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
        else:
            return None
    return data


def _with(data: Any, path: Path, value: str) -> Any:
    """Return data with another value at a path; what is shared with other places stays as it was there."""
    if not path:
        return value
    part, *rest = path
    copy: Any = dict(data) if isinstance(data, dict) else list(data)
    copy[part] = _with(data.get(part) if isinstance(data, dict) else data[part], tuple(rest), value)
    return copy


def _unable(before: Source, path: Path) -> ConfigError:
    fault = "it cannot be changed without changing something else, as through a YAML anchor"
    return ConfigError(before.key(path), fault, _BY_HAND)
