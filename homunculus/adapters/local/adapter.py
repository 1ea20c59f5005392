"""The local adapter: an instance of the local platform, attached to the hub while it is open.

Owns its scope and its place in the hub; never keeps a message, and never routes one.
"""

from __future__ import annotations

import asyncio

from homunculus.adapters.local.hub import LocalHub
from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Deliver
from homunculus.model import AdapterSpec, Address, Message, Receipt, Reply, Scope


class LocalAdapter:
    """One instance of the local platform. It needs no account: every place exists as soon as someone speaks there."""

    limit = 16_000
    # The hub posts a reply once, however often it is sent, and shows each under its author's own name.
    abilities = frozenset({"nonce", "persona"})

    def __init__(self, spec: AdapterSpec, hub: LocalHub) -> None:
        self.key = self.account = spec.key
        self._platform = spec.platform
        self._hub = hub
        self._deliver: Deliver | None = None
        self._scope = Scope()
        self._closed = asyncio.Event()

    async def open(self, deliver: Deliver) -> None:
        """Attach to the hub."""
        self._deliver = deliver
        self._hub.attach(self)

    async def listen(self, scope: Scope) -> frozenset[str]:
        """Hear exactly this; every place can be seen."""
        self._scope = scope
        return frozenset()

    async def send(self, address: Address, reply: Reply) -> str:
        """Post a reply in its room; the id of the post."""
        if self._deliver is None:
            raise NotReady(f"{self.key} is not open")
        if len(reply.text) > self.limit:
            raise Refused(f"{self.key} takes at most {self.limit} characters in one post, not {len(reply.text)}")
        return self._hub.post(address, reply)

    async def locate(self, target: str) -> Address:
        """Return a room, which exists as soon as someone speaks there, or with `dm:<user>` that user's own."""
        user = target.removeprefix("dm:")
        if not user:
            raise Refused(f"{target!r} names no local place; give a room, or dm:<user>")
        return self.address(user, direct=target != user)

    async def closed(self) -> None:
        """Wait: a session inside this process does not die by itself."""
        await self._closed.wait()

    async def aclose(self) -> None:
        """Detach from the hub."""
        self._deliver = None
        self._hub.detach(self)
        self._closed.set()

    # -- what the hub calls

    def address(self, place: str, *, direct: bool) -> Address:
        """Return where a message that was said here came from."""
        label = f"{self.key}:dm:{place}" if direct else f"{self.key}:{place}"
        return Address(self._platform, self.key, self.account, place, direct=direct, label=label)

    async def hear(self, message: Message) -> Receipt:
        """Deliver what was said, if it is in scope."""
        if self._deliver is None:
            raise NotReady(f"{self.key} is not open")
        return await self._deliver(message) if self._hears(message.address) else Receipt.IGNORED

    def _hears(self, address: Address) -> bool:
        wide = self._scope.direct if address.direct else self._scope.everything
        return wide or address.place in self._scope.places
