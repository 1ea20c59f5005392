"""The newest lines of the conversations that are talked in, as the database holds them: a turn need not ask it.

Owns a copy and when it may be trusted; never what is written. Whatever cannot be followed line by line (an edit, a deletion,
a swap) drops the copy, and the next question fills it again. Used on the event loop alone.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from homunculus.model import HistoryLine

CONVERSATIONS = 256  # that are kept; the one that was silent longest goes first
SPARE = 16  # lines beyond those that a turn asks for: messages that wait behind its own

Row = tuple[int, HistoryLine]  # a line and its place in the order of everything


@dataclass(slots=True, eq=False)
class Tail:
    """The newest lines that one agent heard or said in one conversation, in order.

    `whole` says that there are no others; `depth` is how many are kept. It is no use before it is `filled`.
    """

    depth: int
    rows: list[Row] = field(default_factory=list)
    whole: bool = False
    filled: bool = False

    def put(self, rows: Iterable[Row]) -> None:
        """Add lines where they belong, each once."""
        for row in rows:
            if all(row[0] != known[0] for known in self.rows):
                insort(self.rows, row, key=_place)
        if len(self.rows) > self.depth:
            del self.rows[: -self.depth]
            self.whole = False

    def fill(self, rows: Sequence[Row]) -> None:
        """Take what the database held after `Tails.begin`; one that was dropped meanwhile is nobody's any more."""
        self.whole = len(rows) < self.depth
        self.put(rows)
        self.filled = True

    def before(self, message_id: str) -> list[Row] | None:
        """Return the lines before a message that was heard; None when it is not among them."""
        for index in range(len(self.rows) - 1, -1, -1):
            line = self.rows[index][1]
            if line.id == message_id and line.agent_id is None:
                return self.rows[:index]
        return None

    def hears(self, message_ids: Iterable[str]) -> bool:
        """Tell whether every one of these messages is among the lines."""
        heard = {line.id for _, line in self.rows if line.agent_id is None}
        return all(id_ in heard for id_ in message_ids)


class Tails:
    """The tails of the conversations that were talked in last."""

    def __init__(self) -> None:
        self._tails: OrderedDict[str, dict[str, Tail]] = OrderedDict()

    def newest(
        self, conversation: str, agent_id: str, limit: int, before: str | None, *, pending: bool
    ) -> tuple[HistoryLine, ...] | None:
        """Return the newest lines, those before a message when one is given; None when the database has to be asked.

        A message that is `pending` is not written yet, and so comes after every line that is.
        """
        tail = self._tails.get(conversation, {}).get(agent_id)
        if tail is None or not tail.filled:
            return None
        self._tails.move_to_end(conversation)
        rows = tail.rows if before is None or pending else tail.before(before)
        if rows is None or (len(rows) < limit and not tail.whole):
            return None
        return tuple(line for _, line in rows[-limit:]) if limit > 0 else ()

    def begin(self, conversation: str, agent_id: str, depth: int) -> Tail | None:
        """Return a tail to be filled from the database, which follows what is written from now on; None while one is filled."""
        agents = self._tails.setdefault(conversation, {})
        present = agents.get(agent_id)
        if present is not None and not present.filled:
            return None
        agents[agent_id] = tail = Tail(depth)
        self._tails.move_to_end(conversation)
        while len(self._tails) > CONVERSATIONS:
            self._tails.popitem(last=False)
        return tail

    def heard(self, conversation: str, agent_id: str, row: Row) -> None:
        """Follow a message that was written."""
        tail = self._tails.get(conversation, {}).get(agent_id)
        if tail is not None:
            tail.put((row,))

    def said(self, conversation: str, agent_id: str, answered: Iterable[str], rows: Sequence[Row]) -> None:
        """Follow the end of a turn. What it answered and was heard by another agent is copied: then the tail is dropped."""
        tail = self._tails.get(conversation, {}).get(agent_id)
        if tail is None:
            return
        if tail.hears(answered):
            tail.put(rows)
        else:
            del self._tails[conversation][agent_id]

    def drop(self, conversation: str) -> None:
        """Forget a conversation: something in it was changed."""
        self._tails.pop(conversation, None)

    def drop_agent(self, agent_id: str) -> None:
        """Forget an agent everywhere: its history begins elsewhere."""
        for agents in self._tails.values():
            agents.pop(agent_id, None)


def _place(row: Row) -> int:
    return row[0]
