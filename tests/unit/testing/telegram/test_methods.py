"""The loopback Telegram refuses what Telegram refuses, in its words; driven by raw HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from homunculus.testing.telegram.methods import REACTIONS
from tests.unit.testing.telegram.stage import OTHER, TOKEN, Stage, staged


@pytest.mark.parametrize(
    ("token", "method", "answer"),
    [
        ("7001:some-other-token", "getMe", (401, "Unauthorized")),
        ("9:nobody", "getMe", (401, "Unauthorized")),
        ("no-token", "getMe", (404, "Not Found")),
        (TOKEN, "sendCarrierPigeon", (404, "Not Found: method not found")),
    ],
)
async def test_a_wrong_token_or_method_is_refused(
    stage: Stage, token: str, method: str, answer: tuple[int, str]
) -> None:
    assert await stage.call(method, token) == answer


async def test_a_revoked_token_is_refused_from_then_on(stage: Stage) -> None:
    assert (await stage.call("getMe"))[0] == 200
    stage.server.revoke(stage.bot)
    assert await stage.call("getMe") == (401, "Unauthorized")


async def test_a_bot_learns_who_it_is_and_whether_it_sees_everything(stage: Stage) -> None:
    stage.server.add_bot(OTHER, name="Deaf")
    seen = [(await stage.call("getme", token))[1]["can_read_all_group_messages"] for token in (TOKEN, OTHER)]
    assert seen == [True, False]
    assert (await stage.call("GETME"))[1]["username"] == "Keeper_bot"


async def test_there_is_no_webhook_and_deleting_it_is_fine(stage: Stage) -> None:
    assert await stage.call("deleteWebhook") == (200, True)
    assert (await stage.call("getWebhookInfo"))[1]["url"] == ""


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"text": "x"}, "chat_id is empty"),
        ({"text": "x", "chat_id": "-100777"}, "chat not found"),
        ({"text": "x", "chat_id": "tavern"}, "chat not found"),
        ({"text": "x", "chat_id": "@tavern_public"}, "chat not found"),
        ({}, "message text is empty"),
        ({"text": " \n\t "}, "message text is empty"),
        ({"text": "x" * 4097}, "message is too long"),
        ({"text": "😀" * 2049}, "message is too long"),
        ({"text": "x", "parse_mode": "HTML"}, "unsupported parse_mode"),
        ({"text": "x", "message_thread_id": 77}, "message thread not found"),
        ({"text": "x", "reply_parameters": {"message_id": 5}}, "message to be replied not found"),
        ({"text": "x", "reply_parameters": "{"}, "can't parse reply_parameters JSON object"),
        ({"text": "x", "entities": "["}, "can't parse entities JSON object"),
        ({"text": "x", "entities": {"type": "bold"}}, "object expected as entities"),
        ({"text": "x", "entities": [{"type": "shout", "offset": 0, "length": 1}]}, "unsupported type"),
        ({"text": "x", "entities": [{"type": "bold", "offset": 0}]}, "must be of type Number"),
        ({"text": "x", "entities": [{"type": "bold", "offset": 0, "length": 2}]}, "outside of the text"),
        ({"text": "x", "entities": [{"type": "bold", "offset": -1, "length": 1}]}, "outside of the text"),
        ({"text": "😀x", "entities": [{"type": "bold", "offset": 1, "length": 1}]}, "middle of a UTF-16 symbol"),
    ],
)
async def test_a_message_that_telegram_would_not_take_is_refused(
    stage: Stage, form: dict[str, Any], words: str
) -> None:
    if "chat_id" not in form and words != "chat_id is empty":
        form = {**form, "chat_id": stage.tavern.id}
    status, said = await stage.call("sendMessage", **form)
    assert status == 400
    assert words in said
    assert said.startswith("Bad Request: ")
    assert stage.server.messages(stage.tavern) == []


async def test_a_message_is_kept_trimmed_with_its_entities_in_utf_16(stage: Stage) -> None:
    bold = {"type": "bold", "offset": 1, "length": 4}
    status, body = await stage.send("\n😀Bo: hello\n", entities=[bold])
    assert (status, body["text"], body["entities"]) == (200, "😀Bo: hello", [{**bold, "offset": 0}])
    [post] = stage.server.sent(stage.bot, stage.tavern)
    assert post.bold == "😀Bo"
    assert (await stage.send("x" * 4096))[0] == (await stage.send("😀" * 2048))[0] == 200


async def test_a_json_body_is_as_good_as_a_form(stage: Stage) -> None:
    url = f"{stage.server.api_base}{TOKEN}/sendMessage"
    async with stage.http.post(url, json={"chat_id": stage.tavern.id, "text": "hello"}) as response:
        assert response.status == 200
    async with stage.http.post(url, data=b"{", headers={"Content-Type": "application/json"}) as response:
        assert (response.status, (await response.json())["description"]) == (
            400,
            "Bad Request: can't parse JSON object",
        )


async def test_what_is_answered_may_have_gone_where_that_is_allowed(stage: Stage) -> None:
    said = stage.server.post(stage.tavern, stage.ana, "hello")
    _, body = await stage.send("evening", reply_parameters={"message_id": said.id})
    assert body["reply_to_message"]["message_id"] == said.id
    gone = {"message_id": 5, "allow_sending_without_reply": True}
    assert "reply_to_message" not in (await stage.send("evening", reply_parameters=gone))[1]


async def test_a_topic_is_written_in_unless_it_is_closed(stage: Stage) -> None:
    topic = stage.server.add_topic(stage.tavern, "rumours", stage.ana)
    _, body = await stage.send("psst", message_thread_id=topic.id)
    assert (body["message_thread_id"], body["is_topic_message"]) == (topic.id, True)
    assert [one.text for one in stage.server.sent(stage.bot, stage.tavern, topic)] == ["psst"]
    topic.closed = True
    assert await stage.send("psst", message_thread_id=topic.id) == (400, "Bad Request: TOPIC_CLOSED")
    stage.server.promote(stage.tavern, stage.bot)
    assert (await stage.send("psst", message_thread_id=topic.id))[0] == 200


async def test_who_was_kicked_blocked_or_muted_cannot_write(stage: Stage) -> None:
    group = stage.server.add_chat("group", "old friends", bots=[stage.bot])
    private = stage.server.open_private(stage.bot, stage.ana)
    stage.server.kick(group, stage.bot)
    stage.server.block(stage.ana, stage.bot)
    assert await stage.call("sendMessage", chat_id=group.id, text="x") == (
        403,
        "Forbidden: bot was kicked from the group chat",
    )
    assert await stage.call("sendMessage", chat_id=private.id, text="x") == (
        403,
        "Forbidden: bot was blocked by the user",
    )
    stage.server.mute(stage.tavern, stage.bot)
    assert (await stage.send("x"))[1] == "Bad Request: not enough rights to send text messages to the chat"
    stage.server.kick(stage.tavern, stage.bot)
    assert await stage.send("x") == (403, "Forbidden: bot was kicked from the supergroup chat")
    stage.server.invite(group, stage.bot)
    assert (await stage.call("sendMessage", chat_id=group.id, text="x"))[0] == 200


async def test_a_person_is_written_to_only_after_start_and_a_bot_never(stage: Stage) -> None:
    other = stage.server.add_bot(OTHER, name="Other")
    assert (await stage.call("sendMessage", chat_id=stage.ana.id, text="x"))[1] == "Bad Request: chat not found"
    stage.server.open_private(stage.bot, stage.ana)
    assert (await stage.call("sendMessage", chat_id=stage.ana.id, text="x"))[0] == 200
    assert (await stage.call("sendMessage", chat_id=other.id, text="x"))[0] == 403


async def test_a_group_that_became_a_supergroup_names_its_new_id(stage: Stage) -> None:
    group = stage.server.add_chat("group", "old friends", bots=[stage.bot])
    supergroup = stage.server.migrate(group)
    body = await stage.refusal("sendMessage", chat_id=group.id, text="x")
    assert body["parameters"] == {"migrate_to_chat_id": supergroup.id}
    assert body["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    told = [update["message"] for update in await stage.updates()]
    assert told[0]["migrate_to_chat_id"] == told[1]["chat"]["id"] == supergroup.id
    assert told[1]["migrate_from_chat_id"] == told[0]["chat"]["id"] == group.id
    assert (await stage.call("sendMessage", chat_id=supergroup.id, text="x"))[0] == 200


async def test_an_edit_changes_a_post_of_the_bots_own_and_refuses_to_change_nothing(stage: Stage) -> None:
    _, posted = await stage.send("Once")
    where = {"chat_id": stage.tavern.id, "message_id": posted["message_id"]}
    _, edited = await stage.call("editMessageText", **where, text="Once upon")
    assert (edited["text"], edited["edit_date"] > 0) == ("Once upon", True)
    status, said = await stage.call("editMessageText", **where, text=" Once upon ")
    assert (status, said.split(":")[1].strip()) == (400, "message is not modified")
    bold = [{"type": "bold", "offset": 0, "length": 4}]
    assert (await stage.call("editMessageText", **where, text="Once upon", entities=bold))[0] == 200
    assert (await stage.call("editMessageText", **where, text=""))[1] == "Bad Request: message text is empty"
    where["message_id"] = 5
    assert (await stage.call("editMessageText", **where, text="x"))[1] == "Bad Request: message to edit not found"
    where["message_id"] = stage.server.post(stage.tavern, stage.ana, "mine").id
    assert (await stage.call("editMessageText", **where, text="x"))[1] == "Bad Request: message can't be edited"


async def test_only_telegrams_own_reactions_are_taken_one_at_a_time(stage: Stage) -> None:
    said = stage.server.post(stage.tavern, stage.ana, "hello")

    async def react(*emoji: str, message_id: int = said.id) -> tuple[int, Any]:
        wanted = [{"type": "emoji", "emoji": one} for one in emoji]
        return await stage.call("setMessageReaction", chat_id=stage.tavern.id, message_id=message_id, reaction=wanted)

    assert "👌" in REACTIONS
    assert await react("👌") == (200, True)
    assert said.reactions == {stage.bot.id: ["👌"]}
    assert await react("✅") == (400, "Bad Request: REACTION_INVALID")
    assert await react("👌", "👍") == (400, "Bad Request: REACTIONS_TOO_MANY")
    assert await react("👌", message_id=5) == (400, "Bad Request: message to react not found")
    stage.tavern.reactions = frozenset({"👍"})
    assert await react("👌") == (400, "Bad Request: REACTION_INVALID")
    assert await react() == (200, True)
    assert said.reactions == {}


async def test_typing_is_shown_where_the_bot_may_write(stage: Stage) -> None:
    topic = stage.server.add_topic(stage.tavern, "rumours", stage.ana)
    where: dict[str, Any] = {"chat_id": stage.tavern.id, "action": "typing"}
    assert await stage.call("sendChatAction", **where) == (200, True)
    assert await stage.call("sendChatAction", **where, message_thread_id=topic.id) == (200, True)
    assert [who for who, _ in stage.server.typings(stage.tavern)] == [stage.bot.id]
    assert [who for who, _ in stage.server.typings(stage.tavern, topic)] == [stage.bot.id]
    where["action"] = "dancing"
    assert (await stage.call("sendChatAction", **where))[1] == "Bad Request: wrong parameter action in request"


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ([{"command": "NPC", "description": "x"}], "BOT_COMMAND_INVALID"),
        ([{"command": "npc status", "description": "x"}], "BOT_COMMAND_INVALID"),
        ([{"command": "x" * 33, "description": "x"}], "BOT_COMMAND_INVALID"),
        ([{"command": "npc", "description": ""}], "BOT_COMMAND_DESCRIPTION_INVALID"),
        ([{"command": "npc", "description": "x" * 257}], "BOT_COMMAND_DESCRIPTION_INVALID"),
        ([{"command": f"npc{n}", "description": "x"} for n in range(101)], "BOT_COMMANDS_TOO_MUCH"),
        ("{", "can't parse commands"),
    ],
)
async def test_a_menu_that_telegram_would_not_take_is_refused(stage: Stage, commands: Any, words: str) -> None:
    status, said = await stage.call("setMyCommands", commands=commands)
    assert status == 400
    assert words in said
    assert await stage.call("getMyCommands") == (200, [])


async def test_a_menu_is_kept(stage: Stage) -> None:
    commands = [{"command": "npc", "description": "About the NPC"}]
    assert await stage.call("setMyCommands", commands=commands) == (200, True)
    assert await stage.call("getMyCommands") == (200, commands)
    assert stage.bot.command_writes == 1


async def test_a_chat_is_described_to_its_members_only(stage: Stage) -> None:
    attic = stage.server.add_chat("supergroup", "attic", username="attic_public")
    assert await stage.call("getChat", chat_id=attic.id) == (400, "Bad Request: chat not found")
    stage.server.invite(attic, stage.bot)
    assert (await stage.call("getChat", chat_id="@attic_public"))[1]["id"] == attic.id
    _, us = await stage.call("getChatMember", chat_id=attic.id, user_id=stage.bot.id)
    assert us["status"] == "member"
    stage.server.mute(attic, stage.bot)
    _, us = await stage.call("getChatMember", chat_id=attic.id, user_id=stage.bot.id)
    assert (us["status"], us["can_send_messages"]) == ("restricted", False)
    assert (await stage.call("getChatMember", chat_id=attic.id, user_id=5))[1] == "Bad Request: user not found"


async def test_posts_beyond_the_limits_are_refused_with_the_seconds_to_wait() -> None:
    async with staged(message_rate=(3, 60.0), group_rate=(2, 60.0)) as stage:
        private = stage.server.open_private(stage.bot, stage.ana)
        _, posted = await stage.send("one")
        where = {"chat_id": stage.tavern.id, "message_id": posted["message_id"]}
        assert (await stage.call("editMessageText", **where, text="two"))[0] == 200
        body = await stage.refusal("sendMessage", chat_id=stage.tavern.id, text="three")
        assert body["error_code"] == 429
        wait = body["parameters"]["retry_after"]
        assert 1 <= wait <= 60
        assert body["description"] == f"Too Many Requests: retry after {wait}"
        assert (await stage.call("sendMessage", chat_id=private.id, text="four"))[0] == 429
        assert (await stage.call("sendChatAction", chat_id=private.id, action="typing"))[0] == 200


async def test_nothing_is_limited_unless_asked_for(stage: Stage) -> None:
    assert {(await stage.send(f"line {n}"))[0] for n in range(40)} == {200}
