"""Cards that went wrong on the way: seeds of every format, and what chance or malice makes of them."""

from __future__ import annotations

import json
import random
import zlib
from base64 import b64encode
from collections.abc import Iterator

from tests.unit.characters.cards import (
    V1,
    V2,
    V3,
    archive,
    as_json,
    based,
    charx,
    chunk,
    compressed,
    international,
    png,
    text,
)

SEEDS: tuple[tuple[str, bytes], ...] = (
    ("a.json", as_json(V1)),
    ("a.json", json.dumps(V2, indent=1).encode()),
    ("a.json", as_json(V3)),
    ("a.png", png(text("chara", based(V2)), after=text("ccv3", based(V3)))),
    ("a.png", png(compressed("chara", based(V2)))),
    ("a.png", png(international("ccv3", based(V3), packed=True))),
    ("a.charx", charx(V3, {"assets/icon.png": png()})),
    ("a.charx", charx(V2, method=0)),
)
_TOKENS = (
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"null",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"true",
        b"\\u0000",
        b"\\ud83d",
    ),
    *(b"\xff", b"\0", b"\n", b"../", b"@@depth 2\\n", b"{{char}}", b"/(a+)+$/", b"PK\x01\x02", b"IEND", b"tEXtchara\0"),
)


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield files: bytes changed, cut, repeated and moved; in pictures, checksums put right again for most."""
    chance = random.Random(seed)
    for _ in range(count):
        file, content = chance.choice(SEEDS)
        if file == "a.png" and chance.random() < 0.7:
            yield file, _within_picture(chance)
        elif file == "a.charx" and chance.random() < 0.7:
            yield file, _within_archive(chance)
        else:
            yield file, changed(chance, content)


def changed(chance: random.Random, content: bytes) -> bytes:
    """Change a few places of a content."""
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 1, 4, 40, 400)))
        match chance.randrange(7):
            case 0:
                data[at:to] = chance.randbytes(to - at)
            case 1:
                del data[at:to]
            case 2:
                data[at:at] = data[at:to] * chance.choice((1, 3, 60))
            case 3:
                data[at:at] = chance.choice(_TOKENS)
            case 4:
                data[at:to] = chance.choice(_TOKENS)
            case 5:
                data[at:to] = bytes(data[at:to]).swapcase()
            case _:
                other = chance.randrange(len(data) + 1)
                data[at:at] = data[other : other + 40]
    return bytes(data)


def _within_picture(chance: random.Random) -> bytes:
    """Change what a chunk holds, so that the reader gets further than its checksum."""
    card = changed(chance, as_json(chance.choice((V1, V2, V3))))
    keyword = chance.choice(("chara", "ccv3", "cHaRa", "CCV3", "ccv3\0", ""))
    if chance.random() < 0.5:
        whole = zlib.compress(b64encode(card))
        stream = changed(chance, whole) if chance.random() < 0.5 else whole
        return png(after=chunk(b"zTXt", keyword.encode() + b"\0" + chance.choice((b"\0", b"\1", b"")) + stream))
    kind = chance.choice((b"tEXt", b"tEXt", b"iTXt", b"zTXt"))
    packed = b64encode(card)
    return png(chunk(kind, keyword.encode() + b"\0" + (changed(chance, packed) if chance.random() < 0.3 else packed)))


def _within_archive(chance: random.Random) -> bytes:
    """Change the card in an archive, or the name of another file, so that the reader gets further than its directory."""
    name = chance.choice(("a.png", "../a.png", "/a", "a\\b", "card.json/x", "CARD.JSON", "a" * 300))
    return archive({"card.json": changed(chance, as_json(chance.choice((V1, V2, V3)))), name: b"x"})
