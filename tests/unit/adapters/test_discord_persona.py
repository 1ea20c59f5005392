"""Each NPC's own name and face on Discord: found again, kept few, and never at the price of a reply."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from homunculus.adapters.discord import faces
from homunculus.adapters.discord.adapter import DiscordAdapter
from homunculus.adapters.discord.persona import GRUDGE, SULK
from homunculus.adapters.discord.webhooks import KEPT, MOST
from homunculus.errors import NotReady, Refused, Uncertain
from homunculus.model import Address, Reply
from homunculus.testing.discord import Channel, DiscordServer, Message, Webhook
from tests.unit.adapters.conftest import Table, table_of

PNG, GIF = b"\x89PNG\r\n\x1a\n" + b"Kovach's face", b"GIF89a" + b"another face"
FACE = "https://example.org/face.png"
_turns = iter(range(10**9))


def says(text: str = "Evening.", name: str = "Kovach", *, agent: str = "", **more: Any) -> Reply:
    """Make a reply of an NPC, of a turn of its own."""
    fields: dict[str, Any] = {"persona": "webhook", **more}
    return Reply(f"turn{next(_turns)}.0", agent or f"{name.lower()}-eod", name, text, **fields)


def hooks(table: Table, channel: Channel | None = None) -> list[Webhook]:
    return table.server.webhooks(channel or table.tavern)


def shown(table: Table, channel: Channel | None = None) -> list[tuple[str, str]]:
    """Return who is seen to say what in a channel."""
    return [(message.username, message.content) for message in table.server.messages(channel or table.tavern)]


def last(table: Table) -> Message:
    return table.server.messages(table.tavern)[-1]


def asked(table: Table, method: str = "", part: str = "/webhooks") -> list[tuple[str, int]]:
    """Return the requests about webhooks: which, and what came of them."""
    found = [one for one in table.server.requests if part in one.path and method in ("", one.method)]
    return [(one.method, one.status) for one in found]


class Clock:
    def __init__(self, adapter: DiscordAdapter) -> None:
        self.now = 1000.0
        assert adapter._personas is not None
        adapter._personas._clock = lambda: self.now


def file(folder: Path, content: bytes, name: str = "kovach.png") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


# -- name and face


async def test_each_npc_speaks_under_its_own_name_and_face(table: Table, tmp_path: Path) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says(avatar=file(tmp_path, PNG)))
        await adapter.send(table.address(), says("Shh!", "Agnes", avatar=file(tmp_path, GIF, "agnes.gif")))
        posted = await adapter.send(table.address(), says("Yes?"))
    assert shown(table) == [("Kovach", "Evening."), ("Agnes", "Shh!"), ("Kovach", "Yes?")]
    assert posted == str(last(table).id)
    assert [one.image for one in hooks(table)] == [None, GIF]  # his card has no picture any more
    first, second, _ = table.server.messages(table.tavern)
    assert (first.webhook_id, second.webhook_id) == tuple(one.id for one in hooks(table))
    assert first.avatar
    assert second.avatar
    assert first.avatar != second.avatar


async def test_a_picture_on_the_web_is_named_with_each_post(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says(avatar=FACE))
    assert last(table).avatar == FACE
    assert [one.image for one in hooks(table)] == [None]


async def test_nothing_in_a_post_pings_or_unfurls_and_nothing_is_quoted(table: Table) -> None:
    text = f"<@{table.ana.id}> @everyone https://example.org"
    quoted = table.server.post(table.tavern, table.ana, "hello")
    async with table.open() as adapter:
        await adapter.send(table.address(), says(text, quotes=str(quoted.id)))
    message = last(table)
    assert (message.content, message.reference) == (text, None)
    assert message.pinged == frozenset()
    assert not message.mention_everyone
    assert message.flags & 4


async def test_later_posts_need_one_request_each(table: Table) -> None:
    async with table.open() as adapter:
        for number in range(4):
            await adapter.send(table.address(), says(f"line {number}"))
    assert asked(table) == [("GET", 200), ("POST", 200), *[("POST", 200)] * 4]


async def test_everybody_may_begin_at_once(table: Table) -> None:
    async with table.open() as adapter:
        replies = [says(name, name) for name in ("Kovach", "Agnes", "John") * 3]
        await asyncio.gather(*(adapter.send(table.address(), reply) for reply in replies))
    assert sorted(shown(table)) == sorted((reply.author, reply.text) for reply in replies)
    assert len(hooks(table)) == 3
    assert asked(table, "GET") == [("GET", 200)]


async def test_names_of_every_script_are_shown_as_they_are(table: Table) -> None:
    names = ["老周", "Zoë O’Hara", "**bold**", "K", "x" * 80, "🦉 Owl"]
    async with table.open() as adapter:
        for name in names:
            await adapter.send(table.address(), says(name=name))
    assert [name for name, _ in shown(table)] == names
    assert [bool(message.webhook_id) for message in table.server.messages(table.tavern)] == [True] * len(names)


# -- after a restart, after an edit, after a hand


async def test_a_restart_finds_every_webhook_again_and_changes_nothing(table: Table, tmp_path: Path) -> None:
    replies = [says(avatar=file(tmp_path, PNG)), says("Shh!", "Agnes")]
    async with table.open() as adapter:
        for reply in replies:
            await adapter.send(table.address(), reply)
    before, told = [(one.id, one.name) for one in hooks(table)], len(table.server.requests)
    async with table.open() as adapter:
        for reply in replies:
            await adapter.send(table.address(), says(reply.text, reply.author, avatar=reply.avatar))
    assert [(one.id, one.name) for one in hooks(table)] == before
    later = [(one.method, one.status) for one in table.server.requests[told:] if "/webhooks" in one.path]
    assert later == [("GET", 200), ("POST", 200), ("POST", 200)]


async def test_an_edited_card_changes_name_and_face_of_the_same_webhook(table: Table, tmp_path: Path) -> None:
    picture = file(tmp_path, PNG)
    async with table.open() as adapter:
        await adapter.send(table.address(), says(avatar=picture))
        (hook,) = hooks(table)
        first = hook.name
        await adapter.send(table.address(), says(name="Captain Kovach", agent="kovach-eod", avatar=picture))
        assert hook.name != first
        assert hook.name.startswith("Captain Kovach")
        await adapter.send(
            table.address(), says(name="Captain Kovach", agent="kovach-eod", avatar=file(tmp_path, GIF, "b.gif"))
        )
        assert hook.image == GIF
    assert [name for name, _ in shown(table)] == ["Kovach", "Captain Kovach", "Captain Kovach"]
    assert hooks(table) == [hook]


async def test_a_card_edited_while_nobody_was_there_is_caught_up_with(table: Table, tmp_path: Path) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says(avatar=file(tmp_path, PNG)))
    (hook,) = hooks(table)
    async with table.open() as adapter:
        await adapter.send(table.address(), says(name="Ivan", agent="kovach-eod", avatar=file(tmp_path, GIF)))
    assert hooks(table) == [hook]
    assert (hook.image, last(table).username) == (GIF, "Ivan")


async def test_a_picture_that_is_painted_over_is_uploaded_again(table: Table, tmp_path: Path) -> None:
    async with table.open() as adapter:
        for picture in (PNG, PNG, GIF, GIF):
            await adapter.send(table.address(), says(avatar=file(tmp_path, picture)))
    assert [one.image for one in hooks(table)] == [GIF]
    assert asked(table, "PATCH") == [("PATCH", 200)]


async def test_a_webhook_deleted_by_hand_is_made_anew(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
        table.server.remove_webhook(hooks(table)[0])
        await adapter.send(table.address(), says("Still here."))
    assert shown(table) == [("Kovach", "Evening."), ("Kovach", "Still here.")]
    assert [one.id for one in hooks(table)] == [last(table).webhook_id]


async def test_one_deleted_by_hand_just_when_the_card_changed_is_made_anew(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
        table.server.remove_webhook(hooks(table)[0])
        await adapter.send(table.address(), says("Ahem.", "Ivan", agent="kovach-eod"))
    assert shown(table)[-1] == ("Ivan", "Ahem.")
    assert len(hooks(table)) == 1


async def test_a_token_that_no_longer_fits_is_looked_up_again(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
        hooks(table)[0].token = "another-token"
        await adapter.send(table.address(), says("Again."))
        assert not adapter._ended.is_set()  # the bot's own token is another matter
    assert shown(table)[-1] == ("Kovach", "Again.")
    assert len(hooks(table)) == 1


async def test_webhooks_of_others_are_left_alone(table: Table) -> None:
    other = table.server.add_bot("unit.token.two", name="Other")
    table.server.invite(table.guild, other)
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
    (ours,) = hooks(table)
    by_hand = table.server.add_webhook(table.tavern, ours.name, table.ana)
    foreign = table.server.add_webhook(table.tavern, ours.name, other)
    table.server.remove_webhook(ours)
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
    assert last(table).webhook_id not in (by_hand.id, foreign.id)
    assert len(hooks(table)) == 3


# -- the limit


async def test_a_crowd_shares_one_webhook_beyond_what_a_channel_should_hold(table: Table, tmp_path: Path) -> None:
    async with table.open() as adapter:
        for number in range(20):
            avatar = FACE if number == 19 else file(tmp_path, PNG + bytes([number]), f"{number}.png")
            await adapter.send(table.address(), says(name=f"Npc {number}", avatar=avatar))
    messages = table.server.messages(table.tavern)
    assert [message.username for message in messages] == [f"Npc {number}" for number in range(20)]
    assert len(hooks(table)) == KEPT < MOST
    assert len({message.webhook_id for message in messages[: KEPT - 1]}) == KEPT - 1
    assert len({message.webhook_id for message in messages[KEPT - 1 :]}) == 1
    assert all(message.avatar for message in messages[: KEPT - 1])
    # Nobody ever shows another's face: without room for a picture of its own an NPC shows its name only.
    assert [message.avatar for message in messages[KEPT - 1 :]] == [None] * (20 - KEPT) + [FACE]


async def test_where_others_have_taken_the_room_the_name_stands_before_the_text(table: Table) -> None:
    for number in range(KEPT):
        table.server.add_webhook(table.tavern, f"news {number}", table.ana)
    async with table.open() as adapter:
        clock = Clock(adapter)
        await adapter.send(table.address(), says())
        assert last(table).content == "**Kovach:** Evening."
        assert len(hooks(table)) == KEPT
        for hook in hooks(table)[:3]:
            table.server.remove_webhook(hook)
        clock.now += GRUDGE + 1
        await adapter.send(table.address(), says())
    assert shown(table)[-1] == ("Kovach", "Evening.")


async def test_a_channel_that_fills_up_unnoticed_costs_no_reply(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
        while len(hooks(table)) < MOST:
            table.server.add_webhook(table.tavern, "news", table.ana)
        await adapter.send(table.address(), says("Hm.", "Agnes"))
        await adapter.send(table.address(), says("Well."))
    assert [message.content for message in table.server.messages(table.tavern)] == [
        "Evening.",
        "**Agnes:** Hm.",
        "Well.",
    ]
    assert len(hooks(table)) == MOST


# -- what falls back


@pytest.fixture
def lines() -> Any:
    said: list[str] = []
    sink = logger.add(lambda line: said.append(str(line)), format="{level} {message} {extra}", level="INFO")
    yield said
    logger.remove(sink)


@pytest.mark.parametrize("name", ["Clyde the Bold", "Discordia", "Everyone"])
async def test_a_name_that_discord_refuses_stands_before_the_text(table: Table, name: str, lines: list[str]) -> None:
    async with table.open() as adapter:
        clock = Clock(adapter)
        for _ in range(3):
            await adapter.send(table.address(), says(name=name))
        refused = len(asked(table))
        assert table.said() == [f"**{name}:** Evening."] * 3
        assert len([line for line in lines if "refuses the name" in line]) == 1
        await adapter.send(table.address(), says())
        assert shown(table)[-1] == ("Kovach", "Evening.")
        clock.now += GRUDGE + 1
        await adapter.send(table.address(), says(name=name))
    assert len(asked(table)) > refused + 2
    assert table.said()[-1] == f"**{name}:** Evening."


@pytest.mark.parametrize("name", ["x" * 81, " "])
async def test_a_name_that_cannot_be_one_is_not_even_tried(table: Table, name: str) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says(name=name))
    assert table.said() == [f"**{name}:** Evening."]
    assert asked(table) == []


async def test_without_the_permission_the_name_stands_before_the_text_and_with_it_no_more(table: Table) -> None:
    table.server.deny(table.bot, table.tavern, "manage_webhooks")
    async with table.open() as adapter:
        await adapter.send(table.address(), says("one"))
        assert asked(table) == []
        for allowed, text in ((True, "two"), (False, "three")):
            change = table.server.allow if allowed else table.server.deny
            change(table.bot, table.tavern, "manage_webhooks")
            table.server.post(table.tavern, table.ana, "now?")  # arrives after the change
            await table.next()
            await adapter.send(table.address(), says(text))
    ours = [(message.username, message.content) for message in table.server.messages(table.tavern)]
    assert ours[0] == ("Keeper", "**Kovach:** one")
    assert ours[2] == ("Kovach", "two")
    assert ours[4] == ("Keeper", "**Kovach:** three")


async def test_a_refusal_that_nobody_announced_is_remembered_for_a_while(table: Table, lines: list[str]) -> None:
    async with table.open() as adapter:
        clock = Clock(adapter)
        table.server.mute(table.bot)
        table.server.deny(table.bot, table.tavern, "manage_webhooks")
        for _ in range(3):
            await adapter.send(table.address(), says())
        assert asked(table) == [("GET", 403)]
        assert len([line for line in lines if "No webhook may be had" in line]) == 1
        clock.now += GRUDGE + 1
        await adapter.send(table.address(), says())
        assert asked(table) == [("GET", 403)] * 2
        table.server.allow(table.bot, table.tavern, "manage_webhooks")
        clock.now += GRUDGE + 1
        await adapter.send(table.address(), says())
        table.server.unmute(table.bot)
    assert table.said() == ["**Kovach:** Evening."] * 4
    assert shown(table)[-1] == ("Kovach", "Evening.")


def dm(table: Table) -> Address:
    private = table.server.open_dm(table.bot, table.ana)
    return replace(table.address(private), direct=True)


async def test_in_direct_messages_the_name_stands_before_the_text(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(dm(table), says())
    assert table.said(table.server.open_dm(table.bot, table.ana)) == ["**Kovach:** Evening."]
    assert asked(table) == []


async def test_an_only_npc_has_its_name_where_it_may_and_nothing_before_its_text_elsewhere(table: Table) -> None:
    table.server.deny(table.bot, table.tavern, "manage_webhooks")
    harbour = table.server.add_channel(table.guild, "harbour")
    async with table.open() as adapter:
        for address in (table.address(), table.address(harbour), dm(table)):
            await adapter.send(address, says(persona="auto"))
    assert shown(table) == [("Keeper", "Evening.")]
    assert shown(table, harbour) == [("Kovach", "Evening.")]
    assert table.said(table.server.open_dm(table.bot, table.ana)) == ["Evening."]


@pytest.mark.parametrize("persona", ["off", "prefix"])
async def test_who_wants_no_webhook_gets_none(table: Table, persona: str) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says(persona=persona))
    assert asked(table) == []
    assert table.said() == ["Evening." if persona == "off" else "**Kovach:** Evening."]


async def test_sending_nowhere_is_refused_all_the_same(table: Table) -> None:
    async with table.open() as adapter:
        with pytest.raises(Refused):
            await adapter.send(replace(table.address(), place="4"), says())
        with pytest.raises(Refused, match="no Discord id"):
            await adapter.send(replace(table.address(), place="../1"), says())


async def test_a_bot_that_may_not_write_does_not_write_through_a_webhook_either(table: Table) -> None:
    thread = table.server.add_thread(table.tavern, "cellar")
    table.server.deny(table.bot, table.tavern, "send_messages")
    async with table.open() as adapter:
        with pytest.raises(Refused, match="Missing Permissions"):
            await adapter.send(table.address(), says())
        await adapter.send(table.address(thread), says())  # Discord permits threads apart
    assert shown(table) == []
    assert shown(table, thread) == [("Kovach", "Evening.")]


async def test_a_text_that_discord_does_not_take_is_refused(table: Table) -> None:
    async with table.open() as adapter:
        for text in ("", "x" * 2001):
            with pytest.raises(Refused):
                await adapter.send(table.address(), says(text))
    assert shown(table) == []


# -- pictures that are none


@pytest.mark.parametrize("content", [b"not a picture", b"", None])
async def test_what_is_no_picture_is_said_once_and_the_name_is_shown(
    table: Table, tmp_path: Path, content: bytes | None, lines: list[str]
) -> None:
    avatar = str(tmp_path / "kovach.png") if content is None else file(tmp_path, content)
    async with table.open() as adapter:
        for _ in range(2):
            await adapter.send(table.address(), says(avatar=avatar))
        assert len([line for line in lines if line.startswith("WARNING A picture cannot be shown")]) == 1
        await adapter.send(table.address(), says(avatar=file(tmp_path, PNG)))
    assert shown(table) == [("Kovach", "Evening.")] * 3
    assert [one.image for one in hooks(table)] == [PNG]


async def test_a_picture_beyond_discords_size_is_not_uploaded(tmp_path: Path) -> None:
    assert faces.Faces().of(file(tmp_path, PNG + bytes(faces.LARGEST - len(PNG)))).file
    assert faces.Faces().of(file(tmp_path, PNG + bytes(faces.LARGEST + 1 - len(PNG)))) == faces.NONE


@pytest.mark.parametrize("image", [PNG, GIF, b"GIF87a.", b"\xff\xd8\xff\xe0", b"RIFF\x00\x00\x00\x00WEBP"])
async def test_every_kind_of_picture_that_discord_takes_is_uploaded(table: Table, tmp_path: Path, image: bytes) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says(avatar=file(tmp_path, image)))
    assert [one.image for one in hooks(table)] == [image]


async def test_a_picture_that_discord_refuses_costs_the_picture_only(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(faces._KINDS, b"BMP?", "png")
    avatar = file(tmp_path, b"BMP? to us a picture, to Discord none")
    for _ in range(2):
        async with table.open() as adapter:
            for _ in range(2):
                await adapter.send(table.address(), says(avatar=avatar))
    assert shown(table) == [("Kovach", "Evening.")] * 4
    assert len([status for _, status in asked(table) if status == 400]) == 1
    assert len(hooks(table)) == 1


async def test_an_address_that_discord_refuses_costs_the_picture_only(table: Table) -> None:
    async with table.open() as adapter:
        for _ in range(2):
            await adapter.send(table.address(), says(avatar="https:///nowhere"))
    assert shown(table) == [("Kovach", "Evening.")] * 2
    assert len([status for _, status in asked(table) if status == 400]) == 1


# -- threads


async def test_a_thread_is_spoken_in_by_its_channels_webhook(table: Table) -> None:
    thread = table.server.add_thread(table.tavern, "cellar")
    async with table.open() as adapter:
        table.server.post(thread, table.ana, "hello")
        await adapter.send((await table.next()).address, says("inside"))
        await adapter.send(table.address(thread), says("inside again"))  # an address that knows no parent
        await adapter.send(table.address(), says("outside"))
    assert shown(table, thread)[1:] == [("Kovach", "inside"), ("Kovach", "inside again")]
    assert shown(table) == [("Kovach", "outside")]
    assert len(hooks(table)) == 1


# -- who said it


async def test_an_answer_to_a_webhooks_post_is_a_mention_and_the_post_is_our_own(table: Table) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), says())
        heard = await asyncio.wait_for(table.heard.get(), 5)
        assert (heard.id, heard.author.own, heard.author.name) == (posted, True, "Kovach")
        assert {heard.author.id} == adapter.aliases
        table.server.post(table.tavern, table.ana, "who are you?", reply_to=last(table))
        answer = await table.next()
    assert (answer.mentioned, answer.reply_to) == (True, posted)


async def test_another_instance_can_tell_whose_webhook_spoke(table: Table) -> None:
    second = table.server.add_bot("unit.token.two", name="Second")
    table.server.invite(table.guild, second)
    ear = table_of_same(table)
    async with table.open() as first, ear.open(ear.adapter(token="unit.token.two", name="second")):
        await first.send(table.address(), says())
        heard = await asyncio.wait_for(ear.heard.get(), 5)
    assert {heard.author.id} == first.aliases
    assert heard.author.bot


def table_of_same(table: Table) -> Table:
    return replace(table, heard=asyncio.Queue())


async def test_history_tells_what_was_said_and_by_whom(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
        told = [message async for message in adapter.history(table.address(), None, 10)]
    assert [(message.text, message.author.name, message.author.own) for message in told] == [
        ("Evening.", "Kovach", True)
    ]


# -- once


@pytest.mark.parametrize("after", [True, False], ids=["arrived", "lost"])
@pytest.mark.parametrize("status", [None, 500, 502, 503], ids=["cut", "500", "502", "503"])
async def test_a_post_in_doubt_is_never_sent_again(table: Table, status: int | None, after: bool) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says("first"))
        before, reply = len(asked(table)), says("once")
        table.server.fail_next(1, status=status, path_contains="/webhooks", method="POST", after=after)
        with pytest.raises(Uncertain) as caught:
            await adapter.send(table.address(), reply)
        assert caught.value.final
        assert len(asked(table)) == before + 1
        with pytest.raises(Uncertain) as again:
            await adapter.send(table.address(), replace(reply, retried=True))
        assert again.value.final
    assert [text for _, text in shown(table)] == (["first", "once"] if after else ["first"])
    assert len(asked(table)) == before + 1


async def test_a_post_cut_short_is_not_sent_again(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says("first"))
        table.server.slow("/webhooks", 0.5)
        reply = says("once")
        sending = asyncio.create_task(adapter.send(table.address(), reply))
        await table.server.wait_for(lambda _: len(shown(table)) == 2)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        table.server.slow("/webhooks", 0)
        with pytest.raises(Uncertain):
            await adapter.send(table.address(), replace(reply, retried=True))
    assert [text for _, text in shown(table)] == ["first", "once"]


async def test_what_fell_back_in_doubt_is_sent_again_the_same_way(table: Table) -> None:
    """There it has a nonce, and there alone: also when the permission has come meanwhile."""
    table.server.deny(table.bot, table.tavern, "manage_webhooks")
    reply = says("once")
    async with table.open() as adapter:
        table.server.fail_next(1, status=503, path_contains="/messages", method="POST", after=True)
        with pytest.raises(Uncertain) as caught:
            await adapter.send(table.address(), reply)
        assert not caught.value.final
        table.server.allow(table.bot, table.tavern, "manage_webhooks")
        table.server.post(table.tavern, table.ana, "hello")
        await table.next()
        await adapter.send(table.address(), replace(reply, retried=True))
    assert table.said() == ["**Kovach:** once"]
    assert asked(table) == []


async def test_an_unreachable_discord_is_not_ready(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says("first"))
        table.server.refuse_connections()
        with pytest.raises((NotReady, Uncertain)):
            await adapter.send(table.address(), says("lost"))
        with pytest.raises(NotReady):
            await adapter.send(table.address(), says("lost"))
    assert [text for _, text in shown(table)] == ["first"]


async def test_a_webhooks_own_rate_limit_is_waited_for() -> None:
    async with DiscordServer(webhook_rate=(5, 0.5)) as server:
        table = table_of(server)
        async with table.open() as adapter:
            for number in range(12):
                await adapter.send(table.address(), says(f"line {number}"))
        assert [text for _, text in shown(table)] == [f"line {number}" for number in range(12)]


async def test_a_long_rate_limit_says_when_to_come_back(table: Table) -> None:
    async with table.open() as adapter:
        await adapter.send(table.address(), says("first"))
        table.server.fail_next(1, status=429, path_contains="/webhooks", method="POST", retry_after=90.0)
        with pytest.raises(NotReady) as caught:
            await adapter.send(table.address(), says("later"))
        assert caught.value.after == 90.0
        await adapter.send(table.address(), says("later"))
    assert [text for _, text in shown(table)] == ["first", "later"]


async def test_a_limit_on_making_webhooks_holds_up_no_reply(table: Table) -> None:
    async with table.open() as adapter:
        clock = Clock(adapter)
        table.server.fail_next(1, status=429, path_contains="/webhooks", method="POST", retry_after=90.0)
        await adapter.send(table.address(), says("one"))
        await adapter.send(table.address(), says("two"))
        clock.now += 91
        await adapter.send(table.address(), says("three"))
    assert table.said() == ["**Kovach:** one", "**Kovach:** two"]
    assert shown(table)[-1] == ("Kovach", "three")


@pytest.mark.parametrize("after", [True, False], ids=["made", "not made"])
@pytest.mark.parametrize("status", [None, 500, 503], ids=["cut", "500", "503"])
async def test_trouble_with_making_a_webhook_costs_no_reply_and_makes_no_second(
    table: Table, status: int | None, after: bool
) -> None:
    async with table.open() as adapter:
        clock = Clock(adapter)
        table.server.fail_next(1, status=status, path_contains="/webhooks", method="POST", after=after)
        await adapter.send(table.address(), says("one"))
        clock.now += SULK + 1
        await adapter.send(table.address(), says("two"))
    assert [text for _, text in shown(table)] == ["**Kovach:** one", "two"]
    assert len(hooks(table)) == 1


async def test_making_a_webhook_that_is_cut_short_makes_no_second(table: Table) -> None:
    async with table.open() as adapter:
        table.server.slow("/webhooks", 0.3)
        sending = asyncio.create_task(adapter.send(table.address(), says("one")))
        await table.server.wait_for(lambda _: hooks(table))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        table.server.slow("/webhooks", 0)
        await adapter.send(table.address(), says("two"))
    assert len(hooks(table)) == 1
    assert shown(table) == [("Kovach", "two")]


async def test_a_bad_token_of_the_bot_ends_the_session(table: Table) -> None:
    async with table.open() as adapter:
        assert adapter._session is not None
        adapter._session.http.token = "unit.token.gone"
        with pytest.raises(Refused):
            await adapter.send(table.address(), says())
        with pytest.raises(Refused):
            await asyncio.wait_for(adapter.closed(), 5)


# -- edits


async def test_a_post_is_edited_by_whoever_made_it(table: Table) -> None:
    thread = table.server.add_thread(table.tavern, "cellar")
    replies = {"webhook": says("Even"), "prefix": says("Even", persona="prefix"), "Clyde": says("Even", "Clyde")}
    async with table.open() as adapter:
        for place in (table.tavern, thread):
            for reply in replies.values():
                posted = await adapter.send(table.address(place), replace(reply, id=f"{reply.id}{place.id}"))
                told = len(table.server.requests)
                await adapter.edit(table.address(place), posted, replace(reply, text="Evening."))
                assert [one.method for one in table.server.requests[told:]] == ["PATCH"]
            assert shown(table, place) == [
                ("Kovach", "Evening."),
                ("Keeper", "**Kovach:** Evening."),
                ("Keeper", "**Clyde:** Evening."),
            ]


async def test_after_a_reconnect_a_post_is_still_edited_by_whoever_made_it(table: Table) -> None:
    async with table.open() as adapter:
        named = await adapter.send(table.address(), says("Even"))
        plain = await adapter.send(table.address(), says("Even", "Clyde"))
    async with table.open() as adapter:
        await adapter.edit(table.address(), named, says())
        await adapter.edit(table.address(), plain, says(name="Clyde"))
    assert shown(table) == [("Kovach", "Evening."), ("Keeper", "**Clyde:** Evening.")]


@pytest.mark.parametrize("how", ["deleted", "another token"])
async def test_an_edit_through_a_webhook_that_is_gone_is_refused_and_no_more(table: Table, how: str) -> None:
    async with table.open() as adapter:
        posted = await adapter.send(table.address(), says("Even"))
        (hook,) = hooks(table)
        if how == "deleted":
            table.server.remove_webhook(hook)
        else:
            hook.token = "another-token"
        with pytest.raises(Refused):
            await adapter.edit(table.address(), posted, says())
        await adapter.send(table.address(), says("Again."))
        assert not adapter._ended.is_set()
    assert [text for _, text in shown(table)] == ["Even", "Again."]


# -- discretion


async def test_the_token_of_a_webhook_stands_in_no_log(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "discord.http")
    async with table.open() as adapter:
        await adapter.send(table.address(), says())
        table.server.fail_next(1, status=429, path_contains="/webhooks", method="POST", retry_after=0.01)
        await adapter.send(table.address(), says())
        (hook,) = hooks(table)
        assert adapter._personas is not None
        assert hook.token not in repr(adapter._personas._webhooks.place(table.tavern.id))
    told = [record.getMessage() for record in caplog.records]
    assert any(f"/webhooks/{hook.id}/<secret>" in line for line in told)
    assert [line for line in told if hook.token in line] == []
