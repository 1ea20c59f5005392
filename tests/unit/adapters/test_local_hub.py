"""The rooms of the local platform and those who wait in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.adapters.local import LocalAdapter, LocalHub, LocalPost, platform
from homunculus.adapters.local.hub import POSTS_A_ROOM, ROOMS, TURNS
from homunculus.errors import NotReady, Refused
from homunculus.model import AdapterSpec, Address, Message, Receipt, Reply, Scope, Trace, TurnEnded

ALL = Scope(everything=True, direct=True)


class Program:
    """Stand in for everything behind an adapter: records what arrives, and ends turns when told to."""

    def __init__(self, hub: LocalHub, receipt: Receipt = Receipt.RECORDED) -> None:
        self.hub = hub
        self.receipt = receipt
        self.heard: asyncio.Queue[Message] = asyncio.Queue()
        self.adapter: LocalAdapter | None = None
        self.on_message: Callable[[Message], None] = lambda message: None

    async def deliver(self, message: Message) -> Receipt:
        self.heard.put_nowait(message)
        self.on_message(message)
        return self.receipt

    async def start(self, name: str | None = None, scope: Scope = ALL) -> LocalAdapter:
        self.adapter = LocalAdapter(AdapterSpec("local", name), self.hub)
        await self.adapter.open(self.deliver)
        await self.adapter.listen(scope)
        return self.adapter

    async def reply(self, turn: str, part: int, text: str, address: Address) -> str:
        assert self.adapter is not None
        return await self.adapter.send(address, Reply(f"{turn}.{part}", "kovach", "Kovach", text, persona="prefix"))

    def end(self, turn: str, *messages: Message) -> None:
        ids = tuple(message.id for message in messages)
        trace = Trace(turn, ids, messages[0].address.label, "kovach", "bindings[0]", "answered")
        self.hub.observe(TurnEnded(messages[0].address, trace))


@pytest.fixture
def hub() -> LocalHub:
    return LocalHub()


async def test_what_is_said_reaches_the_program_and_the_room(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    message_id = await hub.say("tavern", user="ana", text="hello", mention=False)
    message = await program.heard.get()
    assert (message.id, message.text, message.mentioned) == (message_id, "hello", False)
    assert (message.author.id, message.author.name, message.author.bot) == ("ana", "ana", False)
    assert message.address == Address("local", "local", "local", "tavern")
    assert (message.address.label, message.address.conversation) == ("local:tavern", "local/local/tavern")
    assert hub.posts("tavern") == (LocalPost(message_id, "tavern", "ana", "ana", None, "hello", message.time),)
    assert hub.rooms() == ("tavern",)


async def test_a_direct_message_is_in_the_room_of_its_user(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    await hub.say("tavern", user="ana", text="psst", dm=True)
    address = (await program.heard.get()).address
    assert (address.direct, address.place, address.label) == (True, "ana", "local:dm:ana")
    await program.reply("t1", 0, "Yes?", address)
    assert [post.text for post in hub.posts("dm:ana")] == ["psst", "Yes?"]
    assert hub.posts("tavern") == ()


async def test_a_direct_message_is_apart_from_a_place_that_is_named_like_its_user(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    await hub.say("tavern", user="ana", text="psst", dm=True)
    await hub.say("ana", user="bo", text="hello all")
    private, public = (await program.heard.get()).address, (await program.heard.get()).address
    assert private.conversation != public.conversation
    assert [post.text for post in hub.posts("ana")] == ["hello all"]
    with pytest.raises(Refused, match="cannot begin with dm:"):
        await hub.say("dm:ana", user="bo", text="let me in")


async def test_who_waits_is_told_when_the_last_adapter_closes(hub: LocalHub) -> None:
    program = Program(hub)
    adapter = await program.start()
    asked = asyncio.create_task(hub.ask("tavern", user="ana", text="hello"))
    await program.heard.get()
    await adapter.aclose()
    with pytest.raises(NotReady, match="closed before the turn ended"):
        await asked


async def test_a_named_instance_is_in_the_label_and_the_account(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start("page")
    await hub.say("tavern", user="ana", text="hello")
    address = (await program.heard.get()).address
    assert (address.adapter, address.account, address.label) == ("local:page", "local:page", "local:page:tavern")


async def test_asking_returns_the_replies_of_the_turn_and_no_others(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    asking = asyncio.create_task(hub.ask("tavern", user="ana", text="hello"))
    message = await program.heard.get()
    await program.reply("t10", 0, "another turn, whose id begins alike", message.address)
    first = await program.reply("t1", 0, "Evening.", message.address)
    second = await program.reply("t1", 1, "What will it be?", message.address)
    assert not asking.done()
    program.end("t1", message)
    message_id, replies = await asking
    assert message_id == message.id
    assert [(post.id, post.text, post.author, post.agent_id, post.user) for post in replies] == [
        (first, "Evening.", "Kovach", "kovach", None),
        (second, "What will it be?", "Kovach", "kovach", None),
    ]


async def test_a_turn_that_ends_before_the_delivery_returns_still_answers(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()

    def answer_at_once(message: Message) -> None:
        hub.post(message.address, Reply("t1.0", "kovach", "Kovach", "Quick."))
        program.end("t1", message)

    program.on_message = answer_at_once
    _, replies = await asyncio.wait_for(hub.ask("tavern", user="ana", text="hello"), 5)
    assert [post.text for post in replies] == ["Quick."]


async def test_all_who_wait_for_one_turn_get_its_replies(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    asking = [asyncio.create_task(hub.ask("tavern", user=user, text=f"{user} asks")) for user in ("ana", "ben", "cho")]
    heard = [await program.heard.get() for _ in asking]
    await program.reply("t1", 0, "To you all.", heard[-1].address)
    program.end("t1", *heard)
    answers = await asyncio.gather(*asking)
    assert [message_id for message_id, _ in answers] == [message.id for message in heard]
    assert [[post.text for post in replies] for _, replies in answers] == [["To you all."]] * 3


@pytest.mark.parametrize("receipt", [Receipt.IGNORED, Receipt.DUPLICATE])
async def test_nobody_waits_for_a_message_that_leads_to_no_turn(hub: LocalHub, receipt: Receipt) -> None:
    await Program(hub, receipt).start()
    _, replies = await asyncio.wait_for(hub.ask("tavern", user="ana", text="hello"), 5)
    assert replies == ()


async def test_nobody_waits_in_a_room_that_is_out_of_scope(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start(scope=Scope(places=frozenset({"harbour"})))
    message_id, replies = await asyncio.wait_for(hub.ask("tavern", user="ana", text="hello"), 5)
    assert replies == ()
    assert program.heard.empty()
    assert [post.id for post in hub.posts("tavern")] == [message_id]


async def test_a_turn_without_a_reply_ends_the_waiting(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    asking = asyncio.create_task(hub.ask("tavern", user="ana", text="hello"))
    program.end("t1", await program.heard.get())
    assert (await asking)[1] == ()


async def test_leaving_while_waiting_disturbs_nobody(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()
    leaving = asyncio.create_task(hub.ask("tavern", user="ana", text="never mind"))
    staying = asyncio.create_task(hub.ask("tavern", user="ben", text="I stay"))
    heard = [await program.heard.get(), await program.heard.get()]
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    await program.reply("t1", 0, "Good.", heard[1].address)
    program.end("t1", *heard)
    assert [post.text for post in (await staying)[1]] == ["Good."]
    assert [post.text for post in hub.posts("tavern")] == ["never mind", "I stay", "Good."]


async def test_without_an_adapter_nothing_is_said(hub: LocalHub) -> None:
    with pytest.raises(NotReady, match=r"messaging\.local"):
        await hub.say("tavern", user="ana", text="hello")
    with pytest.raises(NotReady, match=r"messaging\.local"):
        await hub.ask("tavern", user="ana", text="hello")
    assert (hub.posts("tavern"), hub.rooms()) == ((), ())


@pytest.mark.parametrize(("chat", "user"), [("", "ana"), ("tavern", "")])
async def test_a_message_needs_a_room_and_a_user(hub: LocalHub, chat: str, user: str) -> None:
    await Program(hub).start()
    with pytest.raises(Refused, match="chat and a user"):
        await hub.say(chat, user=user, text="hello")


async def test_what_could_not_be_recorded_was_never_said(hub: LocalHub) -> None:
    program = Program(hub)
    await program.start()

    def fail(message: Message) -> None:
        raise NotReady("the disk is full")

    program.on_message = fail
    with pytest.raises(NotReady, match="disk"):
        await hub.say("tavern", user="ana", text="hello")
    assert (hub.posts("tavern"), hub.rooms()) == ((), ())


async def test_rooms_outlive_the_adapter_and_its_successor_takes_over(hub: LocalHub) -> None:
    old, new = Program(hub), Program(hub)
    gone = await old.start()
    await hub.say("tavern", user="ana", text="before")
    await new.start()
    await gone.aclose()
    await hub.say("tavern", user="ana", text="after")
    assert (await new.heard.get()).text == "after"
    assert old.heard.qsize() == 1
    assert [post.text for post in hub.posts("tavern")] == ["before", "after"]


async def test_the_default_instance_goes_before_a_named_one(hub: LocalHub) -> None:
    named, default = Program(hub), Program(hub)
    await named.start("page")
    adapter = await default.start()
    await hub.say("tavern", user="ana", text="to the default")
    await adapter.aclose()
    await hub.say("tavern", user="ana", text="to the named one")
    assert (await default.heard.get()).text == "to the default"
    assert (await named.heard.get()).text == "to the named one"


async def test_a_reply_is_posted_once_however_often_it_is_sent(hub: LocalHub) -> None:
    program = Program(hub)
    adapter = await program.start()
    address = adapter.address("tavern", direct=False)
    first = await program.reply("t1", 0, "Once.", address)
    assert await program.reply("t1", 0, "Once.", address) == first
    assert [(post.id, post.text) for post in hub.posts("tavern")] == [(first, "Once.")]


async def test_a_text_beyond_the_limit_is_refused(hub: LocalHub) -> None:
    program = Program(hub)
    adapter = await program.start()
    with pytest.raises(Refused, match="at most"):
        await program.reply("t1", 0, "x" * (adapter.limit + 1), adapter.address("tavern", direct=False))


async def test_only_what_came_after_a_post_is_told(hub: LocalHub) -> None:
    await Program(hub).start()
    ids = [await hub.say("tavern", user="ana", text=str(number)) for number in range(4)]
    assert [post.text for post in hub.posts("tavern", after=ids[1])] == ["2", "3"]
    assert hub.posts("tavern", after=ids[-1]) == ()


async def test_rooms_posts_and_turns_are_bounded(hub: LocalHub) -> None:
    await Program(hub).start()
    for number in range(ROOMS + 10):
        await hub.say(f"room {number}", user="ana", text="hello")
    assert len(hub.rooms()) == ROOMS
    assert hub.posts("room 0") == ()
    for number in range(max(POSTS_A_ROOM, TURNS) + 10):
        hub.post(Address("local", "local", "local", "tavern"), Reply(f"t{number}.0", "kovach", "Kovach", str(number)))
    posts = hub.posts("tavern")
    assert len(posts) == POSTS_A_ROOM
    assert posts[-1].text == str(max(POSTS_A_ROOM, TURNS) + 9)
    assert len(hub._turns) == TURNS


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=50))
def test_ids_sort_by_time_and_never_repeat_whatever_the_clock_does(times: list[float]) -> None:
    ticks = iter(times * 2)
    hub = LocalHub(clock=lambda: next(ticks))
    ids = [hub._ids.mint() for _ in times]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {32}


def test_ids_of_two_processes_differ_within_the_same_millisecond() -> None:
    hubs = [LocalHub(clock=lambda: 1_700_000_000.0) for _ in range(2)]
    ids = {hub._ids.mint() for hub in hubs for _ in range(1000)}
    assert len(ids) == 2000


def test_a_later_process_continues_the_order() -> None:
    early, late = LocalHub(clock=lambda: 1_700_000_000.0), LocalHub(clock=lambda: 1_700_000_000.001)
    assert max(early._ids.mint() for _ in range(1000)) < late._ids.mint()


def test_the_platform_builds_an_adapter_on_the_hub(hub: LocalHub) -> None:
    adapter = platform.build(AdapterSpec("local"), hub=hub)
    assert isinstance(adapter, LocalAdapter)
