"""Commands beside the conversations: recorded once, carried out once, answered where and to whom they should be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest
from loguru import logger

from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.interfaces import Desk, Order, Response
from homunculus.model import Author, Message, Receipt, ReplySent
from tests.unit.runtime.fakes import World, adapter, agent, calm, deployment, rule, running


async def up(world: World) -> None:
    world.abilities |= {"private", "commands"}
    owner = adapter(None, "t", authority=("ana",))
    await world.apply(deployment([owner], [agent("kovach")], [rule("kovach", None, "1")]))
    await calm()


def posted(world: World) -> list[str]:
    return [reply.text for _, reply in world.server("t").posts]


async def test_a_command_is_answered_beside_a_conversation_that_thinks() -> None:
    async with running() as world:
        await up(world)
        world.slow = True
        world.say("t", "1", "a long question")
        await calm()
        world.say("t", "1", "!echo now")
        await calm()
        assert posted(world) == ["heard: echo now"]
        world.answer_all()
        await calm()
        assert len(posted(world)) == 2


async def test_a_command_quotes_what_was_typed_and_is_nobodys_character() -> None:
    async with running() as world:
        await up(world)
        typed = world.say("t", "1", "!echo")
        await calm()
        ((_, reply),) = world.server("t").posts
        assert (reply.quotes, reply.agent_id, reply.persona) == (typed.id, "", "off")
        assert world.outcomes() == {typed.id: ["answered"]}
        assert all(line.id != typed.id for _, _, line in world.store.lines)
        assert any(isinstance(event, ReplySent) for event in world.events)


async def test_a_private_answer_is_whispered_and_where_that_cannot_be_it_is_posted() -> None:
    async with running() as world:
        await up(world)
        world.say("t", "1", "!private please")
        await calm()
        assert world.server("t").whispers == [("ana", "heard: private please")]
        assert posted(world) == []
        world.overheard = True
        world.say("t", "1", "!private again")
        await calm()
        assert posted(world) == ["heard: private again"]


async def test_the_same_command_delivered_again_is_not_carried_out_again() -> None:
    async with running() as world:
        await up(world)
        typed = world.say("t", "1", "!echo")
        await calm()
        world.put(typed, "t")
        await calm()
        assert len(world.orders) == 1
        receipts = [receipt for name, receipt in world.live("discord").receipts if name == typed.id]
        assert receipts == [Receipt.RECORDED, Receipt.DUPLICATE]


async def test_a_command_that_cannot_be_recorded_is_not_carried_out_until_it_can() -> None:
    async with running() as world:
        await up(world)
        world.store.full = True
        world.say("t", "1", "!echo")
        await calm()
        assert world.orders == []
        world.store.full = False
        world.live("discord").wake()
        await calm()
        assert posted(world) == ["heard: echo"]


async def test_a_command_that_a_crash_interrupted_is_not_carried_out_later() -> None:
    async with running() as world:
        await up(world)
        typed = world.message("t", "1", "!echo")
        typed = replace(typed, address=replace(typed.address, adapter="discord"))
        await world.stop()
        await world.store.record(typed, "")
        world.start()
        await up(world)
        assert world.orders == []
        assert world.outcomes()[typed.id] == ["failed"]


async def test_authority_and_the_agent_come_from_the_file() -> None:
    async with running() as world:
        await up(world)
        world.say("t", "1", "!echo")
        world.put(world.message("t", "1", "!echo", author=Author("bob", "Bob")), "t")
        await calm()
        assert [(order.authority, order.agent.id if order.agent else None) for order in world.orders] == [
            (True, "kovach"),
            (False, "kovach"),
        ]


async def test_where_no_rule_is_meant_a_command_is_ignored() -> None:
    async with running() as world:
        await up(world)
        foreign = world.message("t", "2", "!echo")
        assert await world.live("discord").deliver(foreign) is Receipt.IGNORED
        await calm()
        assert world.orders == []


async def test_a_rule_that_wants_a_mention_still_takes_commands() -> None:
    async with running() as world:
        world.abilities |= {"private", "commands"}
        wanted = rule("kovach", None, "1", require_mention=True)
        await world.apply(deployment([adapter(None, "t")], [agent("kovach")], [wanted]))
        await calm()
        world.say("t", "1", "!echo")
        await calm()
        assert posted(world) == ["heard: echo"]


@pytest.mark.parametrize(
    ("error", "told"), [(NotReady("the disk is full"), "the disk is full"), (KeyError("x"), "log")]
)
async def test_a_command_that_fails_says_so_to_who_typed_it(error: Exception, told: str) -> None:
    async def failing(order: Order, desk: Desk) -> Response:
        raise error

    async with running() as world:
        await up(world)
        world.command = failing
        world.say("t", "1", "!echo")
        await calm()
        ((_, text),) = world.server("t").whispers
        assert told in text


async def test_an_answer_that_cannot_be_posted_ends_the_command_all_the_same() -> None:
    async with running() as world:
        await up(world)
        world.server("t").send_mood = "refuse"
        typed = world.say("t", "1", "!echo")
        await calm()
        assert world.outcomes() == {typed.id: ["answered"]}
        assert set(world.store.outbox.values()) == {"failed"}


async def test_a_long_answer_is_cut_as_the_platform_wants() -> None:
    async def long(order: Order, desk: Desk) -> Response:
        return Response("word " * 1000, private="private" in order.line)

    async with running() as world:
        await up(world)
        world.command = long
        world.say("t", "1", "!long")
        world.say("t", "1", "!private")
        await calm()
        assert len(posted(world)) == len(world.server("t").whispers) == 3


async def test_one_user_cannot_flood_a_place_with_commands() -> None:
    async with running() as world:
        await up(world)
        for _ in range(30):
            world.say("t", "1", "!echo")
            await calm()
        assert len(posted(world)) == 20


async def test_removing_an_instance_lets_a_command_finish() -> None:
    release = asyncio.Event()

    async def slow(order: Order, desk: Desk) -> Response:
        await release.wait()
        return Response("done")

    async with running() as world:
        await up(world)
        world.command = slow
        world.say("t", "1", "!echo")
        await calm()
        await world.apply(deployment([], [agent("kovach")], []))
        await calm()
        release.set()
        await calm()
        assert posted(world) == ["done"]


# --- what nobody else may see ---------------------------------------------------------------------------------------

SECRET = "the vicar is the murderer"


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level=0, format="{message} {extra} {exception}")
    yield lines
    logger.remove(sink)


async def confiding(order: Order, desk: Desk) -> Response:
    """Say a secret; of what is asked for at length, one that takes three posts."""
    long = "long" in order.line
    return Response("ask in private", private="private" in order.line, secret=(f"{SECRET} " * 200 if long else SECRET))


class Confidant:
    """Stands before an adapter's whispers: lets some pass, and ends the others as it is told."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, passing: int, end: bool | Exception) -> None:
        self._adapter, self._passing, self._end = world.live("discord"), passing, end
        self._whisper = self._adapter.whisper
        monkeypatch.setattr(self._adapter, "whisper", self)

    async def __call__(self, message: Message, text: str) -> bool:
        if self._passing:
            self._passing -= 1
            return await self._whisper(message, text)
        if isinstance(self._end, Exception):
            raise self._end
        return self._end


def everything_public(world: World) -> str:
    """Return all that others can see, and all that is kept to be said."""
    return repr((world.server("t").posts, world.server("t").edits, world.store.lines, list(world.store.outbox)))


async def test_a_secret_is_whispered_in_all_its_parts_instead_of_the_text() -> None:
    async with running() as world:
        await up(world)
        world.command = confiding
        world.say("t", "1", "!ask")
        await calm()
        assert world.server("t").whispers == [("ana", SECRET)]
        world.say("t", "1", "!ask at long length")
        await calm()
        assert [len(text) <= 2000 for _, text in world.server("t").whispers] == [True] * 4
        assert "".join(text for _, text in world.server("t").whispers).count("murderer") == 201
        assert posted(world) == []


async def test_in_a_direct_message_a_secret_is_simply_the_answer() -> None:
    async with running() as world:
        await up(world)
        world.command = confiding
        world.overheard = True
        owner = adapter(None, "t", authority=("ana",), dm_allowed_users=("ana",))
        await world.apply(deployment([owner], [agent("kovach")], [rule("kovach", None, "1")], default_agent="kovach"))
        await calm()
        typed = world.message("t", "ana", "!ask at long length")
        world.put(replace(typed, address=replace(typed.address, direct=True)), "t")
        await calm()
        assert len(posted(world)) == 3
        assert all("murderer" in text and "ask in private" not in text for text in posted(world))
        assert {address.direct for address, _ in world.server("t").posts} == {True}


@pytest.mark.parametrize("line", ["!ask", "!ask private", "!ask at long length"])
async def test_where_nothing_can_be_whispered_the_text_is_posted_and_the_secret_never(line: str) -> None:
    async with running() as world:
        await up(world)
        world.command = confiding
        world.overheard = True
        world.say("t", "1", line)
        await calm()
        assert posted(world) == ["ask in private"]
        assert world.server("t").whispers == []
        assert "murderer" not in everything_public(world)


async def test_on_a_platform_without_whispers_the_secret_is_never_posted() -> None:
    async with running() as world:
        owner = adapter(None, "t", authority=("ana",))
        await world.apply(deployment([owner], [agent("kovach")], [rule("kovach", None, "1")]))
        await calm()
        world.command = confiding
        world.say("t", "1", "!ask private")
        await calm()
        assert posted(world) == ["ask in private"]
        assert "murderer" not in everything_public(world)


async def test_where_a_secret_cannot_be_whispered_its_text_still_is_if_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as world:
        await up(world)
        world.command = confiding
        real = world.live("discord").whisper

        async def only_text(message: Message, text: str) -> bool:
            return "murderer" not in text and await real(message, text)

        monkeypatch.setattr(world.live("discord"), "whisper", only_text)
        world.say("t", "1", "!ask private")
        await calm()
        assert world.server("t").whispers == [("ana", "ask in private")]
        assert posted(world) == []


async def test_the_rest_of_a_secret_that_can_be_whispered_no_longer_is_left_unsaid(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    async with running() as world:
        await up(world)
        world.command = confiding
        Confidant(world, monkeypatch, 1, end=False)
        world.say("t", "1", "!ask at long length")
        await calm()
        assert len(world.server("t").whispers) == 1
        assert posted(world) == []
        assert "murderer" not in everything_public(world)
        assert any("left unsaid" in line for line in log)
        assert not any("murderer" in line for line in log)


@pytest.mark.parametrize("passing", [0, 1])
@pytest.mark.parametrize(
    "fault", [NotReady("later"), Refused("no"), Uncertain("who knows"), KeyError("a bug"), TimeoutError()]
)
async def test_a_whisper_that_fails_never_leads_to_the_secret_being_posted(
    monkeypatch: pytest.MonkeyPatch, passing: int, fault: Exception
) -> None:
    async with running() as world:
        await up(world)
        world.command = confiding
        Confidant(world, monkeypatch, passing, end=fault)
        typed = world.say("t", "1", "!ask private at long length")
        await calm()
        assert len(world.server("t").whispers) == passing
        assert "murderer" not in everything_public(world)
        assert world.outcomes() == {typed.id: ["answered"]}


# --- the desk -------------------------------------------------------------------------------------------------------


async def test_overrides_of_a_command_hold_for_that_conversation_alone() -> None:
    async def quiet(order: Order, desk: Desk) -> Response:
        if "pause" in order.line:
            await desk.set_paused(order, paused=True)
        else:
            await desk.set_mode(order, None if "default" in order.line else "observe")
        standing = desk.standing(order)
        return Response(f"{standing.mode} {standing.overridden} {standing.paused}")

    async with running() as world:
        world.abilities |= {"private", "commands"}
        await world.apply(deployment([adapter(None, "t")], [agent("kovach")], [rule("kovach", None, "1", "2")]))
        await calm()
        world.command = quiet
        for line in ("!mode observe", "!mode default", "!pause"):
            world.say("t", "1", line)
            await calm()
        assert posted(world) == ["observe True False", "always False False", "always False True"]
        here, there = world.say("t", "1"), world.say("t", "2")
        await calm()
        assert (world.outcomes()[here.id], world.outcomes()[there.id]) == (["silent"], ["answered"])


async def test_speaking_as_the_npc_is_kept_by_its_history_and_shown_under_its_name() -> None:
    async def speak(order: Order, desk: Desk) -> Response:
        await desk.speak(order, "Good evening.")
        return Response("said", private=True)

    async with running() as world:
        await up(world)
        world.command = speak
        world.say("t", "1", "!as")
        await calm()
        ((address, reply),) = world.server("t").posts
        assert (address.place, reply.author, reply.agent_id, reply.text) == ("1", "Kovach", "kovach", "Good evening.")
        assert [line.text for _, who, line in world.store.lines if who == "kovach"] == ["Good evening."]
        assert world.store.outbox == {reply.id: "sent"}


async def test_a_look_at_the_file_tells_what_it_found() -> None:
    async def reload(order: Order, desk: Desk) -> Response:
        return Response(str(await desk.reload()))

    async with running() as world:
        await up(world)
        world.command = reload
        world.say("t", "1", "!reload")
        await calm()
        assert world.reloads.asked == 1
        assert posted(world) == ["(True, ())"]


# --- what is offered ------------------------------------------------------------------------------------------------


async def test_commands_are_offered_once_a_session_and_again_after_a_passing_failure() -> None:
    async with running() as world:
        world.server("t").offer_mood = "later"
        await up(world)
        assert len(world.server("t").offers) == 1
        assert world.state("discord") == "ready"
        world.server("t").offer_mood = "ok"
        world.time.advance(5)
        await calm()
        assert len(world.server("t").offers) == 2
        world.time.advance(500)
        await calm()
        assert len(world.server("t").offers) == 2


async def test_a_platform_that_refuses_commands_keeps_nobody_from_talking() -> None:
    async with running() as world:
        world.server("t").offer_mood = "refuse"
        await up(world)
        said = world.say("t", "1")
        await calm()
        assert world.outcomes() == {said.id: ["answered"]}


# --- saying something unasked ---------------------------------------------------------------------------------------


async def test_a_text_goes_out_through_the_instance_that_is_named() -> None:
    async with running() as world:
        await world.apply(deployment([adapter(None, "t"), adapter("keeper", "k")], [agent("kovach")], []))
        await calm()
        assert await world.supervisor.send("discord", "41", "Session tonight.") == ("post-1",)
        assert await world.supervisor.send("discord:keeper", "42", "word " * 1000) == ("post-1", "post-2", "post-3")
        ((address, reply),) = world.server("t").posts
        assert (address.place, reply.text, reply.agent_id) == ("41", "Session tonight.", "")
        assert [address.place for address, _ in world.server("k").posts] == ["42"] * 3
        assert set(world.store.outbox.values()) == {"sent"}
        assert world.store.lines == []


async def test_whether_it_is_worth_trying_again_is_told_by_type() -> None:
    async with running() as world:
        world.server("t").open_mood = "later"
        await world.apply(deployment([adapter(None, "t"), adapter("off", "o", enabled=False)], [], []))
        await calm()
        with pytest.raises(NotReady, match="retrying"):
            await world.supervisor.send("discord", "41", "x")
        with pytest.raises(Refused, match="did you mean discord:off"):
            await world.supervisor.send("discord:of", "41", "x")
        with pytest.raises(Refused, match="disabled"):
            await world.supervisor.send("discord:off", "41", "x")
        world.server("t").open_mood = "ok"
        world.time.advance(60)
        await calm()
        with pytest.raises(Refused, match="no such place"):
            await world.supervisor.send("discord", "nowhere", "x")
        with pytest.raises(Refused, match="blank"):
            await world.supervisor.send("discord", "41", " \n ")
        world.server("t").send_mood = "refuse"
        with pytest.raises(Refused):
            await world.supervisor.send("discord", "41", "x")
