"""The state database: inbox, outbox, history, overrides, generations of one bot, in one SQLite file.

`State` is all that the rest of the program sees. Below it: `tables` (the file and its schema), `worker` (a thread that
serves in groups), `commit` (transactions), `writes` (what a group does to the tables), `reads` (questions), `rows` (how a message is stored).
"""

from homunculus.runtime.state.rows import GenerationRow, UnsureReply
from homunculus.runtime.state.state import State

__all__ = ["GenerationRow", "State", "UnsureReply"]
