"""Cards as other programs write them, made without the code under test: JSON, PNG chunks, CHARX archives."""

from __future__ import annotations

import base64
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import Any

Data = dict[str, Any]

V1: Data = {
    "name": "Seraphina",
    "description": "A guardian of the forest.",
    "personality": "Gentle.",
    "scenario": "{{user}} wakes up in a glade.",
    "first_mes": "*She smiles.* You are safe, {{user}}.",
    "mes_example": "<START>\n{{user}}: Who are you?\n{{char}}: A friend.\n<START>\n{{char}}: Rest.",
}
ENTRY: Data = {
    "keys": ["glade", "forest"],
    "content": "The glade is warded.",
    "extensions": {"depth": 4, "nested": [{"x": None}]},
    "enabled": True,
    "insertion_order": 100,
    "case_sensitive": False,
    "name": "Glade",
    "priority": 10,
    "id": 7,
    "comment": "the place",
    "selective": True,
    "secondary_keys": ["ward"],
    "constant": False,
    "position": "before_char",
}
BOOK: Data = {
    "name": "Lore",
    "description": "Of the forest.",
    "scan_depth": 3,
    "token_budget": 400,
    "recursive_scanning": True,
    "extensions": {"theirs": 1},
    "entries": [ENTRY],
}
V2_DATA: Data = {
    **V1,
    "creator_notes": "Best with a long context.",
    "system_prompt": "{{original}} Be kind.",
    "post_history_instructions": "Stay gentle.",
    "alternate_greetings": ["Hm?", "You again!"],
    "character_book": BOOK,
    "tags": ["forest", "fantasy"],
    "creator": "somebody",
    "character_version": "1.2",
    "extensions": {"talkativeness": 0.5, "depth_prompt": {"prompt": "x", "depth": 4}},
}
V2: Data = {"spec": "chara_card_v2", "spec_version": "2.0", "data": V2_DATA}
V3_DATA: Data = {
    **V2_DATA,
    "character_book": {**BOOK, "entries": [{**ENTRY, "use_regex": False}]},
    "nickname": "Sera",
    "assets": [{"type": "icon", "uri": "ccdefault:", "name": "main", "ext": "png"}],
    "creator_notes_multilingual": {"de": "Hallo"},
    "source": ["https://example.org/1"],
    "group_only_greetings": ["All of you?"],
    "creation_date": 1700000000,
    "modification_date": 1700000001,
}
V3: Data = {"spec": "chara_card_v3", "spec_version": "3.0", "data": V3_DATA}


def as_json(card: Any) -> bytes:
    """Return a card's JSON."""
    return json.dumps(card, ensure_ascii=False).encode()


def based(card: Any) -> bytes:
    """Return a card as PNG chunks hold it."""
    return base64.b64encode(as_json(card))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def text(keyword: str, content: bytes) -> bytes:
    """Return a tEXt chunk."""
    return chunk(b"tEXt", keyword.encode() + b"\0" + content)


def compressed(keyword: str, content: bytes) -> bytes:
    """Return a zTXt chunk."""
    return chunk(b"zTXt", keyword.encode() + b"\0\0" + zlib.compress(content))


def international(keyword: str, content: bytes, *, packed: bool = False) -> bytes:
    """Return an iTXt chunk, compressed or not."""
    head = keyword.encode() + b"\0" + (b"\1\0" if packed else b"\0\0") + b"en\0translated\0"
    return chunk(b"iTXt", head + (zlib.compress(content) if packed else content))


IHDR = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
IDAT = chunk(b"IDAT", zlib.compress(b"\0\x80"))
IEND = chunk(b"IEND", b"")
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(*before: bytes, after: bytes = b"") -> bytes:
    """Return a picture of one pixel with chunks before and after its data."""
    return SIGNATURE + IHDR + b"".join(before) + IDAT + after + IEND


def chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """List the chunks of a picture."""
    found, at = [], 8
    while at < len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += size + 12
    return found


def charx(card: Any = V3, files: Mapping[str, bytes] | None = None, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a CHARX archive of a card and further files."""
    return archive({"card.json": as_json(card), **(files or {})}, method)


def archive(files: Mapping[Any, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive; names may be a ZipInfo."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", method) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return out.getvalue()
