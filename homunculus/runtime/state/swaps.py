"""The tables of swaps: from where on an agent's history counts, and which swaps were begun and not ended.

Owns their statements; never what a swap does.
"""

from __future__ import annotations

import json

import apsw

from homunculus.runtime.state.tables import run, scalar
from homunculus.runtime.store import PendingSwap

BEGIN = """
INSERT OR REPLACE INTO swaps (agent_id, namespace, character, archives, beginning)
VALUES (:agent, :namespace, :character, :archives, (SELECT seq FROM beginnings WHERE agent_id = :agent));
INSERT OR REPLACE INTO beginnings (agent_id, seq) VALUES (:agent, :seq);
"""
UNDO = """
DELETE FROM beginnings WHERE agent_id = :agent AND EXISTS (SELECT 1 FROM swaps WHERE agent_id = :agent);
INSERT INTO beginnings (agent_id, seq)
SELECT agent_id, beginning FROM swaps WHERE agent_id = :agent AND beginning IS NOT NULL;
"""
END = "DELETE FROM swaps WHERE agent_id = :agent;"
PENDING = (
    "SELECT json_group_array(json_array(agent_id, namespace, character, json(archives)) ORDER BY agent_id) FROM swaps"
)


def begin(connection: apsw.Connection, swap: PendingSwap, seq: int) -> None:
    """Let the agent's history begin at `seq`, and note what has to be undone if nothing ends this."""
    run(
        connection,
        BEGIN,
        {
            "agent": swap.agent_id,
            "namespace": swap.namespace,
            "character": swap.character,
            "archives": json.dumps(swap.archives),
            "seq": seq,
        },
    )


def end(connection: apsw.Connection, agent_id: str, *, kept: bool) -> None:
    """End a swap; one that is not `kept` gives the agent its history back; one that never began changes nothing."""
    run(connection, END if kept else UNDO + END, {"agent": agent_id})


def pending(connection: apsw.Connection) -> tuple[PendingSwap, ...]:
    """Return the swaps that were begun and not ended."""
    found = json.loads(str(scalar(connection, PENDING)))
    return tuple(
        PendingSwap(agent_id, namespace, character, tuple(archives))
        for agent_id, namespace, character, archives in found
    )
