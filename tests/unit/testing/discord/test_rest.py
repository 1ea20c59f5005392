"""What every REST request must carry, and what accounts, guilds and channels answer: raw HTTP."""

from __future__ import annotations

import pytest

from tests.unit.testing.discord.conftest import TOKEN, Stage, field_error, staged


@pytest.mark.parametrize(
    "value", [None, TOKEN, f"Bearer {TOKEN}", f"bot {TOKEN}", f"Bot  {TOKEN}", "Bot wrong", "Bot", f"Bot {TOKEN} "[:-3]]
)
async def test_any_authorization_but_the_exact_bot_token_is_401(stage: Stage, value: str | None) -> None:
    reply = await stage.rest("GET", "/users/@me", headers={"Authorization": value})
    assert (reply.status, reply.json) == (401, {"message": "401: Unauthorized", "code": 0})


@pytest.mark.parametrize("agent", [None, "python-requests/2.0", "DiscordBot", "DiscordBot ()"])
async def test_a_request_without_a_discord_bot_user_agent_is_turned_away_by_the_edge(
    stage: Stage, agent: str | None
) -> None:
    reply = await stage.rest("GET", "/users/@me", headers={"User-Agent": agent})
    assert (reply.status, reply.text) == (403, "error code: 1010")


@pytest.mark.parametrize("path", ["/nothing", "/webhooks", "/users", "/channels/1/messages/2/3"])
async def test_an_unknown_route_is_404(stage: Stage, path: str) -> None:
    reply = await stage.rest("GET", path)
    assert (reply.status, reply.json) == (404, {"message": "404: Not Found", "code": 0})


async def test_a_known_route_with_the_wrong_method_is_405(stage: Stage) -> None:
    reply = await stage.rest("DELETE", "/users/@me")
    assert (reply.status, reply.json["message"]) == (405, "405: Method Not Allowed")


async def test_another_api_version_is_50041(stage: Stage) -> None:
    stage.rest.base = stage.server.api_base.replace("v10", "v9")
    reply = await stage.rest("GET", "/users/@me")
    assert (reply.status, reply.json["code"]) == (400, 50041)


async def test_answers_are_exactly_application_json_and_carry_a_bucket(stage: Stage) -> None:
    reply = await stage.rest("GET", "/users/@me")
    assert reply.headers.getall("Content-Type") == ["application/json"]
    limit, remaining = int(reply.headers["X-RateLimit-Limit"]), int(reply.headers["X-RateLimit-Remaining"])
    assert remaining == limit - 1
    assert reply.headers["X-RateLimit-Bucket"]
    assert float(reply.headers["X-RateLimit-Reset-After"]) > 0
    assert float(reply.headers["X-RateLimit-Reset"]) > 1_700_000_000


async def test_me_and_the_application_tell_who_the_token_is(stage: Stage) -> None:
    me = (await stage.rest("GET", "/users/@me")).json
    assert (me["id"], me["username"], me["bot"]) == (str(stage.bot.user_id), "Homunculus", True)
    for path in ("/oauth2/applications/@me", "/applications/@me"):
        assert (await stage.rest("GET", path)).json["id"] == str(stage.bot.application_id)


async def test_the_gateway_is_told_to_everyone_and_its_allowance_to_bots(stage: Stage) -> None:
    anonymous = await stage.rest("GET", "/gateway", headers={"Authorization": None})
    assert anonymous.json == {"url": stage.server.gateway}
    wire, _ = await stage.online()
    bot = (await stage.rest("GET", "/gateway/bot")).json
    assert (bot["url"], bot["shards"]) == (stage.server.gateway, 1)
    assert (bot["session_start_limit"]["total"], bot["session_start_limit"]["remaining"]) == (1000, 999)
    assert bot["session_start_limit"]["reset_after"] > 0
    await wire.ws.close()


async def test_users_are_found_and_unknown_ones_are_10013(stage: Stage) -> None:
    assert (await stage.rest("GET", f"/users/{stage.ana.id}")).json["username"] == "Ana"
    reply = await stage.rest("GET", "/users/1")
    assert (reply.status, reply.json["code"]) == (404, 10013)


@pytest.mark.parametrize("path", ["/channels/tavern", "/users/Ana", "/channels/18446744073709551616", "/guilds/-1"])
async def test_an_id_that_is_no_snowflake_is_50035(stage: Stage, path: str) -> None:
    reply = await stage.rest("GET", path)
    name = {"channels": "channel_id", "users": "user_id", "guilds": "guild_id"}[path.split("/")[1]]
    assert field_error(reply, name) == "NUMBER_TYPE_COERCE"


async def test_a_channel_is_told_with_ids_as_strings(stage: Stage) -> None:
    body = (await stage.rest("GET", f"/channels/{stage.channel.id}")).json
    assert (body["id"], body["guild_id"], body["type"]) == (str(stage.channel.id), str(stage.guild.id), 0)
    thread = stage.server.add_thread(stage.channel, "cellar")
    body = (await stage.rest("GET", f"/channels/{thread.id}")).json
    assert (body["type"], body["parent_id"], body["name"]) == (11, str(stage.channel.id), "cellar")


async def test_unknown_foreign_and_hidden_channels_are_refused_apart(stage: Stage) -> None:
    foreign = stage.server.add_channel(stage.server.add_guild("Elsewhere"), "closed")
    hidden = stage.server.add_channel(stage.guild, "attic")
    stage.server.deny(stage.bot, hidden, "view_channel")
    under_hidden = stage.server.add_thread(hidden, "chest")
    other = stage.server.add_bot("other token")
    private = stage.server.open_dm(other, stage.ana)
    refused = {1: (404, 10003)} | {c.id: (403, 50001) for c in (foreign, hidden, under_hidden, private)}
    for channel_id, expected in refused.items():
        for method, path in (("GET", ""), ("GET", "/messages"), ("POST", "/messages"), ("POST", "/typing")):
            body = {"content": "hi"} if path == "/messages" and method == "POST" else None
            reply = await stage.rest(method, f"/channels/{channel_id}{path}", body)
            assert (reply.status, reply.json["code"]) == expected, path


async def test_a_guild_answers_its_members_and_is_10004_for_others(stage: Stage) -> None:
    mine, path = str(stage.guild.id), f"/guilds/{stage.guild.id}"
    thread = stage.server.add_thread(stage.channel, "cellar")
    assert (await stage.rest("GET", path)).json["name"] == "Arkham"
    assert [c["id"] for c in (await stage.rest("GET", path + "/channels")).json] == [str(stage.channel.id)]
    assert [t["id"] for t in (await stage.rest("GET", path + "/threads/active")).json["threads"]] == [str(thread.id)]
    roles = (await stage.rest("GET", path + "/roles")).json
    assert roles[0]["id"] == mine
    assert roles[1]["tags"] == {"bot_id": str(stage.bot.user_id)}
    member = (await stage.rest("GET", f"{path}/members/{stage.bot.user_id}")).json
    assert member["roles"] == [roles[1]["id"]]
    assert [g["id"] for g in (await stage.rest("GET", "/users/@me/guilds")).json] == [mine]
    elsewhere = stage.server.add_guild("Elsewhere")
    for guild_id in (1, elsewhere.id):
        reply = await stage.rest("GET", f"/guilds/{guild_id}")
        assert (reply.status, reply.json["code"]) == (404, 10004)


async def test_a_bot_that_was_not_invited_is_no_member(stage: Stage) -> None:
    stranger = stage.server.add_bot("other token")
    reply = await stage.rest("GET", f"/guilds/{stage.guild.id}/members/{stranger.user_id}")
    assert (reply.status, reply.json["code"]) == (404, 10007)
    reply = await stage.rest("GET", f"/guilds/{stage.guild.id}/members/1")
    assert (reply.status, reply.json["code"]) == (404, 10013)


async def test_a_private_channel_opens_once(stage: Stage) -> None:
    first = await stage.rest("POST", "/users/@me/channels", {"recipient_id": str(stage.ana.id)})
    again = await stage.rest("POST", "/users/@me/channels", {"recipient_id": stage.ana.id})
    assert (first.status, first.json["type"]) == (200, 1)
    assert [user["id"] for user in first.json["recipients"]] == [str(stage.ana.id)]
    assert again.json["id"] == first.json["id"] == str(stage.server.open_dm(stage.bot, stage.ana).id)


async def test_a_private_channel_needs_a_recipient_that_exists_and_is_not_oneself(stage: Stage) -> None:
    for recipient in (1, stage.bot.user_id):
        reply = await stage.rest("POST", "/users/@me/channels", {"recipient_id": str(recipient)})
        assert (reply.status, reply.json["code"]) == (400, 50033)
    assert field_error(await stage.rest("POST", "/users/@me/channels", {}), "recipient_id") == "BASE_TYPE_REQUIRED"
    reply = await stage.rest("POST", "/users/@me/channels", {}, headers={"Content-Type": "text/plain"})
    assert field_error(reply) == "CONTENT_TYPE_INVALID"


async def test_typing_is_recorded_and_needs_the_permission_to_post(stage: Stage) -> None:
    reply = await stage.rest("POST", f"/channels/{stage.channel.id}/typing")
    assert (reply.status, reply.text) == (204, "")
    stage.server.deny(stage.bot, stage.channel, "send_messages")
    reply = await stage.rest("POST", f"/channels/{stage.channel.id}/typing")
    assert (reply.status, reply.json["code"]) == (403, 50013)
    assert [typing.user_id for typing in stage.server.typings(stage.channel)] == [stage.bot.user_id]


async def test_the_request_log_tells_what_was_asked_and_never_the_token(stage: Stage) -> None:
    await stage.send("hello")
    await stage.rest("GET", "/users/@me", headers={"Authorization": "Bot wrong"})
    sent, refused = stage.server.requests
    assert (sent.method, sent.path, sent.status, sent.bot) == ("POST", stage.here, 200, stage.bot.user_id)
    assert sent.body == {"content": "hello"}
    assert (refused.path, refused.status, refused.bot) == ("/users/@me", 401, None)
    assert refused.time >= sent.time
    assert TOKEN not in repr(stage.server.requests)
    assert TOKEN not in repr(stage.bot)


async def test_buckets_are_enforced_a_channel_at_a_time() -> None:
    async with staged(message_rate=(2, 0.4)) as stage:
        other = stage.server.add_channel(stage.guild, "other")
        replies = [await stage.send(f"{n}") for n in range(3)]
        assert [reply.status for reply in replies] == [200, 200, 429]
        limited = replies[2]
        assert limited.json["message"] == "You are being rate limited."
        assert limited.json["global"] is False
        assert 0 < limited.json["retry_after"] <= 0.4
        assert limited.headers["Retry-After"] == "1"
        assert limited.headers["Via"]
        assert limited.headers["X-RateLimit-Scope"] == "user"
        assert (limited.headers["X-RateLimit-Limit"], limited.headers["X-RateLimit-Remaining"]) == ("2", "0")
        assert limited.headers["X-RateLimit-Bucket"] == replies[0].headers["X-RateLimit-Bucket"]
        assert (await stage.rest("POST", f"/channels/{other.id}/messages", {"content": "hi"})).status == 200
        assert [message.content for message in stage.server.messages(stage.channel)] == ["0", "1"]


async def test_a_full_bucket_empties_with_its_window() -> None:
    async with staged(message_rate=(1, 0.05)) as stage:
        statuses = [(await stage.send("x")).status]
        while (reply := await stage.send("x")).status == 429:
            statuses.append(429)
        assert statuses[0] == 200
        assert reply.status == 200
        assert len(stage.server.messages(stage.channel)) == 2
