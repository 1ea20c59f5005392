"""Create, list, edit and delete messages, and every way to be refused: raw HTTP."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import pytest

from tests.unit.testing.discord.conftest import Stage, field_error, staged


async def test_a_message_is_posted_and_answered_as_discord_words_it(stage: Stage) -> None:
    reply = await stage.send("  hello\n")
    assert reply.status == 200
    posted = stage.server.messages(stage.channel)[0]
    assert (posted.content, posted.author) == ("hello", stage.bot.user)
    body = reply.json
    assert (body["id"], body["channel_id"], body["content"]) == (str(posted.id), str(stage.channel.id), "hello")
    assert (body["author"]["id"], body["type"], body["edited_timestamp"]) == (str(stage.bot.user_id), 0, None)
    assert "guild_id" not in body


async def test_ids_grow_with_time(stage: Stage) -> None:
    ids = [int((await stage.send("x")).json["id"]) for _ in range(5)]
    ids.append(stage.server.post(stage.channel, stage.ana, "y").id)
    assert ids == sorted(set(ids))
    assert 2024 < stage.server.messages(stage.channel)[0].timestamp.year < 2100


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"])
async def test_any_content_type_but_json_or_multipart_is_refused(stage: Stage, kind: str) -> None:
    reply = await stage.rest("POST", stage.here, {"content": "x"}, headers={"Content-Type": kind})
    assert field_error(reply) == "CONTENT_TYPE_INVALID"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"{'content': 'x'}",
        b'{"content": NaN}',
        b'{"content": "\xff"}',
        b'{"content": "\\ud800"}',
        b"[" * 9999,
    ],
)
async def test_a_body_that_is_no_json_is_50109(stage: Stage, raw: bytes) -> None:
    reply = await stage.rest("POST", stage.here, data=raw, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.json["code"]) == (400, 50109)


async def test_a_body_that_is_no_object_is_50035(stage: Stage) -> None:
    assert field_error(await stage.rest("POST", stage.here, ["content"])) == "DICT_TYPE_CONVERT"


@pytest.mark.parametrize("body", [{}, {"content": ""}, {"content": " \n\t"}, {"content": None}, {"embeds": []}])
async def test_an_empty_message_is_50006(stage: Stage, body: dict[str, Any]) -> None:
    reply = await stage.rest("POST", stage.here, body)
    assert (reply.status, reply.json["code"]) == (400, 50006)
    assert stage.server.messages(stage.channel) == []


async def test_two_thousand_characters_pass_and_one_more_is_50035(stage: Stage) -> None:
    assert (await stage.send("🦑" * 2000)).status == 200
    assert (await stage.send(" " + "a" * 2000 + " ")).status == 200
    assert field_error(await stage.send("a" * 2001), "content") == "BASE_TYPE_MAX_LENGTH"


@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        ({"content": ["x"]}, ("content",), "STRING_TYPE_CONVERT"),
        ({"content": True}, ("content",), "STRING_TYPE_CONVERT"),
        ({"tts": "yes"}, ("tts",), "BOOLEAN_TYPE_CONVERT"),
        ({"nonce": True}, ("nonce",), "NONCE_TYPE_INVALID"),
        ({"nonce": 1.5}, ("nonce",), "NONCE_TYPE_INVALID"),
        ({"nonce": ["n"]}, ("nonce",), "NONCE_TYPE_INVALID"),
        ({"nonce": "n" * 26}, ("nonce",), "BASE_TYPE_MAX_LENGTH"),
        ({"nonce": 1 << 63}, ("nonce",), "NUMBER_TYPE_MAX"),
        ({"enforce_nonce": 1}, ("enforce_nonce",), "BOOLEAN_TYPE_CONVERT"),
        ({"flags": "4"}, ("flags",), "NUMBER_TYPE_COERCE"),
        ({"flags": 64}, ("flags",), "MESSAGE_FLAGS_INVALID"),
        ({"embeds": {"title": "x"}}, ("embeds",), "LIST_TYPE_CONVERT"),
        ({"embeds": [{}] * 11}, ("embeds",), "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"title": "t" * 257}]}, ("embeds", "0", "title"), "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"description": "t" * 4097}]}, ("embeds", "0", "description"), "BASE_TYPE_MAX_LENGTH"),
        ({"embeds": [{"description": "t" * 4000}] * 2}, ("embeds",), "MAX_EMBED_SIZE_EXCEEDED"),
        ({"components": "x"}, ("components",), "LIST_TYPE_CONVERT"),
        ({"attachments": ["x"]}, ("attachments",), "LIST_TYPE_CONVERT"),
        ({"poll": {"question": {}}}, ("poll",), "LOOPBACK_NOT_MODELLED"),
        ({"sticker_ids": ["1"]}, ("sticker_ids",), "LOOPBACK_NOT_MODELLED"),
        ({"message_reference": "1"}, ("message_reference",), "MODEL_TYPE_CONVERT"),
        ({"message_reference": {}}, ("message_reference", "message_id"), "BASE_TYPE_REQUIRED"),
        ({"message_reference": {"message_id": "x"}}, ("message_reference", "message_id"), "NUMBER_TYPE_COERCE"),
        ({"message_reference": {"message_id": "1"}}, ("message_reference",), "MESSAGE_REFERENCE_UNKNOWN_MESSAGE"),
        (
            {"message_reference": {"message_id": "1", "fail_if_not_exists": "no"}},
            ("message_reference", "fail_if_not_exists"),
            "BOOLEAN_TYPE_CONVERT",
        ),
        (
            {"message_reference": {"message_id": "1", "channel_id": "2", "type": 1}},
            ("message_reference", "type"),
            "LOOPBACK_NOT_MODELLED",
        ),
        (
            {"message_reference": {"message_id": "1", "channel_id": "2"}},
            ("message_reference",),
            "REPLIES_CANNOT_REFERENCE_OTHER_CHANNEL",
        ),
        ({"allowed_mentions": []}, ("allowed_mentions",), "MODEL_TYPE_CONVERT"),
        ({"allowed_mentions": {"parse": ["here"]}}, ("allowed_mentions", "parse"), "BASE_TYPE_CHOICES"),
        ({"allowed_mentions": {"parse": "users"}}, ("allowed_mentions", "parse"), "BASE_TYPE_CHOICES"),
        ({"allowed_mentions": {"users": "1"}}, ("allowed_mentions", "users"), "LIST_TYPE_CONVERT"),
        ({"allowed_mentions": {"users": ["Ana"]}}, ("allowed_mentions", "users", "0"), "NUMBER_TYPE_COERCE"),
        ({"allowed_mentions": {"roles": ["1"] * 101}}, ("allowed_mentions", "roles"), "BASE_TYPE_MAX_LENGTH"),
        ({"allowed_mentions": {"replied_user": 1}}, ("allowed_mentions", "replied_user"), "BOOLEAN_TYPE_CONVERT"),
        (
            {"allowed_mentions": {"parse": ["users"], "users": ["1"]}},
            ("allowed_mentions",),
            "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        ),
        (
            {"allowed_mentions": {"parse": ["roles"], "roles": ["1"]}},
            ("allowed_mentions",),
            "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
        ),
    ],
)
async def test_a_faulty_field_is_50035_at_its_path(
    stage: Stage, fields: dict[str, Any], path: tuple[str, ...], code: str
) -> None:
    assert field_error(await stage.rest("POST", stage.here, {"content": "x", **fields}), *path) == code
    assert stage.server.messages(stage.channel) == []


async def test_a_request_over_25_mib_is_413(stage: Stage) -> None:
    too_much = io.BytesIO(b" " * (25 * 1024 * 1024 + 1))
    reply = await stage.rest("POST", stage.here, data=too_much, headers={"Content-Type": "application/json"})
    assert (reply.status, reply.json["code"]) == (413, 40005)


@pytest.mark.parametrize(
    ("permission", "fields"),
    [("send_messages", {}), ("send_tts_messages", {"tts": True})],
)
async def test_posting_without_the_permission_is_50013(stage: Stage, permission: str, fields: dict[str, Any]) -> None:
    stage.server.deny(stage.bot, stage.channel, permission)
    reply = await stage.send("x", **fields)
    assert (reply.status, reply.json["code"]) == (403, 50013)
    stage.server.allow(stage.bot, stage.channel, permission)
    assert (await stage.send("x", **fields)).status == 200


async def test_threads_have_a_posting_permission_of_their_own(stage: Stage) -> None:
    thread = stage.server.add_thread(stage.channel, "cellar")
    stage.server.deny(stage.bot, stage.channel, "send_messages")
    assert (await stage.rest("POST", f"/channels/{thread.id}/messages", {"content": "x"})).status == 200
    stage.server.deny(stage.bot, thread, "send_messages")
    reply = await stage.rest("POST", f"/channels/{thread.id}/messages", {"content": "x"})
    assert (reply.status, reply.json["code"]) == (403, 50013)


async def test_an_unknown_permission_is_a_mistake_of_the_test(stage: Stage) -> None:
    with pytest.raises(ValueError, match="known are add_reactions"):
        stage.server.deny(stage.bot, stage.channel, "speak")


async def test_a_user_who_takes_no_direct_messages_is_50007(stage: Stage) -> None:
    for person in (stage.server.add_user("Ben", accepts_dms=False), stage.server.add_user("Clyde", bot=True)):
        private = stage.server.open_dm(stage.bot, person)
        reply = await stage.rest("POST", f"/channels/{private.id}/messages", {"content": "x"})
        assert (reply.status, reply.json["code"]) == (403, 50007)


# -- replies


async def test_a_reply_refers_to_its_message_and_pings_its_author(stage: Stage) -> None:
    asked = stage.server.post(stage.channel, stage.ana, "who?")
    reply = await stage.send("me", message_reference={"message_id": str(asked.id)})
    answer = stage.server.messages(stage.channel)[1]
    assert (answer.reference, answer.pinged) == (asked.id, frozenset({stage.ana.id}))
    assert reply.json["type"] == 19
    assert reply.json["message_reference"]["message_id"] == str(asked.id)
    assert reply.json["referenced_message"]["content"] == "who?"


async def test_a_reply_to_a_missing_message_may_become_a_plain_one(stage: Stage) -> None:
    asked = stage.server.post(stage.channel, stage.ana, "who?")
    stage.server.delete(asked)
    reference = {"message_id": str(asked.id), "fail_if_not_exists": False}
    assert (await stage.send("me", message_reference=reference)).json["type"] == 0
    assert stage.server.messages(stage.channel)[0].reference is None


async def test_a_reply_needs_to_read_the_history(stage: Stage) -> None:
    asked = stage.server.post(stage.channel, stage.ana, "who?")
    stage.server.deny(stage.bot, stage.channel, "read_message_history")
    reply = await stage.send("me", message_reference={"message_id": str(asked.id)})
    assert (reply.status, reply.json["code"]) == (400, 160002)


# -- nonces


async def test_an_enforced_nonce_answers_the_earlier_message(stage: Stage) -> None:
    first = await stage.send("once", nonce="n1", enforce_nonce=True)
    again = await stage.send("once", nonce="n1", enforce_nonce=True)
    other = await stage.send("twice", nonce="n2", enforce_nonce=True)
    assert (again.status, again.json["id"], first.json["nonce"]) == (200, first.json["id"], "n1")
    assert other.json["id"] != first.json["id"]
    assert [m.content for m in stage.server.messages(stage.channel)] == ["once", "twice"]


async def test_a_nonce_that_is_not_enforced_posts_again(stage: Stage) -> None:
    assert (await stage.send("a", nonce=7)).json["nonce"] == 7
    await stage.send("a", nonce=7)
    assert [m.nonce for m in stage.server.messages(stage.channel)] == [7, 7]


async def test_a_nonce_is_its_authors_own(stage: Stage) -> None:
    stage.server.invite(stage.guild, stage.server.add_bot("other token"))
    await stage.send("a", nonce="n", enforce_nonce=True)
    await stage.rest(
        "POST",
        stage.here,
        {"content": "b", "nonce": "n", "enforce_nonce": True},
        headers={"Authorization": "Bot other token"},
    )
    assert [m.content for m in stage.server.messages(stage.channel)] == ["a", "b"]


async def test_a_nonce_is_forgotten_after_its_window() -> None:
    async with staged(nonce_window=0.0) as stage:
        ids = {(await stage.send("a", nonce="n", enforce_nonce=True)).json["id"] for _ in range(2)}
        assert len(ids) == 2


# -- mentions


@pytest.mark.parametrize(
    ("allowed", "users", "role", "everyone"),
    [
        (None, {"Ana", "Ben"}, True, True),
        ({"parse": []}, set(), False, False),
        ({}, set(), False, False),
        ({"parse": ["users"]}, {"Ana", "Ben"}, False, False),
        ({"parse": ["users", "roles"], "users": []}, {"Ana", "Ben"}, True, False),
        ({"parse": ["everyone"], "users": ["<Ana>"]}, {"Ana"}, False, True),
        ({"roles": ["<role>"]}, set(), True, False),
    ],
)
async def test_allowed_mentions_decide_who_is_pinged(
    stage: Stage, allowed: dict[str, Any] | None, users: set[str], role: bool, everyone: bool
) -> None:
    people = {"Ana": stage.ana, "Ben": stage.server.add_user("Ben")}
    role_id = stage.guild.roles[stage.bot.user_id]
    text = f"@everyone <@{people['Ana'].id}> <@!{people['Ben'].id}> <@&{role_id}> <@1>"
    fields: dict[str, Any] = {}
    if allowed is not None:
        names = {"<Ana>": str(stage.ana.id), "<role>": str(role_id)}
        known = {key: [names.get(one, one) for one in value] for key, value in allowed.items()}
        fields["allowed_mentions"] = known
    body = (await stage.send(text, **fields)).json
    posted = stage.server.messages(stage.channel)[0]
    assert posted.pinged == {people[name].id for name in users}
    assert {user["username"] for user in body["mentions"]} == users
    assert (body["mention_roles"] == [str(role_id)], body["mention_everyone"]) == (role, everyone)
    assert posted.allowed_mentions == fields.get("allowed_mentions")


async def test_the_replied_user_is_spared_where_allowed_mentions_does_not_name_him(stage: Stage) -> None:
    asked = stage.server.post(stage.channel, stage.ana, "who?")
    reference = {"message_id": str(asked.id)}
    await stage.send("a", message_reference=reference, allowed_mentions={"parse": []})
    await stage.send("b", message_reference=reference, allowed_mentions={"parse": [], "replied_user": True})
    spared, pinged = stage.server.messages(stage.channel)[1:]
    assert (spared.pinged, pinged.pinged) == (frozenset(), frozenset({stage.ana.id}))


async def test_everyone_needs_the_permission(stage: Stage) -> None:
    stage.server.deny(stage.bot, stage.channel, "mention_everyone")
    assert (await stage.send("@everyone")).json["mention_everyone"] is False


# -- files


async def test_files_are_posted_as_multipart_and_can_be_fetched(stage: Stage) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("payload_json", '{"attachments": [{"id": 0, "description": "a map"}]}')
    form.add_field("files[0]", b"PNG", filename="map.png", content_type="image/png")
    reply = await stage.rest("POST", stage.here, data=form)
    assert reply.status == 200, reply.text
    told = reply.json["attachments"][0]
    assert (told["filename"], told["size"], told["description"]) == ("map.png", 3, "a map")
    async with stage.session.get(told["url"]) as response:
        assert await response.read() == b"PNG"
    async with stage.session.get(told["url"].replace(told["id"], "1")) as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("payload_json", "{", 50109), ("payload_json", "{}", 50006), ("content", "hi", 50035)],
)
async def test_a_faulty_multipart_body_is_refused(stage: Stage, name: str, value: str, expected: int) -> None:
    form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    form.add_field(name, value)
    reply = await stage.rest("POST", stage.here, data=form)
    assert (reply.status, reply.json["code"]) == (400, expected)


async def test_a_nested_multipart_body_is_refused(stage: Stage) -> None:
    inner, outer = aiohttp.MultipartWriter("form-data"), aiohttp.MultipartWriter("form-data")
    inner.append("x")
    outer.append_payload(inner)
    assert field_error(await stage.rest("POST", stage.here, data=outer)) == "CONTENT_TYPE_INVALID"


async def test_files_need_the_permission(stage: Stage) -> None:
    stage.server.deny(stage.bot, stage.channel, "attach_files")
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("files[0]", b"PNG", filename="map.png")
    reply = await stage.rest("POST", stage.here, data=form)
    assert (reply.status, reply.json["code"]) == (403, 50013)


# -- history


async def test_history_pages_newest_first(stage: Stage) -> None:
    posted = [stage.server.post(stage.channel, stage.ana, str(n)) for n in range(10)]
    pages = {
        "?limit=3": "987",
        f"?before={posted[4].id}&limit=2": "32",
        f"?after={posted[4].id}&limit=2": "65",
        f"?around={posted[5].id}&limit=3": "654",
        f"?after={posted[9].id}": "",
        "": "9876543210",
    }
    for query, expected in pages.items():
        reply = await stage.rest("GET", stage.here + query)
        assert "".join(m["content"] for m in reply.json) == expected, query


async def test_history_tells_fifty_unless_asked(stage: Stage) -> None:
    for n in range(101):
        stage.server.post(stage.channel, stage.ana, str(n))
    assert len((await stage.rest("GET", stage.here)).json) == 50
    assert len((await stage.rest("GET", stage.here + "?limit=100")).json) == 100


@pytest.mark.parametrize(
    ("query", "path", "code"),
    [
        ("?limit=0", "limit", "NUMBER_TYPE_MAX"),
        ("?limit=101", "limit", "NUMBER_TYPE_MAX"),
        ("?limit=many", "limit", "NUMBER_TYPE_COERCE"),
        ("?before=x", "before", "NUMBER_TYPE_COERCE"),
        ("?before=5&after=4", "after", "BASE_TYPE_EXCLUSIVE"),
    ],
)
async def test_a_faulty_page_is_50035(stage: Stage, query: str, path: str, code: str) -> None:
    assert field_error(await stage.rest("GET", stage.here + query), path) == code


async def test_without_the_history_permission_a_list_is_empty_and_one_message_50013(stage: Stage) -> None:
    posted = stage.server.post(stage.channel, stage.ana, "hi")
    assert (await stage.rest("GET", f"{stage.here}/{posted.id}")).json["content"] == "hi"
    stage.server.deny(stage.bot, stage.channel, "read_message_history")
    assert (await stage.rest("GET", stage.here)).json == []
    reply = await stage.rest("GET", f"{stage.here}/{posted.id}")
    assert (reply.status, reply.json["code"]) == (403, 50013)


async def test_without_the_content_intent_in_the_portal_history_is_blank(stage: Stage) -> None:
    blind = stage.server.add_bot("blind token", message_content=False)
    stage.server.invite(stage.guild, blind)
    stage.server.post(stage.channel, stage.ana, "secret")
    stage.server.post(stage.channel, stage.ana, f"<@{blind.user_id}> psst")
    replies = (await stage.rest("GET", stage.here, headers={"Authorization": "Bot blind token"})).json
    assert [m["content"] for m in replies] == [f"<@{blind.user_id}> psst", ""]


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_message_is_10008(stage: Stage, method: str) -> None:
    elsewhere = stage.server.post(stage.server.add_channel(stage.guild, "other"), stage.ana, "hi")
    for message_id in (1, elsewhere.id):
        reply = await stage.rest(method, f"{stage.here}/{message_id}")
        assert (reply.status, reply.json["code"]) == (404, 10008)


# -- edit, delete


async def test_ones_own_message_can_be_edited_without_pinging(stage: Stage) -> None:
    message_id = (await stage.send("one")).json["id"]
    reply = await stage.rest("PATCH", f"{stage.here}/{message_id}", {"content": f"two <@{stage.ana.id}>"})
    posted = stage.server.messages(stage.channel)[0]
    assert (reply.status, posted.content, posted.pinged) == (200, f"two <@{stage.ana.id}>", frozenset())
    assert reply.json["edited_timestamp"]


async def test_an_edit_that_leaves_nothing_or_too_much_is_refused(stage: Stage) -> None:
    path = f"{stage.here}/{(await stage.send('one')).json['id']}"
    empty = await stage.rest("PATCH", path, {"content": ""})
    assert (empty.status, empty.json["code"]) == (400, 50006)
    assert field_error(await stage.rest("PATCH", path, {"content": "x" * 2001}), "content") == "BASE_TYPE_MAX_LENGTH"
    assert (await stage.rest("PATCH", path, {"flags": 4})).json["content"] == "one"


async def test_a_foreign_message_can_not_be_edited_and_deleted_only_with_permission(stage: Stage) -> None:
    path = f"{stage.here}/{stage.server.post(stage.channel, stage.ana, 'mine').id}"
    edit = await stage.rest("PATCH", path, {"content": "yours"})
    assert (edit.status, edit.json["code"]) == (403, 50005)
    delete = await stage.rest("DELETE", path)
    assert (delete.status, delete.json["code"]) == (403, 50013)
    stage.server.allow(stage.bot, stage.channel, "manage_messages")
    assert (await stage.rest("DELETE", path)).status == 204
    assert stage.server.messages(stage.channel) == []


async def test_a_foreign_direct_message_can_not_be_deleted(stage: Stage) -> None:
    private = stage.server.open_dm(stage.bot, stage.ana)
    posted = stage.server.post(private, stage.ana, "mine")
    reply = await stage.rest("DELETE", f"/channels/{private.id}/messages/{posted.id}")
    assert (reply.status, reply.json["code"]) == (403, 50003)


async def test_ones_own_message_can_be_deleted(stage: Stage) -> None:
    path = f"{stage.here}/{(await stage.send('one')).json['id']}"
    assert (await stage.rest("DELETE", path)).status == 204
    assert (await stage.rest("GET", path)).json["code"] == 10008


# -- reactions


@pytest.mark.parametrize("emoji", ["✅", "👌🏽", "❤️", "🇩🇪", "1️⃣", "👩‍🚀", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"])
async def test_an_emoji_can_be_put_and_taken_back(stage: Stage, emoji: str) -> None:
    posted = stage.server.post(stage.channel, stage.ana, "hi")
    path = f"{stage.here}/{posted.id}/reactions/{emoji}/@me"
    assert [(await stage.rest("PUT", path)).status for _ in range(2)] == [204, 204]
    assert stage.server.reactions(posted) == {emoji: [stage.bot.user_id]}
    assert (await stage.rest("GET", f"{stage.here}/{posted.id}")).json["reactions"][0]["me"] is True
    assert (await stage.rest("DELETE", path)).status == 204
    assert stage.server.reactions(posted) == {}
    gone = await stage.rest("DELETE", path)
    assert (gone.status, gone.json["code"]) == (400, 10014)


@pytest.mark.parametrize("emoji", ["ok", "1", "white_check_mark", "party:123456789012345678", "✅✅", "→"])
async def test_an_unknown_emoji_is_10014(stage: Stage, emoji: str) -> None:
    posted = stage.server.post(stage.channel, stage.ana, "hi")
    for method in ("PUT", "DELETE"):
        reply = await stage.rest(method, f"{stage.here}/{posted.id}/reactions/{emoji}/@me")
        assert (reply.status, reply.json["code"]) == (400, 10014)


async def test_a_new_emoji_needs_a_permission_that_joining_one_does_not(stage: Stage) -> None:
    posted = stage.server.post(stage.channel, stage.ana, "hi")
    stage.server.react(posted, stage.ana, "👀")
    stage.server.deny(stage.bot, stage.channel, "add_reactions")
    fresh = await stage.rest("PUT", f"{stage.here}/{posted.id}/reactions/✅/@me")
    assert (fresh.status, fresh.json["code"]) == (403, 50013)
    assert (await stage.rest("PUT", f"{stage.here}/{posted.id}/reactions/👀/@me")).status == 204
    stage.server.deny(stage.bot, stage.channel, "read_message_history")
    blind = await stage.rest("PUT", f"{stage.here}/{posted.id}/reactions/👀/@me")
    assert (blind.status, blind.json["code"]) == (403, 50013)


async def test_the_twenty_first_emoji_is_30010(stage: Stage) -> None:
    posted = stage.server.post(stage.channel, stage.ana, "hi")
    for n in range(20):
        stage.server.react(posted, stage.ana, chr(0x1F600 + n))
    reply = await stage.rest("PUT", f"{stage.here}/{posted.id}/reactions/✅/@me")
    assert (reply.status, reply.json["code"]) == (400, 30010)


async def test_taking_back_what_only_others_put_changes_nothing(stage: Stage) -> None:
    posted = stage.server.post(stage.channel, stage.ana, "hi")
    stage.server.react(posted, stage.ana, "👀")
    assert (await stage.rest("DELETE", f"{stage.here}/{posted.id}/reactions/👀/@me")).status == 204
    assert stage.server.reactions(posted) == {"👀": [stage.ana.id]}


async def test_a_reaction_to_an_unknown_message_is_10008(stage: Stage) -> None:
    assert (await stage.rest("PUT", f"{stage.here}/1/reactions/✅/@me")).json["code"] == 10008
