"""What an NPC keeps: one folder an agent. The entry points of `homunculus.memory` are here.

Each backend's folder and its `MEMORY.md` are made from the start; recall and remember arrive with the backends.
"""

from __future__ import annotations

from homunculus.interfaces import Backend
from homunculus.memory.folder import Folder

none = Backend("none", Folder)
sqlite = Backend("sqlite", Folder)
qmd = Backend("qmd", Folder)
