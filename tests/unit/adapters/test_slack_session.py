"""How the Slack adapter connects, is renewed and dies, with the real slack-sdk against the loopback server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from homunculus.errors import NotReady, Refused
from homunculus.model import Message, Receipt, Scope
from homunculus.testing.slack import SCOPES
from tests.unit.adapters.slack_stage import APP_TOKEN, BOT_TOKEN, Table, laid, part


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    async with laid(ack_seconds=1.0, retry_seconds=(0.0, 0.3, 1.0)) as one:
        yield one


@pytest.mark.parametrize(
    ("bot_token", "app_token", "names"),
    [
        ("xoxb-nobody", APP_TOKEN, "bot_token"),
        (BOT_TOKEN, "xapp-nobody", "app_token"),
        (APP_TOKEN, APP_TOKEN, "bot_token"),
        (BOT_TOKEN, BOT_TOKEN, "app_token"),
        ("", APP_TOKEN, "bot_token"),
        (BOT_TOKEN, "xapp-with space", "app_token"),
    ],
)
async def test_a_token_that_is_none_is_refused_and_named(
    table: Table, bot_token: str, app_token: str, names: str
) -> None:
    adapter = table.adapter(bot_token, app_token)
    with pytest.raises(Refused, match=names) as refused:
        await adapter.open(table.deliver)
    assert "https://api.slack.com/apps" in refused.value.reason
    assert not any(token in refused.value.reason for token in ("xoxb-nobody", "xapp-nobody", "with space"))
    await adapter.aclose()


@pytest.mark.parametrize("method", ["auth.test", "apps.connections.open"])
@pytest.mark.parametrize("how", [{"status": 429, "retry_after": 9}, {"status": 503}, {"status": None}])
async def test_a_slack_that_is_in_trouble_is_tried_again(table: Table, method: str, how: dict[str, object]) -> None:
    table.server.fail_next(method=method, **how)  # type: ignore[arg-type]
    adapter = table.adapter()
    with pytest.raises(NotReady) as later:
        await adapter.open(table.deliver)
    assert later.value.after == how.get("retry_after")
    await adapter.aclose()
    async with table.open():
        assert table.server.connections(table.bot) == 1


async def test_abilities_follow_the_scopes_and_what_is_missing_is_told_with_the_remedy(table: Table) -> None:
    async with table.open() as adapter:
        assert adapter.abilities == {"react", "edit", "history", "persona", "private"}
        assert adapter.hindrances == ()
    table.server.deny(table.bot, *(SCOPES - {"chat:write"}))
    async with table.open() as adapter:
        assert adapter.abilities == {"edit", "private"}
        missing = " ".join(adapter.hindrances)
        for scope in ("channels:history", "reactions:write", "users:read", "chat:write.customize"):
            assert f"lacks the scope {scope}: " in missing
        assert "reinstall the app" in missing


async def replaced(table: Table, opened: int) -> None:
    """Wait until there is a newer connection than the first so many, and no older one."""
    await table.server.wait_for(lambda s: s.opened(table.bot) > opened and s.connections(table.bot) == 1)


@pytest.mark.parametrize(("reason", "close"), [("warning", False), ("refresh_requested", True)])
async def test_a_connection_is_replaced_before_it_ends_and_no_message_is_lost_or_doubled(
    table: Table, reason: str, close: bool
) -> None:
    async with table.open() as adapter:
        dying = asyncio.create_task(adapter.closed())
        said = []
        for cycle in range(3):
            opened = table.server.opened(table.bot)
            said.append(table.server.post(table.tavern, table.ana, f"before {cycle}").ts)
            table.server.refresh(table.bot, reason, close=close)
            said.append(table.server.post(table.tavern, table.ana, f"after {cycle}").ts)
            await replaced(table, opened)
        await table.server.wait_for(lambda s: s.unacknowledged == 0)
        heard: dict[str, Message] = {}
        while not table.heard.empty():
            message = await table.next()
            # What was not acknowledged in time came again, as the same message: the inbox drops it.
            assert heard.setdefault(message.id, message) == message
        assert sorted(heard) == said
        assert table.server.undelivered == 0
        assert not dying.done()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)


async def test_a_replacement_that_fails_at_first_is_tried_again(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.adapter.RENEW_EVERY", 0.02)
    async with table.open():
        table.server.fail_next(3, status=503, method="apps.connections.open")
        table.server.refresh(table.bot)
        await table.server.wait_for(lambda s: s.opened(table.bot) == 2 and s.connections(table.bot) == 1)
        table.server.post(table.tavern, table.ana, "there again?")
        assert (await table.next()).text == "there again?"


async def test_a_replacement_that_nobody_lets_in_ends_the_session(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.adapter.RENEW_PATIENCE", 0.2)
    async with table.open() as adapter:
        table.server.fail_next(99, status=503, method="apps.connections.open")
        table.server.refresh(table.bot)
        with pytest.raises(NotReady, match="let no other in"):
            await asyncio.wait_for(adapter.closed(), 10)


@pytest.mark.parametrize("politely", [True, False])
async def test_a_lost_connection_ends_the_session_so_that_the_next_one_catches_up(table: Table, politely: bool) -> None:
    async with table.open() as adapter:
        table.server.disconnect(table.bot, politely=politely)
        with pytest.raises(NotReady, match="was closed"):
            await asyncio.wait_for(adapter.closed(), 10)


@pytest.mark.parametrize("half_open", [False, True])
async def test_a_silent_connection_is_noticed(table: Table, half_open: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.line.PING_EVERY", 0.2)
    async with table.open() as adapter:
        table.server.mute(table.bot, half_open=half_open)
        with pytest.raises(NotReady, match="fell silent"):
            await asyncio.wait_for(adapter.closed(), 10)


def test_a_silent_connection_is_noticed_within_a_minute() -> None:
    from homunculus.adapters.slack.adapter import AUTOPSY_PATIENCE
    from homunculus.adapters.slack.line import PING_EVERY

    # A ping that is not answered within half the time between two of them; then Slack is asked whether the token lives.
    assert PING_EVERY + PING_EVERY / 2 + AUTOPSY_PATIENCE < 60


async def test_a_connection_that_is_never_greeted_is_not_ready(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.slack.line.HELLO_PATIENCE", 0.2)
    monkeypatch.setattr("homunculus.adapters.slack.line.CLOSE_PATIENCE", 0.2)
    table.server.mute(table.bot, new_connections=True)
    adapter = table.adapter()
    with pytest.raises(NotReady, match="hello"):
        await adapter.open(table.deliver)
    await adapter.aclose()


async def test_a_revoked_token_is_refused_with_the_remedy(table: Table) -> None:
    async with table.open() as adapter:
        table.server.revoke(table.bot)
        with pytest.raises(Refused, match=r"revoked; make a new one at https://api\.slack\.com/apps"):
            await asyncio.wait_for(adapter.closed(), 10)


async def test_socket_mode_switched_off_is_refused_with_the_remedy(table: Table) -> None:
    async with table.open() as adapter:
        table.server.disable_socket_mode(table.bot)
        with pytest.raises(Refused, match="switch it on again"):
            await asyncio.wait_for(adapter.closed(), 10)
    adapter = table.adapter()
    with pytest.raises(Refused, match="Socket Mode is switched off"):
        await adapter.open(table.deliver)
    await adapter.aclose()


async def test_what_was_under_way_when_it_closed_comes_to_its_successor(table: Table) -> None:
    stuck = asyncio.Event()

    async def never(message: Message) -> Receipt:
        stuck.set()
        await asyncio.Event().wait()
        raise AssertionError

    adapter = table.adapter()
    await adapter.open(never)
    await adapter.listen(Scope(everything=True))
    table.server.post(table.tavern, table.ana, "anyone?")
    await asyncio.wait_for(stuck.wait(), 10)
    await adapter.aclose()
    async with table.open():
        assert (await table.next()).text == "anyone?"


async def test_two_workspaces_live_side_by_side(table: Table) -> None:
    server = table.server
    team = server.add_workspace("Dunwich")
    bot = server.add_bot(team, "xoxb-two", "xapp-two", name="Other")
    bo = server.add_user(team, "Bo")
    there = server.add_channel(team, "barn", [bot, bo])
    other = Table(server, team, bot, there, bo)
    async with table.open() as here, other.open(other.adapter("xoxb-two", "xapp-two", "two")) as second:
        server.post(table.tavern, table.ana, "here")
        server.post(there, bo, "there")
        heard, beyond = await table.next(), await other.next()
        assert (heard.address.space, beyond.address.space) == (table.team.id, team.id)
        assert beyond.address.label == f"slack:two:{team.id}:{there.id}"
        await here.send(heard.address, part("one"))
        await second.send(beyond.address, part("two"))
        server.revoke(bot)
        with pytest.raises(Refused):
            await asyncio.wait_for(second.closed(), 10)
        server.post(table.tavern, table.ana, "still here")
        assert (await table.next()).text == "still here"
    assert ([m.text for m in table.said()], [m.text for m in other.said()]) == (["one"], ["two"])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors where Linux lists them")
async def test_sessions_that_come_and_go_leave_no_descriptor_or_task(table: Table) -> None:
    async def cycle(how: int) -> None:
        async with table.open() as adapter:
            await adapter.send(table.address(), part("x"))
            if how == 1:
                table.server.disconnect(table.bot)
                with pytest.raises(NotReady):
                    await asyncio.wait_for(adapter.closed(), 10)
            elif how == 2:
                opened = table.server.opened(table.bot)
                table.server.refresh(table.bot)
                await replaced(table, opened)
        await table.server.wait_for(lambda s: s.connections(table.bot) == 0)

    for how in range(3):
        await cycle(how)
    tasks, before = asyncio.all_tasks(), len(list(Path("/proc/self/fd").iterdir()))
    for number in range(12):
        await cycle(number % 3)
    # The server's ends of closed connections go with the next turns of the loop.
    async with asyncio.timeout(10):
        while len(list(Path("/proc/self/fd").iterdir())) > before or asyncio.all_tasks() - tasks:  # noqa: ASYNC110 - a closed descriptor tells nobody
            await asyncio.sleep(0.01)


async def test_no_token_or_ticket_is_ever_logged(table: Table, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    async with table.open() as adapter:
        await adapter.send(table.address(), part("x"))
        table.server.disconnect(table.bot)
        with pytest.raises(NotReady):
            await asyncio.wait_for(adapter.closed(), 10)
    for secret in (BOT_TOKEN, APP_TOKEN, "ticket="):
        assert secret not in caplog.text
