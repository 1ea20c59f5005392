"""What Discord's messages become: where, who, what, and whether we are meant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homunculus.adapters.discord.adapter import DiscordAdapter
from homunculus.adapters.discord.mapping import readable
from homunculus.model import Address, Author, Message
from tests.unit.adapters.conftest import Table

OWN = frozenset({"<@1>", "<@!1>", "<@&9>"})
NAMES = {
    ("user", 1): "Keeper",
    ("user", 2): "Ana",
    ("role", 9): "Keeper",
    ("role", 8): "Players",
    ("channel", 7): "inn",
}


def named(text: str) -> str:
    return readable(text, OWN, lambda kind, number: NAMES.get((kind, number), "?"))


# -- text


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("good evening", "good evening"),
        ("<@1> good evening", "good evening"),
        ("<@!1>, good evening", "good evening"),
        ("<@&9> good evening", "good evening"),
        ("<@1><@&9> <@1>: hi", "hi"),
        ("good evening <@1>", "good evening"),
        ("is <@1> awake?", "is @Keeper awake?"),
        ("<@2> and <@1> met", "@Ana and @Keeper met"),
        ("<@&8> meet in <#7> <:skull:123> <a:dance:456>", "@Players meet in #inn :skull: :dance:"),
        ("<@1>", ""),
        ("first line\n  second <@2>\n\nthird", "first line\n  second @Ana\n\nthird"),
        ("<@1>\nan ode", "an ode"),
        ("1 < 2 and <b>bold</b> <@x> <@> <t:1700000000:R>", "1 < 2 and <b>bold</b> <@x> <@> <t:1700000000:R>"),
        ("@everyone", "@everyone"),
    ],
)
def test_marks_become_names_and_addressing_us_is_left_out(written: str, read: str) -> None:
    assert named(written) == read


@given(st.text(alphabet=st.characters(exclude_characters="<")))
def test_text_without_marks_is_left_alone(text: str) -> None:
    assert named(text) == text


WORDS = st.text(alphabet="abc äß汉字!?\n", min_size=1).map(lambda word: "." + word + ".")
MARKS = st.sampled_from(["<@1>", "<@!1>", "<@2>", "<@&8>", "<@&9>", "<#7>", "<:skull:123>"])


@given(st.lists(st.one_of(WORDS, MARKS), max_size=8))
def test_what_people_wrote_survives_and_no_known_mark_does(parts: list[str]) -> None:
    read = named("".join(parts))
    assert not any(mark in read for mark in ("<@", "<#", "<:"))
    position = 0
    for word in (part for part in parts if part.startswith(".")):
        position = read.index(word, position) + len(word)


# -- messages over the wire


@asynccontextmanager
async def listening(table: Table) -> AsyncIterator[DiscordAdapter]:
    async with table.open() as adapter:
        yield adapter


async def test_a_channel_a_thread_and_a_private_channel_have_their_addresses(table: Table) -> None:
    thread = table.server.add_thread(table.tavern, "a corner")
    private = table.server.open_dm(table.bot, table.ana)
    account, guild, tavern = str(table.bot.user_id), str(table.guild.id), str(table.tavern.id)
    async with listening(table):
        for place in (table.tavern, thread, private):
            table.server.post(place, table.ana, "hello")
        heard = [(await table.next()).address for _ in range(3)]
    assert heard == [
        Address("discord", "discord", account, tavern, guild),
        Address("discord", "discord", account, str(thread.id), guild, parent=tavern),
        Address("discord", "discord", account, str(private.id), direct=True),
    ]
    assert [address.label for address in heard] == [
        f"discord:{guild}:{tavern}",
        f"discord:{guild}:{thread.id}",
        f"discord:dm:{table.ana.id}",
    ]


async def test_a_thread_that_was_there_before_us_knows_its_channel(table: Table) -> None:
    thread = table.server.add_thread(table.tavern, "an old corner")
    async with listening(table):
        table.server.post(thread, table.ana, "hello")
        assert (await table.next()).address.parent == str(table.tavern.id)


async def test_people_and_bots_are_told_apart(table: Table) -> None:
    other = table.server.add_user("Dice", bot=True)
    async with listening(table):
        table.server.post(table.tavern, table.ana, "hello")
        table.server.post(table.tavern, other, "6")
        assert [(await table.next()).author for _ in range(2)] == [
            Author(str(table.ana.id), "Ana"),
            Author(str(other.id), "Dice", bot=True),
        ]


async def test_attachments_are_named(table: Table) -> None:
    async with listening(table):
        table.server.post(table.tavern, table.ana, "look", attachments=[("map.png", b"x"), ("老地图.png", b"y")])
        message = await table.next()
    assert message.text == "look"
    assert len(message.attachments) == 2
    assert message.attachments[0] == "map.png"


async def test_the_bots_own_role_is_a_mention_and_another_role_is_none(table: Table) -> None:
    role = table.guild.roles[table.bot.user_id]
    second = table.server.add_bot("unit.token.two", name="Second")
    table.server.invite(table.guild, second)
    async with listening(table):
        table.server.post(table.tavern, table.ana, f"<@&{role}> are you there?")
        table.server.post(table.tavern, table.ana, f"<@&{table.guild.roles[second.user_id]}> and you?")
        ours, theirs = await table.next(), await table.next()
    assert (ours.mentioned, ours.text) == (True, "are you there?")
    assert (theirs.mentioned, theirs.text) == (False, "@Second and you?")


async def test_a_mention_of_somebody_else_shows_the_name(table: Table) -> None:
    ben = table.server.add_user("Ben")
    async with listening(table):
        table.server.post(table.tavern, table.ana, f"ask <@{ben.id}> about <#{table.tavern.id}>")
        message = await table.next()
    assert (message.mentioned, message.text) == (False, "ask @Ben about #tavern")


async def test_everyone_is_nobody_in_particular(table: Table) -> None:
    async with listening(table):
        table.server.post(table.tavern, table.ana, "@everyone listen")
        assert not (await table.next()).mentioned


async def test_own_posts_are_marked_in_private_too(table: Table) -> None:
    private = table.server.open_dm(table.bot, table.ana)
    async with listening(table):
        table.server.post(private, table.bot, "Evening.")
        message = await table.heard.get()
    assert (message.author.own, message.author.bot, message.address.direct) == (True, True, True)


async def test_a_preview_that_discord_adds_is_no_edit(table: Table) -> None:
    async with listening(table) as adapter:
        message = table.server.post(table.tavern, table.ana, "https://example.org")
        await table.next()
        assert adapter._session is not None
        await _dispatch(adapter, "MESSAGE_UPDATE", {**_wire(table, message.id), "edited_timestamp": None})
        table.server.edit(message, "https://example.com")
        edited = await table.next()
    assert (edited.kind, edited.text) == ("edited", "https://example.com")


async def test_a_bulk_deletion_names_every_message(table: Table) -> None:
    async with listening(table) as adapter:
        body = {"ids": ["11", "12"], "channel_id": str(table.tavern.id), "guild_id": str(table.guild.id)}
        await _dispatch(adapter, "MESSAGE_DELETE_BULK", body)
        gone = [await table.next(), await table.next()]
    assert [(message.id, message.kind) for message in gone] == [("11", "deleted"), ("12", "deleted")]
    assert {message.address.label for message in gone} == {f"discord:{table.guild.id}:{table.tavern.id}"}


async def test_discords_own_announcements_are_not_messages(table: Table) -> None:
    async with listening(table) as adapter:
        for kind in (6, 7, 8, 18, 21):  # pin, join, boost, thread created, thread starter
            await _dispatch(adapter, "MESSAGE_CREATE", {**_wire(table, 100 + kind), "type": kind})
        table.server.post(table.tavern, table.ana, "hello")
        assert (await table.next()).text == "hello"


async def test_a_webhook_speaks_for_the_application_that_owns_it(table: Table) -> None:
    application = table.bot.application_id
    async with listening(table) as adapter:
        for message_id, owner in ((201, application), (202, 777), (203, None)):
            body = {**_wire(table, message_id), "webhook_id": "55", "content": "as somebody"}
            body["author"] = {"id": "55", "username": "Kovach", "discriminator": "0000", "avatar": None, "bot": True}
            body |= {} if owner is None else {"application_id": str(owner)}
            await _dispatch(adapter, "MESSAGE_CREATE", body)
        authors = [(await table.heard.get()).author for _ in range(3)]
    assert authors == [
        Author(str(application), "Kovach", bot=True, own=True),
        Author("777", "Kovach", bot=True),
        Author("55", "Kovach", bot=True),
    ]


async def test_answering_a_webhook_post_of_ours_is_a_mention(table: Table) -> None:
    async with listening(table) as adapter:
        for message_id, owner in ((301, table.bot.application_id), (302, 777)):
            answered = {**_wire(table, 300), "webhook_id": "55", "application_id": str(owner)}
            reference = {"message_id": "300", "channel_id": str(table.tavern.id), "guild_id": str(table.guild.id)}
            body = {**_wire(table, message_id), "type": 19, "message_reference": reference}
            await _dispatch(adapter, "MESSAGE_CREATE", {**body, "referenced_message": answered})
        ours, theirs = await table.next(), await table.next()
    assert (ours.mentioned, ours.reply_to) == (True, "300")
    assert (theirs.mentioned, theirs.reply_to) == (False, "300")


async def test_a_forward_of_our_post_is_no_answer(table: Table) -> None:
    async with listening(table) as adapter:
        reference = {"type": 1, "message_id": "300", "channel_id": str(table.tavern.id)}
        await _dispatch(adapter, "MESSAGE_CREATE", {**_wire(table, 301), "message_reference": reference})
        message = await table.next()
    assert (message.mentioned, message.reply_to) == (False, None)


async def test_a_group_of_private_users_is_a_channel(table: Table) -> None:
    async with listening(table) as adapter:
        assert adapter._session is not None
        assert adapter._session.user is not None
        state = adapter._session._connection
        group: Any = {"id": "900", "type": 3, "name": "us", "recipients": []}
        # discord.py has no event for this: to Discord a bot in such a group is a rare guest.
        state._add_private_channel(discord.GroupChannel(me=adapter._session.user, state=state, data=group))
        body = _wire(table, 901) | {"channel_id": "900"}
        del body["guild_id"]
        await _dispatch(adapter, "MESSAGE_CREATE", body)
        message = await table.next()
    assert (message.address.direct, message.address.label) == (False, "discord:group:900")


async def test_a_message_crosses_a_process_unchanged(table: Table) -> None:
    import pickle

    async with listening(table):
        table.server.post(table.tavern, table.ana, "hello")
        message = await table.next()
    assert pickle.loads(pickle.dumps(message)) == message
    assert isinstance(message, Message)


def _wire(table: Table, message_id: int) -> dict[str, Any]:
    """Word a message as Discord does, of kinds that the loopback server does not make."""
    return {
        "id": str(message_id),
        "channel_id": str(table.tavern.id),
        "guild_id": str(table.guild.id),
        "type": 0,
        "content": "text",
        "author": {"id": str(table.ana.id), "username": "Ana", "discriminator": "0", "avatar": None},
        "timestamp": "2026-01-02T03:04:05+00:00",
        "edited_timestamp": None,
        "tts": False,
        "mention_everyone": False,
        "mentions": [],
        "mention_roles": [],
        "attachments": [],
        "embeds": [],
        "pinned": False,
    }


async def _dispatch(adapter: DiscordAdapter, event: str, body: dict[str, Any]) -> None:
    """Hand an event to the client as its own socket would."""
    assert adapter._session is not None
    adapter._session._connection.parsers[event](body)
