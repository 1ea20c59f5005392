"""A probe is answered as a message would be, and one that names nobody's bot is refused with a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest

from homunculus.errors import Refused
from homunculus.model import AdapterSpec, BindingSpec, Deployment
from homunculus.runtime.probe import Probe, ask
from homunculus.runtime.routes import Routes

DEPLOYMENT = Deployment(
    "camp",
    Path("/data"),
    adapters=(AdapterSpec("discord"), AdapterSpec("discord", "keeper"), AdapterSpec("telegram")),
    bindings=(
        BindingSpec("kovach", "discord", channel_ids=("1",), path="channels[0]", kind="channel"),
        BindingSpec("agnes", "discord", guild_id="7", require_mention=True, path="bindings[0]"),
        BindingSpec("chen", "telegram", chat_id="-100", path="bindings[1]"),
        BindingSpec("john", "discord", adapter="keeper", dm_allowed_users=("42",), path="bindings[2]"),
    ),
)
ROUTES = Routes.of(DEPLOYMENT)


@pytest.mark.parametrize(
    ("probe", "agent"),
    [
        (Probe("discord", channel="1"), "kovach"),
        (Probe("discord", adapter="default", channel="1"), "kovach"),
        (Probe("discord", guild="7", channel="2"), None),
        (Probe("discord", guild="7", channel="2", mention=True), "agnes"),
        (Probe("telegram", chat="-100"), "chen"),
        (Probe("discord", adapter="keeper", user="42", dm=True), "john"),
        (Probe("discord", adapter="keeper", user="43", dm=True), None),
    ],
)
def test_a_probe_is_routed_like_a_message(probe: Probe, agent: str | None) -> None:
    answer = ask(ROUTES, DEPLOYMENT, probe)
    assert answer.agent_id == agent
    assert answer.reason
    assert [rule["path"] for rule in answer.shown()["rules"]] == [rule.path for rule in DEPLOYMENT.bindings]


def test_the_first_failing_condition_of_each_rule_is_named() -> None:
    shown = ask(ROUTES, DEPLOYMENT, Probe("discord", guild="8", channel="2")).shown()
    assert [rule["failing"] for rule in shown["rules"]] == ["channel_ids", "guild_id", "channel", "adapter"]


def test_an_instance_nobody_declared_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(Refused, match=r'no adapter "discord:keper".*did you mean "discord:keeper"'):
        ask(ROUTES, DEPLOYMENT, Probe("discord", adapter="keper"))
    with pytest.raises(Refused, match="there are: discord, discord:keeper, telegram"):
        ask(ROUTES, DEPLOYMENT, Probe("matrix"))


def test_a_platform_whose_names_have_no_case_is_asked_in_any() -> None:
    deployment = Deployment(
        "camp",
        Path("/data"),
        adapters=(AdapterSpec("twitch"), AdapterSpec("discord")),
        bindings=(
            BindingSpec("kovach", "twitch", channel_ids=("streamer",), path="channels[0]", kind="channel"),
            BindingSpec("chen", "discord", channel_ids=("a",), path="channels[1]", kind="channel"),
        ),
    )

    def answer(platform: str, channel: str) -> str | None:
        probe = Probe(platform, channel=channel)
        return ask(Routes.of(deployment), deployment, probe, {"twitch"}.__contains__).agent_id

    assert (answer("twitch", "Streamer"), answer("discord", "A")) == ("kovach", None)


def test_arguments_that_are_absent_keep_their_defaults() -> None:
    assert Probe.of({"platform": "discord", "guild": None, "dm": False}) == Probe("discord")
