"""What reaches which bot, and what comes again: the loopback Telegram's queues; driven by raw HTTP."""

from __future__ import annotations

import asyncio
import time

import pytest
import time_machine

from homunculus.testing.telegram import Bot
from tests.unit.testing.telegram.stage import OTHER, TOKEN, Stage


async def test_what_is_not_confirmed_comes_again_until_an_offset_confirms_it(stage: Stage) -> None:
    for number in range(3):
        stage.server.post(stage.tavern, stage.ana, f"line {number}")
    first = await stage.updates()
    assert [update["message"]["text"] for update in first] == ["line 0", "line 1", "line 2"]
    assert await stage.updates() == first
    assert await stage.updates(offset=first[1]["update_id"]) == first[1:]
    assert await stage.updates() == first[1:]
    assert await stage.updates(offset=first[2]["update_id"] + 1) == []
    assert stage.server.updates(stage.bot).waiting == 0


async def test_a_negative_offset_counts_from_the_end_and_a_limit_bounds_an_answer(stage: Stage) -> None:
    for number in range(120):
        stage.server.post(stage.tavern, stage.ana, f"line {number}")
    assert len(await stage.updates()) == len(await stage.updates(limit=0)) == len(await stage.updates(limit=500)) == 100
    assert await stage.heard(limit=2) == ["line 0", "line 1"]
    assert await stage.heard(offset=-2) == ["line 118", "line 119"]
    assert await stage.heard() == ["line 118", "line 119"]


async def test_a_poll_waits_for_news_and_no_longer_than_it_was_told(stage: Stage) -> None:
    poll = asyncio.create_task(stage.heard(timeout=20))
    await stage.server.wait_for(lambda s: s.updates(stage.bot).open == 1)
    stage.server.post(stage.tavern, stage.ana, "news")
    assert await poll == ["news"]
    found = await stage.updates(offset=10**9, timeout=1)
    assert found == []


async def test_a_second_poll_ends_the_first_with_a_conflict(stage: Stage) -> None:
    first = asyncio.create_task(stage.call("getUpdates", timeout=20))
    await stage.server.wait_for(lambda s: s.updates(stage.bot).open == 1)
    second = asyncio.create_task(stage.heard(timeout=20))
    status, said = await first
    assert (status, said.split(";")[0]) == (409, "Conflict: terminated by other getUpdates request")
    stage.server.post(stage.tavern, stage.ana, "for the second")
    assert await second == ["for the second"]
    assert stage.server.updates(stage.bot).conflicts == 1


async def test_two_bots_poll_beside_one_another(stage: Stage) -> None:
    other = stage.server.add_bot(OTHER, name="Other", privacy=False)
    stage.server.invite(stage.tavern, other)
    polls = [asyncio.create_task(stage.heard(token, timeout=20)) for token in (TOKEN, OTHER)]
    await stage.server.wait_for(lambda s: s.updates(stage.bot).open == s.updates(other).open == 1)
    stage.server.post(stage.tavern, stage.ana, "for both")
    assert await asyncio.gather(*polls) == [["for both"], ["for both"]]


async def test_a_poll_that_hung_up_no_longer_conflicts(stage: Stage) -> None:
    poll = asyncio.create_task(stage.call("getUpdates", timeout=20))
    await stage.server.wait_for(lambda s: s.updates(stage.bot).open == 1)
    poll.cancel()
    await asyncio.gather(poll, return_exceptions=True)
    await stage.server.wait_for(lambda s: s.updates(stage.bot).open == 0)
    assert await stage.updates() == []
    assert stage.server.updates(stage.bot).conflicts == 0


async def test_a_revoked_token_ends_the_open_poll(stage: Stage) -> None:
    poll = asyncio.create_task(stage.call("getUpdates", timeout=20))
    await stage.server.wait_for(lambda s: s.updates(stage.bot).open == 1)
    stage.server.revoke(stage.bot)
    assert await poll == (401, "Unauthorized")


async def test_only_the_kinds_asked_for_are_queued_from_then_on(stage: Stage) -> None:
    said = stage.server.post(stage.tavern, stage.ana, "one")
    await stage.updates(allowed_updates=["message"])
    stage.server.edit(said, "one, edited")
    stage.server.post(stage.tavern, stage.ana, "two")
    assert await stage.heard() == ["one", "two"]
    await stage.updates(allowed_updates=[])
    stage.server.edit(said, "one, edited again")
    assert await stage.heard() == ["one", "two", "one, edited again"]


async def test_an_update_that_nobody_fetches_is_gone_after_a_day(stage: Stage) -> None:
    stage.server.post(stage.tavern, stage.ana, "yesterday")
    with time_machine.travel(time.time() + 23 * 3600, tick=True):
        assert await stage.heard() == ["yesterday"]
        stage.server.post(stage.tavern, stage.ana, "today")
    with time_machine.travel(time.time() + 25 * 3600, tick=True):
        assert await stage.heard() == ["today"]


async def test_confirmations_can_get_lost(stage: Stage) -> None:
    stage.server.post(stage.tavern, stage.ana, "again and again")
    (update,) = await stage.updates()
    stage.server.redeliver(stage.bot, 2)
    offset = update["update_id"] + 1
    assert await stage.updates(offset=offset) == await stage.updates(offset=offset) == [update]
    assert await stage.updates(offset=offset) == []
    assert stage.server.updates(stage.bot).times_given[update["update_id"]] == 3


# -- who sees what


@pytest.fixture
def shy(stage: Stage) -> Bot:
    """Return a bot in privacy mode, in the same place."""
    shy = stage.server.add_bot(OTHER, name="Shy", username="ShyBot")
    stage.server.invite(stage.tavern, shy)
    return shy


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("just talking", False),
        ("hello @shybot", True),
        ("hello @ShyBot!", True),
        ("hello @ShyBotany", False),
        ("mail me: ana@ShyBot", False),
        ("/npc status", True),
        ("/npc@shybot status", True),
        ("/npc@Keeper_bot status", False),
        ("either/or", False),
    ],
)
async def test_privacy_mode_hides_what_is_not_meant_for_a_bot(stage: Stage, shy: Bot, text: str, seen: bool) -> None:
    stage.server.post(stage.tavern, stage.ana, text)
    assert await stage.heard(OTHER) == ([text] if seen else [])
    assert await stage.heard() == [text]


async def test_privacy_mode_lets_through_answers_mentions_without_a_name_and_service_messages(
    stage: Stage, shy: Bot
) -> None:
    await stage.call("sendMessage", OTHER, chat_id=stage.tavern.id, text="evening")
    [post] = stage.server.sent(shy, stage.tavern)
    stage.server.post(stage.tavern, stage.ana, "to you", reply_to=post)
    mention = {"type": "text_mention", "offset": 0, "length": 3, "user": {"id": shy.id}}
    stage.server.post(stage.tavern, stage.ana, "Shy, hello", entities=[mention])
    stage.server.post(stage.tavern, stage.ana, more={"photo": [{"file_id": "x"}]})
    stage.server.add_topic(stage.tavern, "rumours", stage.ana)
    assert await stage.heard(OTHER) == ["to you", "Shy, hello", ""]


async def test_a_general_command_is_for_the_bot_that_spoke_last(stage: Stage, shy: Bot) -> None:
    await stage.send("I spoke last")
    stage.server.post(stage.tavern, stage.ana, "/help")
    assert await stage.heard(OTHER) == []


async def test_an_administrator_and_a_private_chat_know_no_privacy(stage: Stage, shy: Bot) -> None:
    stage.server.tell(shy, stage.ana, "psst")
    stage.server.promote(stage.tavern, shy)
    stage.server.post(stage.tavern, stage.ana, "just talking")
    assert await stage.heard(OTHER) == ["psst", "just talking"]
    assert await stage.heard() == ["just talking"]


async def test_no_bot_sees_a_bot(stage: Stage, shy: Bot) -> None:
    stranger = stage.server.add_user("Somebody's bot", bot=True)
    stage.server.post(stage.tavern, stranger, "beep @ShyBot")
    await stage.call("sendMessage", OTHER, chat_id=stage.tavern.id, text="hello @Keeper_bot")
    assert await stage.heard() == await stage.heard(OTHER) == []


async def test_everything_in_a_topic_answers_the_message_that_began_it(stage: Stage) -> None:
    topic = stage.server.add_topic(stage.tavern, "rumours", stage.ana)
    said = stage.server.post(stage.tavern, stage.ana, "psst", topic=topic)
    stage.server.post(stage.tavern, stage.ana, "what?", topic=topic, reply_to=said)
    began, first, second = [update["message"] for update in await stage.updates()]
    assert began["forum_topic_created"]["name"] == "rumours"
    assert first["reply_to_message"]["message_id"] == topic.id == first["message_thread_id"]
    assert second["reply_to_message"]["message_id"] == said.id


async def test_a_test_cannot_do_what_telegram_cannot(stage: Stage) -> None:
    with pytest.raises(ValueError, match="no Telegram token"):
        stage.server.add_bot("no-token")
    with pytest.raises(ValueError, match="exists already"):
        stage.server.add_bot("7001:another")
    with pytest.raises(ValueError, match="no fault this server imitates"):
        stage.server.fail_next(status=418)
    with pytest.raises(ValueError, match="no forum"):
        stage.server.add_topic(stage.server.add_chat("group", "x"), "y", stage.ana)
    bob = stage.server.add_user("Bob")
    with pytest.raises(ValueError, match="only its own person"):
        stage.server.post(stage.server.open_private(stage.bot, stage.ana), bob, "x")
    with pytest.raises(ValueError, match="exists already"):
        stage.server.add_chat("group", "x", id=stage.tavern.id)
