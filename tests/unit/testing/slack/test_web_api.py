"""What the loopback Slack's Web API refuses and answers, driven by raw HTTP."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from homunculus.testing.slack import SCOPES, SlackServer
from tests.unit.testing.slack.conftest import APP_TOKEN, BOT_TOKEN, Stage, staged


async def test_who_a_token_is_and_what_it_may_do(stage: Stage) -> None:
    answer = await stage.call("auth.test")
    bot = stage.bot
    assert {key: answer.json[key] for key in ("ok", "team_id", "user_id", "bot_id")} == {
        "ok": True,
        "team_id": stage.team.id,
        "user_id": bot.user_id,
        "bot_id": bot.bot_id,
    }
    assert set(answer.headers["x-oauth-scopes"].split(",")) == SCOPES - {"chat:write.public"}


@pytest.mark.parametrize(
    ("method", "token", "error"),
    [
        ("auth.test", None, "not_authed"),
        ("auth.test", "xoxb-nobody", "invalid_auth"),
        ("auth.test", APP_TOKEN, "not_allowed_token_type"),
        ("apps.connections.open", BOT_TOKEN, "not_allowed_token_type"),
        ("apps.connections.open", "xapp-nobody", "invalid_auth"),
        ("chat.shout", BOT_TOKEN, "unknown_method"),
    ],
)
async def test_a_wrong_token_or_method_is_refused(stage: Stage, method: str, token: str | None, error: str) -> None:
    answer = await stage.call(method, token)
    assert (answer.status, answer.error) == (200, error)


async def test_a_revoked_token_is_dead_everywhere(stage: Stage) -> None:
    wire = await stage.connect()
    stage.server.revoke(stage.bot)
    assert (await stage.call("auth.test")).error == "token_revoked"
    assert (await stage.call("apps.connections.open", APP_TOKEN)).error == "invalid_auth"
    assert await wire.closed() == 1000


@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("{", "application/json", "invalid_json"),
        ("[1]", "application/json", "json_not_object"),
        ("words", "text/plain", "invalid_form_data"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused(stage: Stage, body: str, kind: str, error: str) -> None:
    assert (await stage.send("chat.postMessage", body, kind)).error == error


async def test_a_form_is_read_and_may_hold_the_token(stage: Stage) -> None:
    form = {"token": BOT_TOKEN, "channel": stage.tavern.id, "text": "by form"}
    async with stage.session.post(stage.server.api_base + "chat.postMessage", data=form) as response:
        assert (await response.json())["ok"] is True
    assert (
        await stage.send("auth.test", json.dumps({"token": BOT_TOKEN}), "application/json", None)
    ).error == "not_authed"


@pytest.mark.parametrize(
    ("scope", "method", "arguments"),
    [
        ("chat:write", "chat.postMessage", {"text": "x"}),
        ("chat:write", "chat.update", {"text": "x", "ts": "1.000000"}),
        ("chat:write", "chat.postEphemeral", {"text": "x", "user": "U1"}),
        ("reactions:write", "reactions.add", {"name": "x", "timestamp": "1.000000"}),
        ("channels:history", "conversations.history", {}),
        ("channels:history", "conversations.replies", {"ts": "1.000000"}),
        ("channels:read", "conversations.info", {}),
        ("channels:read", "users.conversations", {}),
        ("im:write", "conversations.open", {"users": "U1"}),
        ("users:read", "users.info", {"user": "U1"}),
    ],
)
async def test_a_missing_scope_is_named(stage: Stage, scope: str, method: str, arguments: dict[str, Any]) -> None:
    stage.server.deny(stage.bot, scope)
    answer = await stage.call(method, channel=stage.tavern.id, **arguments)
    assert (answer.error, answer.json["needed"]) == ("missing_scope", scope)
    assert scope not in answer.json["provided"].split(",")
    assert answer.json["provided"]


# -- posting


async def test_a_post_gets_a_ts_of_its_own_and_is_told_as_the_bots(stage: Stage) -> None:
    answers = [await stage.say(f"line {number}") for number in range(3)]
    stamps = [answer.json["ts"] for answer in answers]
    assert stamps == sorted(set(stamps), key=float)
    told = answers[0].json["message"]
    assert (told["user"], told["bot_id"], told.get("subtype")) == (stage.bot.user_id, stage.bot.bot_id, None)


@pytest.mark.parametrize(("text", "error"), [("", "no_text"), ("  \n", "no_text"), ("a" * 40_001, "msg_too_long")])
async def test_a_text_that_cannot_be_posted_is_refused(stage: Stage, text: str, error: str) -> None:
    assert (await stage.say(text)).error == error
    assert stage.server.messages(stage.tavern) == []


async def test_forty_thousand_characters_are_taken(stage: Stage) -> None:
    assert (await stage.say("a" * 40_000)).json["ok"]


async def test_where_a_bot_may_not_post_says_why(stage: Stage) -> None:
    server = stage.server
    elsewhere = server.add_channel(stage.team, "elsewhere")
    secret = server.add_channel(stage.team, "secret", kind="group")
    foreign = server.add_channel(server.add_workspace("Other"), "foreign")
    archived = server.add_channel(stage.team, "archived", [stage.bot])
    archived.archived = True
    quiet = server.add_channel(stage.team, "quiet", [stage.bot])
    quiet.read_only = True
    found = {
        place: (await stage.call("chat.postMessage", channel=place, text="x")).error
        for place in (elsewhere.id, secret.id, foreign.id, archived.id, quiet.id, "C0NOWHERE", "")
    }
    assert found == {
        elsewhere.id: "not_in_channel",
        secret.id: "channel_not_found",
        foreign.id: "channel_not_found",
        archived.id: "is_archived",
        quiet.id: "restricted_action",
        "C0NOWHERE": "channel_not_found",
        "": "channel_not_found",
    }
    stage.bot.scopes.add("chat:write.public")
    assert (await stage.call("chat.postMessage", channel=elsewhere.id, text="x")).json["ok"]


async def test_a_name_and_picture_are_shown_only_with_the_scope_and_else_ignored(stage: Stage) -> None:
    style = {"username": "Kovach", "icon_url": "https://example.org/k.png"}
    told = (await stage.say("named", **style)).json["message"]
    assert (told["subtype"], told["username"], told.get("user")) == ("bot_message", "Kovach", None)
    assert told["icons"] == {"image_48": "https://example.org/k.png"}
    stage.server.deny(stage.bot, "chat:write.customize")
    told = (await stage.say("unnamed", **style)).json["message"]
    assert (told.get("subtype"), told.get("username"), told["user"]) == (None, None, stage.bot.user_id)
    assert [m.shown_name for m in stage.server.messages(stage.tavern)] == ["Kovach", "Keeper"]


async def test_a_thread_must_exist_and_is_named_by_its_root(stage: Stage) -> None:
    root = stage.server.post(stage.tavern, stage.ana, "who is here?")
    reply = (await stage.say("me", thread_ts=root.ts)).json
    assert reply["message"]["thread_ts"] == root.ts
    assert (await stage.say("me", thread_ts="1.000000")).error == "thread_not_found"
    assert (await stage.say("me", thread_ts=reply["ts"])).error == "cannot_reply_to_message"


async def test_marks_ping_and_plain_names_only_where_names_are_linked(stage: Stage) -> None:
    texts = {
        f"<@{stage.ana.id}> <!channel>": {stage.ana.id, "channel"},
        "&lt;!channel&gt; @here": set(),
    }
    for text in texts:
        await stage.say(text)
    await stage.say("@here", link_names=True)
    said = stage.server.messages(stage.tavern)
    assert [m.pinged for m in said] == [*texts.values(), {"here"}]


async def test_a_channel_takes_only_so_many_posts_a_second() -> None:
    async with staged(message_rate=(2, 30.0)) as stage:
        for _ in range(2):
            assert (await stage.say()).json["ok"]
        answer = await stage.say()
        assert (answer.status, answer.error, answer.headers["Retry-After"]) == (429, "ratelimited", "30")
        other = stage.server.add_channel(stage.team, "other", [stage.bot])
        assert (await stage.call("chat.postMessage", channel=other.id, text="x")).json["ok"]


# -- changing


async def test_only_an_own_message_can_be_changed(stage: Stage) -> None:
    own, foreign = (await stage.say("draft")).json["ts"], stage.server.post(stage.tavern, stage.ana, "hers")

    async def change(ts: str, text: str = "final") -> Any:
        return await stage.call("chat.update", channel=stage.tavern.id, ts=ts, text=text)

    assert (await change(own)).json["text"] == "final"
    assert stage.server.messages(stage.tavern)[0].text == "final"
    assert (await change(foreign.ts)).error == "cant_update_message"
    assert (await change("1.000000")).error == "message_not_found"
    assert (await change(own, "")).error == "no_text"
    assert (await change(own, "a" * 4_001)).error == "msg_too_long"
    stage.team.edit_window = 0.0
    assert (await change(own)).error == "edit_window_closed"


async def test_a_change_keeps_the_name_and_reads_names_unless_told_not_to(stage: Stage) -> None:
    ts = (await stage.say("draft", username="Kovach")).json["ts"]
    for more in ({"parse": "none"}, {}):
        await stage.call("chat.update", channel=stage.tavern.id, ts=ts, text="@channel", **more)
        [message] = stage.server.messages(stage.tavern)
        assert message.shown_name == "Kovach"
        assert message.pinged == (frozenset() if more else {"channel"})


# -- whispers and reactions


async def test_a_whisper_reaches_one_member_alone(stage: Stage) -> None:
    stranger = stage.server.add_user(stage.team, "Stranger")

    async def whisper(user: str, text: str = "psst") -> Any:
        return await stage.call("chat.postEphemeral", channel=stage.tavern.id, user=user, text=text)

    assert (await whisper(stage.ana.id)).json["message_ts"]
    assert [(w.user_id, w.text) for w in stage.server.whispers] == [(stage.ana.id, "psst")]
    assert stage.server.messages(stage.tavern) == []
    assert (await whisper(stranger.id)).error == "user_not_in_channel"
    assert (await whisper(stage.ana.id, "")).error == "no_text"


async def test_a_reaction_is_put_once(stage: Stage) -> None:
    message = stage.server.post(stage.tavern, stage.ana, "hello")

    async def react(name: str = "white_check_mark", ts: str = message.ts, channel: str = stage.tavern.id) -> Any:
        return await stage.call("reactions.add", channel=channel, timestamp=ts, name=name)

    assert (await react()).json == {"ok": True}
    assert stage.server.reactions(message) == {"white_check_mark": [stage.bot.user_id]}
    assert (await react()).error == "already_reacted"
    assert (await react(":check:")).error == "invalid_name"
    assert (await react(ts="yesterday")).error == "bad_timestamp"
    assert (await react(ts="1.000000")).error == "message_not_found"
    assert (await react(channel="C0NOWHERE")).error == "channel_not_found"
    assert (await react(name=7)).error == "invalid_arguments"  # type: ignore[arg-type]  # what is refused
    stage.server.leave(stage.tavern, stage.bot)
    assert (await react("eyes")).error == "not_in_channel"


# -- reading


async def test_history_is_told_newest_first_in_pages_and_without_replies(stage: Stage) -> None:
    said = [stage.server.post(stage.tavern, stage.ana, f"line {n}") for n in range(5)]
    stage.server.post(stage.tavern, stage.ana, "inside", thread=said[0])

    async def read(**more: Any) -> Any:
        return (await stage.call("conversations.history", channel=stage.tavern.id, **more)).json

    assert [m["text"] for m in (await read())["messages"]] == [f"line {n}" for n in (4, 3, 2, 1, 0)]
    assert (await read())["messages"][-1]["reply_count"] == 1
    first = await read(limit=2)
    assert (first["has_more"], [m["text"] for m in first["messages"]]) == (True, ["line 4", "line 3"])
    stage.server.post(stage.tavern, stage.ana, "newer")  # shifts nothing
    second = await read(limit=2, cursor=first["response_metadata"]["next_cursor"])
    assert [m["text"] for m in second["messages"]] == ["line 2", "line 1"]
    bounds = {"oldest": said[1].ts, "latest": said[3].ts}
    assert [m["text"] for m in (await read(**bounds))["messages"]] == ["line 2"]
    assert len((await read(**bounds, inclusive=True))["messages"]) == 3


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"limit": 0}, "invalid_limit"),
        ({"limit": "many"}, "invalid_limit"),
        ({"limit": 1000}, "invalid_limit"),
        ({"cursor": "!"}, "invalid_cursor"),
        ({"cursor": "bmV4dDoxLjAwMDAwMA=="}, "invalid_cursor"),
        ({"oldest": "yesterday"}, "invalid_ts_oldest"),
        ({"latest": "now"}, "invalid_ts_latest"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(stage: Stage, more: dict[str, Any], error: str) -> None:
    assert (await stage.call("conversations.history", channel=stage.tavern.id, **more)).error == error


async def test_history_is_for_members(stage: Stage) -> None:
    elsewhere = stage.server.add_channel(stage.team, "elsewhere")
    for method in ("conversations.history", "conversations.replies"):
        assert (await stage.call(method, channel=elsewhere.id, ts="1.000000")).error == "not_in_channel"


async def test_replies_are_told_oldest_first_behind_their_root(stage: Stage) -> None:
    root = stage.server.post(stage.tavern, stage.ana, "root")
    inside = [stage.server.post(stage.tavern, stage.ana, f"reply {n}", thread=root) for n in range(3)]

    async def read(ts: str, **more: Any) -> Any:
        return await stage.call("conversations.replies", channel=stage.tavern.id, ts=ts, **more)

    told = (await read(root.ts)).json["messages"]
    assert [m["text"] for m in told] == ["root", "reply 0", "reply 1", "reply 2"]
    assert {m.get("parent_user_id") for m in told[1:]} == {stage.ana.id}
    page = (await read(root.ts, limit=2)).json
    assert [m["text"] for m in page["messages"]] == ["root", "reply 0", "reply 1"]
    rest = (await read(root.ts, limit=2, cursor=page["response_metadata"]["next_cursor"])).json["messages"]
    assert [m["text"] for m in rest] == ["root", "reply 2"]
    assert [m["text"] for m in (await read(root.ts, oldest=inside[1].ts)).json["messages"]] == ["root", "reply 2"]
    assert (await read("1.000000")).error == "thread_not_found"


async def test_a_root_under_a_name_of_its_own_has_no_parent_user(stage: Stage) -> None:
    root = (await stage.say("root", username="Kovach")).json["ts"]
    reply = stage.server.post(stage.tavern, stage.ana, "me", thread=stage.server.messages(stage.tavern)[0])
    told = (await stage.call("conversations.replies", channel=stage.tavern.id, ts=root)).json["messages"]
    assert (told[1]["ts"], told[1].get("parent_user_id")) == (reply.ts, None)


async def test_conversations_are_told_by_kind_to_those_in_them(stage: Stage) -> None:
    server = stage.server
    server.add_channel(stage.team, "elsewhere")
    secret = server.add_channel(stage.team, "secret", [stage.bot], kind="group")
    direct = server.open_dm(stage.bot, stage.ana)

    async def listed(types: str, **more: Any) -> Any:
        return await stage.call("users.conversations", types=types, **more)

    both = (await listed("public_channel,private_channel")).json["channels"]
    assert [(one["id"], one["is_private"]) for one in both] == [(stage.tavern.id, False), (secret.id, True)]
    [im] = (await listed("im")).json["channels"]
    assert (im["id"], im["user"], im["is_im"]) == (direct.id, stage.ana.id, True)
    page = (await listed("public_channel,private_channel", limit=1)).json
    assert page["response_metadata"]["next_cursor"]
    assert (await listed("public")).error == "invalid_types"
    secret.archived = True
    assert (await listed("private_channel", exclude_archived="true")).json["channels"] == []


async def test_a_public_channel_is_known_to_all_and_a_private_one_to_its_members(stage: Stage) -> None:
    elsewhere = stage.server.add_channel(stage.team, "elsewhere")
    secret = stage.server.add_channel(stage.team, "secret", kind="group")
    assert (await stage.call("conversations.info", channel=elsewhere.id)).json["channel"]["is_member"] is False
    assert (await stage.call("conversations.info", channel=stage.tavern.id)).json["channel"]["is_member"] is True
    assert (await stage.call("conversations.info", channel=secret.id)).error == "channel_not_found"


async def test_a_direct_conversation_is_opened_once_and_only_with_people(stage: Stage) -> None:
    first = (await stage.call("conversations.open", users=stage.ana.id)).json["channel"]["id"]
    assert first == (await stage.call("conversations.open", users=stage.ana.id)).json["channel"]["id"]
    robot = stage.server.add_user(stage.team, "Robot", bot=True)
    assert (await stage.call("conversations.open", users=robot.id)).error == "cannot_dm_bot"
    assert (await stage.call("conversations.open", users="U0NOBODY")).error == "user_not_found"
    assert (await stage.call("conversations.open", users=f"{stage.ana.id},U2")).error == "too_many_users"
    assert (await stage.call("conversations.open")).error == "invalid_arguments"


async def test_a_user_is_told_by_name(stage: Stage) -> None:
    found = (await stage.call("users.info", user=stage.ana.id)).json["user"]
    assert (found["profile"]["display_name"], found["is_bot"]) == ("Ana", False)
    assert (await stage.call("users.info", user="U0NOBODY")).error == "user_not_found"


# -- commands


async def test_a_response_url_answers_in_private_or_aloud_five_times(stage: Stage) -> None:
    wire = await stage.connect()
    command = stage.server.command(stage.bot, stage.tavern, stage.ana, "status")
    envelope = await wire.receive()
    await wire.acknowledge(envelope)
    url = envelope["payload"]["response_url"]
    for number in range(5):
        body = {
            "text": f"answer {number}",
            "response_type": "in_channel" if number else "ephemeral",
            "username": "Kovach",
        }
        async with stage.session.post(url, json=body) as response:
            assert (response.status, await response.text()) == (200, "ok")
    async with stage.session.post(url, json={"text": "one too many"}) as response:
        assert (response.status, await response.text()) == (404, "used_url")
    assert [whisper.text for whisper in stage.server.whispers] == ["answer 0"]
    aloud = stage.server.messages(stage.tavern)
    assert [(m.text, m.shown_name) for m in aloud] == [(f"answer {n}", "Keeper") for n in range(1, 5)]
    assert len(command.answers) == 5


async def test_a_response_url_takes_words_for_half_an_hour_and_no_other_is_known(stage: Stage) -> None:
    wire = await stage.connect()
    command = stage.server.command(stage.bot, stage.tavern, stage.ana, "status")
    url = (await wire.receive())["payload"]["response_url"]

    async def answer(url: str, data: str) -> tuple[int, str]:
        async with stage.session.post(url, data=data) as response:
            return response.status, await response.text()

    assert await answer(url, "words") == (400, "invalid_payload")
    assert await answer(url, '{"text": ""}') == (500, "no_text")
    assert await answer(url + "x", '{"text": "x"}') == (404, "no_service")
    command.given = time.time() - 1801
    assert await answer(url, '{"text": "x"}') == (404, "expired_url")


async def test_tokens_belong_to_one_bot_each() -> None:
    async with SlackServer() as server:
        team = server.add_workspace("Arkham")
        server.add_bot(team, "xoxb-1", "xapp-1")
        with pytest.raises(ValueError, match="give every bot its own"):
            server.add_bot(team, "xoxb-2", "xapp-1")
