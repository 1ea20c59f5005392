"""Who may connect with a credential: one runner at a time, whatever its instance is called.

Owns the locks; never a connection. Two names for one token wait for each other, and a name that gets another token does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from weakref import WeakValueDictionary

from homunculus.model import AdapterSpec


class Locks:
    """One lock for each credential, for as long as somebody uses it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def of(self, spec: AdapterSpec) -> asyncio.Lock:
        """Return the lock of the credential that a spec connects with."""
        key = self.key(spec)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    @staticmethod
    def key(spec: AdapterSpec) -> Hashable:
        """Name a credential by its values, wherever they are written; an instance without any by its own name."""
        values = tuple(sorted((name, secret.value or "") for name, secret in spec.credentials))
        return (spec.platform, values) if values else (spec.platform, spec.key)
