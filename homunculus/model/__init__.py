"""The nouns, frozen: what was written (…Spec), what is said (Message, Reply), what happened (Event).

Everything here is plain data: hashable or comparable, picklable, without a method that reads a file or awaits.
A name ending in `Spec` is what was written; the bare noun is alive elsewhere.
"""

from __future__ import annotations

from homunculus.model.chat import (
    Address,
    Attempt,
    Author,
    ChatMessage,
    Completion,
    HistoryLine,
    Message,
    Prompt,
    Receipt,
    Reply,
    Scope,
    Span,
    Trace,
)
from homunculus.model.deployment import (
    AdapterSpec,
    Agent,
    AgentSpec,
    BindingSpec,
    BudgetSpec,
    Character,
    Deployment,
    Knowledge,
    MemorySpec,
    ModelSpec,
    QmdSpec,
    RulesetSpec,
    ScriptedReply,
    Secret,
    ServerSpec,
    runtime_key,
)
from homunculus.model.events import (
    AdapterChanged,
    Event,
    MessageReceived,
    ModelProgress,
    Reloaded,
    ReplySent,
    TurnEnded,
)

__all__ = [
    "AdapterChanged",
    "AdapterSpec",
    "Address",
    "Agent",
    "AgentSpec",
    "Attempt",
    "Author",
    "BindingSpec",
    "BudgetSpec",
    "Character",
    "ChatMessage",
    "Completion",
    "Deployment",
    "Event",
    "HistoryLine",
    "Knowledge",
    "MemorySpec",
    "Message",
    "MessageReceived",
    "ModelProgress",
    "ModelSpec",
    "Prompt",
    "QmdSpec",
    "Receipt",
    "Reloaded",
    "Reply",
    "ReplySent",
    "RulesetSpec",
    "Scope",
    "ScriptedReply",
    "Secret",
    "ServerSpec",
    "Span",
    "Trace",
    "TurnEnded",
    "runtime_key",
]
