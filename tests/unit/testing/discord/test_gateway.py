"""The gateway's protocol: handshake, refusals, heartbeats, resuming: raw WebSocket."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from homunculus.testing.discord import session
from tests.unit.testing.discord.conftest import INTENTS, PROPERTIES, TOKEN, Stage, Wire, identify, staged


async def test_a_connection_is_greeted_identified_and_told_its_guilds(stage: Stage) -> None:
    thread = stage.server.add_thread(stage.channel, "cellar")
    wire = await stage.connect()
    hello = await wire.receive()
    assert (hello["op"], hello["d"]["heartbeat_interval"], hello["s"]) == (10, 41250, None)
    ready = await wire.identify()
    assert ready["v"] == 10
    assert ready["user"]["id"] == str(stage.bot.user_id)
    assert ready["guilds"] == [{"id": str(stage.guild.id), "unavailable": True}]
    assert ready["resume_gateway_url"] == stage.server.gateway
    assert ready["application"]["id"] == str(stage.bot.application_id)
    assert ready["session_id"]
    frame = await wire.receive()
    guild = frame["d"]
    assert (frame["t"], frame["s"], guild["id"]) == ("GUILD_CREATE", 2, str(stage.guild.id))
    assert [c["id"] for c in guild["channels"]] == [str(stage.channel.id)]
    assert [t["id"] for t in guild["threads"]] == [str(thread.id)]
    assert [m["user"]["id"] for m in guild["members"]] == [str(stage.bot.user_id)]
    assert guild["roles"][1]["tags"]["bot_id"] == str(stage.bot.user_id)
    assert (stage.server.identifies(TOKEN), stage.server.resumes(TOKEN), stage.server.connections(TOKEN)) == (1, 0, 1)
    await wire.ws.close()
    await stage.server.wait_for(lambda s: s.connections(TOKEN) == 0)


async def test_zlib_stream_is_one_compressed_stream_flushed_at_every_frame(stage: Stage) -> None:
    wire = await stage.connect("?v=10&encoding=json&compress=zlib-stream")
    await wire.hello()
    await wire.identify()
    stage.server.post(stage.channel, stage.ana, "hello")
    assert (await wire.event("MESSAGE_CREATE"))["d"]["content"] == "hello"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?v=9&encoding=json", 4012),
        ("?encoding=json", 4012),
        ("", 4012),
        ("?v=10&encoding=etf", 4002),
        ("?v=10", 4002),
        ("?v=10&encoding=json&compress=brotli", 4002),
    ],
)
async def test_a_connection_that_asks_for_something_else_is_closed(stage: Stage, query: str, code: int) -> None:
    assert await (await stage.connect(query)).closed() == code


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", 4002),
        ("[]", 4002),
        ("{}", 4002),
        ('{"op": "2"}', 4002),
        ('{"op": true}', 4002),
        ("[" * 4000, 4002),
        (json.dumps({"op": 1, "d": None, "padding": "p" * 4096}), 4002),
        (json.dumps({"op": 1, "d": "7"}), 4002),
        (json.dumps({"op": 2, "d": None}), 4002),
        (json.dumps({"op": 2, "d": {}}), 4002),
        (json.dumps({"op": 6, "d": {}}), 4002),
        (json.dumps({"op": 3, "d": {"status": "online"}}), 4003),
        (json.dumps({"op": 8, "d": {}}), 4003),
        (json.dumps({"op": 99, "d": {}}), 4003),
    ],
)
async def test_a_faulty_frame_before_identifying_is_closed(stage: Stage, frame: str, code: int) -> None:
    wire = await (await stage.connect()).hello()
    await wire.ws.send_str(frame)
    assert await wire.closed() == code


async def test_a_binary_frame_is_4002(stage: Stage) -> None:
    wire = await (await stage.connect()).hello()
    await wire.ws.send_bytes(json.dumps({"op": 1, "d": None}).encode())
    assert await wire.closed() == 4002


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"token": "wrong"}, 4004),
        ({"token": f"Bot {TOKEN}"}, 4004),
        ({"token": 7}, 4002),
        ({"properties": None}, 4002),
        ({"properties": {"os": "linux"}}, 4002),
        ({"properties": {**PROPERTIES, "device": 1}}, 4002),
        ({"intents": None}, 4013),
        ({"intents": -1}, 4013),
        ({"intents": "513"}, 4013),
        ({"intents": True}, 4013),
        ({"intents": 1 << 17}, 4013),
        ({"intents": 1 << 40}, 4013),
        ({"intents": INTENTS | 1 << 1}, 4014),
        ({"intents": INTENTS | 1 << 8}, 4014),
        ({"shard": [1, 1]}, 4010),
        ({"shard": [-1, 1]}, 4010),
        ({"shard": [0, 0]}, 4010),
        ({"shard": [0]}, 4010),
        ({"shard": "0/1"}, 4010),
        ({"shard": [True, 2]}, 4010),
    ],
)
async def test_a_faulty_identify_is_closed(stage: Stage, changes: dict[str, Any], code: int) -> None:
    wire = await (await stage.connect()).hello()
    await wire.send(2, {**identify(), **changes} if None not in changes.values() else identify(**changes))
    assert await wire.closed() == code
    assert stage.server.connections(TOKEN) == 0


async def test_the_content_intent_must_be_granted_in_the_portal(stage: Stage) -> None:
    stage.server.add_bot("blind token", message_content=False)
    wire = await (await stage.connect()).hello()
    await wire.send(2, identify(token="blind token"))
    assert await wire.closed() == 4014
    granted = stage.server.add_bot("full token", guild_members=True, presences=True)
    wire, _ = await stage.online(token=granted.token, intents=INTENTS | 1 << 1 | 1 << 8)
    assert stage.server.connections("full token") == 1


async def test_identifying_or_resuming_twice_is_4005(stage: Stage) -> None:
    for op in (2, 6):
        wire, ready = await stage.online()
        await wire.send(op, {**identify(), "session_id": ready["session_id"], "seq": 1})
        assert await wire.closed() == 4005


@pytest.mark.parametrize("op", [4, 5, 7, 8, 31, 99])
async def test_an_unknown_opcode_is_4001(stage: Stage, op: int) -> None:
    wire, _ = await stage.online()
    await wire.send(op, {})
    assert await wire.closed() == 4001


async def test_a_presence_is_taken_and_a_faulty_one_4002(stage: Stage) -> None:
    wire, _ = await stage.online()
    await wire.send(3, {"status": "idle", "since": 0, "activities": [], "afk": False})
    await wire.send(3, {"status": "asleep"})
    assert await wire.closed() == 4002


async def test_more_than_120_frames_a_minute_are_4008(stage: Stage) -> None:
    wire, _ = await stage.online()
    for n in range(119):
        await wire.send(1, n)
    await wire.event("GUILD_CREATE")
    acks = [(await wire.receive())["op"] for _ in range(119)]
    assert acks == [11] * 119
    await wire.send(1, 0)
    assert await wire.closed() == 4008


async def test_a_heartbeat_is_acknowledged_before_and_after_identifying(stage: Stage) -> None:
    wire = await (await stage.connect()).hello()
    await wire.send(1, None)
    assert (await wire.receive())["op"] == 11
    await wire.identify()
    await wire.event("GUILD_CREATE")
    await wire.send(1, 2)
    assert (await wire.receive())["op"] == 11


async def test_a_client_that_forgets_its_heartbeat_is_closed_and_may_resume() -> None:
    async with staged(heartbeat_interval=0.05) as stage:
        wire, ready = await stage.online()
        assert await wire.closed() == 4000
        wire = await (await stage.connect()).hello()
        await wire.resume(ready["session_id"], 2)
        assert (await wire.receive())["t"] == "RESUMED"


async def test_a_client_that_keeps_its_heartbeat_stays() -> None:
    async with staged(heartbeat_interval=0.1) as stage:
        wire, _ = await stage.online()
        await wire.event("GUILD_CREATE")
        began = time.monotonic()
        while time.monotonic() - began < 0.5:  # five intervals; without a heartbeat two would be the end
            await wire.send(1, 2)
            assert (await wire.receive())["op"] == 11
            await asyncio.sleep(0.02)


async def test_the_daily_allowance_ends_with_a_dead_token() -> None:
    async with staged(session_limit=2) as stage:
        first, _ = await stage.online()
        await stage.online()
        limit = (await stage.rest("GET", "/gateway/bot")).json["session_start_limit"]
        assert (limit["total"], limit["remaining"]) == (2, 0)
        third = await (await stage.connect()).hello()
        await third.send(2, identify())
        assert await third.closed() == 4004
        assert await first.closed() == 4004
        assert (await stage.rest("GET", "/users/@me")).status == 401


async def test_a_shard_gets_its_own_guilds_and_only_the_first_direct_messages(stage: Stage) -> None:
    mine = (stage.guild.id >> 22) % 2
    wires = [(await stage.online(shard=[n, 2]))[0] for n in (0, 1)]
    private = stage.server.open_dm(stage.bot, stage.ana)
    stage.server.post(stage.channel, stage.ana, "in the guild")
    stage.server.post(private, stage.ana, "in private")
    for wire in wires:
        await wire.send(1, None)
    heard: dict[int, list[str]] = {0: [], 1: []}
    for number, wire in enumerate(wires):
        while (frame := await wire.receive())["op"] != 11:
            if frame["t"] == "MESSAGE_CREATE":
                heard[number].append(frame["d"]["content"])
    assert heard[0] == (["in the guild"] if mine == 0 else []) + ["in private"]
    assert heard[1] == (["in the guild"] if mine == 1 else [])


# -- resuming


async def lose(stage: Stage, code: int | None = 4000) -> dict[str, Any]:
    """Connect, read GUILD_CREATE (seq 2), and lose the connection from the client's side; READY's data."""
    wire, ready = await stage.online()
    await wire.event("GUILD_CREATE")
    if code is None:
        stage.server.disconnect(stage.bot)
    else:
        await wire.ws.close(code=code)
    await stage.server.wait_for(lambda s: s.connections(TOKEN) == 0)
    return ready


async def back(stage: Stage) -> Wire:
    return await (await stage.connect()).hello()


@pytest.mark.parametrize("code", [None, 4000, 1006 + 2000])
async def test_a_resume_replays_what_was_missed_in_order_and_then_goes_on(stage: Stage, code: int | None) -> None:
    ready = await lose(stage, code)
    for text in ("one", "two"):
        stage.server.post(stage.channel, stage.ana, text)
    wire = await back(stage)
    await wire.resume(ready["session_id"], 2)
    frames = [await wire.receive() for _ in range(3)]
    assert [f["t"] for f in frames] == ["MESSAGE_CREATE", "MESSAGE_CREATE", "RESUMED"]
    assert [f["s"] for f in frames] == [3, 4, 5]
    assert [f["d"].get("content") for f in frames] == ["one", "two", None]
    assert isinstance(frames[2]["d"], dict)
    stage.server.post(stage.channel, stage.ana, "three")
    assert (await wire.receive())["d"]["content"] == "three"
    assert (stage.server.identifies(TOKEN), stage.server.resumes(TOKEN), stage.server.connections(TOKEN)) == (1, 1, 1)


async def test_a_resume_takes_the_session_from_an_older_connection(stage: Stage) -> None:
    old, ready = await stage.online()
    new = await back(stage)
    await new.resume(ready["session_id"], 2)
    assert await old.closed() == 4000
    stage.server.post(stage.channel, stage.ana, "hello")
    assert (await new.event("MESSAGE_CREATE"))["d"]["content"] == "hello"


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_goodbye_ends_the_session(stage: Stage, code: int) -> None:
    ready = await lose(stage, code)
    wire = await back(stage)
    await wire.resume(ready["session_id"], 2)
    refused = await wire.receive()
    assert (refused["op"], refused["d"]) == (9, False)


async def test_a_wrong_session_is_invalid_and_the_connection_may_identify(stage: Stage) -> None:
    stage.server.add_bot("other token")
    ready = await lose(stage)
    for session_id, token in (("nonsense", TOKEN), (ready["session_id"], "other token")):
        wire = await back(stage)
        await wire.resume(session_id, 2, token)
        refused = await wire.receive()
        assert (refused["op"], refused["d"]) == (9, False)
    assert (await wire.identify())["session_id"] != ready["session_id"]


async def test_a_session_expires() -> None:
    async with staged(resume_window=0.0) as stage:
        ready = await lose(stage)
        wire = await back(stage)
        await wire.resume(ready["session_id"], 2)
        assert (await wire.receive())["op"] == 9


async def test_a_resume_from_before_what_is_kept_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REPLAY_LENGTH", 3)
    async with staged() as stage:
        ready = await lose(stage)
        for n in range(4):
            stage.server.post(stage.channel, stage.ana, str(n))
        wire = await back(stage)
        await wire.resume(ready["session_id"], 2)
        refused = await wire.receive()
        assert (refused["op"], refused["d"]) == (9, False)


@pytest.mark.parametrize("seq", [3, -1, None, "2", True])
async def test_a_sequence_that_was_never_sent_is_4007(stage: Stage, seq: Any) -> None:
    ready = await lose(stage)
    wire = await back(stage)
    await wire.resume(ready["session_id"], seq)
    assert await wire.closed() == 4007


async def test_a_resume_with_a_wrong_token_is_4004(stage: Stage) -> None:
    ready = await lose(stage)
    wire = await back(stage)
    await wire.resume(ready["session_id"], 2, "wrong")
    assert await wire.closed() == 4004


# -- what is heard


async def heard(wire: Wire) -> list[str]:
    """Ask for an acknowledgement and list the events that came before it."""
    await wire.send(1, None)
    names = []
    while (frame := await wire.receive())["op"] != 11:
        names.append(frame["t"])
    return names


async def act(stage: Stage) -> None:
    """Do one of everything, in the guild and in private."""
    for place in (stage.channel, stage.server.open_dm(stage.bot, stage.ana)):
        posted = stage.server.post(place, stage.ana, "hi")
        stage.server.edit(posted, "ho")
        stage.server.react(posted, stage.ana, "✅")
        stage.server.type(place, stage.ana)
        stage.server.delete(posted)
    stage.server.add_thread(stage.server.add_channel(stage.guild, "new"), "thread")


MESSAGES = ["MESSAGE_CREATE", "MESSAGE_UPDATE", "MESSAGE_DELETE"]


@pytest.mark.parametrize(
    ("intents", "expected"),
    [
        (0, []),
        (1 << 0, ["GUILD_CREATE", "CHANNEL_CREATE", "THREAD_CREATE"]),
        (1 << 9, MESSAGES),
        (1 << 12, MESSAGES),
        (1 << 10, ["MESSAGE_REACTION_ADD"]),
        (1 << 13, ["MESSAGE_REACTION_ADD"]),
        (1 << 11, ["TYPING_START"]),
        (1 << 14, ["TYPING_START"]),
    ],
)
async def test_intents_decide_which_events_are_heard(stage: Stage, intents: int, expected: list[str]) -> None:
    wire, _ = await stage.online(intents=intents)
    await act(stage)
    assert await heard(wire) == expected


async def test_an_event_tells_where_it_happened_and_to_whom(stage: Stage) -> None:
    wire, _ = await stage.online()
    posted = stage.server.post(stage.channel, stage.ana, "hi", attachments=[("a.txt", b"text")])
    guild, message = str(stage.guild.id), (await wire.event("MESSAGE_CREATE"))["d"]
    assert (message["guild_id"], message["channel_id"]) == (guild, str(stage.channel.id))
    assert (message["author"]["id"], message["member"]["roles"]) == (str(stage.ana.id), [])
    assert message["attachments"][0]["filename"] == "a.txt"
    stage.server.react(posted, stage.ana, "✅")
    reaction = (await wire.event("MESSAGE_REACTION_ADD"))["d"]
    assert (reaction["emoji"], reaction["user_id"]) == ({"id": None, "name": "✅"}, str(stage.ana.id))
    assert (reaction["message_id"], reaction["member"]["user"]["id"]) == (str(posted.id), str(stage.ana.id))
    await stage.rest("PUT", f"{stage.here}/{posted.id}/reactions/✅/@me")
    await stage.rest("DELETE", f"{stage.here}/{posted.id}/reactions/✅/@me")
    assert (await wire.event("MESSAGE_REACTION_REMOVE"))["d"]["user_id"] == str(stage.bot.user_id)
    stage.server.type(stage.channel, stage.ana)
    typing = (await wire.event("TYPING_START"))["d"]
    assert (typing["user_id"], typing["member"]["user"]["id"]) == (str(stage.ana.id), str(stage.ana.id))
    stage.server.delete(posted)
    deleted = (await wire.event("MESSAGE_DELETE"))["d"]
    assert deleted == {"id": str(posted.id), "channel_id": str(stage.channel.id), "guild_id": guild}


async def test_a_direct_message_has_no_guild(stage: Stage) -> None:
    wire, _ = await stage.online()
    stage.server.post(stage.server.open_dm(stage.bot, stage.ana), stage.ana, "psst")
    message = (await wire.event("MESSAGE_CREATE"))["d"]
    assert (message["content"], "guild_id" in message, "member" in message) == ("psst", False, False)


async def test_a_bot_hears_its_own_posts_with_their_nonce(stage: Stage) -> None:
    wire, _ = await stage.online()
    sent = await stage.send("mine", nonce="n7")
    message = (await wire.event("MESSAGE_CREATE"))["d"]
    assert (message["id"], message["nonce"], message["content"]) == (sent.json["id"], "n7", "mine")


async def test_without_the_content_intent_only_own_direct_and_mentioning_messages_have_words(stage: Stage) -> None:
    wire, _ = await stage.online(intents=INTENTS & ~(1 << 15))
    plain = stage.server.post(stage.channel, stage.ana, "secret", attachments=[("a.txt", b"text")])
    stage.server.post(stage.channel, stage.ana, f"<@{stage.bot.user_id}> you")
    stage.server.post(stage.server.open_dm(stage.bot, stage.ana), stage.ana, "private")
    await stage.send("own")
    stage.server.post(stage.channel, stage.ana, "re", reply_to=plain)
    told = [(await wire.event("MESSAGE_CREATE"))["d"] for _ in range(5)]
    assert [m["content"] for m in told] == ["", f"<@{stage.bot.user_id}> you", "private", "own", ""]
    assert told[0]["attachments"] == []
    assert told[4]["referenced_message"]["content"] == ""


async def test_a_bot_hears_only_channels_it_sees(stage: Stage) -> None:
    wire, _ = await stage.online()
    foreign = stage.server.add_channel(stage.server.add_guild("Elsewhere"), "closed")
    hidden = stage.server.add_channel(stage.guild, "attic")
    stage.server.deny(stage.bot, hidden, "view_channel")
    other = stage.server.add_bot("other token")
    for place in (foreign, hidden, stage.server.add_thread(hidden, "chest"), stage.server.open_dm(other, stage.ana)):
        stage.server.post(place, stage.ana, "unheard")
    stage.server.post(stage.channel, stage.ana, "heard")
    assert (await wire.event("MESSAGE_CREATE"))["d"]["content"] == "heard"


async def test_places_come_and_go_live(stage: Stage) -> None:
    wire, _ = await stage.online()
    guild = stage.server.add_guild("Dunwich", bots=[stage.bot])
    await wire.event("GUILD_CREATE")
    assert (await wire.event("GUILD_CREATE"))["d"]["id"] == str(guild.id)
    channel = stage.server.add_channel(guild, "farm", id="42")
    assert (channel.id, (await wire.event("CHANNEL_CREATE"))["d"]["id"]) == (42, "42")
    thread = stage.server.add_thread(channel, "well")
    created = (await wire.event("THREAD_CREATE"))["d"]
    assert (created["id"], created["parent_id"], created["newly_created"]) == (str(thread.id), "42", True)
    stage.server.deny(stage.bot, channel, "add_reactions")
    overwrite = (await wire.event("CHANNEL_UPDATE"))["d"]["permission_overwrites"][0]
    assert overwrite == {"id": str(stage.bot.user_id), "type": 1, "allow": "0", "deny": str(1 << 6)}
    stage.server.remove_channel(channel)
    assert (await wire.event("CHANNEL_DELETE"))["d"]["id"] == "42"
    stage.server.kick(guild, stage.bot)
    assert (await wire.event("GUILD_DELETE"))["d"] == {"id": str(guild.id)}


async def test_two_bots_hear_each_other(stage: Stage) -> None:
    other = stage.server.add_bot("other token", name="Other")
    stage.server.invite(stage.guild, other)
    wire, _ = await stage.online(token="other token")
    await stage.send(f"hello <@{other.user_id}>")
    message = (await wire.event("MESSAGE_CREATE"))["d"]
    assert (message["author"]["bot"], message["mentions"][0]["id"]) == (True, str(other.user_id))
