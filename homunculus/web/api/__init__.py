"""The API's operations, split by resource; `OPERATIONS` is all of them. Owns no state and no rule about who may call."""

from __future__ import annotations

from homunculus.web import local
from homunculus.web.api import broadcast, deployment, health, memory, stream
from homunculus.web.operation import Operation

OPERATIONS: tuple[Operation, ...] = (
    *health.OPERATIONS,
    *deployment.OPERATIONS,
    *memory.OPERATIONS,
    *local.OPERATIONS,
    *broadcast.OPERATIONS,
    *stream.OPERATIONS,
)
