"""The card and the portrait in a CHARX file, which is a zip from a stranger. Never unpacks a file to a path.

Refused whole: names that lead out of the archive, links, passwords, thousands of entries, methods other than deflate,
and anything that inflates past its bound.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath, PureWindowsPath

from homunculus.errors import ConfigError, ConfigErrors, Where

SIGNATURE = b"PK"
MAX_CARD = 2 * 1024 * 1024
MAX_PORTRAIT = 8 * 1024 * 1024
_MOST_ENTRIES = 1000
_ENTRY = b"PK\x01\x02"  # begins each entry of the directory: counted before any of them is read
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_SCHEMES = ("embeded://", "embedded://")  # the first is how the specification spells it


@dataclass(frozen=True, slots=True)
class Archive:
    """A checked archive: its card, and its other entries by name."""

    content: bytes
    file: str
    card: bytes
    names: frozenset[str]

    def asset(self, uri: str) -> bytes | None:
        """Return the bytes of an embedded asset; None when there is none, or it is too large for a portrait."""
        scheme = next((scheme for scheme in _SCHEMES if uri.startswith(scheme)), None)
        name = uri.removeprefix(scheme or "")
        if scheme is None or name not in self.names:
            return None
        with _opened(self.content, self.file) as archive:
            return _read(archive, archive.getinfo(name), MAX_PORTRAIT)


def read_charx(content: bytes, file: str) -> Archive:
    """Check an archive and read its card. Raise ConfigErrors with what is wrong."""
    if content.count(_ENTRY) > _MOST_ENTRIES:
        raise _refused(
            file, f"more than {_MOST_ENTRIES} files in the archive", "take out what is not about the character"
        )
    with _opened(content, file) as archive:
        for entry in archive.infolist():
            _check(entry, file)
        names = frozenset(archive.namelist())
        if "card.json" not in names:
            raise _refused(file, "no card.json in the archive", "export the card again as CHARX")
        card = _read(archive, archive.getinfo("card.json"), MAX_CARD)
    if card is None:
        raise _refused(file, "card.json inflates to more than 2 MiB", "take pictures out of its assets")
    return Archive(content, file, card, names - {"card.json"})


@contextmanager
def _opened(content: bytes, file: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, NotImplementedError, OSError):
        # zipfile has no exception of its own for every way in which an archive can be broken
        raise _refused(file, "not a whole CHARX file: the zip archive is damaged", "download it again") from None


def _check(entry: zipfile.ZipInfo, file: str) -> None:
    name = entry.filename
    inside = PurePosixPath(name)
    if name.startswith("/") or "\\" in name or ".." in inside.parts or PureWindowsPath(name).drive or "\0" in name:
        raise _refused(file, "a file in the archive has a path that leads out of it", "do not use this file")
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise _refused(file, "the archive holds a symbolic link", "do not use this file")
    if entry.flag_bits & _ENCRYPTED:
        raise _refused(file, "the archive has a password", "export it without one")
    if entry.compress_type not in _METHODS:
        raise _refused(file, "the archive is compressed in an unusual way", "pack it as an ordinary zip file")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes | None:
    """Inflate at most `most` bytes; None when there are more, whatever the directory says."""
    if entry.file_size > most:
        return None
    with archive.open(entry) as stream:
        data = stream.read(most + 1)
    return data if len(data) <= most else None


def _refused(file: str, fault: str, fix: str) -> ConfigErrors:
    return ConfigErrors((ConfigError(Where(file), fault, fix),))
