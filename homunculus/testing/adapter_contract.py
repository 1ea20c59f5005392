"""The promises that every adapter keeps, as a pytest suite to inherit: `AdapterContract`, and the `AdapterWorld` it acts on.

Owns what an adapter promises; never knows a platform. To test an adapter of your own, describe its platform from the side
of the people on it, over real sockets, and inherit the suite:

    class ExampleWorld(AdapterWorld):
        features = frozenset({"token", "network"})
        ...

    class TestExample(AdapterContract):
        @pytest.fixture
        async def world(self) -> AsyncIterator[AdapterWorld]:
            async with ExampleServer() as server:
                yield ExampleWorld(server)

A promise about something that the platform lacks is skipped: by what the world lists in `features`, or by what the adapter
declares in `abilities`, never by the platform's name. Tests need pytest and pytest-asyncio.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.interfaces import Adapter, Commands, Edit, PlatformHistory, Private, React, Typing
from homunculus.model import Address, CommandSpec, Message, ParameterSpec, Persona, Receipt, Reply, Scope

# What a bot may offer, for the ability `commands`.
COMMANDS = (
    CommandSpec(("npc", "status"), "What the NPC is doing here"),
    CommandSpec(
        ("npc", "mode"),
        "When the NPC answers here",
        (ParameterSpec("mode", "when it answers", choices=("mention", "always", "observe", "default")),),
        private=True,
    ),
    CommandSpec(("whoami",), "Who you are to the bot"),
)
PATIENCE = 10.0  # seconds until a promise that should be kept at once counts as broken


@dataclass(frozen=True, slots=True)
class Sent:
    """One post as people see it on the platform; `quotes` is the id of the message it answers."""

    id: str
    text: str
    quotes: str | None = None


class AdapterWorld(ABC):
    """A platform with one bot in it, seen from the side of the people who write there.

    `places` are two channels that the bot sees, by the ids the adapter uses. `features` says what the platform has, and
    each enables the method or the argument of the same sense:

    `token` (a wrong one is possible), `network` (it can fail), `resume` (a lost connection comes back without a loss),
    `death` (it can end a session for good), `direct` (people can write to the bot alone), `threads`, `edits`, `deletions`,
    `replies` (people can answer a message), `quotes` (a post shows which message it answers), `hidden` (a place the bot
    cannot see), `nowhere` (a place that cannot be sent to), `redelivery` (what was not confirmed comes again), `bots`
    (other programs write where this one hears).
    """

    places: tuple[str, str]
    features: frozenset[str] = frozenset()

    @abstractmethod
    def adapter(self) -> Adapter:
        """Return a new, unopened adapter of the bot."""

    @abstractmethod
    async def say(
        self, place: str, text: str, *, mention: bool = False, direct: bool = False, reply_to: str | None = None
    ) -> str:
        """Write as a person in a place, or with `direct` to the bot alone; return the id the adapter will report."""

    @abstractmethod
    async def sent(self, address: Address, count: int) -> list[Sent]:
        """Wait until the bot has posted `count` times at an address, and return those posts in order."""

    @property
    def connections(self) -> int:
        """Count the sessions that were ever begun with the bot's credential."""
        return 0

    def serves(self, task: asyncio.Task[object]) -> bool:
        """Tell whether a task belongs to a loopback server in this process: those are not the adapter's leaks."""
        return False

    def bad_token(self) -> Adapter:
        """Feature `token`: return an adapter whose credential the platform does not know."""
        raise NotImplementedError

    async def network_down(self) -> None:
        """Feature `network`: cut every connection and let no new one through."""
        raise NotImplementedError

    async def network_up(self) -> None:
        """Feature `network`: let connections through again."""
        raise NotImplementedError

    async def drop(self) -> None:
        """Feature `resume`: cut the bot's connection now; it may connect again at once."""
        raise NotImplementedError

    async def bot_says(self, place: str, text: str) -> str:
        """Feature `bots`: write in a place as another program; return the id the adapter will report."""
        raise NotImplementedError

    async def kill(self) -> None:
        """Feature `death`: end the bot's session so that it cannot be resumed with the same credential."""
        raise NotImplementedError

    async def thread(self, place: str) -> str:
        """Feature `threads`: begin a thread of a place and return the place that `say` takes for it."""
        raise NotImplementedError

    async def edit(self, place: str, message_id: str, text: str) -> None:
        """Feature `edits`: change what a person said."""
        raise NotImplementedError

    async def delete(self, place: str, message_id: str) -> None:
        """Feature `deletions`: take back what a person said."""
        raise NotImplementedError

    @property
    def friend(self) -> str:
        """Feature `direct`: the id of a person whom the bot may write to first, as `dm:<user>` takes it."""
        raise NotImplementedError

    @property
    def hidden(self) -> str:
        """Feature `hidden`: a place that exists and that the bot may not see."""
        raise NotImplementedError

    @property
    def nowhere(self) -> str:
        """Feature `nowhere`: a place that does not exist."""
        raise NotImplementedError

    async def typed(self, address: Address) -> None:
        """Ability `typing`: wait until the platform shows that the bot is writing."""
        raise NotImplementedError

    async def reacted(self, address: Address, message_id: str) -> None:
        """Ability `react`: wait until the platform shows the bot's sign on a message."""
        raise NotImplementedError

    async def give(self, place: str, command: str) -> str:
        """Ability `commands`: give `npc status` in the platform's own way; return the id the adapter will report."""
        raise NotImplementedError

    async def told(self, address: Address, count: int) -> list[str]:
        """Wait until the platform showed a person `count` answers to commands there, in private or not; return them."""
        raise NotImplementedError

    def offered(self) -> tuple[int, list[str]]:
        """Ability `commands`: count the writes of the bot's commands, and return their words as people complete them.

        The words of one command are joined by a space; a platform that knows only first words returns those.
        """
        raise NotImplementedError

    async def whispered(self, address: Address, count: int) -> list[str]:
        """Ability `private`: wait until the author of a message was shown `count` texts that nobody else sees."""
        raise NotImplementedError

    async def shown_as(self, address: Address, message_id: str) -> str:
        """Ability `persona`: return the name under which people see a post of the bot's."""
        raise NotImplementedError


class Ear:
    """Collect what an adapter delivers; `fail` is how many deliveries raise instead of being recorded."""

    def __init__(self, fail: int = 0) -> None:
        self.fail = fail
        self._heard: asyncio.Queue[Message] = asyncio.Queue()

    async def deliver(self, message: Message) -> Receipt:
        if self.fail:
            self.fail -= 1
            raise RuntimeError("this delivery was meant to fail")
        self._heard.put_nowait(message)
        return Receipt.RECORDED

    async def next(self) -> Message:
        """Return the next message that a stranger said, in order of arrival."""
        while True:
            message = await self.any()
            if not message.author.own:
                return message

    async def any(self) -> Message:
        """Return the next message, whoever said it."""
        async with asyncio.timeout(PATIENCE):
            return await self._heard.get()


@asynccontextmanager
async def opened(adapter: Adapter, ear: Ear, scope: Scope) -> AsyncIterator[Adapter]:
    """Keep an adapter open and listening for as long as the context lasts."""
    try:
        async with asyncio.timeout(PATIENCE):
            await adapter.open(ear.deliver)
            await adapter.listen(scope)
        yield adapter
    finally:
        await adapter.aclose()


def reply(text: str, *, number: int = 1, quotes: str | None = None) -> Reply:
    """Make one part of a turn's reply."""
    return Reply(id=f"contract-turn-{number}.0", agent_id="kovach", author="Kovach", text=text, quotes=quotes)


def named(name: str, text: str, *, number: int, persona: Persona = "webhook") -> Reply:
    """Make a reply of an NPC that is to be seen under its own name."""
    said = reply(text, number=number)
    return replace(said, agent_id=name.casefold(), author=name, persona=persona)


def _needs(world: AdapterWorld, feature: str) -> None:
    if feature not in world.features:
        pytest.skip(f"this platform has no {feature}")


def _able(adapter: Adapter, ability: str) -> None:
    if ability not in adapter.abilities:
        pytest.skip(f"this adapter declares no {ability}")


class AdapterContract:
    """Inherit, provide the fixture `world`, add nothing: every test is a promise of `homunculus.interfaces.Adapter`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def world(self) -> AdapterWorld:
        """Return (or, asynchronously, yield) the platform to test on; every subclass has its own."""
        raise NotImplementedError("provide a fixture `world` that yields an AdapterWorld")

    @pytest.fixture(autouse=True)
    async def nothing_stays_behind(self, world: AdapterWorld) -> AsyncIterator[None]:
        """Fail a test whose adapter left a task or a thread behind."""
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        yield
        assert await _left(world, tasks) == []
        late = [thread for thread in set(threading.enumerate()) - threads if not _is_pool(thread)]
        for thread in late:
            await asyncio.to_thread(thread.join, PATIENCE)
        assert not [thread.name for thread in late if thread.is_alive()]

    # -- life

    async def test_messages_flow_once_it_is_open(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            assert adapter.account
            said = await world.say(world.places[0], "good evening")
            heard = await ear.next()
            assert (heard.id, heard.text, heard.kind) == (said, "good evening", "posted")
            assert heard.author.id
            assert heard.author.name
            assert not heard.author.bot
            assert heard.time > 0

    async def test_messages_arrive_in_order_under_ids_of_their_own(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)):
            said = [await world.say(world.places[number % 2], f"line {number}") for number in range(20)]
            heard = [await ear.next() for _ in said]
            assert [message.id for message in heard] == said
            assert [message.text for message in heard] == [f"line {number}" for number in range(20)]
            assert len(set(said)) == 20

    async def test_a_bad_token_is_refused_and_the_adapter_can_be_closed(self, world: AdapterWorld) -> None:
        _needs(world, "token")
        adapter = world.bad_token()
        with pytest.raises(Refused):
            await adapter.open(Ear().deliver)
        await adapter.aclose()

    async def test_a_dead_network_is_not_ready_and_later_is(self, world: AdapterWorld) -> None:
        _needs(world, "network")
        await world.network_down()
        adapter = world.adapter()
        with pytest.raises(NotReady):
            await adapter.open(Ear().deliver)
        await adapter.aclose()
        await world.network_up()
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)):
            await world.say(world.places[0], "back again")
            assert (await ear.next()).text == "back again"

    async def test_closing_is_safe_twice_and_without_opening(self, world: AdapterWorld) -> None:
        unopened = world.adapter()
        await unopened.aclose()
        adapter = world.adapter()
        await adapter.open(Ear().deliver)
        await adapter.aclose()
        await adapter.aclose()

    @pytest.mark.parametrize("steps", [0, 1, 5, 20, 60])
    async def test_an_opening_that_is_cancelled_leaves_nothing_behind(self, world: AdapterWorld, steps: int) -> None:
        adapter = world.adapter()
        opening = asyncio.create_task(adapter.open(Ear().deliver), name="opening")
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await adapter.aclose()

    async def test_a_closed_adapter_sends_nothing(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            await world.say(world.places[0], "hello")
            address = (await ear.next()).address
        with pytest.raises(NotReady):
            await adapter.send(address, reply("too late"))

    async def test_a_death_is_reported_with_what_to_do(self, world: AdapterWorld) -> None:
        _needs(world, "death")
        async with opened(world.adapter(), Ear(), Scope(everything=True)) as adapter:
            watching = asyncio.create_task(adapter.closed(), name="watching")
            await asyncio.sleep(0)
            assert not watching.done()
            await world.kill()
            with pytest.raises((NotReady, Refused)):
                await asyncio.wait_for(watching, PATIENCE)

    async def test_a_network_that_stays_away_is_reported(self, world: AdapterWorld) -> None:
        _needs(world, "network")
        async with opened(world.adapter(), Ear(), Scope(everything=True)) as adapter:
            await world.network_down()
            with pytest.raises(NotReady):
                await asyncio.wait_for(adapter.closed(), PATIENCE)
        await world.network_up()

    async def test_watching_for_death_can_be_given_up(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            watching = asyncio.create_task(adapter.closed(), name="watching")
            await asyncio.sleep(0)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await world.say(world.places[0], "still there?")
            assert (await ear.next()).text == "still there?"

    # -- hearing

    async def test_it_hears_exactly_its_scope(self, world: AdapterWorld) -> None:
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))):
            await world.say(there, "out of scope")
            await world.say(here, "in scope")
            heard = await ear.next()
            assert (heard.text, heard.address.place) == ("in scope", here)

    async def test_listening_elsewhere_does_not_reconnect(self, world: AdapterWorld) -> None:
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))) as adapter:
            before = world.connections
            for place in (there, here) * 5:
                await adapter.listen(Scope(places=frozenset({place})))
                await world.say(place, f"in {place}")
                assert (await ear.next()).address.place == place
            assert world.connections == before

    async def test_an_empty_scope_hears_nothing_and_can_still_send(self, world: AdapterWorld) -> None:
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))) as adapter:
            await world.say(here, "before")
            address = (await ear.next()).address
            await adapter.listen(Scope())
            await world.say(here, "into the void")
            if "direct" in world.features:
                await world.say("", "whispered into the void", mention=True, direct=True)
            await adapter.send(address, reply("draining"))
            assert [post.text for post in await world.sent(address, 1)] == ["draining"]
            await adapter.listen(Scope(places=frozenset({there})))
            await world.say(there, "after")
            assert (await ear.next()).text == "after"

    async def test_places_that_cannot_be_seen_are_returned(self, world: AdapterWorld) -> None:
        _needs(world, "hidden")
        async with opened(world.adapter(), Ear(), Scope()) as adapter:
            wanted = Scope(places=frozenset({*world.places, world.hidden, world.nowhere}))
            assert await adapter.listen(wanted) == {world.hidden, world.nowhere}
            assert await adapter.listen(Scope(everything=True)) == frozenset()

    async def test_a_direct_message_is_heard_only_where_it_is_asked_for(self, world: AdapterWorld) -> None:
        _needs(world, "direct")
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            await world.say("", "psst", direct=True)
            await world.say(here, "aloud")
            aloud = await ear.next()
            assert (aloud.text, aloud.address.direct) == ("aloud", False)
            await adapter.listen(Scope(direct=True))
            await world.say(here, "nobody listens here now")
            await world.say("", "psst again", direct=True)
            secret = await ear.next()
            assert (secret.text, secret.address.direct) == ("psst again", True)
            assert secret.address.conversation != aloud.address.conversation

    async def test_a_thread_is_heard_where_its_channel_is_and_is_a_conversation_of_its_own(
        self, world: AdapterWorld
    ) -> None:
        _needs(world, "threads")
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))):
            foreign, ours = await world.thread(there), await world.thread(here)
            await world.say(foreign, "in a thread of another channel")
            await world.say(ours, "in a thread of ours")
            await world.say(here, "beside it")
            inside, beside = await ear.next(), await ear.next()
            assert (inside.text, beside.text) == ("in a thread of ours", "beside it")
            assert here in (inside.address.parent, inside.address.place)
            assert inside.address.conversation != beside.address.conversation

    async def test_an_address_says_where_for_people_and_for_storage(self, world: AdapterWorld) -> None:
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            for place in (here, there, here):
                await world.say(place, "where am I?")
            first, other, again = [(await ear.next()).address for _ in range(3)]
            assert first == again != other
            assert first.account == adapter.account
            assert first.place == here
            assert first.label.startswith(first.adapter)
            assert first.adapter.split(":")[0] == first.platform

    async def test_only_a_mention_is_a_mention(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)):
            await world.say(here, "just talking")
            await world.say(here, "talking to you", mention=True)
            plain, mention = await ear.next(), await ear.next()
            assert (plain.mentioned, mention.mentioned) == (False, True)
            assert mention.text.endswith("talking to you")

    async def test_an_edit_names_the_message_it_is_about(self, world: AdapterWorld) -> None:
        _needs(world, "edits")
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))):
            elsewhere = await world.say(there, "out of scope")
            said = await world.say(here, "the cellar is open")
            posted = await ear.next()
            await world.edit(there, elsewhere, "still out of scope")
            await world.edit(here, said, "the cellar is closed")
            edited = await ear.next()
            assert (edited.id, edited.kind, edited.text) == (said, "edited", "the cellar is closed")
            assert edited.address == posted.address

    async def test_a_deletion_names_the_message_it_is_about(self, world: AdapterWorld) -> None:
        _needs(world, "deletions")
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))):
            elsewhere = await world.say(there, "out of scope")
            said = await world.say(here, "the cellar is open")
            posted = await ear.next()
            await world.delete(there, elsewhere)
            await world.delete(here, said)
            deleted = await ear.next()
            assert (deleted.id, deleted.kind) == (said, "deleted")
            assert deleted.address == posted.address

    async def test_a_connection_that_drops_comes_back_without_a_loss(self, world: AdapterWorld) -> None:
        _needs(world, "resume")
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)):
            said = [await world.say(here, "before")]
            for number in range(3):
                await world.drop()
                said += [await world.say(here, f"meanwhile {number}"), await world.say(here, f"and {number}")]
            heard: list[str] = []
            while set(heard) != set(said):
                heard.append((await ear.next()).id)
            # What comes twice is dropped by the inbox; what comes first comes in order.
            assert list(dict.fromkeys(heard)) == said

    async def test_another_bot_is_told_from_a_person(self, world: AdapterWorld) -> None:
        _needs(world, "bots")
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)):
            said = await world.bot_says(here, "I am a program")
            heard = await ear.next()
            assert (heard.id, heard.author.bot, heard.author.own) == (said, True, False)
            assert heard.author.id

    async def test_a_delivery_that_fails_costs_nothing_but_itself(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear(fail=1)
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            try:
                await world.say(here, "nobody writes this down")
            except RuntimeError:
                assert "redelivery" not in world.features, "the sender was told; it need not come again"
            if "redelivery" in world.features:
                assert (await ear.next()).text == "nobody writes this down"
            await world.say(here, "the next one")
            assert (await ear.next()).text == "the next one"
            watching = asyncio.create_task(adapter.closed(), name="watching")
            await asyncio.sleep(0)
            assert not watching.done()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    # -- speaking

    async def test_a_reply_arrives_under_the_id_that_was_returned(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            for place in world.places:
                said = await world.say(place, "hello")
                address = (await ear.next()).address
                plain = await adapter.send(address, reply(f"plain in {place}", number=hash((place, 1))))
                quoting = await adapter.send(
                    address, reply(f"quoting in {place}", number=hash((place, 2)), quotes=said)
                )
                assert await world.sent(address, 2) == [
                    Sent(plain, f"plain in {place}"),
                    Sent(quoting, f"quoting in {place}", said if "quotes" in world.features else None),
                ]

    async def test_a_place_that_a_person_names_is_found(self, world: AdapterWorld) -> None:
        here, there = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            await world.say(here, "where am I?")
            heard = (await ear.next()).address
            found = await adapter.locate(here)
            assert (found, found.label) == (heard, heard.label)
            await adapter.send(await adapter.locate(there), reply("Unasked."))
            assert [post.text for post in await world.sent(await adapter.locate(there), 1)] == ["Unasked."]

    async def test_a_person_can_be_written_to_first(self, world: AdapterWorld) -> None:
        _needs(world, "direct")
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(direct=True)) as adapter:
            address = await adapter.locate(f"dm:{world.friend}")
            await adapter.send(address, reply("Unasked."))
            assert [post.text for post in await world.sent(address, 1)] == ["Unasked."]
            await world.say("", "thank you", direct=True)
            heard = (await ear.next()).address
            assert (heard, heard.label) == (address, address.label)

    @pytest.mark.parametrize("target", ["", "dm:", "no such place", "../..", "#", "dm:dm:"])
    async def test_what_names_no_place_is_refused(self, world: AdapterWorld, target: str) -> None:
        _needs(world, "nowhere")
        async with opened(world.adapter(), Ear(), Scope(everything=True)) as adapter:
            with pytest.raises(Refused):
                await adapter.locate(target)
            with pytest.raises(Refused):
                await adapter.locate(world.nowhere)

    async def test_a_direct_message_is_answered_directly(self, world: AdapterWorld) -> None:
        _needs(world, "direct")
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(direct=True)) as adapter:
            await world.say("", "can you keep a secret?", direct=True)
            address = (await ear.next()).address
            await adapter.send(address, reply("No."))
            assert [post.text for post in await world.sent(address, 1)] == ["No."]

    async def test_a_thread_is_answered_in_the_thread(self, world: AdapterWorld) -> None:
        _needs(world, "threads")
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            await world.say(here, "in the channel")
            channel = (await ear.next()).address
            await world.say(await world.thread(here), "in the thread")
            thread = (await ear.next()).address
            await adapter.send(thread, reply("here", number=1))
            await adapter.send(channel, reply("there", number=2))
            assert [post.text for post in await world.sent(thread, 1)] == ["here"]
            assert [post.text for post in await world.sent(channel, 1)] == ["there"]

    async def test_answering_a_post_of_ours_is_a_mention(self, world: AdapterWorld) -> None:
        _needs(world, "replies")
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            stranger = await world.say(here, "hello")
            post = await adapter.send((await ear.next()).address, reply("Evening."))
            await world.say(here, "to a stranger", reply_to=stranger)
            await world.say(here, "to the bot", reply_to=post)
            aside, answer = await ear.next(), await ear.next()
            assert (aside.mentioned, answer.mentioned) == (False, True)
            assert (aside.reply_to, answer.reply_to) == (stranger, post)

    async def test_the_longest_text_arrives_whole(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            await world.say(world.places[0], "go on")
            address = (await ear.next()).address
            text = "长" * (adapter.limit - 5) + " end."
            await adapter.send(address, reply(text))
            assert [post.text for post in await world.sent(address, 1)] == [text]

    async def test_a_reply_that_is_sent_again_appears_once(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "nonce")
            await world.say(world.places[0], "hello")
            address = (await ear.next()).address
            first = await adapter.send(address, reply("once", number=1))
            assert await adapter.send(address, reply("once", number=1)) == first
            await adapter.send(address, reply("twice", number=2))
            assert [post.text for post in await world.sent(address, 2)] == ["once", "twice"]

    async def test_sending_nowhere_is_refused(self, world: AdapterWorld) -> None:
        _needs(world, "nowhere")
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            nowhere = Address("x", "x", adapter.account, world.nowhere)
            with pytest.raises(Refused):
                await adapter.send(nowhere, reply("anyone?"))

    async def test_what_it_said_itself_is_marked_as_its_own(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            await world.say(here, "hello")
            posted = await adapter.send((await ear.next()).address, reply("Evening."))
            end = await world.say(here, "bye")
            while (heard := await ear.any()).id != end:
                assert heard.id == posted
                assert heard.author.own

    # -- abilities

    async def test_typing_is_shown_and_ends_with_its_context(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "typing")
            assert isinstance(adapter, Typing)
            await world.say(world.places[0], "hello")
            address = (await ear.next()).address
            before = asyncio.all_tasks()
            async with adapter.typing(address):
                await world.typed(address)
            assert await _left(world, before) == []

    async def test_a_reaction_is_shown(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "react")
            assert isinstance(adapter, React)
            said = await world.say(world.places[0], "hello")
            address = (await ear.next()).address
            await adapter.react(address, said)
            await world.reacted(address, said)

    async def test_an_edit_changes_the_post_and_makes_no_new_one(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "edit")
            assert isinstance(adapter, Edit)
            assert 0 < adapter.edit_every < 60
            await world.say(world.places[0], "go on")
            address = (await ear.next()).address
            growing = reply("Once")
            posted = await adapter.send(address, growing)
            for text in ("Once upon", "Once upon a time.", "Once upon a time."):  # twice does no harm
                await adapter.edit(address, posted, replace(growing, text=text))
            assert await world.sent(address, 1) == [Sent(posted, "Once upon a time.")]
            with pytest.raises(Refused):
                await adapter.edit(replace(address, place=world.nowhere), posted, growing)

    async def test_the_name_before_the_text_is_no_part_of_an_edit(self, world: AdapterWorld) -> None:
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "edit")
            assert isinstance(adapter, Edit)
            await world.say(world.places[0], "go on")
            address = (await ear.next()).address
            growing = named("Kovach", "Once", number=1, persona="prefix")
            posted = await adapter.send(address, growing)
            await adapter.edit(address, posted, replace(growing, text="Once upon a time."))
            (post,) = await world.sent(address, 1)
            assert post.text.count("Kovach") == 1
            assert post.text.endswith("Once upon a time.")

    async def test_commands_are_offered_once_and_again_only_when_they_change(self, world: AdapterWorld) -> None:
        async with opened(world.adapter(), Ear(), Scope(everything=True)) as adapter:
            _able(adapter, "commands")
            assert isinstance(adapter, Commands)
            await adapter.offer(COMMANDS)
            first, words = world.offered()
            assert {word.split()[0] for word in words} == {"npc", "whoami"}
            await adapter.offer(COMMANDS)
            assert world.offered() == (first, words)
        async with opened(world.adapter(), Ear(), Scope(everything=True)) as again:
            assert isinstance(again, Commands)
            await again.offer(COMMANDS)
            assert world.offered() == (first, words)
            await again.offer(COMMANDS[:1])
            assert {word.split()[0] for word in world.offered()[1]} == {"npc"}

    async def test_a_native_command_is_heard_as_its_line_and_answered(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(places=frozenset({here}))) as adapter:
            _able(adapter, "commands")
            assert isinstance(adapter, Commands)
            await adapter.offer(COMMANDS)
            given = await world.give(here, "npc mode always")
            heard = await ear.next()
            assert (heard.id, heard.command, heard.mentioned) == (given, "npc mode always", True)
            await adapter.send(heard.address, reply("It answers everything here.", quotes=given))
            assert await world.told(heard.address, 1) == ["It answers everything here."]

    async def test_a_whisper_reaches_only_who_asked(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "private")
            assert isinstance(adapter, Private)
            await world.say(here, "!npc status", mention=True)
            heard = await ear.next()
            if await adapter.whisper(heard, "All is well."):
                assert await world.whispered(heard.address, 1) == ["All is well."]
            assert await world.sent(heard.address, 0) == []

    @pytest.mark.parametrize("persona", ["webhook", "auto"])
    async def test_several_npcs_are_seen_under_their_own_names_and_their_text_has_none(
        self, world: AdapterWorld, persona: Persona
    ) -> None:
        names = ["Kovach", "Agnes", "Kovach", "老周"]
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "persona")
            for place in world.places:
                await world.say(place, "who is here?")
                address = (await ear.next()).address
                said = [named(name, f"{name} is.", number=number, persona=persona) for number, name in enumerate(names)]
                # A turn of its own in each place.
                said = [replace(one, id=f"{place}-{one.id}") for one in said]
                posted = [await adapter.send(address, one) for one in said]
                assert [await world.shown_as(address, one) for one in posted] == names
                sent = await world.sent(address, len(names))
                assert [(post.id, post.text) for post in sent] == list(
                    zip(posted, [one.text for one in said], strict=True)
                )

    async def test_a_restart_keeps_the_name_and_a_changed_card_changes_it(self, world: AdapterWorld) -> None:
        names = ("Kovach", "Kovach", "Captain Kovach")
        posted: list[str] = []
        for number, name in enumerate(names):
            ear = Ear()
            async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
                _able(adapter, "persona")
                await world.say(world.places[0], "and you are?")
                address = (await ear.next()).address
                one = replace(named(name, f"{name}.", number=number), agent_id="kovach")
                posted.append(await adapter.send(address, one))
                assert await world.shown_as(address, posted[-1]) == name
        assert [post.id for post in await world.sent(address, len(names))] == posted

    async def test_a_post_under_a_name_of_its_own_is_still_ours(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "persona")
            await world.say(here, "hello")
            post = await adapter.send((await ear.next()).address, named("Kovach", "Evening.", number=1))
            end = await world.say(here, "to Kovach", reply_to=post if "replies" in world.features else None)
            while (heard := await ear.any()).id != end:
                assert (heard.id, heard.author.own) == (post, True)
            assert heard.mentioned == ("replies" in world.features)

    async def test_a_direct_message_is_answered_by_an_npc_with_a_name_too(self, world: AdapterWorld) -> None:
        _needs(world, "direct")
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(direct=True)) as adapter:
            _able(adapter, "persona")
            await world.say("", "who is there?", direct=True)
            address = (await ear.next()).address
            await adapter.send(address, named("Kovach", "Nobody.", number=1))
            (post,) = await world.sent(address, 1)
            assert post.text.endswith("Nobody.")

    async def test_history_is_told_oldest_first_and_only_after_a_message(self, world: AdapterWorld) -> None:
        here, _ = world.places
        ear = Ear()
        async with opened(world.adapter(), ear, Scope(everything=True)) as adapter:
            _able(adapter, "history")
            assert isinstance(adapter, PlatformHistory)
            said = [await world.say(here, f"line {number}") for number in range(6)]
            heard = [await ear.next() for _ in said]
            address = heard[0].address
            assert [message async for message in adapter.history(address, None, 100)] == heard
            assert [message.id async for message in adapter.history(address, None, 2)] == said[-2:]
            assert [message.id async for message in adapter.history(address, said[1], 3)] == said[2:5]
            assert [message.id async for message in adapter.history(address, said[-1], 3)] == []


async def _left(world: AdapterWorld, before: set[asyncio.Task[object]]) -> list[str]:
    """Name the tasks that began since `before`, have not ended, and are not the platform's own."""
    await asyncio.sleep(0)  # what was just cancelled may end
    new = asyncio.all_tasks() - before - {asyncio.current_task()}
    return sorted(task.get_name() for task in new if not task.done() and not world.serves(task))


def _is_pool(thread: threading.Thread) -> bool:
    """Tell whether a thread belongs to asyncio's pool, which the loop ends by itself."""
    return thread.name.startswith("asyncio_")
