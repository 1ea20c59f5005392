"""Helix: who may ask, who is who, and what may be said."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.testing.twitch.conftest import Stage, staged


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({"Authorization": None}, (401, "OAuth token is missing")),
        ({"Authorization": "Basic abc"}, (401, "OAuth token is missing")),
        ({"Authorization": "Bearer wrong"}, (401, "Invalid OAuth token")),
        ({"Client_Id": None}, (401, "Client ID is missing")),
        ({"Client_Id": "another"}, (401, "Client ID and OAuth token do not match")),
    ],
)
async def test_token_and_application_are_both_checked(
    stage: Stage, headers: dict[str, str | None], refusal: tuple[int, str]
) -> None:
    assert (await stage.helix("GET", "/users", **headers)).refusal == refusal


async def test_users_are_found_by_login_in_any_case_and_by_id(stage: Stage) -> None:
    answer = await stage.helix("GET", f"/users?login=TAVERN&id={stage.ana.id}&login=nobody_here")
    assert [user["login"] for user in answer.json["data"]] == ["tavern", "ana"]
    assert answer.json["data"][0]["display_name"] == "Tavern"
    mine = await stage.helix("GET", "/users")
    assert [user["id"] for user in mine.json["data"]] == [stage.bot.user.id]


@pytest.mark.parametrize("query", ["login=no%20spaces", "login=", "id=abc", "&".join(["login=a"] * 101)])
async def test_a_query_for_impossible_users_is_malformed(stage: Stage, query: str) -> None:
    assert (await stage.helix("GET", f"/users?{query}")).status == 400


async def test_an_unknown_path_and_method_are_refused_as_json(stage: Stage) -> None:
    assert (await stage.helix("GET", "/nowhere")).refusal[0] == 404
    assert (await stage.helix("PUT", "/chat/messages", {})).refusal[0] == 405


async def test_each_answer_counts_points_and_too_many_are_refused() -> None:
    async with staged(points=(3, 60.0)) as stage:
        left = [(await stage.helix("GET", "/users")).headers["Ratelimit-Remaining"] for _ in range(3)]
        assert left == ["2", "1", "0"]
        over = await stage.helix("GET", "/users")
        assert over.refusal[0] == 429
        assert over.headers["Ratelimit-Limit"] == "3"
        assert int(over.headers["Ratelimit-Reset"]) > 1_000_000_000


async def test_a_message_is_said_and_has_an_id(stage: Stage) -> None:
    answer = (await stage.post("Evening, @Ana.")).json["data"][0]
    assert answer["is_sent"] is True
    (said,) = stage.server.posts(stage.tavern, stage.bot)
    assert (said.id, said.text, said.mentions) == (answer["message_id"], "Evening, @Ana.", (stage.ana,))


async def test_a_message_may_answer_another(stage: Stage) -> None:
    asked = stage.server.say(stage.tavern, stage.ana, "who is there?")
    assert (await stage.post("Nobody.", reply_parent_message_id=asked.id)).json["data"][0]["is_sent"]
    assert stage.server.posts(stage.tavern, stage.bot)[0].reply_to is asked


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"broadcaster_id": None}, (400, 'The parameter "broadcaster_id" is missing.')),
        ({"sender_id": None}, (400, 'The parameter "sender_id" is missing.')),
        ({"message": None}, (400, 'The parameter "message" is missing.')),
        ({"message": ""}, (400, 'The parameter "message" is missing.')),
        ({"message": 5}, (400, 'The parameter "message" was malformed.')),
        ({"message": "x" * 501}, (422, "The message is too large.")),
        ({"broadcaster_id": "1"}, (400, 'The parameter "broadcaster_id" was malformed.')),
        ({"sender_id": "1"}, (401, "The ID in sender_id must match the user ID found in the request's OAuth token.")),
        (
            {"reply_parent_message_id": "no-such-message"},
            (400, "The parameter reply_parent_message_id is not a message of this chat room."),
        ),
    ],
)
async def test_a_wrong_message_is_refused(stage: Stage, changes: dict[str, Any], refusal: tuple[int, str]) -> None:
    assert (await stage.post(**{"text": "hello", **changes})).refusal == refusal
    assert stage.server.posts(stage.tavern, stage.bot) == []


async def test_a_body_that_is_no_json_is_refused(stage: Stage) -> None:
    headers = {"Authorization": f"Bearer {stage.bot.access}", "Client-Id": stage.bot.client_id}
    answer = await stage.http("POST", f"{stage.server.api_base}/chat/messages", headers=headers, data="{")
    assert answer.refusal == (400, "The request body is not valid JSON.")


async def test_the_longest_message_is_taken(stage: Stage) -> None:
    assert (await stage.post("长" * 500)).json["data"][0]["is_sent"]


async def test_without_the_scope_nothing_is_said(stage: Stage) -> None:
    stage.bot.scopes = ("user:read:chat",)
    assert (await stage.post()).refusal == (401, "Missing scope: user:write:chat")


async def test_a_banned_account_is_forbidden(stage: Stage) -> None:
    stage.server.ban(stage.tavern, stage.bot)
    assert (await stage.post()).refusal[0] == 403


async def dropped(stage: Stage, text: str = "Evening.") -> str:
    """Say something that is not taken; return the code of the drop."""
    before = len(stage.server.posts(stage.tavern, stage.bot))
    answer = await stage.post(text)
    assert answer.status == 200
    (data,) = answer.json["data"]
    assert data["is_sent"] is False
    assert data["drop_reason"]["message"]
    assert len(stage.server.posts(stage.tavern, stage.bot)) == before
    return str(data["drop_reason"]["code"])


async def test_the_same_text_is_not_taken_twice_within_thirty_seconds(stage: Stage) -> None:
    await stage.post()
    assert await dropped(stage) == "msg_duplicate"
    assert (await stage.post("Another.")).json["data"][0]["is_sent"]


async def test_a_moderator_may_repeat_itself(stage: Stage) -> None:
    stage.server.promote(stage.tavern, stage.bot)
    for _ in range(2):
        assert (await stage.post()).json["data"][0]["is_sent"]
    assert stage.server.posts(stage.tavern, stage.bot)[0].badges == ("moderator",)


async def test_slow_mode_automod_and_time_outs_drop_messages(stage: Stage) -> None:
    stage.tavern.forbidden = ("cellar",)
    assert await dropped(stage, "To the CELLAR!") == "msg_rejected"
    stage.tavern.slow = 60.0
    await stage.post()
    assert await dropped(stage, "Too soon.") == "msg_slowmode"
    stage.tavern.silenced.add(stage.bot.user.id)
    assert await dropped(stage, "Hello?") == "user_timed_out"


@pytest.mark.parametrize("text", ["/ban ana", ".ban ana"])
async def test_a_chat_command_is_not_shown(stage: Stage, text: str) -> None:
    assert await dropped(stage, text) == "msg_command"
    assert stage.tavern.commands == [text]


async def test_a_line_break_ends_a_message(stage: Stage) -> None:
    await stage.post("first\nsecond")
    assert [post.text for post in stage.server.posts(stage.tavern, stage.bot)] == ["first"]


async def test_too_many_messages_are_dropped_and_moderators_may_say_five_times_as_much() -> None:
    async with staged(chat_rate=(2, 30.0)) as stage:
        for number in range(2):
            await stage.post(f"line {number}")
        assert await dropped(stage, "one more") == "msg_ratelimit"
        stage.server.promote(stage.tavern, stage.bot)
        for number in range(8):
            assert (await stage.post(f"more {number}")).json["data"][0]["is_sent"]
        assert await dropped(stage, "too much") == "msg_ratelimit"


async def test_a_drop_can_be_asked_for(stage: Stage) -> None:
    stage.server.drop_next("odd", "because")
    assert await dropped(stage) == "odd"
    assert stage.server.drops_left == 0
