"""The pictures that NPCs show: a file of the card's, read when it changes. Owns which pictures can be uploaded; never uploads."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

LARGEST = 10 * 1024 * 1024  # bytes that Discord takes
_KINDS = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF87a": "gif", b"GIF89a": "gif"}


@dataclass(frozen=True, slots=True)
class Face:
    """How an NPC looks: a `url` that is named with each post, or a `file` to upload; `digest` tells two files apart."""

    url: str = ""
    file: str = ""
    digest: str = "000000"


NONE = Face()


class Faces:
    """Read pictures; each is read again only when its file changes. Blocks: call it in a thread."""

    def __init__(self) -> None:
        self._read: dict[str, tuple[tuple[int, ...], Face]] = {}

    def of(self, avatar: str) -> Face:
        """Return the face that a card's `avatar` stands for; none where the file holds no picture for Discord."""
        if not avatar or avatar.startswith("https://"):
            return Face(url=avatar)
        state = _state(avatar)
        known = self._read.get(avatar)
        if known is None or known[0] != state:
            known = self._read[avatar] = (state, _face(avatar))
        return known[1]


def data_uri(face: Face) -> str | None:
    """Return what is uploaded for a face; None where it has no file, or no longer one that Discord takes."""
    image, kind = _picture(face.file) if face.file else (b"", "")
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}" if kind else None


def _state(file: str) -> tuple[int, ...]:
    try:
        found = Path(file).stat()
    except OSError:
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _face(file: str) -> Face:
    image, kind = _picture(file)
    if not kind:
        logger.bind(file=file).warning(
            "A picture cannot be shown on Discord: it takes PNG, JPEG, GIF and WebP files up to 10 MiB"
        )
        return NONE
    return Face(file=file, digest=hashlib.blake2s(image, digest_size=3).hexdigest())


def _picture(file: str) -> tuple[bytes, str]:
    """Read a file; its kind is empty where it is none that Discord takes."""
    try:
        with Path(file).open("rb") as opened:
            image = opened.read(LARGEST + 1)
    except OSError:
        return b"", ""
    if len(image) > LARGEST:
        return b"", ""
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return image, "webp"
    return image, next((kind for start, kind in _KINDS.items() if image.startswith(start)), "")
