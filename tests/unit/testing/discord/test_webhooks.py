"""What the loopback Discord takes and refuses of webhooks: raw HTTP, each refusal with Discord's code."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest

from homunculus.testing.discord import Bot, Channel, User, Webhook
from tests.unit.testing.discord.conftest import INTENTS, Reply, Stage, field_error, staged

PNG = b"\x89PNG\r\n\x1a\n" + b"a picture"
NOBODY = {"Authorization": None}


def uri(image: bytes = PNG, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json["code"]


async def made(stage: Stage, name: Any = "Kovach", **fields: Any) -> Reply:
    return await stage.rest("POST", f"/channels/{stage.channel.id}/webhooks", {"name": name, **fields})


def hook(stage: Stage, name: str = "Kovach") -> Webhook:
    return stage.server.add_webhook(stage.channel, name, stage.bot)


async def said(stage: Stage, one: Webhook, content: Any = "Evening.", query: str = "?wait=true", **more: Any) -> Reply:
    """Execute a webhook as anybody may who has its token."""
    body = {"content": content, **more}
    return await stage.rest("POST", f"/webhooks/{one.id}/{one.token}{query}", body, headers=NOBODY)


# -- making and managing


async def test_a_webhook_is_made_with_a_name_a_face_and_a_token(stage: Stage) -> None:
    reply = await made(stage, "  Kovach ", avatar=uri())
    assert reply.status == 200
    (kept,) = stage.server.webhooks(stage.channel)
    assert (kept.name, kept.image, kept.application_id) == ("Kovach", PNG, stage.bot.application_id)
    assert reply.json["token"] == kept.token
    assert (reply.json["id"], reply.json["type"], reply.json["name"]) == (str(kept.id), 1, "Kovach")
    assert (reply.json["channel_id"], reply.json["guild_id"]) == (str(stage.channel.id), str(stage.guild.id))
    assert (reply.json["application_id"], reply.json["avatar"]) == (str(stage.bot.application_id), kept.avatar)
    assert reply.json["user"]["id"] == str(stage.bot.user_id)
    assert kept.token not in repr(kept)


async def test_a_list_tells_the_token_of_ones_own_and_of_peoples_webhooks_alone(stage: Stage) -> None:
    other = stage.server.add_bot("another-token", name="Another")
    stage.server.invite(stage.guild, other)
    owners: tuple[Bot | User, ...] = (stage.bot, stage.ana, other)
    hooks = [stage.server.add_webhook(stage.channel, f"w{n}", owner) for n, owner in enumerate(owners)]
    listed = (await stage.rest("GET", f"/channels/{stage.channel.id}/webhooks")).json
    assert [one["id"] for one in listed] == [str(one.id) for one in hooks]
    assert [one.get("token") for one in listed] == [hooks[0].token, hooks[1].token, None]
    assert [one["application_id"] for one in listed] == [
        str(stage.bot.application_id),
        None,
        str(other.application_id),
    ]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", "BASE_TYPE_BAD_LENGTH"),
        ("   ", "BASE_TYPE_BAD_LENGTH"),
        ("x" * 81, "BASE_TYPE_BAD_LENGTH"),
        ("Clyde", "USERNAME_INVALID_CONTAINS"),
        ("my discord npc", "USERNAME_INVALID_CONTAINS"),
        ("Everyone", "USERNAME_INVALID"),
        ("here", "USERNAME_INVALID"),
        (None, "STRING_TYPE_CONVERT"),
        (7, "STRING_TYPE_CONVERT"),
    ],
)
async def test_a_name_that_discord_does_not_take_is_50035(stage: Stage, name: Any, error: str) -> None:
    assert field_error(await made(stage, name), "name") == error
    one = hook(stage)
    assert field_error(await stage.rest("PATCH", f"/webhooks/{one.id}", {"name": name}), "name") == error
    if name is not None:
        assert field_error(await said(stage, one, username=name), "username") == error
    assert [kept.name for kept in stage.server.webhooks(stage.channel)] == ["Kovach"]
    assert stage.server.messages(stage.channel) == []


async def test_a_name_of_eighty_characters_is_taken(stage: Stage) -> None:
    assert (await made(stage, "长" * 80)).status == 200


async def test_a_webhook_without_a_name_is_50035(stage: Stage) -> None:
    reply = await stage.rest("POST", f"/channels/{stage.channel.id}/webhooks", {})
    assert field_error(reply, "name") == "BASE_TYPE_REQUIRED"


@pytest.mark.parametrize(
    "avatar",
    [
        "https://example.org/face.png",
        uri(b"no picture"),
        uri(PNG, "svg+xml"),
        "data:image/png;base64,####",
        "data:image/png;base64,abc",
        7,
    ],
)
async def test_a_face_that_is_no_picture_is_50035(stage: Stage, avatar: Any) -> None:
    assert field_error(await made(stage, avatar=avatar), "avatar") == "IMAGE_INVALID"


async def test_a_face_beyond_ten_mebibytes_is_50035(stage: Stage) -> None:
    fits = PNG + bytes(10 * 1024 * 1024 - len(PNG))
    assert (await uploaded(stage, fits)).status == 200
    assert field_error(await uploaded(stage, fits + b"x"), "avatar") == "BINARY_TYPE_MAX_SIZE"


async def uploaded(stage: Stage, image: bytes) -> Reply:
    body = io.BytesIO(json.dumps({"name": "Kovach", "avatar": uri(image)}).encode())
    path, headers = f"/channels/{stage.channel.id}/webhooks", {"Content-Type": "application/json"}
    return await stage.rest("POST", path, data=body, headers=headers)


@pytest.mark.parametrize(
    ("kind", "image"),
    [("jpeg", b"\xff\xd8\xff\xe0"), ("gif", b"GIF89a"), ("webp", b"RIFF\x00\x00\x00\x00WEBP"), ("png", PNG)],
)
async def test_the_four_kinds_of_picture_are_taken(stage: Stage, kind: str, image: bytes) -> None:
    assert (await made(stage, avatar=uri(image, kind))).status == 200


async def test_a_sixteenth_webhook_of_a_channel_is_30007(stage: Stage) -> None:
    for number in range(15):
        stage.server.add_webhook(stage.channel, f"w{number}", stage.ana)
    assert code(await made(stage)) == (400, 30007)
    stage.server.remove_webhook(stage.server.webhooks(stage.channel)[0])
    assert (await made(stage)).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_managing_needs_the_permission(stage: Stage, method: str) -> None:
    stage.server.deny(stage.bot, stage.channel, "manage_webhooks")
    body = {"name": "Kovach"} if method == "POST" else None
    assert code(await stage.rest(method, f"/channels/{stage.channel.id}/webhooks", body)) == (403, 50013)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_changing_one_needs_the_permission_in_its_channel(stage: Stage, method: str) -> None:
    one = hook(stage)
    stage.server.deny(stage.bot, stage.channel, "manage_webhooks")
    body = {"name": "Other"} if method == "PATCH" else None
    assert code(await stage.rest(method, f"/webhooks/{one.id}", body)) == (403, 50013)
    assert stage.server.webhooks(stage.channel) == [one]
    assert one.name == "Kovach"


async def test_webhooks_belong_to_channels_the_bot_sees_and_to_no_thread_and_no_private_channel(stage: Stage) -> None:
    thread, private = stage.server.add_thread(stage.channel, "t"), stage.server.open_dm(stage.bot, stage.ana)
    hidden = stage.server.add_channel(stage.guild, "attic")
    stage.server.deny(stage.bot, hidden, "view_channel")
    for place, expected in (
        (thread.id, (400, 50024)),
        (private.id, (403, 50003)),
        (hidden.id, (403, 50001)),
        (4, (404, 10003)),
    ):
        assert code(await stage.rest("POST", f"/channels/{place}/webhooks", {"name": "Kovach"})) == expected


async def test_a_webhook_is_read_changed_and_deleted_by_its_maker(stage: Stage) -> None:
    one = hook(stage)
    path = f"/webhooks/{one.id}"
    assert (await stage.rest("GET", path)).json["name"] == "Kovach"
    changed = (await stage.rest("PATCH", path, {"name": "Agnes", "avatar": uri()})).json
    assert (changed["name"], changed["avatar"]) == ("Agnes", one.avatar)
    assert one.image == PNG
    assert (await stage.rest("PATCH", path, {"avatar": None})).json["avatar"] is None
    assert one.name == "Agnes"
    assert (await stage.rest("DELETE", path)).status == 204
    assert code(await stage.rest("GET", path)) == (404, 10015)


async def test_whoever_has_the_token_reads_changes_and_deletes_it_too(stage: Stage) -> None:
    one = hook(stage)
    path = f"/webhooks/{one.id}/{one.token}"
    read = (await stage.rest("GET", path, headers=NOBODY)).json
    assert (read["name"], read["token"]) == ("Kovach", one.token)
    assert "user" not in read
    assert (await stage.rest("PATCH", path, {"name": "Agnes", "channel_id": "4"}, headers=NOBODY)).json[
        "name"
    ] == "Agnes"
    assert one.channel_id == stage.channel.id
    assert (await stage.rest("DELETE", path, headers=NOBODY)).status == 204
    assert stage.server.webhooks(stage.channel) == []


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE", "POST"])
async def test_an_unknown_webhook_is_10015_and_a_wrong_token_50027(stage: Stage, method: str) -> None:
    one = hook(stage)
    body = {"name": "x", "content": "x"} if method in ("PATCH", "POST") else None
    assert code(await stage.rest(method, f"/webhooks/1/{one.token}", body, headers=NOBODY)) == (404, 10015)
    assert code(await stage.rest(method, f"/webhooks/{one.id}/wrong", body, headers=NOBODY)) == (401, 50027)
    assert stage.server.webhooks(stage.channel) == [one]
    assert stage.server.messages(stage.channel) == []


async def test_without_a_token_in_the_path_a_bot_must_be_authorized(stage: Stage) -> None:
    for method, path in (("GET", f"/webhooks/{hook(stage).id}"), ("GET", f"/channels/{stage.channel.id}/webhooks")):
        assert (await stage.rest(method, path, headers=NOBODY)).status == 401


async def test_a_channel_that_goes_takes_its_webhooks_with_it(stage: Stage) -> None:
    one = hook(stage)
    stage.server.remove_channel(stage.channel)
    assert code(await said(stage, one)) == (404, 10015)


# -- speaking


async def test_a_post_carries_the_webhooks_name_and_face_and_its_application(stage: Stage) -> None:
    wire, _ = await stage.online(intents=INTENTS)
    one = hook(stage)
    one.image = PNG
    reply = await said(stage, one)
    assert reply.status == 200
    event = (await wire.event("MESSAGE_CREATE"))["d"]
    for told in (reply.json, event):
        assert (told["webhook_id"], told["application_id"]) == (str(one.id), str(stage.bot.application_id))
        assert (told["author"]["id"], told["author"]["username"]) == (str(one.id), "Kovach")
        assert told["author"]["bot"] is True
        assert told["author"]["avatar"]
        assert told["content"] == "Evening."
        assert "nonce" not in told
    assert event["guild_id"] == str(stage.guild.id)
    assert "member" not in event
    (message,) = stage.server.messages(stage.channel)
    assert (message.webhook_id, message.username, message.avatar) == (one.id, "Kovach", one.avatar)


async def test_a_post_may_carry_another_name_and_face(stage: Stage) -> None:
    face = "https://example.org/agnes.png"
    reply = await said(stage, hook(stage), username="Agnes", avatar_url=face)
    assert reply.json["author"]["username"] == "Agnes"
    (message,) = stage.server.messages(stage.channel)
    assert (message.username, message.avatar) == ("Agnes", face)


async def test_a_persons_webhook_belongs_to_no_application(stage: Stage) -> None:
    reply = await said(stage, stage.server.add_webhook(stage.channel, "News", stage.ana))
    assert reply.json["webhook_id"]
    assert "application_id" not in reply.json


async def test_without_wait_nothing_is_told(stage: Stage) -> None:
    for query in ("", "?wait=false", "?wait=0"):
        reply = await said(stage, hook(stage), query=query)
        assert (reply.status, reply.text) == (204, "")
    assert len(stage.server.messages(stage.channel)) == 3


async def test_a_post_goes_into_a_thread_of_its_channel_and_into_no_other(stage: Stage) -> None:
    one, thread = hook(stage), stage.server.add_thread(stage.channel, "cellar")
    elsewhere = stage.server.add_channel(stage.guild, "elsewhere")
    foreign = stage.server.add_thread(elsewhere, "foreign")
    assert (await said(stage, one, query=f"?wait=true&thread_id={thread.id}")).status == 200
    assert [message.content for message in stage.server.messages(thread)] == ["Evening."]
    for place in (foreign.id, elsewhere.id, 4):
        assert code(await said(stage, one, query=f"?wait=true&thread_id={place}")) == (404, 10003)
    assert field_error(await said(stage, one, query="?thread_id=cellar"), "thread_id") == "NUMBER_TYPE_COERCE"
    assert code(await said(stage, one, thread_name="new")) == (400, 220003)
    assert stage.server.messages(stage.channel) == []


async def test_the_rules_of_messages_hold_for_webhooks(stage: Stage) -> None:
    one = hook(stage)
    assert code(await said(stage, one, "  ")) == (400, 50006)
    assert field_error(await said(stage, one, "x" * 2001), "content") == "BASE_TYPE_MAX_LENGTH"
    assert field_error(await said(stage, one, flags=64), "flags") == "MESSAGE_FLAGS_INVALID"
    assert field_error(await said(stage, one, allowed_mentions={"parse": ["all"]}), "allowed_mentions", "parse")
    assert field_error(await said(stage, one, avatar_url="face.png"), "avatar_url") == "URL_TYPE_INVALID_URL"
    assert (await stage.rest("POST", f"/webhooks/{one.id}/{one.token}", headers=NOBODY)).status == 400
    assert stage.server.messages(stage.channel) == []


async def test_mentions_follow_what_is_allowed(stage: Stage) -> None:
    one, text = hook(stage), f"<@{stage.ana.id}>"
    assert (await said(stage, one, text)).json["mentions"][0]["id"] == str(stage.ana.id)
    silent = await said(stage, one, text, allowed_mentions={"parse": []})
    assert silent.json["mentions"] == []


async def test_a_webhook_neither_replies_nor_knows_a_nonce(stage: Stage) -> None:
    one, asked = hook(stage), stage.server.post(stage.channel, stage.ana, "hello")
    fields: dict[str, Any] = {"message_reference": {"message_id": str(asked.id)}, "nonce": "n", "enforce_nonce": True}
    first, second = [(await said(stage, one, **fields)).json for _ in range(2)]
    assert first["id"] != second["id"]
    assert "message_reference" not in first


async def test_a_webhook_speaks_where_its_maker_may_not(stage: Stage) -> None:
    """The token is the whole permission."""
    one = hook(stage)
    for permission in ("send_messages", "manage_webhooks"):
        stage.server.deny(stage.bot, stage.channel, permission)
    assert (await said(stage, one)).status == 200


async def test_a_webhook_reads_edits_and_deletes_its_own_posts_alone(stage: Stage) -> None:
    wire, _ = await stage.online(intents=INTENTS)
    one, other = hook(stage), hook(stage, "Agnes")
    ours = (await said(stage, one)).json["id"]
    asked = str(stage.server.post(stage.channel, stage.ana, "hello").id)
    messages = f"/webhooks/{one.id}/{one.token}/messages"
    assert (await stage.rest("GET", f"{messages}/{ours}", headers=NOBODY)).json["content"] == "Evening."
    edited = await stage.rest("PATCH", f"{messages}/{ours}", {"content": "Morning."}, headers=NOBODY)
    assert edited.json["content"] == "Morning."
    assert edited.json["edited_timestamp"]
    assert (await wire.event("MESSAGE_UPDATE"))["d"]["content"] == "Morning."
    assert code(await stage.rest("PATCH", f"{messages}/{ours}", {"content": ""}, headers=NOBODY)) == (400, 50006)
    for foreign in (asked, "4", (await said(stage, other)).json["id"]):
        for method in ("GET", "PATCH", "DELETE"):
            body = {"content": "x"} if method == "PATCH" else None
            assert code(await stage.rest(method, f"{messages}/{foreign}", body, headers=NOBODY)) == (404, 10008)
    assert (await stage.rest("DELETE", f"{messages}/{ours}", headers=NOBODY)).status == 204
    assert ours not in [str(message.id) for message in stage.server.messages(stage.channel)]
    assert code(await stage.rest("PATCH", f"{stage.here}/{asked}", {"content": "x"})) == (403, 50005)


async def test_a_post_in_a_thread_is_edited_there(stage: Stage) -> None:
    one, thread = hook(stage), stage.server.add_thread(stage.channel, "cellar")
    ours = (await said(stage, one, query=f"?wait=true&thread_id={thread.id}")).json["id"]
    path = f"/webhooks/{one.id}/{one.token}/messages/{ours}"
    assert code(await stage.rest("PATCH", path, {"content": "x"}, headers=NOBODY)) == (404, 10008)
    inside = await stage.rest("PATCH", f"{path}?thread_id={thread.id}", {"content": "x"}, headers=NOBODY)
    assert inside.status == 200


async def test_a_webhook_is_limited_to_its_own_rate() -> None:
    async with staged(webhook_rate=(5, 2.0)) as stage:
        one, other = hook(stage), hook(stage, "Agnes")
        replies = [await said(stage, one) for _ in range(6)]
        assert [reply.status for reply in replies] == [200] * 5 + [429]
        assert 0 < replies[-1].json["retry_after"] <= 2
        assert replies[-1].headers["Via"]
        assert replies[0].headers["X-RateLimit-Remaining"] == "4"
        assert (await said(stage, other)).status == 200
        assert (await stage.rest("GET", f"/webhooks/{one.id}/{one.token}", headers=NOBODY)).status == 200


async def test_an_answer_to_a_webhooks_post_shows_whose_it_was_and_notifies_nobody(stage: Stage) -> None:
    wire, _ = await stage.online(intents=INTENTS)
    await said(stage, hook(stage))
    (post,) = stage.server.messages(stage.channel)
    stage.server.post(stage.channel, stage.ana, "well?", reply_to=post)
    await wire.event("MESSAGE_CREATE")
    answer = (await wire.event("MESSAGE_CREATE"))["d"]
    assert answer["mentions"] == []
    assert answer["referenced_message"]["webhook_id"] == str(post.webhook_id)
    assert answer["referenced_message"]["application_id"] == str(stage.bot.application_id)


def test_a_channel_that_was_never_given_a_webhook_has_none() -> None:
    from homunculus.testing.discord import DiscordServer

    assert DiscordServer().webhooks(Channel(1, 0)) == []
