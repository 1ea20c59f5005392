"""The life of a Discord connection: where it goes, how it fails, how it dies, what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from pathlib import Path
from typing import Any

import discord
import pytest
from discord.state import ConnectionState
from loguru import logger

from homunculus.adapters.discord import faults
from homunculus.adapters.discord.adapter import DiscordAdapter
from homunculus.errors import NotReady, Refused
from homunculus.model import AdapterSpec, Message, Receipt, Scope, Secret
from homunculus.testing.discord import DiscordServer
from tests.unit.adapters.conftest import ALL, TOKEN, Table, part, table_of

ADAPTER = "homunculus.adapters.discord.adapter"
SESSION = "homunculus.adapters.discord.session"


def heartbeats() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("keep-alive")]


async def no_heart_beats() -> bool:
    """Tell whether every heartbeat thread ends; one that nobody stopped would sleep for 41 seconds."""
    for thread in heartbeats():
        await asyncio.to_thread(thread.join, 3)
    return heartbeats() == []


async def died(adapter: DiscordAdapter) -> BaseException:
    """Wait until the adapter reports its death, and return the reason."""
    with pytest.raises((NotReady, Refused)) as caught:
        await asyncio.wait_for(adapter.closed(), 10)
    return caught.value


# -- where it connects


async def test_two_deployments_in_one_process_reach_their_own_servers(table: Table) -> None:
    async with DiscordServer() as other_server:
        other = table_of(other_server)
        async with table.open(), other.open():
            for one in (table, other):
                assert one.server.identifies(TOKEN) == 1
                one.server.post(one.tavern, one.ana, f"at {one.server.api_base}")
            for one in (table, other):
                message = await one.next()
                assert message.text == f"at {one.server.api_base}"
                assert message.address.place == str(one.tavern.id)


async def test_an_address_without_endpoints_is_discords_own() -> None:
    adapter = DiscordAdapter(AdapterSpec("discord", credentials=(("token", Secret("literal", TOKEN)),)))
    assert adapter._endpoints == ("", "")


async def test_bots_share_a_loop_and_a_server(table: Table) -> None:
    second = table.server.add_bot("unit.token.two", name="Second")
    table.server.invite(table.guild, second)
    async with table.open(), table.open(table.adapter(token="unit.token.two", name="second")):
        table.server.post(table.tavern, table.ana, "to both")
        heard = [await table.next(), await table.next()]
        assert {message.address.account for message in heard} == {str(table.bot.user_id), str(second.user_id)}
        assert {message.address.label for message in heard} == {
            f"discord:{table.guild.id}:{table.tavern.id}",
            f"discord:second:{table.guild.id}:{table.tavern.id}",
        }


async def test_a_session_remembers_no_messages_and_no_members(table: Table) -> None:
    async with table.open() as adapter:
        for number in range(5):
            table.server.post(table.tavern, table.ana, f"line {number}")
            await table.next()
        assert adapter._session is not None
        assert list(adapter._session.cached_messages) == []
        assert {member.id for guild in adapter._session.guilds for member in guild.members} == {table.bot.user_id}


# -- opening


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "schlüssel", "nul\0"])
async def test_a_token_that_cannot_be_one_is_refused_before_anything_is_asked(table: Table, token: str) -> None:
    adapter = table.adapter(token=token)
    with pytest.raises(Refused, match="token of discord") as caught:
        await adapter.open(table.deliver)
    assert not token or token not in str(caught.value)
    assert table.server.requests == []


async def test_a_bad_token_is_never_in_the_error(table: Table) -> None:
    adapter = table.adapter(token="canary.secret.token")
    with pytest.raises(Refused, match="Reset Token") as caught:
        await adapter.open(table.deliver)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "canary" not in repr(chain) + str(chain)
        chain = chain.__cause__ or chain.__context__


async def test_withheld_message_content_is_refused_with_the_switch_to_flip(table: Table) -> None:
    table.server.add_bot("unit.token.deaf", message_content=False)
    adapter = table.adapter(token="unit.token.deaf")
    with pytest.raises(Refused, match="Message Content Intent"):
        await adapter.open(table.deliver)
    assert table.server.connections("unit.token.deaf") == 0


async def test_a_dead_gateway_behind_a_living_api_is_not_ready_at_once(table: Table) -> None:
    async with DiscordServer() as gone:
        dead = gone.gateway
    started = asyncio.get_running_loop().time()
    with pytest.raises(NotReady, match=r"gateway ws://127.0.0.1:\d+ cannot be reached"):
        await table.adapter(gateway=dead).open(table.deliver)
    assert asyncio.get_running_loop().time() - started < 1


async def test_a_gateway_that_never_speaks_is_not_ready(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{ADAPTER}.OPEN_PATIENCE", 0.3)
    table.server.mute(table.bot, new_connections=True)
    with pytest.raises(NotReady):
        await table.adapter().open(table.deliver)
    assert await no_heart_beats()


async def test_a_server_that_is_no_discord_is_not_ready(table: Table) -> None:
    strange = DiscordAdapter(
        AdapterSpec(
            "discord",
            credentials=(("token", Secret("literal", TOKEN)),),
            connection=(("api_base", table.server.api_base + "/nothing"), ("gateway", table.server.gateway)),
        )
    )
    with pytest.raises(NotReady, match="HTTP 404"):
        await strange.open(table.deliver)


async def test_a_ban_at_login_says_how_long_to_stay_away(table: Table) -> None:
    table.server.fail_next(1, status=429, via=False, path_contains="/users/@me")
    with pytest.raises(NotReady) as caught:
        await table.adapter().open(table.deliver)
    assert caught.value.after == 60


async def test_a_guild_in_an_outage_does_not_hold_up_the_rest(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{ADAPTER}.GUILD_PATIENCE", 0.2)
    monkeypatch.setattr(f"{SESSION}.Session.awaited", frozenset({1}))
    started = asyncio.get_running_loop().time()
    async with table.open():
        assert 0.2 <= asyncio.get_running_loop().time() - started < 2
        table.server.post(table.tavern, table.ana, "we are here")
        assert (await table.next()).text == "we are here"


async def test_opening_waits_for_every_guild(table: Table) -> None:
    places = [table.server.add_channel(table.server.add_guild(f"g{n}", [table.bot]), "room") for n in range(30)]
    adapter = table.adapter()
    await adapter.open(table.deliver)
    try:
        assert await adapter.listen(Scope(places=frozenset(str(place.id) for place in places))) == frozenset()
    finally:
        await adapter.aclose()


# -- losing and dying


@pytest.mark.parametrize("how", ["cut", "cut from our side", "4000", "reconnect", "invalidate"])
async def test_a_dropped_connection_is_resumed_without_dying(table: Table, how: str) -> None:
    async with table.open() as adapter:
        match how:
            case "cut":
                table.server.disconnect(table.bot)
            case "cut from our side":
                assert adapter._session is not None
                assert adapter._session._api._socket is not None
                adapter._session._api._socket._response.close()
            case "4000":
                table.server.disconnect(table.bot, 4000)
            case "reconnect":
                table.server.reconnect(table.bot)
            case _:
                table.server.invalidate(table.bot, resumable=True)
        table.server.post(table.tavern, table.ana, "did you miss me?")
        assert (await table.next()).text == "did you miss me?"
        await table.server.wait_for(lambda server: server.resumes(TOKEN) == 1)
        assert table.server.identifies(TOKEN) == 1
        assert adapter._lost is None
        assert not adapter._ended.is_set()


@pytest.mark.parametrize("how", ["invalidated", "forgotten"])
async def test_a_session_that_cannot_be_resumed_ends_so_that_a_new_one_catches_up(table: Table, how: str) -> None:
    async with table.open() as adapter:
        if how == "invalidated":
            table.server.invalidate(table.bot, resumable=False)
        else:
            table.server.disconnect(table.bot, resumable=False)
        assert isinstance(await died(adapter), NotReady)
        assert table.server.identifies(TOKEN) == 1
    async with table.open():
        table.server.post(table.tavern, table.ana, "again")
        assert (await table.next()).text == "again"
    assert table.server.identifies(TOKEN) == 2
    assert await no_heart_beats()
    gc.collect()  # an unclosed connection would complain now


@pytest.mark.parametrize("code", [1000, 4001, 4002, 4003, 4005, 4008])
async def test_a_close_that_leaves_the_session_is_resumed(table: Table, code: int) -> None:
    async with table.open():
        table.server.disconnect(table.bot, code)
        await table.server.wait_for(lambda server: server.connections(TOKEN) == 0)
        table.server.post(table.tavern, table.ana, "did you miss me?")
        assert (await table.next()).text == "did you miss me?"
        assert (table.server.identifies(TOKEN), table.server.resumes(TOKEN)) == (1, 1)


@pytest.mark.parametrize("code", [4007, 4009])
async def test_a_close_that_takes_the_session_with_it_ends_it(table: Table, code: int) -> None:
    async with table.open() as adapter:
        table.server.disconnect(table.bot, code, resumable=False)
        assert isinstance(await died(adapter), NotReady)
        assert (table.server.identifies(TOKEN), table.server.resumes(TOKEN)) == (1, 1)


@pytest.mark.parametrize("code", [4004, 4010, 4011, 4012, 4013, 4014])
async def test_a_close_that_a_person_must_see_to_is_refused_with_its_reason(table: Table, code: int) -> None:
    async with table.open() as adapter:
        table.server.disconnect(table.bot, code)
        death = await died(adapter)
        assert isinstance(death, Refused)
        assert any(word in death.reason for word in (str(code), "Reset Token", "Message Content Intent"))
    assert (table.server.identifies(TOKEN), table.server.resumes(TOKEN)) == (1, 0)


async def test_a_network_that_comes_back_within_seconds_finds_the_session_again(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SESSION}.RECONNECT_EVERY", 0.05)
    async with table.open():
        table.server.refuse_connections()
        table.server.post(table.tavern, table.ana, "did you miss me?")
        await asyncio.sleep(0.5)  # as long as it is out: nothing can be heard of it meanwhile
        table.server.accept_connections()
        assert (await table.next()).text == "did you miss me?"
        assert (table.server.identifies(TOKEN), table.server.resumes(TOKEN)) == (1, 1)


async def test_a_silent_socket_is_resumed_where_a_new_one_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SESSION}.HEARTBEAT_TIMEOUT", 0.4)
    async with DiscordServer(heartbeat_interval=0.3) as server:
        table = table_of(server)
        async with table.open() as adapter:
            server.mute(table.bot)
            server.post(table.tavern, table.ana, "did you miss me?")
            assert (await table.next()).text == "did you miss me?"
            assert (server.identifies(TOKEN), server.resumes(TOKEN)) == (1, 1)
            assert adapter._session is not None
            assert adapter._session.fell_silent


async def test_a_socket_that_was_cut_did_not_fall_silent(table: Table) -> None:
    async with table.open() as adapter:
        table.server.disconnect(table.bot)
        await table.server.wait_for(lambda server: server.resumes(TOKEN) == 1)
        assert adapter._session is not None
        assert not adapter._session.fell_silent


async def test_a_silent_socket_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SESSION}.HEARTBEAT_TIMEOUT", 0.4)
    monkeypatch.setattr(f"{ADAPTER}.SILENT_PATIENCE", 0.3)
    async with DiscordServer(heartbeat_interval=0.1) as server:
        table = table_of(server)
        async with table.open() as adapter:
            server.mute(table.bot, new_connections=True)
            assert isinstance(await died(adapter), NotReady)


def test_a_silent_socket_is_reported_within_a_minute() -> None:
    from homunculus.adapters.discord.adapter import LOST_PATIENCE, SILENT_PATIENCE
    from homunculus.adapters.discord.session import HEARTBEAT_TIMEOUT

    assert HEARTBEAT_TIMEOUT + SILENT_PATIENCE < 60
    assert LOST_PATIENCE < 60
    assert HEARTBEAT_TIMEOUT > 41.25  # Discord's own interval: less would cut healthy connections


async def test_a_revoked_token_is_refused(table: Table) -> None:
    async with table.open() as adapter:
        table.server.revoke(table.bot)
        assert isinstance(await died(adapter), Refused)


async def test_a_token_that_only_the_api_rejects_is_refused_too(table: Table) -> None:
    async with table.open() as adapter:
        assert adapter._session is not None
        adapter._session.http.token = "unit.token.gone"
        with pytest.raises(Refused):
            await adapter.send(table.address(), part("hello"))
        assert isinstance(await died(adapter), faults.BadToken)


async def test_an_event_that_the_client_cannot_read_costs_itself_alone(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ConnectionState.parse_message_create

    def broken(self: ConnectionState[discord.Client], data: Any) -> None:
        if data["content"] == "odd":
            raise KeyError("a field that Discord no longer sends")
        real(self, data)

    monkeypatch.setattr(ConnectionState, "parse_message_create", broken)
    told: list[dict[str, Any]] = []
    sink = logger.add(lambda line: told.append(line.record["extra"]), level="ERROR")
    try:
        async with table.open():
            table.server.post(table.tavern, table.ana, "odd")
            table.server.post(table.tavern, table.ana, "even")
            assert (await table.next()).text == "even"
    finally:
        logger.remove(sink)
    assert (table.server.identifies(TOKEN), table.server.resumes(TOKEN)) == (1, 0)
    assert [extra["error"] for extra in told if extra.get("event") == "MESSAGE_CREATE"] == ["KeyError"]


async def test_a_welcome_that_the_client_cannot_read_is_reported(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object, data: object) -> None:
        raise KeyError("a field that Discord no longer sends")

    monkeypatch.setattr(ConnectionState, "parse_ready", broken)
    with pytest.raises(NotReady, match="KeyError"):
        await table.adapter().open(table.deliver)
    assert await no_heart_beats()


async def test_an_error_in_our_own_handling_costs_one_message(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from homunculus.adapters.discord.mapping import Mapping

    real = Mapping.message

    def odd(self: Mapping, message: object, kind: object = "posted") -> Message | None:
        if getattr(message, "content", "") == "odd":
            raise ValueError("nobody expected this")
        return real(self, message, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(Mapping, "message", odd)
    async with table.open():
        table.server.post(table.tavern, table.ana, "odd")
        table.server.post(table.tavern, table.ana, "even")
        assert (await table.next()).text == "even"


async def test_a_message_that_could_not_be_recorded_is_logged(table: Table) -> None:
    async def full(message: Message) -> Receipt:
        raise NotReady("the disk is full")

    lines: asyncio.Queue[str] = asyncio.Queue()
    sink = logger.add(lambda line: lines.put_nowait(str(line)), format="{message} {extra}", level="ERROR")
    adapter = table.adapter()
    try:
        await adapter.open(full)
        await adapter.listen(ALL)
        said = table.server.post(table.tavern, table.ana, "what a player wrote")
        line = await asyncio.wait_for(lines.get(), 5)
    finally:
        await adapter.aclose()
        logger.remove(sink)
    assert line.startswith("A Discord message could not be recorded")
    assert str(said.id) in line
    assert "what a player wrote" not in line


async def test_a_close_that_was_asked_for_is_no_death(table: Table) -> None:
    async with table.open() as adapter:
        watching = asyncio.create_task(adapter.closed())
        await asyncio.sleep(0)
    await asyncio.wait_for(watching, 5)


# -- closing


async def test_closing_ends_every_heartbeat_and_connection(table: Table) -> None:
    async with table.open():
        await table.server.wait_for(lambda server: server.connections(TOKEN) == 1)
        assert len(heartbeats()) == 1
    await table.server.wait_for(lambda server: server.connections(TOKEN) == 0)
    assert await no_heart_beats()


async def test_closing_does_not_wait_for_a_deaf_server(table: Table) -> None:
    adapter = table.adapter()
    await adapter.open(table.deliver)
    for socket in table.server._gateway.sockets_of(table.bot):
        assert isinstance(socket._request.transport, asyncio.Transport)
        socket._request.transport.pause_reading()  # it will never see our goodbye
    async with asyncio.timeout(3):
        await adapter.aclose()
    assert await no_heart_beats()
    gc.collect()


async def test_a_goodbye_that_hangs_is_cut_short(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(f"{SESSION}.CLOSE_PATIENCE", 0.1)
    monkeypatch.setattr("discord.Client.close", hang)
    adapter = table.adapter()
    await adapter.open(table.deliver)
    async with asyncio.timeout(3):
        await adapter.aclose()
    await table.server.wait_for(lambda server: server.connections(TOKEN) == 0)
    assert await no_heart_beats()


@pytest.mark.parametrize("deaf", [False, True], ids=["polite", "deaf"])
async def test_an_opening_cut_off_between_hello_and_ready_leaves_nothing(
    table: Table, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    monkeypatch.setattr(f"{SESSION}.CLOSE_PATIENCE", 0.2)
    waiting = asyncio.Event()

    async def before_identify(*_: object, **__: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(f"{SESSION}.Session.before_identify_hook", before_identify)
    adapter = table.adapter()
    opening = asyncio.create_task(adapter.open(table.deliver))
    await asyncio.wait_for(waiting.wait(), 5)  # connected, its heart beats, and no attribute of the client knows it yet
    for socket in table.server._gateway.sockets if deaf else ():
        assert isinstance(socket._request.transport, asyncio.Transport)
        socket._request.transport.pause_reading()
    assert adapter._session is not None
    connected = adapter._session._api._socket
    assert connected is not None
    opening.cancel()
    async with asyncio.timeout(3):
        await asyncio.gather(opening, return_exceptions=True)
        await adapter.aclose()
    assert connected.closed
    assert await no_heart_beats()
    gc.collect()  # an unclosed session would complain now


async def test_closing_lets_a_message_be_recorded(table: Table) -> None:
    arrived, recorded = asyncio.Event(), asyncio.Event()

    async def deliver(message: Message) -> Receipt:
        arrived.set()
        await asyncio.sleep(0.05)
        recorded.set()
        return Receipt.RECORDED

    adapter = table.adapter()
    await adapter.open(deliver)
    await adapter.listen(ALL)
    table.server.post(table.tavern, table.ana, "just in time")
    await asyncio.wait_for(arrived.wait(), 5)
    await adapter.aclose()
    assert recorded.is_set()


async def test_closing_gives_up_on_a_delivery_that_hangs(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.discord.inbound.PATIENCE", 0.1)
    arrived = asyncio.Event()

    async def deliver(message: Message) -> Receipt:
        arrived.set()
        await asyncio.Event().wait()
        return Receipt.RECORDED

    adapter = table.adapter()
    await adapter.open(deliver)
    await adapter.listen(ALL)
    table.server.post(table.tavern, table.ana, "hello?")
    await asyncio.wait_for(arrived.wait(), 5)
    async with asyncio.timeout(3):
        await adapter.aclose()


@pytest.mark.parametrize("first", range(10))
async def test_an_opening_cut_off_at_any_step_leaves_nothing(table: Table, first: int) -> None:
    for steps in range(first, 120, 10):
        adapter = table.adapter()
        opening = asyncio.create_task(adapter.open(table.deliver))
        for _ in range(steps):
            await asyncio.sleep(0)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await adapter.aclose()
    await table.server.wait_for(lambda server: server.connections(TOKEN) == 0)
    assert await no_heart_beats()
    gc.collect()  # an unclosed session would complain now, and warnings are errors


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc to count open files")
async def test_coming_and_going_uses_nothing_up(table: Table) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    counts = []
    for _ in range(12):
        async with table.open():
            await table.server.wait_for(lambda server: server.connections(TOKEN) == 1)
        await table.server.wait_for(lambda server: server.connections(TOKEN) == 0)
        counts.append(open_files())
    assert await no_heart_beats()
    assert counts[-1] <= counts[1]


# -- places


async def test_a_private_channel_is_a_place_that_can_be_seen(table: Table) -> None:
    private = table.server.open_dm(table.bot, table.ana)
    async with table.open(scope=Scope()) as adapter:
        assert await adapter.listen(Scope(places=frozenset({str(private.id)}))) == frozenset()
        table.server.post(private, table.ana, "by name")
        heard = await table.next()
        assert (heard.text, heard.address.direct) == ("by name", True)
        assert heard.address.label == f"discord:dm:{table.ana.id}"


async def test_what_is_no_id_is_a_place_that_cannot_be_seen(table: Table) -> None:
    strange = frozenset({"tavern", "", "٣", "-1", "1" * 30})
    async with table.open(scope=Scope()) as adapter:
        assert await adapter.listen(Scope(places=strange)) == strange


async def test_a_door_that_opens_later_is_seen_then(table: Table) -> None:
    place = Scope(places=frozenset({str(table.tavern.id)}))
    table.server.deny(table.bot, table.tavern, "view_channel")
    async with table.open() as adapter:
        assert await adapter.listen(place) == place.places
        table.server.allow(table.bot, table.tavern, "view_channel")
        table.server.post(table.tavern, table.ana, "come in")  # arrives after the change
        await table.next()
        assert await adapter.listen(place) == frozenset()


async def test_nothing_is_asked_where_nothing_was_said_since(table: Table) -> None:
    private = table.server.open_dm(table.bot, table.ana)
    for place in (table.tavern, private):
        table.server.post(place, table.ana, "before")
    last = {place.id: str(place.last_message_id) for place in (table.tavern, private)}

    def asked() -> int:
        return sum(request.method == "GET" and "/messages" in request.path for request in table.server.requests)

    async with table.open() as adapter:
        assert [m async for m in adapter.history(table.address(), last[table.tavern.id], 100)] == []
        assert asked() == 0
        assert [m async for m in adapter.history(table.address(private), last[private.id], 100)] == []
        assert asked() == 1  # nobody tells a bot what was said last in a private channel
        table.server.post(table.tavern, table.ana, "after")
        await table.next()
        assert [m.text async for m in adapter.history(table.address(), last[table.tavern.id], 100)] == ["after"]
        assert asked() == 2
