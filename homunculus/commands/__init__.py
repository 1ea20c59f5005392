"""The commands of the chat, one registry for every platform; `COMMANDS` is all of them.

Owns what people may type and what they read in return. Never knows a platform, and reaches the program through a Desk alone.
"""

from __future__ import annotations

from homunculus.commands import about, memory, npc, recap, session
from homunculus.commands.registry import Registry

__all__ = ["COMMANDS", "Registry"]

COMMANDS = Registry((*npc.COMMANDS, *memory.COMMANDS, *recap.COMMANDS, *session.COMMANDS, *about.COMMANDS))
