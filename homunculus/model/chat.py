"""What is said and where: messages in, replies out, and what one turn went through. Plain data that may cross a process."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from homunculus.model.deployment import Persona


class Receipt(Enum):
    """Say what became of a delivered message; any of these lets the adapter confirm it to its platform."""

    RECORDED = "recorded"  # it routes to an agent and is durable, or will be before anything depends on it
    DUPLICATE = "duplicate"  # the same id was delivered before
    IGNORED = "ignored"  # nobody listens there, or the gate keeps it out


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message came from and its reply goes: fixed on arrival, never derived again.

    `adapter` is the runtime key of the receiving instance, `account` its platform id; `space` a guild or workspace;
    `parent` the channel that a thread hangs from, when the platform gives threads ids of their own; `thread` a topic
    or thread id inside `place`. `label` is the conversation id for people: `discord:keeper:<guild>:<channel>`.
    """

    platform: str
    adapter: str
    account: str
    place: str
    space: str | None = None
    parent: str | None = None
    thread: str | None = None
    direct: bool = False
    label: str = field(default="", compare=False)

    @property
    def conversation(self) -> str:
        """Return the storage key: it uses the bot account, so a renamed instance keeps its conversations."""
        kind = "dm:" if self.direct else ""  # a place may be named like a person
        inner = f"#{self.thread}" if self.thread else ""
        return f"{self.platform}/{self.account}/{kind}{self.place}{inner}"


@dataclass(frozen=True, slots=True)
class Author:
    """Who said it. `own` marks any account or webhook of this process, `bot` any other program."""

    id: str
    name: str
    bot: bool = False
    own: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a platform delivered it. `time` in seconds since the epoch.

    `mentioned` is a platform mention (see the contract). An edit or a deletion carries the id of the message it is about.
    `attachments` are the names, shown to the model as `[image: name]`. `command` is set on a command that was given in the
    platform's own way: the line without its sign and without the bot's name, `npc status`.
    """

    id: str
    address: Address
    author: Author
    text: str
    mentioned: bool = False
    time: float = 0.0
    reply_to: str | None = None
    attachments: tuple[str, ...] = ()
    kind: Literal["posted", "edited", "deleted"] = "posted"
    command: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """One post of an NPC: a part of what it says in one turn, no longer than the platform takes.

    `id` is derived from the turn and the part's ordinal, never random, so a retry after a crash carries the same one.
    `persona` is how the name is shown; the text never contains it. `webhook` and `auto` ask for a name and face of its own;
    where the platform does not let it, `webhook` becomes `prefix` and `auto` becomes `off`.
    """

    id: str
    agent_id: str
    author: str
    text: str
    quotes: str | None = None  # the message this part answers
    avatar: str = ""
    persona: Persona = "off"
    retried: bool = False  # the first try's fate is unknown: only a platform that deduplicates may be asked again


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """One argument of a command as a platform may offer it: `choices` are all its values, when they are few."""

    name: str
    about: str
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command of the chat, `npc status` or `whoami`: its words, what it does in a line, its arguments in order.

    Given natively, it is delivered as its words and the arguments' values in that order, joined by spaces. `private` says
    that its answer is meant for who gave it alone, where the platform can do that.
    """

    words: tuple[str, ...]
    about: str
    parameters: tuple[ParameterSpec, ...] = ()
    private: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What one adapter should hear. `Scope()` hears nothing and can still send: draining needs it.

    `options` are the platform's own live settings of the instance (`trigger_prefix`, `channels`), as in its spec.
    """

    places: frozenset[str] = frozenset()
    everything: bool = False
    direct: bool = False
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One line of a conversation as this agent saw it; `agent_id` is set on the agent's own lines."""

    id: str
    author: str
    text: str
    time: float = 0.0
    agent_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked. `turn` holds the texts of the messages being answered, in order; `char` and `user` the
    names macros stand for; `stable` how many leading messages do not change between turns (a prefix cache's share)."""

    messages: tuple[ChatMessage, ...]
    turn: tuple[str, ...] = ()
    char: str = ""
    user: str = ""
    stable: int = 1
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model answered, and which: `model` is the id in the file, `provider` the entry point's name."""

    text: str
    model: str
    provider: str
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One failed try of a model in a fallback chain."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Span:
    """One stage of a turn: when it began and ended (seconds since the epoch) and what it found, for people."""

    stage: str
    started: float
    ended: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """The stages of one turn, or of one message that led to none.

    `outcome` is answered, silent, ignored, failed, uncertain or duplicate; `rule` the path of the rule that matched.
    """

    turn_id: str
    message_ids: tuple[str, ...]
    conversation: str  # the label for people
    agent_id: str | None
    rule: str
    outcome: Literal["answered", "silent", "ignored", "failed", "uncertain"]
    reason: str = ""
    model: str = ""
    provider: str = ""
    spans: tuple[Span, ...] = ()
    attempts: tuple[Attempt, ...] = ()
