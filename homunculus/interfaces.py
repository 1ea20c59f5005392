"""The seams: everything that the author of an adapter, a model, a memory backend or a stage reads.

Owns Protocols and the small frozen descriptors that entry points export; never an implementation. The life of an adapter:
`open` once, `listen` whenever its scope changes, `send` any number of times, `closed` watched all the while, `aclose` once
(and safely again, and after a failed open).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from homunculus.model import (
    AdapterSpec,
    Address,
    Agent,
    Attempt,
    CommandSpec,
    Completion,
    Event,
    Fact,
    HistoryLine,
    Knowledge,
    Lore,
    Lorebook,
    MemorySpec,
    Message,
    ModelSpec,
    Note,
    Persona,
    Prompt,
    Receipt,
    Reply,
    Scope,
    Session,
    Span,
    Trace,
)

if TYPE_CHECKING:
    from aiohttp import ClientSession

Deliver = Callable[[Message], Awaitable[Receipt]]
Emit = Callable[[Event], None]
Clock = Callable[[], float]  # seconds since the epoch


# --- adapters -------------------------------------------------------------------------------------------------------


class Adapter(Protocol):
    """One live connection to a chat platform: opened once, closed once."""

    @property
    def account(self) -> str:
        """The bot's platform id, known after `open`."""

    @property
    def abilities(self) -> frozenset[str]:
        """What this connection can do besides sending, published by `open`.

        `typing`, `react`, `history`, `edit`, `private`, `commands`: each promises the Protocol of the same name below.
        `persona` promises that a reply of persona `webhook` shows its author's own name.
        `nonce` promises that a reply sent again with the same id is deduplicated by the platform; a send for which that
        does not hold ends, when its fate is unknown, in an Uncertain that is final.
        """

    @property
    def limit(self) -> int:
        """The longest text of one post, in characters."""

    async def open(self, deliver: Deliver) -> None:
        """Connect; return when messages can flow. Raise NotReady (try again) or Refused (do not).

        Confirm a message to the platform after any Receipt of `deliver`, never after an exception.
        """

    async def listen(self, scope: Scope) -> frozenset[str]:
        """Hear exactly this, without reconnecting; return those places of the scope that cannot be seen."""

    async def send(self, address: Address, reply: Reply) -> str:
        """Post one reply; return the platform's message id. Raise NotReady, Refused, or Uncertain.

        A reply that quotes a native command (`Message.command`) is given as the platform wants commands answered.
        """

    async def locate(self, target: str) -> Address:
        """Return where a person means by `target`: a place's id as a deployment names it, or `dm:<user>`.

        `<place>#<thread>` names a thread or topic where the platform has them. Raise NotReady, or Refused when there is no
        such place or the bot may not write there.
        """

    async def closed(self) -> None:
        """Wait until the session dies by itself: return, or raise NotReady or Refused with the reason."""

    async def aclose(self) -> None:
        """Disconnect and free everything. Safe twice, and after a failed `open`."""


@runtime_checkable
class Aliases(Protocol):
    """An adapter whose own posts may name another author than its account, such as the owner of its webhooks."""

    @property
    def aliases(self) -> frozenset[str]:
        """Those author ids, known after `open`."""


@runtime_checkable
class Hindered(Protocol):
    """An adapter that may be connected and yet be kept from something that a person can put right."""

    @property
    def hindrances(self) -> tuple[str, ...]:
        """What cannot work and the remedy, one sentence each, for `status`; known after `open`, empty when all is well."""


@runtime_checkable
class Typing(Protocol):
    """Ability `typing`: show that the NPC is writing for as long as the context lasts."""

    def typing(self, address: Address) -> AbstractAsyncContextManager[None]: ...


@runtime_checkable
class React(Protocol):
    """Ability `react`: mark a message as seen, with the platform's own sign."""

    async def react(self, address: Address, message_id: str) -> None: ...


@runtime_checkable
class Edit(Protocol):
    """Ability `edit`: change the text of a post of ours. Raises NotReady, Refused or Uncertain; twice does no harm."""

    @property
    def edit_every(self) -> float:
        """The least number of seconds between two changes in a place that the platform bears for minutes on end."""

    async def edit(self, address: Address, message_id: str, reply: Reply) -> None: ...


@runtime_checkable
class Private(Protocol):
    """Ability `private`: answer a command so that nobody but its author sees it."""

    async def whisper(self, message: Message, text: str) -> bool:
        """Show a text of at most `limit` characters to the author of a message alone; False where the platform cannot.

        Raises NotReady, Refused or Uncertain.
        """


@runtime_checkable
class Commands(Protocol):
    """Ability `commands`: the platform completes commands while a person types them.

    What a person gives that way is delivered as a Message with its `command` set.
    """

    async def offer(self, commands: tuple[CommandSpec, ...]) -> None:
        """Make exactly these known to the platform; ask nothing of it when it knows them already.

        Raises NotReady, Refused or Uncertain: typed commands work all the same.
        """


@runtime_checkable
class PlatformHistory(Protocol):
    """Ability `history`: what was said in a place, oldest first, at most `limit` messages, only after id `after`."""

    def history(self, address: Address, after: str | None, limit: int) -> AsyncIterator[Message]: ...


@dataclass(frozen=True, slots=True)
class Platform:
    """What an entry point of `homunculus.platforms` exports. Importing it must stay cheap: `build` imports the rest.

    `credentials` are the keys that hold secrets, `required` those without which an instance is unconfigured;
    `endpoints` the per-platform keys (`api_base` …); `login` the keys that fix a session besides; `options` the
    platform's own live keys; `place` the binding filter that a `channels` entry stands for; `agent_places` gives every
    agent a place of its own (`@<agent id>`); `default_on` opens the default instance without being written.
    `keeps` asks for a private folder of the bot, given to `build` as `folder`, for what must outlive a run; `folds_case`
    says that its places are the same in any case: rules hold them in lower case, as its adapter delivers them.
    """

    name: str
    build: Callable[..., Adapter]  # (spec: AdapterSpec) -> Adapter; the container adds what the platform's part needs
    credentials: tuple[str, ...] = ("token",)
    required: tuple[str, ...] = ("token",)
    endpoints: tuple[str, ...] = ("api_base",)
    login: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    place: Literal["channel_ids", "chat_id"] = "channel_ids"
    agent_places: bool = False
    default_on: bool = False
    keeps: bool = False
    folds_case: bool = False


BuildAdapter = Callable[[AdapterSpec], Adapter]


# --- models ---------------------------------------------------------------------------------------------------------


class ChatModel(Protocol):
    """One configured model. Shared by every agent that names it; calls may overlap up to its concurrency."""

    @property
    def spec(self) -> ModelSpec: ...

    async def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Completion:
        """Answer; call `on_text` with each piece as it arrives. Raise NotReady or Refused, and nothing else."""

    async def warm(self, prompt: Prompt) -> None:
        """Get ready to answer prompts that begin like this one. May do nothing; never raises NotReady or Refused."""

    async def aclose(self) -> None:
        """Free everything. Safe twice."""


@runtime_checkable
class CountsTokens(Protocol):
    """A model that counts tokens with its own tokenizer. It may take a moment: ask it in a thread."""

    def count_tokens(self, text: str) -> int | None:
        """Return how many tokens a text costs this model; None while it cannot tell."""


class Expand(Protocol):
    """Replace the macros of a card (`{{char}}`, `{{user}}`, …) in text that never came from a player."""

    def __call__(self, text: str, *, char: str, user: str) -> str: ...


class SelectLore(Protocol):
    """Choose the entries of a lorebook that belong into a prompt; what players said is only looked at, never expanded."""

    def __call__(
        self,
        book: Lorebook,
        entries: Iterable[Knowledge],
        messages: Sequence[str],
        *,
        spoken: int,
        count: Callable[[str], int],
        expand: Callable[[str], str],
        budget: int | None = None,
    ) -> Lore: ...


@dataclass(frozen=True, slots=True)
class ModelServices:
    """What a provider may use of the program: the shared HTTP session, macros, a cache folder, events."""

    session: Callable[[], ClientSession]
    expand: Expand
    cache: Path
    emit: Emit


@dataclass(frozen=True, slots=True)
class Provider:
    """What an entry point of `homunculus.models` exports. Importing it must stay cheap."""

    name: str
    build: Callable[[ModelSpec, ModelServices], ChatModel]
    needs_key: bool = False  # without a resolved api_key it goes straight to its fallback
    required: tuple[str, ...] = ()  # keys of the file without which it cannot be built


# --- memory ---------------------------------------------------------------------------------------------------------


class Namespace(Protocol):
    """One agent's own memory: facts in Markdown, and the means to find them again. Nothing crosses to another namespace.

    Every method but `aclose` may raise Refused (a person must act: a read-only disk, an unknown id) or NotReady.
    A `conversation` is where one asks: facts learned in a direct message are found only there; None asks as the owner,
    who sees everything.
    """

    async def open(self) -> None:
        """Make the folder and MEMORY.md, idempotently; never touch what is there. Raise Refused when it cannot be."""

    async def aclose(self) -> None:
        """Flush and free everything. Safe twice, and without `open`."""

    async def settled(self) -> None:
        """Wait until everything that is written can be found in every way the backend knows."""

    async def recall(self, query: str, conversation: str | None) -> tuple[Fact, ...]:
        """Return what to have in mind: what is always known first, then what fits `query`; `top_k` facts at most."""

    async def search(self, query: str, conversation: str | None = None, limit: int = 10) -> tuple[Fact, ...]:
        """Return the facts that fit a query, best first."""

    async def facts(self) -> tuple[Fact, ...]:
        """Return every fact: those of MEMORY.md first, then in the order they were learned."""

    async def add(self, *notes: Note) -> tuple[Fact, ...]:
        """Keep notes; return when they are durable. One that is known already is merged with what is there."""

    async def forget(self, fact_id: str) -> Fact:
        """Take a fact out, and keep it where `restore` finds it. Raise Refused for an unknown id, or one of MEMORY.md."""

    async def amend(self, fact_id: str, text: str) -> Fact:
        """Put other words in place of a fact's text; its id and source stay."""

    async def pin(self, fact_id: str, pinned: bool = True) -> Fact:
        """Have a fact recalled always, or no longer."""

    async def forgotten(self) -> tuple[Fact, ...]:
        """Return what `restore` can bring back, one fact at a time."""

    async def sessions(self) -> tuple[Session, ...]:
        """Return the sessions played so far, in order; at most the last one is still running."""

    async def begin_session(self, at: float, date: str = "") -> Session:
        """Begin the next session at a moment; `date` is when that is in the game's world. Raise Refused while one runs."""

    async def end_session(self, at: float, date: str = "") -> Session:
        """End the session that runs. Raise Refused when none does."""

    async def archives(self) -> tuple[str, ...]:
        """Return the names of what was archived whole, oldest first."""

    async def archive(self) -> str:
        """Put the whole memory away and begin a blank one, all or nothing; return the archive's name."""

    async def restore(self, what: str) -> str:
        """Bring back one forgotten fact by its id, or a whole archive by its name; return what was done, in words.

        An archive takes the place of the present memory, which is archived first unless it is blank. All or nothing.
        """


class BuildMemory(Protocol):
    """Build a namespace in its own folder. `archive` is the folder of the bot's archives; facts are learned by `clock`."""

    def __call__(self, folder: Path, archive: Path, spec: MemorySpec, *, clock: Clock = ...) -> Namespace: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """What an entry point of `homunculus.memory` exports. Importing it must stay cheap."""

    name: str
    build: BuildMemory


# --- pipeline -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate decided about one message, and why, in words for `/npc why`."""

    answer: bool
    reason: str


Mode = Literal["mention", "always", "observe"]
Gate = Callable[[Agent, Mode, Message], Verdict]


class Preview(Protocol):
    """A reply that is shown while it is being thought, where the platform can edit a post."""

    def show(self, make: Callable[[], Reply | None]) -> None:
        """Show from now on what `make` says when its time has come; None is nothing yet."""


@dataclass(slots=True)
class Turn:
    """One batch of messages and its reply, on its way through the stages. The only mutable thing of a turn.

    Everything down to `limit` is fixed at the start; each stage fills in what is its own.
    """

    id: str
    agent: Agent
    messages: tuple[Message, ...]  # one or more, of one conversation, in order of arrival
    models: tuple[ChatModel, ...]  # the agent's model, then its fallbacks
    memory: Namespace | None = None  # the agent's own
    extractor: ChatModel | None = None  # the model that turns talk into facts; None is off
    persona: Persona = "off"
    limit: int = 2000
    rule: str = ""
    preview: Preview | None = None
    history: tuple[HistoryLine, ...] = ()
    memories: tuple[Fact, ...] = ()  # what is recalled for this turn, best first
    prompt: Prompt | None = None
    completion: Completion | None = None
    attempts: list[Attempt] = field(default_factory=list)
    replies: tuple[Reply, ...] = ()
    sent: tuple[str, ...] = ()  # the platform's ids of the replies
    spans: list[Span] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)  # stage → what it found, for the trace

    @property
    def address(self) -> Address:
        """Return where the reply goes: the address of the last message of the batch."""
        return self.messages[-1].address


class Stage(Protocol):
    """One step of a turn. Raises NotReady, Refused or Uncertain to end the turn with that reason."""

    @property
    def name(self) -> str: ...

    async def run(self, turn: Turn) -> None: ...


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What every message goes through: the gate when it arrives, then the stages of its turn, in order.

    `after` are stages that run aside once an answered turn is over: nobody waits for them, and a failure is only logged.
    """

    gate: Gate
    stages: tuple[Stage, ...]
    after: tuple[Stage, ...] = ()


# --- commands of the chat -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """One command as it was given: the line without its sign, and what the file lets that person do there.

    `agent` is who answers there, None where a rule matched only half.
    """

    line: str
    message: Message
    agent: Agent | None
    authority: bool


@dataclass(frozen=True, slots=True)
class Response:
    """What a command says to who gave it. `private` asks for nobody else to see it, where the platform can do that.

    `secret` is what nobody else may see at all: it is shown instead of `text` in a direct message or where the platform
    shows it to its author alone, and nowhere else.
    """

    text: str
    private: bool = False
    secret: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an NPC stands in one conversation, for people: the mode that holds and whether a command set it."""

    mode: Mode
    overridden: bool
    paused: bool
    adapter: str
    hindrances: tuple[str, ...]
    generation: int
    running_equals_file: bool


@dataclass(frozen=True, slots=True)
class Swapped:
    """What a swap did: the names of the characters before and after, and the archive that the memory went into."""

    before: str
    after: str
    archive: str


class Desk(Protocol):
    """What a command may ask of the running program, and do to it; always about the conversation of its order."""

    def standing(self, order: Order) -> Standing:
        """Say how things are there now."""

    def last(self, order: Order) -> Trace | None:
        """Return what became of the message that the order replies to, else of the last one said there; no command's."""

    async def reload(self) -> tuple[bool, tuple[str, ...]]:
        """Look at the file now; tell whether it runs, and each change that went live or each error."""

    async def set_mode(self, order: Order, mode: Mode | None) -> None:
        """Override when the NPC answers there; None lets the file decide again. Raises NotReady."""

    async def set_paused(self, order: Order, *, paused: bool) -> None:
        """Silence the NPC there, or let it speak again. Raises NotReady."""

    async def speak(self, order: Order, text: str) -> None:
        """Say a text there as the NPC. Raises NotReady, Refused or Uncertain."""

    async def swap(self, order: Order, character: str) -> Swapped:
        """Give the NPC another character, a blank memory and an empty history, wherever it speaks.

        All or nothing. Raises Refused or NotReady.
        """

    def memory(self, order: Order) -> Namespace:
        """Return the NPC's own memory, to be asked as from that conversation, never to be changed. Raises Refused."""

    def tended(self, order: Order) -> AbstractAsyncContextManager[Namespace]:
        """Lend the NPC's own memory to change it; it is not swapped away for the length of the context. Raises Refused."""


class ChatCommands(Protocol):
    """Every command of the chat, the same on every platform."""

    @property
    def specs(self) -> tuple[CommandSpec, ...]:
        """What a platform may offer while a person types."""

    def line(self, message: Message) -> str | None:
        """Return the command line that a message holds, without its sign; None when it is talk."""

    async def run(self, order: Order, desk: Desk) -> Response:
        """Do it. Whatever a person did wrong is part of the response; raises NotReady, Refused or Uncertain."""


class History(Protocol):
    """The program's own record of a conversation as one agent saw it."""

    async def recent(
        self, conversation: str, agent_id: str, limit: int, before: Message | None = None
    ) -> tuple[HistoryLine, ...]:
        """Return the newest `limit` lines, oldest first; only those before `before` was recorded, when given."""


class Outbox(Protocol):
    """What leaves the program."""

    async def post(self, turn: Turn, replies: tuple[Reply, ...]) -> tuple[str, ...]:
        """End the turn durably (inbox, history and outbox rows in one transaction), then send; return platform ids.

        Raises Refused or Uncertain when a part could not be delivered; NotReady never leaves it (the runner waits).
        """
