"""What the loopback Discord does with a command that a person gives, and what it refuses of the answers: raw HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homunculus.testing.discord import Interaction
from tests.unit.testing.discord.conftest import Reply, Stage, Wire, field_error, staged

ANSWER, DEFER, EPHEMERAL, LOADING = 4, 5, 64, 128
MODE = {
    "type": 1,
    "name": "mode",
    "description": "when it answers",
    "options": [
        {
            "type": 3,
            "name": "mode",
            "description": "when",
            "required": True,
            "choices": [{"name": one, "value": one} for one in ("always", "mention")],
        }
    ],
}
NPC = {"name": "npc", "description": "About the NPC", "options": [MODE]}
ROLL = {
    "name": "roll",
    "description": "Dice",
    "contexts": [0],
    "options": [{"type": 3, "name": "dice", "description": "which"}],
}
NOBODY = {"Authorization": None}


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json["code"]


async def offered(stage: Stage) -> None:
    reply = await stage.rest("PUT", f"/applications/{stage.bot.application_id}/commands", [NPC, ROLL])
    assert reply.status == 200, reply.text


async def given(stage: Stage) -> Interaction:
    await offered(stage)
    return stage.server.command(stage.channel, stage.ana, "npc mode", {"mode": "always"})


async def first(stage: Stage, one: Interaction, body: Any = None, *, token: str = "", query: str = "") -> Reply:
    """Make the first answer, as anybody may who has the token."""
    path = f"/interactions/{one.id}/{token or one.token}/callback{query}"
    return await stage.rest("POST", path, {"type": DEFER} if body is None else body, headers=NOBODY)


async def later(
    stage: Stage, one: Interaction, method: str, rest: str = "/messages/@original", body: Any = None, app: int = 0
) -> Reply:
    path = f"/webhooks/{app or stage.bot.application_id}/{one.token}{rest}"
    return await stage.rest(method, path, body, headers=NOBODY)


def said(stage: Stage) -> list[str]:
    return [message.content for message in stage.server.messages(stage.channel)]


# -- what the bot is told


async def test_a_command_reaches_the_bot_with_its_arguments_and_who_gave_it(stage: Stage) -> None:
    wire, _ = await stage.online()
    one = await given(stage)
    data = (await wire.event("INTERACTION_CREATE"))["d"]
    assert (data["id"], data["token"], data["type"], data["version"]) == (str(one.id), one.token, 2, 1)
    assert data["application_id"] == str(stage.bot.application_id)
    assert (data["guild_id"], data["channel_id"], data["channel"]["id"]) == (
        str(stage.guild.id),
        str(stage.channel.id),
        str(stage.channel.id),
    )
    assert data["member"]["user"]["id"] == str(stage.ana.id)
    assert "user" not in data
    assert int(data["app_permissions"]) & 1 << 11
    assert data["context"] == 0
    assert (data["data"]["name"], data["data"]["type"]) == ("npc", 1)
    value = {"type": 3, "name": "mode", "value": "always"}
    assert data["data"]["options"] == [{"type": 1, "name": "mode", "options": [value]}]
    assert one.token not in repr(one)


async def test_a_direct_command_tells_a_user_and_no_guild(stage: Stage) -> None:
    wire, _ = await stage.online()
    await offered(stage)
    stage.server.command(stage.server.open_dm(stage.bot, stage.ana), stage.ana, "npc mode", {"mode": "always"})
    data = (await wire.event("INTERACTION_CREATE"))["d"]
    assert data["user"]["id"] == str(stage.ana.id)
    assert not {"guild_id", "member", "guild"} & data.keys()
    assert (data["context"], data["channel"]["type"]) == (1, 1)


async def test_no_intent_and_no_permission_keep_a_command_from_its_bot_and_no_other_hears_it(stage: Stage) -> None:
    other = stage.server.add_bot("another-token", name="Another")
    stage.server.invite(stage.guild, other)
    stage.server.deny(stage.bot, stage.channel, "view_channel")
    wire, _ = await stage.online(intents=0)
    deaf: Wire = await (await stage.connect()).hello()
    await deaf.identify(token="another-token")
    one = await given(stage)
    assert (await wire.event("INTERACTION_CREATE"))["d"]["id"] == str(one.id)
    stage.server.post(stage.channel, stage.ana, "after")
    while (frame := await deaf.receive())["t"] != "MESSAGE_CREATE":
        assert frame["t"] != "INTERACTION_CREATE"


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("npc", {}),
        ("npc status", {}),
        ("dance", {}),
        ("npc mode", {}),
        ("npc mode", {"mode": "sometimes"}),
        ("npc mode", {"mode": "always", "more": "x"}),
    ],
)
async def test_what_discords_client_does_not_let_through_cannot_be_given(
    stage: Stage, words: str, values: dict[str, str]
) -> None:
    await offered(stage)
    with pytest.raises(ValueError, match=r"offer|send"):
        stage.server.command(stage.channel, stage.ana, words, values)
    assert stage.server.interactions(stage.channel) == []


async def test_a_command_for_guilds_alone_cannot_be_given_in_private_or_by_a_stranger(stage: Stage) -> None:
    await offered(stage)
    private = stage.server.open_dm(stage.bot, stage.ana)
    with pytest.raises(ValueError, match="offers no /roll here"):
        stage.server.command(private, stage.ana, "roll")
    with pytest.raises(ValueError, match="not in this private channel"):
        stage.server.command(private, stage.server.add_user("Ben"), "npc mode", {"mode": "always"})
    stage.server.command(stage.channel, stage.ana, "roll", {"dice": "any text"})


async def test_of_two_bots_with_one_command_one_is_named(stage: Stage) -> None:
    await offered(stage)
    other = stage.server.add_bot("another-token", name="Another")
    stage.server.invite(stage.guild, other)
    stage.rest.headers["Authorization"] = "Bot another-token"
    await stage.rest("PUT", f"/applications/{other.application_id}/commands", [ROLL])
    with pytest.raises(ValueError, match="2 bots"):
        stage.server.command(stage.channel, stage.ana, "roll")
    assert stage.server.command(stage.channel, stage.ana, "roll", bot=other).bot is other


# -- the first answer


async def test_an_answer_is_seen_by_everybody_there(stage: Stage) -> None:
    wire, _ = await stage.online()
    one = await given(stage)
    assert (await first(stage, one, {"type": ANSWER, "data": {"content": "Always, then."}})).status == 204
    body = (await wire.event("MESSAGE_CREATE"))["d"]
    assert (body["type"], body["content"], body["author"]["id"]) == (20, "Always, then.", str(stage.bot.user_id))
    assert body["webhook_id"] == body["application_id"] == str(stage.bot.application_id)
    assert body["interaction_metadata"]["id"] == str(one.id)
    assert body["interaction_metadata"]["user"]["id"] == str(stage.ana.id)
    assert said(stage) == [message.content for message in one.answers] == ["Always, then."]
    assert stage.server.whispers(stage.channel, stage.ana) == []


async def test_a_private_answer_is_seen_by_its_author_alone(stage: Stage) -> None:
    wire, _ = await stage.online()
    one = await given(stage)
    body = {"type": ANSWER, "data": {"content": "Between us.", "flags": EPHEMERAL}}
    assert (await first(stage, one, body)).status == 204
    assert [message.content for message in stage.server.whispers(stage.channel, stage.ana)] == ["Between us."]
    assert stage.server.whispers(stage.channel, stage.server.add_user("Ben")) == []
    assert said(stage) == []
    told = (await later(stage, one, "GET")).json
    assert (told["content"], told["flags"]) == ("Between us.", EPHEMERAL)
    assert code(await stage.rest("GET", f"{stage.here}/{told['id']}")) == (404, 10008)
    stage.server.post(stage.channel, stage.ana, "aloud")
    assert (await wire.event("MESSAGE_CREATE"))["d"]["content"] == "aloud"


async def test_a_deferred_answer_is_thought_about_until_it_is_filled_and_bears_no_mark_of_an_edit(stage: Stage) -> None:
    wire, _ = await stage.online()
    one = await given(stage)
    assert (await first(stage, one)).status == 204
    thinking = (await wire.event("MESSAGE_CREATE"))["d"]
    assert (thinking["content"], thinking["flags"]) == ("", LOADING)
    assert (one.thinking, one.answers) == (True, [])
    filled = await later(stage, one, "PATCH", body={"content": "Always."})
    assert (filled.status, filled.json["id"], filled.json["flags"]) == (200, thinking["id"], 0)
    update = (await wire.event("MESSAGE_UPDATE"))["d"]
    assert (update["content"], update["edited_timestamp"]) == ("Always.", None)
    assert (one.thinking, said(stage)) == (False, ["Always."])
    await later(stage, one, "PATCH", body={"content": "Always!"})
    assert (await wire.event("MESSAGE_UPDATE"))["d"]["edited_timestamp"] is not None


async def test_a_private_deferred_answer_stays_private(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one, {"type": DEFER, "data": {"flags": EPHEMERAL}})
    assert one.thinking
    filled = await later(stage, one, "PATCH", body={"content": "Between us.", "flags": 4})
    assert filled.json["flags"] == EPHEMERAL | 4
    assert [message.content for message in stage.server.whispers(stage.channel, stage.ana)] == ["Between us."]
    assert said(stage) == []


async def test_an_answer_that_is_not_there_in_time_is_10062_and_the_person_is_told(stage: Stage) -> None:
    async with staged(interaction_patience=0.05) as hasty:
        one = await given(hasty)
        assert not hasty.server.unanswered(one)
        await asyncio.sleep(0.06)
        assert hasty.server.unanswered(one)
        assert code(await first(hasty, one)) == (404, 10062)
        assert code(await later(hasty, one, "POST", "", {"content": "late"})) == (404, 10015)


async def test_a_second_first_answer_is_40060(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one)
    assert code(await first(stage, one)) == (400, 40060)
    assert code(await first(stage, one, {"type": ANSWER, "data": {"content": "again"}})) == (400, 40060)
    assert said(stage) == [""]


async def test_an_unknown_interaction_or_a_wrong_token_is_10062(stage: Stage) -> None:
    one = await given(stage)
    assert code(await first(stage, one, token=one.token[:-1])) == (404, 10062)
    unknown = f"/interactions/{stage.bot.user_id}/{one.token}/callback"
    assert code(await stage.rest("POST", unknown, {"type": DEFER})) == (404, 10062)
    assert not one.thinking


@pytest.mark.parametrize(
    ("body", "where", "error"),
    [
        ({}, ("type",), "BASE_TYPE_CHOICES"),
        ({"type": 1}, ("type",), "BASE_TYPE_CHOICES"),
        ({"type": 9}, ("type",), "BASE_TYPE_CHOICES"),
        ({"type": ANSWER, "data": "hello"}, ("data",), "MODEL_TYPE_CONVERT"),
        ({"type": ANSWER, "data": {"content": "x" * 2001}}, ("content",), "BASE_TYPE_MAX_LENGTH"),
        ({"type": ANSWER, "data": {"content": "x", "flags": LOADING}}, ("flags",), "MESSAGE_FLAGS_INVALID"),
        ({"type": ANSWER, "data": {"content": "x", "flags": "64"}}, ("flags",), "NUMBER_TYPE_COERCE"),
        (
            {"type": ANSWER, "data": {"content": "x", "allowed_mentions": {"parse": ["all"]}}},
            ("allowed_mentions", "parse"),
            "BASE_TYPE_CHOICES",
        ),
        ({"type": DEFER, "data": {"flags": 4}}, ("data", "flags"), "MESSAGE_FLAGS_INVALID"),
    ],
)
async def test_a_first_answer_that_discord_does_not_take_is_50035_and_answers_nothing(
    stage: Stage, body: Any, where: tuple[str, ...], error: str
) -> None:
    one = await given(stage)
    assert field_error(await first(stage, one, body), *where) == error
    assert (await first(stage, one)).status == 204


async def test_an_empty_first_answer_is_50006(stage: Stage) -> None:
    one = await given(stage)
    assert code(await first(stage, one, {"type": ANSWER})) == (400, 50006)
    assert code(await first(stage, one, {"type": ANSWER, "data": {"content": " "}})) == (400, 50006)


async def test_an_answer_of_the_callback_itself_is_not_modelled(stage: Stage) -> None:
    one = await given(stage)
    reply = await first(stage, one, query="?with_response=true")
    assert field_error(reply, "with_response") == "LOOPBACK_NOT_MODELLED"


# -- what comes after it


async def test_follow_ups_come_after_the_answer_each_for_whom_it_is_meant(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one, {"type": ANSWER, "data": {"content": "one"}})
    two = await later(stage, one, "POST", "", {"content": "two"})
    three = await later(stage, one, "POST", "", {"content": "three", "flags": EPHEMERAL})
    assert (two.status, three.status) == (200, 200)
    assert [message.content for message in one.answers] == ["one", "two", "three"]
    assert said(stage) == ["one", "two"]
    assert [message.content for message in stage.server.whispers(stage.channel, stage.ana)] == ["three"]
    assert two.json["interaction_metadata"]["original_response_message_id"] == str(one.original)


async def test_the_first_follow_up_takes_the_place_of_a_deferred_answer_and_is_seen_by_whom_that_was(
    stage: Stage,
) -> None:
    one = await given(stage)
    await first(stage, one)
    reply = await later(stage, one, "POST", "", {"content": "meant to be private", "flags": EPHEMERAL})
    assert reply.json["id"] == str(one.original)
    assert (said(stage), one.whispers) == (["meant to be private"], [])


async def test_an_answer_names_nobody_it_may_not(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one)
    text = f"<@{stage.ana.id}>"
    await later(stage, one, "PATCH", body={"content": text, "allowed_mentions": {"parse": []}})
    await later(stage, one, "POST", "", {"content": text})
    quiet, loud = stage.server.messages(stage.channel)
    assert (quiet.pinged, loud.pinged) == (frozenset(), frozenset({stage.ana.id}))


async def test_a_deferred_answer_can_be_taken_back_and_what_follows_be_private(stage: Stage) -> None:
    wire, _ = await stage.online()
    one = await given(stage)
    await first(stage, one)
    assert (await later(stage, one, "DELETE")).status == 204
    assert (await wire.event("MESSAGE_DELETE"))["d"]["id"] == str(one.original)
    assert not one.thinking
    for method, body in (("GET", None), ("PATCH", {"content": "x"}), ("DELETE", None)):
        assert code(await later(stage, one, method, body=body)) == (404, 10008)
    await later(stage, one, "POST", "", {"content": "between us", "flags": EPHEMERAL})
    assert [message.content for message in stage.server.whispers(stage.channel, stage.ana)] == ["between us"]
    assert said(stage) == []


async def test_an_answer_that_a_person_deleted_is_10008(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one)
    stage.server.delete(stage.server.messages(stage.channel)[0])
    assert not one.thinking
    assert code(await later(stage, one, "PATCH", body={"content": "x"})) == (404, 10008)
    assert (await later(stage, one, "POST", "", {"content": "after all"})).status == 200
    assert said(stage) == ["after all"]


async def test_each_answer_can_be_read_changed_and_deleted_by_its_id(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one, {"type": ANSWER, "data": {"content": "one"}})
    two = (await later(stage, one, "POST", "", {"content": "two", "flags": EPHEMERAL})).json["id"]
    assert (await later(stage, one, "PATCH", f"/messages/{two}", {"content": "zwei"})).json["content"] == "zwei"
    assert (await later(stage, one, "GET", f"/messages/{two}")).json["content"] == "zwei"
    assert (await later(stage, one, "DELETE", f"/messages/{two}")).status == 204
    assert [message.content for message in one.answers] == ["one"]
    assert code(await later(stage, one, "GET", f"/messages/{two}")) == (404, 10008)
    assert code(await later(stage, one, "GET", f"/messages/{stage.bot.user_id}")) == (404, 10008)


@pytest.mark.parametrize(
    ("body", "where", "error"),
    [
        ({"content": "x" * 2001}, ("content",), "BASE_TYPE_MAX_LENGTH"),
        ({"content": "x", "flags": LOADING}, ("flags",), "MESSAGE_FLAGS_INVALID"),
        ({"content": "x", "allowed_mentions": 7}, ("allowed_mentions",), "MODEL_TYPE_CONVERT"),
    ],
)
async def test_a_later_answer_that_discord_does_not_take_is_50035(
    stage: Stage, body: Any, where: tuple[str, ...], error: str
) -> None:
    one = await given(stage)
    await first(stage, one)
    for method, rest in (("POST", ""), ("PATCH", "/messages/@original")):
        assert field_error(await later(stage, one, method, rest, body), *where) == error
    assert one.thinking


async def test_an_answer_cannot_be_made_private_afterwards(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one)
    reply = await later(stage, one, "PATCH", body={"content": "x", "flags": EPHEMERAL})
    assert field_error(reply, "flags") == "MESSAGE_FLAGS_INVALID"


async def test_an_empty_later_answer_is_50006(stage: Stage) -> None:
    one = await given(stage)
    await first(stage, one)
    for method, rest in (("POST", ""), ("PATCH", "/messages/@original")):
        assert code(await later(stage, one, method, rest, {"content": ""})) == (400, 50006)


async def test_before_the_first_answer_and_for_another_application_there_is_no_webhook(stage: Stage) -> None:
    one = await given(stage)
    assert code(await later(stage, one, "POST", "", {"content": "early"})) == (404, 10015)
    assert code(await later(stage, one, "PATCH", body={"content": "early"})) == (404, 10015)
    await first(stage, one)
    other = stage.server.add_bot("another-token", name="Another")
    assert code(await later(stage, one, "GET", app=other.application_id)) == (404, 10015)
    unknown = f"/webhooks/{stage.bot.application_id}/{one.token}x"
    assert code(await stage.rest("POST", unknown, {"content": "x"}, headers=NOBODY)) == (404, 10015)


async def test_a_token_that_is_too_old_is_50027(stage: Stage) -> None:
    async with staged(interaction_life=0.05) as brief:
        one = await given(brief)
        await first(brief, one)
        await asyncio.sleep(0.06)
        assert code(await later(brief, one, "PATCH", body={"content": "late"})) == (401, 50027)
        assert code(await later(brief, one, "POST", "", {"content": "late"})) == (401, 50027)
        assert one.thinking
