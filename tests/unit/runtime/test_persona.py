"""How an NPC's name is shown, whose posts are our own, and what a send without a nonce means for the runner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homunculus.errors import Uncertain
from homunculus.interfaces import Desk, Order, Response
from homunculus.model import Address, Author, Persona, Receipt, Reply
from homunculus.runtime.generation import Generation
from tests.unit.runtime.fakes import FakeAdapter, adapter, agent, calm, deployment, rule, running

ONE = deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1")])


@pytest.mark.parametrize(
    ("written", "several", "able", "shown"),
    [
        ("auto", True, True, "webhook"),
        ("auto", False, True, "auto"),  # its own name where it may, else nothing
        ("auto", True, False, "prefix"),
        ("auto", False, False, "off"),
        ("webhook", True, True, "webhook"),
        ("webhook", False, True, "webhook"),
        ("webhook", False, False, "prefix"),
        ("prefix", False, True, "prefix"),
        ("off", True, True, "off"),
    ],
)
def test_a_name_is_shown_as_the_platform_can_and_as_the_file_wants(
    written: Persona, several: bool, able: bool, shown: str
) -> None:
    agents = ["kovach", "agnes"][: 1 + several]
    spec = adapter(None, "t", persona=written)
    wanted = deployment(
        [spec], [agent(one) for one in agents], [rule(one, None, f"{n}") for n, one in enumerate(agents)]
    )
    assert Generation.of(1, wanted).persona(spec, frozenset({"persona"} if able else ())) == shown


async def test_a_doubt_that_is_final_is_not_asked_about_again_even_with_a_nonce(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[str] = []

    async def through_a_webhook(self: FakeAdapter, address: Address, reply: Reply) -> str:
        tries.append(reply.id)
        raise Uncertain("the line was cut", final=True)

    monkeypatch.setattr(FakeAdapter, "send", through_a_webhook)
    async with running() as world:
        world.abilities = {"nonce"}
        await world.supervisor.apply(ONE)
        await calm()
        said = world.say("t", "1")
        await calm()
        world.time.advance(3600)
        await calm()
        assert world.outcomes() == {said.id: ["uncertain"]}
        assert list(world.store.outbox.values()) == ["uncertain"]
    assert len(tries) == 1


async def test_a_post_in_the_name_of_another_instances_application_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def aliases(self: FakeAdapter) -> frozenset[str]:
        return frozenset({f"application-of-{self.server.token}"})

    monkeypatch.setattr(FakeAdapter, "aliases", property(aliases), raising=False)
    everybody = replace(adapter("a", "t"), allow_bot_messages=True)
    wanted = deployment([everybody, adapter("b", "u")], [agent("kovach")], [rule("kovach", "a", "1")])
    receipts = {}
    async with running() as world:
        await world.supervisor.apply(wanted)
        await calm()
        for author in ("application-of-u", "application-of-strangers"):
            said = world.message("t", "1", author=Author(author, "Agnes", bot=True))
            receipts[author] = await world.live("discord:a").deliver(said)
    assert receipts == {"application-of-u": Receipt.IGNORED, "application-of-strangers": Receipt.RECORDED}


@pytest.mark.parametrize("name", ["Kovach", "K*o_v`a~ch"])
async def test_what_is_said_unasked_leaves_room_for_the_name_before_it(name: str) -> None:
    async def speak(order: Order, desk: Desk) -> Response:
        await desk.speak(order, "word " * 1000)
        return Response("", private=True)

    spec = agent("kovach")
    named = replace(spec, character=replace(spec.character, name=name))
    async with running() as world:
        world.command = speak
        await world.supervisor.apply(replace(ONE, adapters=(adapter(None, "t", persona="prefix"),), agents=(named,)))
        await calm()
        world.say("t", "1", "!npc as …")
        await calm()
        posts = [reply for _, reply in world.server("t").posts]
        escaped = "".join(f"\\{char}" if char in "*_`~" else char for char in name)
        assert len(posts) == 3
        assert all(len(f"**{escaped}:** {reply.text}") <= FakeAdapter.limit for reply in posts)
