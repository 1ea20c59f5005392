"""What a chat message of Twitch becomes: who, where, to whom, and the text without what only addresses us."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twitchio.models.eventsub_ import ChatMessage, create_event_instance

from homunculus.adapters.twitch.grant import Account
from homunculus.adapters.twitch.mapping import Mapping, without_addressing, without_prefix
from homunculus.model import Message

ME = Account("7", "keeper_bot", frozenset())


def event(text: str = "hello", **changes: Any) -> ChatMessage:
    """Make an event as Twitch words it; keyword arguments replace its fields."""
    payload: Any = {
        "broadcaster_user_id": "1",
        "broadcaster_user_login": "tavern",
        "broadcaster_user_name": "Tavern",
        "chatter_user_id": "2",
        "chatter_user_login": "ana",
        "chatter_user_name": "Ana 安娜",
        "message_id": "m-1",
        "message": {"text": text, "fragments": [{"type": "text", "text": text}]},
        "color": "",
        "badges": [],
        "message_type": "text",
        "cheer": None,
        "reply": None,
        "channel_points_custom_reward_id": None,
        "channel_points_animation_id": None,
        "source_broadcaster_user_id": None,
        "source_broadcaster_user_login": None,
        "source_broadcaster_user_name": None,
        **changes,
    }
    envelope = {"payload": {"event": payload, "subscription": {}}, "metadata": {}}
    made = create_event_instance("channel.chat.message", envelope)
    assert isinstance(made, ChatMessage)
    return made


def answering(user_id: str) -> dict[str, str]:
    names = ("parent_message_id", "parent_message_body", "parent_user_login", "parent_user_name")
    more = ("thread_message_id", "thread_user_id", "thread_user_login", "thread_user_name")
    return {**dict.fromkeys((*names, *more), "x"), "parent_user_id": user_id, "parent_message_id": "m-0"}


def mapped(text: str = "hello", prefix: str = "", **changes: Any) -> Message:
    message = Mapping("twitch:second", ME).message(event(text, **changes), prefix, 12.5)
    assert message is not None
    return message


def test_people_are_known_by_their_login_and_shown_by_their_name() -> None:
    said = mapped()
    assert (said.author.id, said.author.name, said.author.bot, said.author.own) == ("ana", "Ana 安娜", False, False)
    assert (said.id, said.text, said.time, said.reply_to) == ("m-1", "hello", 12.5, None)


def test_a_place_is_the_channels_login_and_the_label_names_the_instance() -> None:
    address = mapped(broadcaster_user_login="Tavern").address
    assert (address.platform, address.adapter, address.account) == ("twitch", "twitch:second", "7")
    assert (address.place, address.label, address.direct) == ("tavern", "twitch:second:tavern", False)
    assert address.conversation == "twitch/7/tavern"


def test_what_we_say_is_our_own() -> None:
    assert mapped(chatter_user_id="7", chatter_user_login="keeper_bot").author.own


@pytest.mark.parametrize(
    ("text", "mentioned", "left"),
    [
        ("@keeper_bot hello", True, "hello"),
        ("@Keeper_Bot, hello", True, "hello"),
        ("hello @KEEPER_BOT", True, "hello"),
        ("hello @keeper_bot and @ana", True, "hello @keeper_bot and @ana"),
        ("你好@keeper_bot你好", True, "你好@keeper_bot你好"),
        ("你好 @keeper_bot！", True, "你好 @keeper_bot！"),
        ("@keeper_bots hello", False, "@keeper_bots hello"),
        ("me@keeper_bot", False, "me@keeper_bot"),
        ("keeper_bot hello", False, "keeper_bot hello"),
        ("@@keeper_bot", False, "@@keeper_bot"),
    ],
)
def test_the_login_after_an_at_is_a_mention(text: str, mentioned: bool, left: str) -> None:
    said = mapped(text)
    assert (said.mentioned, said.text) == (mentioned, left)


@pytest.mark.parametrize(
    ("text", "prefix", "mentioned", "left"),
    [
        ("!k hello", "!k", True, "hello"),
        ("!K, hello", "!k", True, "hello"),
        ("!k", "!k", True, ""),
        ("!kick ana", "!k", False, "!kick ana"),
        ("say !k", "!k", False, "say !k"),
        ("!k你好", "!k", True, "你好"),
        ("??why", "??", True, "why"),
        ("!k hello", "", False, "!k hello"),
    ],
)
def test_the_trigger_prefix_is_a_mention_at_the_beginning(text: str, prefix: str, mentioned: bool, left: str) -> None:
    said = mapped(text, prefix)
    assert (said.mentioned, said.text) == (mentioned, left)


def test_an_answer_to_us_is_a_mention_and_one_to_another_is_none() -> None:
    ours = mapped("@Keeper_Bot why?", reply=answering("7"))
    assert (ours.mentioned, ours.reply_to, ours.text) == (True, "m-0", "why?")
    others = mapped("@Bob why?", reply=answering("3"))
    assert (others.mentioned, others.reply_to, others.text) == (False, "m-0", "@Bob why?")


def test_the_echo_of_a_shared_chat_is_heard_where_it_was_said() -> None:
    there = {"source_broadcaster_user_login": "harbour", "source_broadcaster_user_name": "Harbour"}
    mapping = Mapping("twitch", ME)
    assert mapping.message(event(source_broadcaster_user_id="9", **there), "", 0.0) is None
    assert mapping.message(event(source_broadcaster_user_id="1", **there), "", 0.0) is not None


@given(st.text(), st.text(min_size=1, max_size=5))
def test_no_text_breaks_the_reader(text: str, prefix: str) -> None:
    left, found = without_prefix(text, prefix)
    assert left == text if not found else text.endswith(left)
    assert without_addressing(text, "keeper_bot") in text
