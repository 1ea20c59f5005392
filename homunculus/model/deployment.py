"""What a deployment file says, resolved and frozen. Owns no defaults of behaviour beyond those the file's contract names.

A `path` is the place in the file (`bindings[2]`, `agents.kovach-eod`): it is for messages, so it never takes part in
comparison, and moving a block plans nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from homunculus.model.lore import Knowledge, Lorebook

Pairs = tuple[tuple[str, str], ...]
Persona = Literal["auto", "webhook", "prefix", "off"]


def runtime_key(platform: str, name: str | None) -> str:
    """Name a live adapter instance: `discord` for the default one, `discord:keeper` for a named one."""
    return platform if name is None else f"{platform}:{name}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A written credential: where it comes from, and its value once it resolves.

    `source` is `env:NAME`, `file:PATH` or `literal`; it may be shown. `value` is None while unresolved and is never shown.
    """

    source: str
    value: str | None = field(default=None, repr=False)

    @property
    def resolved(self) -> bool:
        return self.value is not None


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """One named adapter instance of the file.

    A change of `enabled`, `credentials` or `connection` restarts the instance; everything else changes live.
    `connection` holds what fixes the session besides secrets: endpoints (`api_base`, `gateway` …) and login names.
    `options` holds the platform's own live settings, lists joined by newlines (`channels`, `trigger_prefix`).
    """

    platform: str
    name: str | None = None
    enabled: bool = True
    credentials: tuple[tuple[str, Secret], ...] = ()
    missing: tuple[str, ...] = ()  # required credentials that were not written at all
    connection: Pairs = ()
    options: Pairs = ()
    dm_allowed_users: tuple[str, ...] = ()
    allow_bot_messages: bool | tuple[str, ...] = False
    authority: tuple[str, ...] = ()
    persona: Persona = "auto"
    acknowledge: Literal["auto", "off"] = "auto"
    path: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        return runtime_key(self.platform, self.name)

    @property
    def identity(self) -> tuple[object, ...]:
        """Tell what a session stands on: two specs with equal identity can share one live connection."""
        return (self.platform, self.enabled, self.credentials, self.missing, self.connection)

    @property
    def unresolved(self) -> tuple[str, ...]:
        """List the sources that are still missing (`env:DISCORD_BOT_TOKEN`), empty when it can connect."""
        return tuple(secret.source for _, secret in self.credentials if not secret.resolved) + self.missing

    def credential(self, key: str) -> str | None:
        """Return a credential's value; None when it was not written or does not resolve."""
        return next((secret.value for name, secret in self.credentials if name == key), None)

    def setting(self, key: str, default: str = "") -> str:
        """Return an entry of `connection` or `options`."""
        return next((value for name, value in (*self.connection, *self.options) if name == key), default)


@dataclass(frozen=True, slots=True)
class BindingSpec:
    """One routing rule: a `channels` entry or a `bindings` entry. An absent filter (None, empty) is a wildcard.

    Kind `agent` is a place that an agent has without being given one (`@kovach-eod` on the local platform): it stands
    before every written rule, and no plan lists it.
    `authority` None means the instance's list. `name` is for people only.
    """

    agent_id: str
    platform: str
    adapter: str | None = None  # the instance's name; None is the default instance
    guild_id: str | None = None
    workspace_id: str | None = None
    chat_id: str | None = None
    channel_ids: tuple[str, ...] = ()
    require_mention: bool = False
    dm_allowed_users: tuple[str, ...] = ()
    authority: tuple[str, ...] | None = None
    id: str | None = None
    kind: Literal["agent", "channel", "binding"] = "binding"
    name: str = field(default="", compare=False)
    path: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Return the runtime key of the instance this rule listens to."""
        return runtime_key(self.platform, self.adapter)


@dataclass(frozen=True, slots=True)
class Character:
    """One character card, resolved. `stem` is what a deployment refers to, `name` what people see.

    `creator_notes`, `creator`, `character_version` and `tags` are about the card: for people, never for a prompt.
    """

    stem: str
    name: str
    nickname: str = ""
    description: str = ""
    personality: str = ""
    background: str = ""
    scenario: str = ""
    language: str = ""
    avatar: str = ""  # an absolute path or an https address; "" is none
    greeting: str = ""
    alternate_greetings: tuple[str, ...] = ()
    group_only_greetings: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    system_prompt: str = ""
    post_history: str = ""
    ruleset: str = ""
    stats: tuple[tuple[str, float], ...] = ()
    skills: tuple[tuple[str, float], ...] = ()
    inventory: tuple[str, ...] = ()
    knowledge: tuple[Knowledge, ...] = ()
    lorebook: Lorebook = field(default_factory=Lorebook)
    creator_notes: str = ""
    creator: str = ""
    character_version: str = ""
    tags: tuple[str, ...] = ()
    path: str = field(default="", compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """List what people may call this character."""
        return (self.name, self.nickname) if self.nickname else (self.name,)


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """Who speaks: a character, its rules, its model, its own memory. A card edit is a change of this."""

    id: str
    character: Character
    namespace: str
    ruleset: str = "coc7e"
    model: str = "default"
    respond: Literal["mention", "always", "observe"] = "mention"
    history_size: int = 25
    token_budget: int = 2000
    stream: bool = True
    greeting: bool = False
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """One line of a scripted model: when the pattern is found in a message, say this."""

    when: str
    say: str


@dataclass(frozen=True, slots=True)
class BudgetSpec:
    """What a model may cost a day; None is no limit."""

    tokens_per_day: int | None = None
    cost_per_day: float | None = None


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """What a million tokens cost; what a prefix cache serves and keeps costs as other input unless it is written."""

    input: float
    output: float
    cache_read: float | None = None
    cache_write: float | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of `models`. `timeout_seconds` in seconds; `concurrency` calls at once."""

    id: str
    provider: str
    name: str = ""
    agent_id: str = ""
    base_url: str = ""
    api_key: Secret | None = None
    max_tokens: int = 500
    temperature: float = 0.7
    timeout_seconds: float = 30.0
    concurrency: int = 8
    fallback: tuple[str, ...] = ()
    budget: BudgetSpec = BudgetSpec()
    price: PriceSpec | None = None
    weights: str = ""  # an absolute path of a .gguf file; "" is the packaged one
    replies: tuple[ScriptedReply, ...] = ()
    otherwise: str = ""
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class QmdSpec:
    """How the qmd program is called; times in seconds."""

    binary: str = "qmd"
    daemon: bool = False
    query_timeout_seconds: float = 4.0
    fallback_timeout_seconds: float = 2.0
    update_interval_seconds: float = 300.0
    update_timeout_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class MemorySpec:
    """How memories are kept and found. `extract_with` names a model; "" is off."""

    backend: str = "sqlite"
    top_k: int = 10
    embeddings: Literal["auto", "off"] = "auto"
    extract_with: str = "default"
    qmd: QmdSpec = QmdSpec()


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """Where the HTTP API and the pages are. `port_written` False lets a busy port give way to the next free one."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 8420
    port_written: bool = False
    token: Secret | None = None
    allowed_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RulesetSpec:
    """One ruleset in use: its excerpt for the prompt and its options, as written."""

    name: str
    excerpt: str = ""
    options: Pairs = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything one deployment file says, resolved: the value that `plan` compares.

    `bindings` is the routing table in its final order: the `channels` entries, then the `bindings` entries.
    `file`, `digest` (of the text and everything read with it) and `watched` say where it came from; none is compared.
    """

    bot_name: str
    data_home: Path
    log_level: str = "INFO"
    default_agent: str | None = None
    server: ServerSpec = ServerSpec()
    adapters: tuple[AdapterSpec, ...] = ()
    models: tuple[ModelSpec, ...] = ()
    memory: MemorySpec = MemorySpec()
    agents: tuple[AgentSpec, ...] = ()
    bindings: tuple[BindingSpec, ...] = ()
    rulesets: tuple[RulesetSpec, ...] = ()
    file: Path = field(default=Path(), compare=False)
    text: str = field(default="", compare=False, repr=False)
    digest: str = field(default="", compare=False)
    watched: frozenset[Path] = field(default=frozenset(), compare=False)

    def agent(self, agent_id: str) -> AgentSpec | None:
        """Return the agent of that id, or None."""
        return next((agent for agent in self.agents if agent.id == agent_id), None)

    def model(self, model_id: str) -> ModelSpec | None:
        """Return the model of that id, or None."""
        return next((model for model in self.models if model.id == model_id), None)

    def adapter(self, key: str) -> AdapterSpec | None:
        """Return the adapter instance of that runtime key, or None."""
        return next((adapter for adapter in self.adapters if adapter.key == key), None)


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent as one generation runs it: the spec with everything it refers to."""

    spec: AgentSpec
    ruleset: RulesetSpec
    models: tuple[ModelSpec, ...]  # the agent's own model first, then its fallbacks in order

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def character(self) -> Character:
        return self.spec.character
