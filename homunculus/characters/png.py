"""The chunks of a PNG that carry a card. The only importer of pypng; never decodes a pixel.

A card is base64 of UTF-8 JSON in a text chunk (tEXt, zTXt or iTXt, before or after IDAT) named `ccv3` (V3, wins) or
`chara` (V2), whatever the case.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO

import png

from homunculus.errors import ConfigError, ConfigErrors, Where

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_INFLATED = 2 * 1024 * 1024
_MOST_CHUNKS = 20_000
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_CARD = (b"ccv3", b"chara")  # the first of these that is there is read
_ASSET = b"chara-ext-asset_"
_PLACEHOLDER = (96, 128)  # pixels of the plain picture an export makes where there is none

Chunk = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Embedded:
    """A card as it lies in a picture: which chunk, its JSON, and whether another one like it was passed over."""

    keyword: str
    content: bytes
    several: bool = False


def card_in(content: bytes, file: str) -> Embedded:
    """Return the card's JSON. Raise ConfigErrors when the picture is damaged, has none, or inflates past the bound."""
    found: dict[bytes, list[Chunk]] = {}
    for chunk in _chunks(content, file):
        if (keyword := _keyword(chunk)) in _CARD:
            found.setdefault(keyword, []).append(chunk)
    for keyword in _CARD:
        if chunks := found.get(keyword):
            text = _text(chunks[0], file)
            return Embedded(keyword.decode(), _debased(text, file, keyword.decode()), len(chunks) > 1)
    raise _refused(
        file, "no character card in this picture", "ask for the original: sites that resize pictures remove the card"
    )


def without_cards(content: bytes, file: str) -> bytes:
    """Return the picture without the chunks that carry a card or its assets."""
    return _written(chunk for chunk in _chunks(content, file) if not _carries(chunk))


def with_cards(content: bytes, file: str, cards: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the picture with these cards (keyword and JSON) before IEND, and none of those it had."""
    plain = [chunk for chunk in _chunks(content, file) if not _carries(chunk)]
    added = [(b"tEXt", keyword.encode() + b"\0" + base64.b64encode(card)) for keyword, card in cards]
    return _written([*plain[:-1], *added, plain[-1]])


def placeholder() -> bytes:
    """Return a small plain picture, to carry the card of a character without a portrait."""
    width, height = _PLACEHOLDER
    out = BytesIO()
    png.Writer(width, height, greyscale=True, bitdepth=1).write(out, ([0] * width for _ in range(height)))
    return out.getvalue()


def _chunks(content: bytes, file: str) -> Iterator[Chunk]:
    """Yield every chunk up to IEND, checksums verified."""
    try:
        for number, (kind, data) in enumerate(png.Reader(bytes=content).chunks()):
            if number == _MOST_CHUNKS:
                raise _refused(
                    file, f"more than {_MOST_CHUNKS:,} chunks in the picture", "save it again as an ordinary PNG"
                )
            yield kind, data
    except (png.Error, EOFError, ValueError) as error:
        raise _refused(file, f"not a whole PNG: {_worded(error)}", "download it again") from None


def _worded(error: Exception) -> str:
    said = str(error.args[0]) if isinstance(error, png.Error) else "a broken chunk"
    return "".join(c for c in said if c.isprintable())[:100].rstrip(".")


def _written(chunks: Iterable[Chunk]) -> bytes:
    out = BytesIO()
    png.write_chunks(out, chunks)
    return out.getvalue()


def _keyword(chunk: Chunk) -> bytes:
    kind, data = chunk
    return data.split(b"\0", 1)[0].lower() if kind in _TEXT else b""


def _carries(chunk: Chunk) -> bool:
    keyword = _keyword(chunk)
    return keyword in _CARD or keyword.startswith(_ASSET)


def _text(chunk: Chunk, file: str) -> bytes:
    """Return the text of a chunk, inflated where it is compressed."""
    kind, data = chunk
    _, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return rest
    if kind == b"zTXt":
        return _inflated(rest[1:], file)
    compressed, rest = rest[:1] == b"\1", rest[2:]
    _, _, rest = rest.partition(b"\0")  # the language
    _, _, rest = rest.partition(b"\0")  # the keyword, translated
    return _inflated(rest, file) if compressed else rest


def _inflated(data: bytes, file: str) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, MAX_INFLATED + 1)
    except zlib.error:
        raise _refused(file, "the card's chunk cannot be inflated", "download the picture again") from None
    if len(text) > MAX_INFLATED:
        raise _refused(file, "the card's chunk inflates to more than 2 MiB", "take pictures out of its assets")
    if not inflater.eof:
        raise _refused(file, "the card's chunk ends too early", "download the picture again")
    return text


def _debased(text: bytes, file: str, keyword: str) -> bytes:
    """Return the JSON behind the base64. Some programs write JSON as it is, or leave the padding out."""
    if text.lstrip()[:1] == b"{":
        return text
    packed = b"".join(text.split())
    try:
        return base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
    except binascii.Error:
        raise _refused(file, f"the chunk {keyword} is not base64", "export the card again") from None


def _refused(file: str, fault: str, fix: str) -> ConfigErrors:
    return ConfigErrors((ConfigError(Where(file), fault, fix),))
