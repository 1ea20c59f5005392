"""Cards made to fill a memory or hold a program up, and the largest ones that are taken. Run, it measures a folder of them.

Prints a line a card: its name, and how many KiB of memory reading it took at most.
"""

from __future__ import annotations

import base64
import ctypes
import gc
import json
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from homunculus.characters.card import read_card
from homunculus.errors import ConfigErrors
from tests.unit.characters.cards import (
    IDAT,
    IEND,
    IHDR,
    SIGNATURE,
    V1,
    V2_DATA,
    archive,
    as_json,
    based,
    charx,
    chunk,
    png,
    text,
)

MIB = 1024 * 1024
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
Bomb = Callable[[], tuple[str, bytes, str]]


def _zeros(mebibytes: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(mebibytes)), packer.flush()])


def _many_entries() -> bytes:
    """Return an archive whose directory alone would fill the memory."""
    name = b"a"
    entry = (
        b"PK\x01\x02"
        + struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0)
        + name
    )
    whole = entry * 150_000
    return whole + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, len(whole), 0, 0)


def _lying_archive() -> bytes:
    """Return an archive that says its card is small and inflates it to 40 MiB."""
    content = bytearray(archive({"card.json": bytes(40 * MIB)}))
    for begin, size in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(begin) + size
        content[at : at + 4] = struct.pack("<I", 1000)
    return bytes(content)


BOMBS: dict[str, Bomb] = {
    "a file of 9 MiB": lambda: ("a.json", b" " * 9 * MIB, "at most 8 MiB are read"),
    "a text of 3 MiB": lambda: ("a.json", b'{"name": "' + b"a" * 3 * MIB + b'"}', "at most 2 MiB are read"),
    "a text of 3 MiB in a picture": lambda: (
        "a.png",
        png(text("chara", based({**V1, "x": "a" * 3 * MIB}))),
        "at most 2 MiB",
    ),
    "zTXt of 256 MiB": lambda: ("a.png", png(chunk(b"zTXt", b"chara\0\0" + _zeros(256))), "more than 2 MiB"),
    "iTXt of 64 MiB": lambda: ("a.png", png(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + _zeros(64))), "more than 2 MiB"),
    "an archive of 64 MiB": lambda: ("a.charx", archive({"card.json": bytes(64 * MIB)}), "more than 2 MiB"),
    "an archive that lies": lambda: ("a.charx", _lying_archive(), "the zip archive is damaged"),
    "150,000 files": lambda: ("a.charx", _many_entries(), "more than 1000 files"),
    "1,000,000 brackets": lambda: ("a.json", b"[" * MIB, "nested more than 40 levels"),
    "400,000 lists": lambda: ("a.json", b'{"name":[' + b"[]," * 400_000 + b"[]]}", "more than 100,000 values"),
    "300,000 numbers": lambda: ("a.json", b'{"name":[' + b"1," * 300_000 + b"1]}", "more than 100,000 values"),
    "a number of 1,000,000 digits": lambda: (
        "a.json",
        b'{"name":' + b"9" * 1_000_000 + b"}",
        "a number of 1000000 digits",
    ),
    "600,000 chunks": lambda: (
        "a.png",
        SIGNATURE + IHDR + chunk(b"teXt", b"") * 600_000 + IDAT + IEND,
        "more than 20,000 chunks",
    ),
    "an XML bomb": lambda: ("a.json", b"<!ENTITY a 'b'>" * 1000, "not valid JSON"),
}


def _wordy() -> bytes:
    """Return a card of nearly 2 MiB of prose in three scripts."""
    prose = "The cellar, 地窖, подвал.\n" * 9000
    return as_json({**V1, "description": prose * 2, "personality": prose, "mes_example": prose})


def _lore() -> bytes:
    entries = [
        {"keys": [f"key {n}", "a"], "content": "yes, " * 150, "extensions": {}, "enabled": True, "insertion_order": n}
        for n in range(2000)
    ]
    return as_json(
        {"spec": "chara_card_v2", "spec_version": "2.0", "data": {**V2_DATA, "character_book": {"entries": entries}}}
    )


LARGE: dict[str, Callable[[], tuple[str, bytes]]] = {
    "much prose": lambda: ("a.json", _wordy()),
    "much lore": lambda: ("a.json", _lore()),
    "99,000 values": lambda: ("a.json", as_json({**V1, "x": [0] * 99_000})),
    "45,000 lists": lambda: ("a.json", as_json({**V1, "x": [[[]]] * 30_000})),
    "45,000 keys": lambda: ("a.json", as_json({**V1, "x": {f"k{n}": {} for n in range(45_000)}})),
    "a picture of 7 MiB": lambda: ("a.png", png(text("chara", based(V1)), chunk(b"prVt", bytes(7 * MIB)))),
    "a portrait of 7 MiB": lambda: (
        "a.charx",
        charx(_with_icon(), {"i.png": png() + bytes(7 * MIB)}, zipfile.ZIP_STORED),
    ),
    "a portrait that inflates": lambda: ("a.charx", charx(_with_icon(), {"i.png": png() + bytes(60 * MIB)})),
    "a portrait in base64": lambda: (
        "a.json",
        as_json(_with_icon("data:image/png;base64," + base64.b64encode(png() + bytes(MIB)).decode())),
    ),
    "characters of three bytes": lambda: (
        "a.json",
        json.dumps({**V1, "description": "\u2028" * 600_000}, ensure_ascii=False).encode(),
    ),
}


def _with_icon(uri: str = "embeded://i.png") -> dict[str, object]:
    return {
        "spec": "chara_card_v3",
        "spec_version": "3.0",
        "data": {**V2_DATA, "assets": [{"type": "icon", "uri": uri, "name": "main", "ext": "png"}]},
    }


def _kib(field: str) -> int:
    """Return a figure of this process in KiB: VmRSS now, VmHWM the most since it was last reset."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1])


def _measure(folder: Path) -> None:
    read_card(as_json(V1), "warm.json")
    read_card(png(text("chara", based(V1))), "warm.png")
    read_card(charx(), "warm.charx")
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what earlier ones left free would hide what this one takes
        RESET.write_text("5")  # the most there ever was begins anew
        before = _kib("VmRSS")
        with suppress(ConfigErrors):
            read_card(content, file.name)
        print(file.stem, max(0, _kib("VmHWM") - before))


def lay_out(folder: Path) -> None:
    """Write every one of them into a folder, for `python -m tests.unit.characters.bombs FOLDER`."""
    bombs = {name: bomb()[:2] for name, bomb in BOMBS.items()}
    for name, (file, content) in {**bombs, **{name: card() for name, card in LARGE.items()}}.items():
        (folder / name).with_suffix(Path(file).suffix).write_bytes(content)


if __name__ == "__main__":
    _measure(Path(sys.argv[1]))
