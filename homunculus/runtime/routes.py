"""The routing table: who answers a message, what an instance should hear, who may give orders. Pure and immutable.

Owns the meaning of `channels`, `bindings` and `default_agent` (spec: Routing); never knows a platform, never counts,
never remembers a message. The first match wins: rules keep their order, an index only finds the candidates quickly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from homunculus.model import AdapterSpec, Address, Author, BindingSpec, Deployment, Message, Scope

EVERYONE = "*"
_REMEMBERED = 65_536  # places whose rule is kept at hand; forgotten all at once beyond that
_NO_INSTANCE = AdapterSpec(platform="")


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers, by which rule, and why in words. Without an agent, `binding` is the rule that wanted a mention.

    `unmatched` says that no rule is meant for it at all, which is worth telling once a place.
    """

    agent_id: str | None
    binding: BindingSpec | None
    reason: str
    unmatched: bool = False

    @property
    def rule(self) -> str:
        """Return the path of the rule in the file, for a trace."""
        return self.binding.path if self.binding is not None else "default_agent" if self.agent_id else ""


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """One rule held against one message: `failing` is its first condition that does not hold, "" when all do."""

    binding: BindingSpec
    failing: str = ""

    @property
    def matches(self) -> bool:
        return not self.failing


@dataclass(frozen=True, slots=True)
class _Rule:
    ordinal: int
    binding: BindingSpec
    found: Route
    unmentioned: Route

    def route(self, message: Message) -> Route:
        if self.binding.require_mention and not message.mentioned and not message.address.direct:
            return self.unmentioned
        return self.found


_Bucket = list[_Rule]  # in the order of the table


@dataclass(slots=True)
class _Instance:
    """The rules of one runtime key, found by their most telling filter."""

    rules: list[_Rule] = field(default_factory=list)
    by_place: dict[str, _Bucket] = field(default_factory=dict)  # channel_ids, else chat_id
    by_space: dict[str, _Bucket] = field(default_factory=dict)  # guild_id or workspace_id alone
    anywhere: _Bucket = field(default_factory=list)
    by_user: dict[str, _Rule] = field(default_factory=dict)  # the first rule whose own list admits the user

    def add(self, rule: _Rule) -> None:
        binding = rule.binding
        self.rules.append(rule)
        named, space = places(binding), binding.guild_id or binding.workspace_id
        for place in dict.fromkeys(named):
            self.by_place.setdefault(place, []).append(rule)
        if not named:
            (self.by_space.setdefault(space, []) if space else self.anywhere).append(rule)
        for user in binding.dm_allowed_users:
            self.by_user.setdefault(user, rule)
            self.by_user.setdefault(user.casefold(), rule)

    def first(self, address: Address) -> _Rule | None:
        """Return the first rule whose filters all hold."""
        best: _Rule | None = None
        for bucket in self._candidates(address):
            for rule in bucket:
                if best is not None and rule.ordinal >= best.ordinal:
                    break
                if not _failing_filter(rule.binding, address):
                    best = rule
                    break
        return best

    def _candidates(self, address: Address) -> Iterator[_Bucket]:
        yield self.by_place.get(address.place, [])
        if address.parent is not None:
            yield self.by_place.get(address.parent, [])
        if address.space is not None:
            yield self.by_space.get(address.space, [])
        yield self.anywhere

    def first_direct(self, address: Address, author: Author) -> _Rule | None:
        """Return the first rule that admits a direct message: by its list, or by naming the conversation itself."""
        named = (r for r in self.by_place.get(address.place, ()) if not _failing_filter(r.binding, address))
        listed = (self.by_user.get(author.id), self.by_user.get(EVERYONE))
        found = [rule for rule in (next(named, None), *listed) if rule is not None]
        return min(found, key=attrgetter("ordinal"), default=None)


class Routes:
    """Answer who speaks where. Built once from a deployment; safe to use from any thread."""

    def __init__(self, bindings: Iterable[BindingSpec], adapters: Iterable[AdapterSpec], default: str | None) -> None:
        # Places that agents have of their own stand before every written rule.
        ordered = sorted(bindings, key=lambda binding: binding.kind != "agent")
        self._specs = {spec.key: spec for spec in adapters}
        self._default = default
        self._rules = [_rule(ordinal, binding) for ordinal, binding in enumerate(ordered)]
        self._instances: dict[str, _Instance] = {}
        for rule in self._rules:
            self._instances.setdefault(rule.binding.key, _Instance()).add(rule)
        self._known: dict[tuple[str, str, str | None, str | None], _Rule | None] = {}

    @classmethod
    def of(cls, deployment: Deployment) -> Routes:
        """Build the table of a deployment."""
        return cls(deployment.bindings, deployment.adapters, deployment.default_agent)

    def match(self, message: Message) -> Route:
        """Say who answers a message: the first rule that matches, else the default agent, else nobody."""
        author = message.author
        if author.own:
            return _OWN
        if author.bot and not self._hears_bot(message.address.adapter, author):
            return _BOT
        if message.address.direct:
            return self._direct(message)
        rule = self._place(message.address)
        if rule is not None:
            return rule.route(message)
        return self._default_route("no rule matches, so the default agent")

    def owner(self, address: Address) -> str | None:
        """Return who a place belongs to, whether or not it answers what is said there."""
        rule = self._place(address)
        return rule.binding.agent_id if rule is not None else self._default

    def scope(self, key: str) -> Scope:
        """Return what an instance must hear so that no rule is deaf.

        A rule without a place, or a default agent, needs everything; a place named by a rule is to be heard even where it
        is a direct conversation.
        """
        spec = self._specs.get(key)
        if spec is None:
            return Scope()
        instance = self._instances.get(key, _Instance())
        default = self._default is not None
        return Scope(
            places=frozenset(instance.by_place),
            everything=default or bool(instance.anywhere or instance.by_space),
            direct=bool(instance.by_user) or (default and bool(spec.dm_allowed_users)),
            options=spec.options,
        )

    def count(self, key: str) -> int:
        """Return how many written rules name an instance."""
        rules = self._instances.get(key, _Instance()).rules
        return sum(rule.binding.kind != "agent" for rule in rules)

    def agents(self, key: str) -> frozenset[str]:
        """Return who may speak through an instance."""
        named = {rule.binding.agent_id for rule in self._instances.get(key, _Instance()).rules}
        return frozenset(named | ({self._default} if self._default is not None else set()))

    def explain(self, message: Message) -> tuple[RuleCheck, ...]:
        """Hold every rule against a message, in order; an agent's own places appear only where they match."""
        checks = (RuleCheck(rule.binding, _failing(rule.binding, message)) for rule in self._rules)
        return tuple(check for check in checks if check.matches or check.binding.kind != "agent")

    def may_command(self, message: Message) -> bool:
        """Tell whether the author may run control commands there. Admission comes first: this never widens it."""
        spec = self._specs.get(message.address.adapter, _NO_INSTANCE)
        route = self.match(message)
        if route.binding is None and route.agent_id is None:
            return False
        written = route.binding.authority if route.binding is not None else None
        return admits(spec.authority if written is None else written, message.author)

    def _hears_bot(self, key: str, author: Author) -> bool:
        allowed = self._specs.get(key, _NO_INSTANCE).allow_bot_messages
        return allowed if isinstance(allowed, bool) else admits(allowed, author)

    def _place(self, address: Address) -> _Rule | None:
        place = (address.adapter, address.place, address.parent, address.space)
        try:
            return self._known[place]
        except KeyError:
            pass
        instance = self._instances.get(address.adapter)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        rule = self._known[place] = instance.first(address) if instance is not None else None
        return rule

    def _direct(self, message: Message) -> Route:
        instance = self._instances.get(message.address.adapter)
        rule = instance.first_direct(message.address, message.author) if instance is not None else None
        if rule is not None:
            return rule.route(message)
        if admits(self._specs.get(message.address.adapter, _NO_INSTANCE).dm_allowed_users, message.author):
            return self._default_route("the instance admits the sender, so the default agent")
        return _UNADMITTED

    def _default_route(self, reason: str) -> Route:
        return Route(self._default, None, reason) if self._default is not None else _UNMATCHED


def admits(users: tuple[str, ...], author: Author) -> bool:
    """Tell whether a list holds an author, or everyone.

    Ids are compared exactly. A platform whose names ignore case delivers them in lower case; the list may be written in any.
    """
    return any(user == EVERYONE or author.id in (user, user.casefold()) for user in users)


_OWN = Route(None, None, "it is a message of our own")
_BOT = Route(None, None, "it is from a bot that allow_bot_messages does not admit")
_UNMATCHED = Route(None, None, "no rule matches, and there is no default agent", unmatched=True)
_UNADMITTED = Route(None, None, "a direct message from someone no dm_allowed_users admits", unmatched=True)


def _rule(ordinal: int, binding: BindingSpec) -> _Rule:
    name = binding.path or binding.id or f"rule {ordinal}"
    return _Rule(
        ordinal,
        binding,
        Route(binding.agent_id, binding, f"{name} matches"),
        Route(None, binding, f"{name} matches and requires a mention"),
    )


def places(binding: BindingSpec) -> tuple[str, ...]:
    """List the places that a rule names."""
    return binding.channel_ids or ((binding.chat_id,) if binding.chat_id else ())


def _failing_filter(binding: BindingSpec, address: Address) -> str:
    """Return the first filter that keeps a place out; an absent one is a wildcard."""
    if binding.guild_id and binding.guild_id != address.space:
        return "guild_id"
    if binding.workspace_id and binding.workspace_id != address.space:
        return "workspace_id"
    if binding.chat_id and binding.chat_id != address.place:
        return "chat_id"
    if binding.channel_ids and not {address.place, address.parent}.intersection(binding.channel_ids):
        return "channel_ids"
    return ""


def _failing(binding: BindingSpec, message: Message) -> str:
    address = message.address
    if binding.platform != address.platform:
        return "channel"
    if binding.key != address.adapter:
        return "adapter"
    if not address.direct:
        return _failing_filter(binding, address)
    if address.place in places(binding) and not _failing_filter(binding, address):
        return ""
    return "" if admits(binding.dm_allowed_users, message.author) else "dm_allowed_users"
