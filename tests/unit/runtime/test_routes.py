"""The routing table keeps the promises of the spec, and its index finds what a plain scan of the rules finds."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from homunculus.model import AdapterSpec, Address, Author, BindingSpec, Message, Scope
from homunculus.runtime.routes import Routes

PLACES, SPACES, USERS = ("1", "2", "3"), ("g", "h"), ("ana", "bob", "Eve")
NAMES = (None, "keeper")


def message(place: str = "1", **changes: object) -> Message:
    address_keys = {"space", "parent", "direct", "adapter", "platform"}
    address = Address("discord", "discord", "bot", place)
    address = replace(address, **{k: v for k, v in changes.items() if k in address_keys})  # type: ignore[arg-type]
    rest = {k: v for k, v in changes.items() if k not in address_keys}
    return replace(Message("m", address, Author("ana", "Ana"), "hello"), **rest)  # type: ignore[arg-type]


def routes(*bindings: BindingSpec, default: str | None = None, **instance: object) -> Routes:
    spec = replace(AdapterSpec("discord"), **instance)  # type: ignore[arg-type]
    return Routes(bindings, (spec, AdapterSpec("discord", "keeper")), default)


def rule(agent: str, **filters: object) -> BindingSpec:
    return replace(BindingSpec(agent, "discord", path=f"bindings[{agent}]"), **filters)  # type: ignore[arg-type]


# --- the oracle: the words of the spec, rule by rule ------------------------------------------------------------------


def naive(
    bindings: list[BindingSpec], specs: dict[str, AdapterSpec], default: str | None, said: Message
) -> tuple[str | None, BindingSpec | None]:
    where, author = said.address, said.author
    spec = specs[where.adapter]
    if author.own or (author.bot and not _bot_heard(spec, author)):
        return None, None
    for binding in bindings:
        if binding.platform != where.platform or (binding.adapter or "") != where.adapter.partition(":")[2]:
            continue
        filters_hold = (
            (binding.guild_id is None or binding.guild_id == where.space)
            and (binding.workspace_id is None or binding.workspace_id == where.space)
            and (binding.chat_id is None or binding.chat_id == where.place)
            and (not binding.channel_ids or where.place in binding.channel_ids or where.parent in binding.channel_ids)
        )
        if where.direct:
            named = where.place in binding.channel_ids or (not binding.channel_ids and binding.chat_id == where.place)
            if _listed(binding.dm_allowed_users, author) or (named and filters_hold):
                return binding.agent_id, binding
            continue
        if filters_hold:
            if binding.require_mention and not said.mentioned:
                return None, binding
            return binding.agent_id, binding
    if where.direct and not _listed(spec.dm_allowed_users, author):
        return None, None
    return default, None


def _bot_heard(spec: AdapterSpec, author: Author) -> bool:
    allowed = spec.allow_bot_messages
    return _listed(allowed, author) if isinstance(allowed, tuple) else allowed


def _listed(users: tuple[str, ...], author: Author) -> bool:
    return "*" in users or author.id in users or author.id in {user.casefold() for user in users}


users = st.lists(st.sampled_from((*USERS, "*")), max_size=2).map(tuple)
bindings_made = st.builds(
    BindingSpec,
    agent_id=st.sampled_from(("a", "b", "c")),
    platform=st.just("discord"),
    adapter=st.sampled_from(NAMES),
    guild_id=st.none() | st.sampled_from(SPACES),
    workspace_id=st.none() | st.none() | st.sampled_from(SPACES),
    chat_id=st.none() | st.sampled_from(PLACES),
    channel_ids=st.lists(st.sampled_from(PLACES), max_size=2).map(tuple),
    require_mention=st.booleans(),
    dm_allowed_users=users,
)
messages_made = st.builds(
    Message,
    id=st.just("m"),
    address=st.builds(
        Address,
        platform=st.just("discord"),
        adapter=st.sampled_from(("discord", "discord:keeper")),
        account=st.just("bot"),
        place=st.sampled_from((*PLACES, "4")),
        space=st.none() | st.sampled_from(SPACES),
        parent=st.none() | st.sampled_from(PLACES),
        direct=st.booleans(),
    ),
    author=st.builds(
        Author, id=st.sampled_from((*USERS, "eve")), name=st.just("A"), bot=st.booleans(), own=st.booleans()
    ),
    text=st.just("hello"),
    mentioned=st.booleans(),
)
instances = st.builds(
    AdapterSpec, platform=st.just("discord"), dm_allowed_users=users, allow_bot_messages=st.booleans() | users
)


@given(
    st.lists(bindings_made, max_size=12),
    instances,
    instances,
    st.none() | st.just("d"),
    st.lists(messages_made, max_size=8),
)
def test_the_index_finds_what_a_scan_finds(
    bindings: list[BindingSpec], one: AdapterSpec, two: AdapterSpec, default: str | None, said: list[Message]
) -> None:
    specs = {"discord": one, "discord:keeper": replace(two, name="keeper")}
    table = Routes(bindings, specs.values(), default)
    for each in (*said, *said):  # twice: the second answer comes from memory
        found = table.match(each)
        agent, binding = naive(bindings, specs, default, each)
        assert (found.agent_id, found.binding is binding) == (agent, True)


@given(st.lists(bindings_made, max_size=12), instances, st.none() | st.just("d"), messages_made)
def test_no_rule_is_deaf(
    bindings: list[BindingSpec], instance: AdapterSpec, default: str | None, said: Message
) -> None:
    specs = {"discord": instance, "discord:keeper": replace(instance, name="keeper")}
    table = Routes(bindings, specs.values(), default)
    agent, binding = naive(bindings, specs, default, said)
    scope = table.scope(said.address.adapter)
    heard = bool({said.address.place, said.address.parent} & scope.places) or (
        scope.direct if said.address.direct else scope.everything
    )
    assert heard or (agent is None and binding is None)


@given(st.lists(bindings_made, max_size=8), instances, messages_made)
def test_an_explanation_agrees_with_the_answer(
    bindings: list[BindingSpec], instance: AdapterSpec, said: Message
) -> None:
    table = Routes(bindings, (instance, replace(instance, name="keeper")), None)
    said = replace(said, author=Author(said.author.id, "A"))
    checks = table.explain(said)
    assert [check.binding for check in checks] == bindings
    assert next((check.binding for check in checks if check.matches), None) is table.match(said).binding


# --- single promises ----------------------------------------------------------------------------------------------------


def test_the_first_rule_wins_over_a_more_specific_later_one() -> None:
    table = routes(rule("wide"), rule("narrow", channel_ids=("1",)))
    assert table.match(message()).agent_id == "wide"


def test_a_mention_is_asked_for_after_the_match_and_nobody_else_gets_the_message() -> None:
    table = routes(rule("shy", require_mention=True), rule("open"), default="anyone")
    found = table.match(message())
    assert found.agent_id is None
    assert found.binding is not None
    assert found.binding.agent_id == "shy"
    assert not found.unmatched
    assert table.match(message(mentioned=True)).agent_id == "shy"


def test_a_direct_message_fails_closed() -> None:
    table = routes(rule("open"), default="anyone")
    assert table.match(message("dm", direct=True)).agent_id is None
    assert not table.scope("discord").direct


def test_a_direct_message_goes_to_the_first_rule_whose_own_list_admits_then_to_the_default_agent() -> None:
    table = routes(
        rule("open"), rule("bobs", dm_allowed_users=("bob",)), default="anyone", dm_allowed_users=("ana", "bob")
    )
    assert table.match(message("dm", direct=True, author=Author("bob", "Bob"))).agent_id == "bobs"
    assert table.match(message("dm", direct=True)).agent_id == "anyone"
    assert table.match(message("dm", direct=True, author=Author("eve", "Eve"))).agent_id is None
    assert table.scope("discord").direct


def test_naming_a_direct_conversation_admits_it_whoever_writes() -> None:
    table = routes(rule("named", chat_id="dm"))
    assert table.match(message("dm", direct=True)).agent_id == "named"
    assert "dm" in table.scope("discord").places


def test_a_direct_message_needs_no_mention() -> None:
    table = routes(rule("shy", require_mention=True, dm_allowed_users=("*",)))
    assert table.match(message("dm", direct=True)).agent_id == "shy"


def test_a_thread_is_found_through_its_parent_and_is_itself_a_place() -> None:
    table = routes(rule("parent", channel_ids=("1",)), rule("thread", channel_ids=("t",)))
    assert table.match(message("t", parent="1")).agent_id == "parent"
    assert table.match(message("t", parent="9")).agent_id == "thread"


def test_an_absent_adapter_is_the_default_instance_alone() -> None:
    table = routes(rule("default"), rule("keeper", adapter="keeper"))
    assert table.match(message()).agent_id == "default"
    assert table.match(message(adapter="discord:keeper")).agent_id == "keeper"


def test_a_guild_rule_does_not_deafen_a_catch_all_one() -> None:
    scope = routes(rule("guild", guild_id="g", channel_ids=("1",)), rule("all")).scope("discord")
    assert scope.everything


def test_places_alone_keep_the_scope_narrow_and_carry_live_options() -> None:
    table = routes(rule("a", channel_ids=("1", "2")), rule("b", chat_id="3"), options=(("trigger_prefix", "!k"),))
    assert table.scope("discord") == Scope(frozenset("123"), options=(("trigger_prefix", "!k"),))
    assert table.scope("telegram") == Scope()


def test_own_messages_are_never_answered_and_other_bots_only_where_admitted() -> None:
    bot = Author("b1", "Bot", bot=True)
    assert routes(rule("a"), allow_bot_messages=True).match(message(author=replace(bot, own=True))).agent_id is None
    assert routes(rule("a")).match(message(author=bot)).agent_id is None
    assert routes(rule("a"), allow_bot_messages=("b2",)).match(message(author=bot)).agent_id is None
    assert routes(rule("a"), allow_bot_messages=("b1",)).match(message(author=bot)).agent_id == "a"


def test_an_agents_own_place_stands_before_every_written_rule() -> None:
    own = rule("kovach", kind="agent", chat_id="@kovach")
    table = routes(rule("all"), own)
    assert table.match(message("@kovach")).agent_id == "kovach"
    assert table.count("discord") == 1
    assert [check.binding.agent_id for check in table.explain(message("1"))] == ["all"]


def test_authority_is_the_rules_list_else_the_instances_and_never_widens_admission() -> None:
    table = routes(
        rule("inherits", channel_ids=("1",)),
        rule("nobody", channel_ids=("2",), authority=()),
        rule("all", channel_ids=("3",), authority=("*",)),
        authority=("ana",),
    )
    bob = Author("bob", "Bob")
    assert table.may_command(message("1"))
    assert not table.may_command(message("1", author=bob))
    assert not table.may_command(message("2"))
    assert table.may_command(message("3", author=bob))
    assert not table.may_command(message("9"))


def test_a_name_written_in_capitals_admits_a_platform_that_delivers_lower_case() -> None:
    assert (
        routes(rule("a", dm_allowed_users=("Some_Streamer",)))
        .match(message("dm", direct=True, author=Author("some_streamer", "S")))
        .agent_id
        == "a"
    )


def test_memory_of_places_is_bounded() -> None:
    table = routes(rule("all"))
    for place in range(66_000):
        table.match(message(str(place)))
    assert len(table._known) <= 65_536
