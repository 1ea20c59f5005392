"""Everything one load reads from disk, through one callable. Owns names, the digest and what to watch; never parses."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024  # of any file; what is parsed has limits of its own
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")

Read = Callable[[Path], bytes]  # raises FileNotFoundError or another OSError


@dataclass(slots=True)
class Files:
    """Read each file once, so that one load sees one content of it. Paths are absolute; links are not followed."""

    given: Path  # the deployment file as the person named it
    read: Read
    watched: set[Path] = field(default_factory=set)
    _contents: dict[Path, bytes | OSError] = field(default_factory=dict)
    _shown: dict[Path, str] = field(default_factory=dict)
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.file = _absolute(self.given)

    def beside(self, name: str, anchor: Path | None = None) -> Path:
        """Resolve a name that is relative to the deployment file, or to another file. `~` is the home folder.

        Raise ValueError when it is no path at all."""
        if "\0" in name:
            raise ValueError("a path cannot contain NUL")
        try:
            written = Path(name).expanduser()
        except RuntimeError as error:
            raise ValueError("this user's home folder is not known") from error
        return _absolute((anchor or self.file).parent / written)

    def bytes(self, path: Path) -> bytes:
        """Return a file's content and watch it, whether or not it exists. Raise OSError."""
        self.watched.add(path)
        if path not in self._contents:
            try:
                _refuse_odd(path)
                self._contents[path] = self.read(path)
            except OSError as error:
                self._contents[path] = error
        found = self._contents[path]
        if isinstance(found, OSError):
            raise found
        return found

    def folder(self, path: Path) -> list[Path]:
        """List a folder's entries in order and watch it; a folder that is not there is empty."""
        self.watched.add(path)
        try:
            return sorted(path.iterdir())
        except OSError:
            return []

    def shown(self, path: Path) -> str:
        """Name a file as the person would: relative to the working directory when below it, else as given."""
        if path not in self._shown:
            self._shown[path] = _UNPRINTABLE.sub("?", self._named(path)).encode("utf-8", "replace").decode()
        return self._shown[path]

    def _named(self, path: Path) -> str:
        here = Path.cwd()
        if path.is_relative_to(here):
            return path.relative_to(here).as_posix()
        if path == self.file:
            return str(self.given)
        if self.given.is_absolute() or path.anchor != here.anchor:
            return str(path)
        return Path(os.path.relpath(path, here)).as_posix()

    def digest(self) -> str:
        """Hash the names and bytes of everything that was read, missing files included."""
        whole = hashlib.sha256()
        for path, content in sorted(self._contents.items()):
            found = content if isinstance(content, bytes) else None
            size = "missing" if found is None else len(found)
            whole.update(f"{path}\0{size}\0".encode("utf-8", "surrogateescape"))
            whole.update(found or b"")
        return whole.hexdigest()


def is_file(path: Path) -> bool:
    """Tell whether a file is there; one that cannot be looked at is not."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there; one that cannot be looked at is not."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _refuse_odd(path: Path) -> None:
    """Refuse what would hang or fill the memory: a pipe, a device, a huge file. What is not there is `read`'s to say."""
    try:
        found = path.stat()
    except OSError:
        return
    if stat.S_ISFIFO(found.st_mode) or stat.S_ISCHR(found.st_mode) or stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EINVAL, "it is no ordinary file")
    if found.st_size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_BYTES // 1048576} MiB")


def _absolute(path: Path) -> Path:
    # lexical: a mounted ConfigMap swaps its links, and the person means the folder they see
    return Path(os.path.abspath(path))  # noqa: PTH100
