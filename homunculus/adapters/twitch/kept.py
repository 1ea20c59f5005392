"""The tokens of one instance that outlive a run: Twitch hands out new ones, and the old may be void from then on.

Owns one private file for each instance and what stands in it; never asks Twitch and never decides which token is good.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from homunculus.logs import scrub
from homunculus.private import private_folder, write_private


@dataclass(frozen=True, slots=True)
class Pair:
    """An access token, and the refresh token that brings the next; neither is ever shown."""

    access: str
    refresh: str = ""

    def __repr__(self) -> str:
        return "<a pair of tokens>"


class Kept:
    """The file of one instance. What a person writes anew wins over what was kept: the file holds a digest of it."""

    def __init__(self, folder: Path, key: str, written: tuple[str, ...]) -> None:
        name = hashlib.blake2s(key.encode(), digest_size=6).hexdigest()
        self._path = folder / f"{key.replace(':', '-')}.{name}.json"
        self._digest = hashlib.blake2s("\n".join(written).encode()).hexdigest()

    def read(self) -> Pair | None:
        """Return the kept tokens, or None where there are none of these credentials."""
        try:
            found = json.loads(self._path.read_text("utf-8"))
            pair = Pair(found["access"], found["refresh"])
            current = found["written"] == self._digest
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logger.bind(file=str(self._path), error=type(error).__name__).warning(
                "Kept Twitch tokens cannot be read; those of the deployment are used"
            )
            return None
        scrub.hide([pair.access, pair.refresh])
        return pair if current else None

    def write(self, pair: Pair) -> None:
        """Keep these tokens durably. Raise Refused when that cannot be."""
        scrub.hide([pair.access, pair.refresh])
        private_folder(self._path.parent)
        kept = {"written": self._digest, "access": pair.access, "refresh": pair.refresh}
        write_private(self._path, json.dumps(kept))
