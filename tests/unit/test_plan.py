"""`plan` tells exactly what a save changes. The oracle edits deployments itself and knows what it did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from homunculus.model import (
    AdapterSpec,
    AgentSpec,
    BindingSpec,
    Character,
    Deployment,
    MemorySpec,
    ModelSpec,
    RulesetSpec,
    Secret,
    ServerSpec,
)
from homunculus.plan import Plan, nothing, plan

KOVACH = Character(stem="kovach", name="Kovach", description="A shopkeeper.")
JOHN = Character(stem="john", name="John", description="A sailor.")


def deployment(**changes: object) -> Deployment:
    base = Deployment(
        bot_name="campaigns",
        data_home=Path("/data"),
        adapters=(
            AdapterSpec("local"),
            AdapterSpec("discord", credentials=(("token", Secret("env:TOKEN", "hunter2")),)),
            AdapterSpec("discord", "keeper", credentials=(("token", Secret("env:KEEPER", "swordfish")),)),
        ),
        models=(ModelSpec("default", "embedded"),),
        agents=(AgentSpec("kovach-eod", KOVACH, "kovach-eod"), AgentSpec("john-masks", JOHN, "john-masks")),
        rulesets=(RulesetSpec("coc7e", "d100"),),
        bindings=(
            BindingSpec("kovach-eod", "local", chat_id="@kovach-eod", kind="agent"),
            BindingSpec("kovach-eod", "discord", channel_ids=("1",), kind="channel"),
            BindingSpec("john-masks", "discord", adapter="keeper", channel_ids=("2",), kind="channel"),
            BindingSpec("kovach-eod", "discord", guild_id="7"),
            BindingSpec("john-masks", "discord"),
        ),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def lines(applied: Deployment, wanted: Deployment) -> list[str]:
    return str(plan(applied, wanted)).splitlines()


def test_the_same_deployment_plans_nothing() -> None:
    assert not plan(deployment(), deployment())
    assert str(plan(deployment(), deployment())) == "no changes"


def test_a_start_is_a_plan_from_nothing(snapshot: SnapshotAssertion) -> None:
    assert str(plan(nothing(deployment()), deployment())) == snapshot


def test_a_stop_is_a_plan_to_nothing(snapshot: SnapshotAssertion) -> None:
    assert str(plan(deployment(), nothing(deployment()))) == snapshot


def test_a_new_token_restarts_that_instance_alone_and_shows_no_secret() -> None:
    old = deployment()
    keeper = replace(old.adapters[2], credentials=(("token", Secret("env:KEEPER", "new-secret")),))
    wanted = deployment(adapters=(*old.adapters[:2], keeper))
    assert lines(old, wanted) == ["~ adapter discord:keeper (credentials)  [restart discord:keeper]"]


def test_live_settings_of_an_instance_are_hot() -> None:
    old = deployment()
    open_door = replace(old.adapters[1], dm_allowed_users=("*",), persona="prefix")
    wanted = deployment(adapters=(old.adapters[0], open_door, old.adapters[2]))
    assert lines(old, wanted) == ["~ adapter discord (dm_allowed_users, persona)  [hot]"]


def test_switching_an_instance_off_restarts_it() -> None:
    old = deployment()
    wanted = deployment(adapters=(*old.adapters[:2], replace(old.adapters[2], enabled=False)))
    assert lines(old, wanted) == ["~ adapter discord:keeper (enabled)  [restart discord:keeper]"]


def test_an_edited_card_is_one_change_of_the_character() -> None:
    edited = replace(KOVACH, description="A shopkeeper with a scar.")
    old = deployment(agents=(AgentSpec("a", KOVACH, "a"), AgentSpec("b", KOVACH, "b")))
    wanted = deployment(agents=(AgentSpec("a", edited, "a"), AgentSpec("b", edited, "b")))
    assert lines(old, wanted) == ["~ character kovach (description)  [hot]"]


def test_another_namespace_says_memory() -> None:
    old = deployment()
    wanted = deployment(agents=(replace(old.agents[0], namespace="fresh"), old.agents[1]))
    assert lines(old, wanted) == ["~ agent kovach-eod (namespace)  [memory]"]


def test_moved_data_needs_a_new_process() -> None:
    result = plan(deployment(), deployment(data_home=Path("/elsewhere")))
    assert result.needs_process
    assert str(result) == "~ settings data_home (/data → /elsewhere)  [process]"


def test_server_memory_and_rules_are_told_apart() -> None:
    wanted = deployment(
        server=ServerSpec(port=9000, port_written=True),
        memory=MemorySpec(top_k=3),
        rulesets=(RulesetSpec("coc7e", "d100", (("fumble_on", "required"),)),),
        default_agent="kovach-eod",
    )
    assert lines(deployment(), wanted) == [
        "~ settings default_agent (none → kovach-eod)  [hot]",
        "~ server server (port, port_written)  [hot]",
        "~ memory memory (top_k)  [memory]",
        "~ ruleset coc7e (options)  [hot]",
    ]


def test_a_channel_given_to_another_agent_is_one_change() -> None:
    old = deployment()
    moved = replace(old.bindings[1], agent_id="john-masks")
    wanted = deployment(bindings=(old.bindings[0], moved, *old.bindings[2:]))
    assert lines(old, wanted) == ["~ channel discord 1 → john-masks (agent_id)  [hot]"]


def test_comments_names_and_places_in_the_file_are_not_compared() -> None:
    old = deployment()
    moved = tuple(replace(rule, path=f"bindings[{i + 9}]", name="renamed") for i, rule in enumerate(old.bindings))
    assert not plan(old, deployment(bindings=moved, text="# a comment", digest="f00"))


def test_named_blocks_may_move_freely() -> None:
    old = deployment()
    assert not plan(old, deployment(adapters=old.adapters[::-1], agents=old.agents[::-1]))


def test_places_that_agents_have_by_themselves_are_not_listed() -> None:
    old = deployment()
    assert not plan(old, deployment(bindings=old.bindings[1:]))


rules = st.builds(
    BindingSpec,
    agent_id=st.sampled_from(["a", "b"]),
    platform=st.sampled_from(["discord", "telegram"]),
    guild_id=st.sampled_from([None, "1", "2"]),
)


@given(st.lists(rules, max_size=6), st.randoms(use_true_random=False))
def test_a_shuffle_is_at_most_one_change_of_order(written: list[BindingSpec], random: object) -> None:
    shuffled = list(written)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    result = plan(deployment(bindings=tuple(written)), deployment(bindings=tuple(shuffled)))
    expected = ["~ binding order  [hot]"] if shuffled != written else ["no changes"]
    assert str(result).splitlines() == expected


@given(st.lists(rules, max_size=6), st.lists(rules, max_size=6))
def test_adds_and_removes_account_for_every_rule(old: list[BindingSpec], new: list[BindingSpec]) -> None:
    result: Plan = plan(deployment(bindings=tuple(old)), deployment(bindings=tuple(new)))
    added, removed = len(result.of("binding", "add")), len(result.of("binding", "remove"))
    assert len(old) + added - removed == len(new)
    assert added == sum(max(0, new.count(rule) - old.count(rule)) for rule in set(new))
    assert removed == sum(max(0, old.count(rule) - new.count(rule)) for rule in set(old))


@given(st.lists(rules, max_size=6), st.lists(rules, max_size=6))
def test_only_equal_tables_plan_nothing(old: list[BindingSpec], new: list[BindingSpec]) -> None:
    assert bool(plan(deployment(bindings=tuple(old)), deployment(bindings=tuple(new)))) == (old != new)
