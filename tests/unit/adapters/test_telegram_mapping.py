"""What Telegram's messages become: read from its JSON by the real library, without a network."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telegram import Message as Posted
from telegram import User

from homunculus.adapters.telegram.mapping import Mapping
from homunculus.model import Message

ME = User(7001, "Keeper", is_bot=True, username="Keeper_bot")
ANA = {"id": 42, "is_bot": False, "first_name": "Ana", "last_name": "Ruiz"}
GROUP = {"id": -100777, "type": "supergroup", "title": "Tavern"}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def marked(text: str, word: str, kind: str, **more: Any) -> dict[str, Any]:
    """Mark the first place where a word stands, as Telegram counts."""
    return {"type": kind, "offset": units(text[: text.index(word)]), "length": units(word), **more}


def mapped(
    text: str = "", *entities: dict[str, Any], known: frozenset[str] | None = None, **more: Any
) -> Message | None:
    body = {"message_id": 5, "date": 1_700_000_000, "chat": GROUP, "from": ANA, "text": text, **more}
    if not text:
        del body["text"]
    if entities:
        body["entities"] = list(entities)
    posted = Posted.de_json(body, None)
    assert posted is not None
    return Mapping("telegram:keeper", ME, lambda word: known is None or word in known).message(posted, "posted")


def said(text: str = "", *entities: dict[str, Any], **more: Any) -> Message:
    message = mapped(text, *entities, **more)
    assert message is not None
    return message


def addressed(text: str, word: str = "@Keeper_bot") -> Message:
    return said(text, marked(text, word, "mention"))


# -- where and who


def test_an_address_names_the_chat_and_an_author_the_person() -> None:
    message = said("hello")
    assert (message.id, message.time, message.text) == ("5", 1_700_000_000.0, "hello")
    assert (message.address.place, message.address.account, message.address.label) == (
        *("-100777", "7001"),
        "telegram:keeper:-100777",
    )
    assert (message.author.id, message.author.name, message.author.bot, message.author.own) == (
        *("42", "Ana Ruiz"),
        *(False, False),
    )


def test_a_private_chat_is_a_direct_conversation_with_a_person() -> None:
    message = said("psst", chat={"id": 42, "type": "private", "first_name": "Ana"})
    assert (message.address.direct, message.address.place, message.mentioned) == (True, "42", False)


def test_a_topic_is_a_thread_and_an_answer_outside_of_a_forum_is_none() -> None:
    inside = said("psst", message_thread_id=9, is_topic_message=True)
    assert (inside.address.thread, inside.address.label) == ("9", "telegram:keeper:-100777#9")
    beside = said("well", message_thread_id=3)
    assert (beside.address.thread, beside.address.label) == (None, "telegram:keeper:-100777")
    assert inside.address.conversation != beside.address.conversation


def test_a_bot_is_a_bot_and_our_own_account_is_ours() -> None:
    other = said("beep", **{"from": {"id": 9, "is_bot": True, "first_name": "Other"}})
    own = said("beep", **{"from": {"id": 7001, "is_bot": True, "first_name": "Keeper"}})
    assert (other.author.bot, other.author.own, own.author.bot, own.author.own) == (True, False, True, True)


def test_an_anonymous_administrator_and_a_linked_channel_are_no_bots() -> None:
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group", "username": "GroupAnonymousBot"}
    hidden = said("order!", **{"from": anonymous, "sender_chat": GROUP})
    assert (hidden.author.id, hidden.author.name, hidden.author.bot) == ("-100777", "Tavern", False)
    channel = {"id": -100888, "type": "channel", "title": "News"}
    assert said("news", sender_chat=channel, is_automatic_forward=True).author.name == "News"


# -- mentions and text


@pytest.mark.parametrize(
    ("text", "word", "kind", "more", "mentioned"),
    [
        ("@Keeper_bot hello", "@Keeper_bot", "mention", {}, True),
        ("hello @KEEPER_BOT", "@KEEPER_BOT", "mention", {}, True),
        ("hello @Keeper_botany", "@Keeper_botany", "mention", {}, False),
        ("hello Keeper", "Keeper", "text_mention", {"user": {**ANA, "id": 7001, "is_bot": True}}, True),
        ("hello Keeper", "Keeper", "text_mention", {"user": ANA}, False),
        ("hello Keeper", "Keeper", "bold", {}, False),
        ("say /npc@Keeper_bot", "/npc@Keeper_bot", "bot_command", {}, True),
        ("/npc@Other_bot x", "/npc@Other_bot", "bot_command", {}, False),
    ],
)
def test_only_what_names_us_is_a_mention(
    text: str, word: str, kind: str, more: dict[str, Any], mentioned: bool
) -> None:
    assert said(text, marked(text, word, kind, **more)).mentioned is mentioned


def test_our_name_without_a_mark_is_no_mention() -> None:
    assert said("the code says @Keeper_bot").mentioned is False


def test_an_answer_to_us_is_a_mention_and_one_to_a_person_is_not() -> None:
    ours = {"message_id": 3, "date": 1, "chat": GROUP, "from": ME.to_dict(), "text": "Evening."}
    assert (said("x", reply_to_message=ours).mentioned, said("x", reply_to_message=ours).reply_to) == (True, "3")
    theirs = said("x", reply_to_message={**ours, "from": ANA})
    assert (theirs.mentioned, theirs.reply_to) == (False, "3")


def test_what_stands_in_a_topic_that_we_began_is_no_answer_to_us() -> None:
    began = {
        "message_id": 9,
        "date": 1,
        "chat": GROUP,
        "from": ME.to_dict(),
        "forum_topic_created": {"name": "rumours", "icon_color": 1},
    }
    message = said("psst", reply_to_message=began, message_thread_id=9, is_topic_message=True)
    assert (message.mentioned, message.reply_to) == (False, None)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("@Keeper_bot hello", "hello"),
        ("@Keeper_bot, hello", "hello"),
        ("  @Keeper_bot:\nhello", "hello"),
        ("hello @Keeper_bot", "hello"),
        ("hello, @Keeper_bot, my friend", "hello, @Keeper_bot, my friend"),
        ("@Keeper_bot", ""),
        ("😀 @Keeper_bot hello", "😀 @Keeper_bot hello"),
        ("你好😀 @Keeper_bot", "你好😀"),
    ],
)
def test_our_name_is_dropped_where_it_only_addresses_us(text: str, left: str) -> None:
    message = addressed(text)
    assert (message.text, message.mentioned) == (left, True)


def test_several_of_our_names_are_dropped_at_both_ends() -> None:
    text = "@Keeper_bot @Keeper_bot well @Keeper_bot"
    marks = [{"type": "mention", "offset": at, "length": 11} for at in (0, 12, 29)]
    assert said(text, *marks).text == "well"


@given(before=st.text("a😀长 \n", max_size=8), after=st.text("a😀长 \n,:", max_size=8))
def test_whatever_stands_around_our_name_stays(before: str, after: str) -> None:
    text = f"{before}@Keeper_bot{after}"
    message = addressed(text)
    assert message.mentioned
    if before.strip() and after.strip():
        assert message.text == text
    elif after.strip():
        assert message.text == after.lstrip(" \n,:")
    else:
        assert message.text == before.rstrip()


# -- commands


@pytest.mark.parametrize(
    ("text", "command", "mentioned", "left"),
    [
        ("/npc status", "npc status", True, "/npc status"),
        ("/npc@Keeper_bot status", "npc status", True, "/npc status"),
        ("/npc@keeper_BOT  mode always ", "npc  mode always", True, "/npc  mode always "),
        ("/whoami", "whoami", True, "/whoami"),
        ("/npc@Other_bot status", "", False, "/npc@Other_bot status"),
        ("/start", "", False, "/start"),
        ("/start@Keeper_bot abc", "", True, "/start abc"),
        ("well /npc status", "", False, "well /npc status"),
    ],
)
def test_a_line_that_begins_with_a_command_of_ours_is_one(text: str, command: str, mentioned: bool, left: str) -> None:
    word = next(word for word in text.split() if word.startswith("/"))
    message = said(text, marked(text, word, "bot_command"))
    assert (message.command, message.mentioned, message.text) == (command, mentioned, left)


def test_once_ours_are_known_a_foreign_command_is_plain_text() -> None:
    mark = marked("/weather", "/weather", "bot_command")
    foreign = said("/weather", mark, known=frozenset({"npc"}))
    assert (foreign.command, foreign.mentioned, foreign.text) == ("", False, "/weather")


def test_an_edited_command_is_not_given_again() -> None:
    body = {"message_id": 5, "date": 1, "chat": GROUP, "from": ANA, "text": "/npc"}
    posted = Posted.de_json({**body, "entities": [marked("/npc", "/npc", "bot_command")], "edit_date": 2}, None)
    assert posted is not None
    message = Mapping("telegram", ME, lambda _: True).message(posted, "edited")
    assert message is not None
    assert (message.kind, message.command) == ("edited", "")


# -- attachments and announcements

FILE = {"file_id": "f", "file_unique_id": "u"}


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"photo": [{**FILE, "width": 1, "height": 1}]}, "photo"),
        ({"document": {**FILE, "file_name": "map.pdf"}}, "map.pdf"),
        ({"document": FILE}, "document"),
        ({"voice": {**FILE, "duration": 3}}, "voice message"),
        ({"audio": {**FILE, "duration": 3, "title": "Theme"}}, "Theme"),
        ({"video": {**FILE, "width": 1, "height": 1, "duration": 3, "file_name": "cellar.mp4"}}, "cellar.mp4"),
        ({"video_note": {**FILE, "length": 1, "duration": 3}}, "video message"),
        (
            {
                "sticker": {
                    **FILE,
                    "type": "regular",
                    "width": 1,
                    "height": 1,
                    "emoji": "🎲",
                    "is_animated": False,
                    "is_video": False,
                }
            },
            "sticker 🎲",
        ),
        ({"dice": {"emoji": "🎲", "value": 4}}, "🎲 4"),
        ({"location": {"longitude": 1.0, "latitude": 2.0}}, "location"),
        ({"contact": {"phone_number": "1", "first_name": "Bo"}}, "contact"),
    ],
)
def test_attachments_are_named(more: dict[str, Any], name: str) -> None:
    assert said(**more).attachments == (name,)


def test_a_caption_is_the_text_and_may_mention_us() -> None:
    caption = "look, @Keeper_bot"
    message = said(
        photo=[{**FILE, "width": 1, "height": 1}],
        caption=caption,
        caption_entities=[marked(caption, "@Keeper_bot", "mention")],
    )
    assert (message.text, message.mentioned, message.attachments) == ("look,", True, ("photo",))


@pytest.mark.parametrize(
    "more",
    [
        {"new_chat_members": [ANA]},
        {"left_chat_member": ANA},
        {"new_chat_title": "Harbour"},
        {"forum_topic_created": {"name": "rumours", "icon_color": 1}},
        {"migrate_to_chat_id": -100888},
        {},
    ],
)
def test_telegrams_own_announcements_are_nothing_that_was_said(more: dict[str, Any]) -> None:
    assert mapped(**more) is None
