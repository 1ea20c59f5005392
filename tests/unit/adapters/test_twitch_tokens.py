"""Tokens of Twitch run out: they are renewed, kept durably and privately, and never shown."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from loguru import logger

from homunculus.adapters.twitch.adapter import TwitchAdapter
from homunculus.adapters.twitch.kept import Kept, Pair
from homunculus.errors import HomunculusError, NotReady, Refused
from homunculus.logs import scrub
from homunculus.testing.twitch import TwitchServer
from tests.unit.adapters.twitch_table import CLIENT, REFRESH, SECRET, TOKEN, Table, laid, places, reply


@pytest.fixture
async def table(tmp_path: Path) -> AsyncIterator[Table]:
    async with laid(tmp_path) as one:
        yield one


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, tracebacks included, before anything is taken out of it."""
    written = io.StringIO()
    handler = logger.add(written, level=0, format="{message} {extra} {exception}", diagnose=False)
    yield written
    logger.remove(handler)


def files(table: Table) -> list[Path]:
    return sorted(table.folder.glob("*")) if table.folder.exists() else []


def renewals(table: Table) -> int:
    return sum(one.path == "/oauth2/token" and one.status == 200 for one in table.server.requests)


async def died(adapter: TwitchAdapter) -> str:
    with pytest.raises(Refused) as caught:
        await asyncio.wait_for(adapter.closed(), 10)
    return caught.value.reason


# -- running out


async def test_a_token_that_runs_out_is_renewed_once_and_everything_goes_on(table: Table) -> None:
    async with table.open(table.renewable()) as adapter:
        table.server.expire(table.bot)
        posts = [adapter.send(table.address(), reply(f"line {n}", id=f"turn.{n}")) for n in range(4)]
        await asyncio.gather(*posts)
        assert sorted(table.posts()) == [f"line {n}" for n in range(4)]
        assert renewals(table) == 1
        assert table.server.welcomes == 1
        assert await adapter.listen(places("tavern", "harbour")) == frozenset()


async def test_a_token_that_ran_out_before_the_start_is_renewed(table: Table) -> None:
    table.server.expire(table.bot)
    async with table.open(table.renewable()) as adapter:
        await adapter.send(table.address(), reply("Evening."))
        assert table.posts() == ["Evening."]


async def test_without_the_means_to_renew_it_a_person_must_act(table: Table) -> None:
    async with table.open() as adapter:
        table.server.expire(table.bot)
        with pytest.raises(Refused, match="refresh_token are not all there"):
            await adapter.send(table.address(), reply("Evening."))
        assert "authorize the account again" in await died(adapter)


async def test_a_refresh_token_that_is_void_says_what_to_do(table: Table) -> None:
    async with table.open(table.renewable(refresh_token="somethingelse")) as adapter:
        table.server.expire(table.bot)
        with pytest.raises(Refused, match="cannot be renewed: Invalid refresh token"):
            await adapter.send(table.address(), reply("Evening."))
        assert "authorize the account again" in await died(adapter)


async def test_a_revoked_account_is_noticed_without_anybody_speaking(table: Table) -> None:
    async with table.open(table.renewable()) as adapter:
        table.server.revoke(table.bot)
        assert "authorize the account again" in await died(adapter)


async def test_a_renewal_that_fails_for_the_moment_costs_the_request_alone(table: Table) -> None:
    async with table.open(table.renewable()) as adapter:
        table.server.expire(table.bot)
        table.server.fail_next(1, 503, "/oauth2/token")
        with pytest.raises(NotReady):
            await adapter.send(table.address(), reply("Evening."))
        assert table.posts() == []
        await adapter.send(table.address(), reply("Evening."))
        assert table.posts() == ["Evening."]


async def test_a_good_token_that_may_not_do_something_is_not_renewed(table: Table) -> None:
    async with table.open(table.renewable()) as adapter:
        table.bot.scopes = ("user:read:chat",)
        with pytest.raises(Refused, match="Missing scope"):
            await adapter.send(table.address(), reply("Evening."))
        assert renewals(table) == 0


async def test_the_token_is_looked_at_every_hour(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.adapters.twitch.subscriptions.VALIDATE_EVERY", 0.1)
    monkeypatch.setattr("homunculus.adapters.twitch.subscriptions.CHECK_EVERY", 0.1)
    async with table.open(table.renewable()):
        table.server.expire(table.bot)
        await table.server.wait_for(lambda _: renewals(table) == 1)


# -- keeping


async def test_a_renewed_token_outlives_a_run_in_a_private_file(table: Table) -> None:
    table.server.expire(table.bot)
    async with table.open(table.renewable()):
        pass
    (file,) = files(table)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(table.folder.stat().st_mode) == 0o700
    kept = json.loads(file.read_text())
    assert (kept["access"], kept["refresh"]) == (table.bot.access, table.bot.refresh)
    assert TOKEN not in file.read_text()
    assert REFRESH not in file.read_text()
    table.server.expire(table.bot)
    async with table.open(table.renewable()) as again:
        await again.send(table.address(), reply("Evening."))
    assert renewals(table) == 2, "the written refresh token is void: only the kept one could do that"


async def test_a_new_token_is_on_disk_before_it_is_used(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []
    write = Kept.write

    def written(self: Kept, pair: Pair) -> None:
        write(self, pair)
        used = any(one.path.endswith("/messages") and one.status == 200 for one in table.server.requests)
        seen.append((pair.refresh, used))

    monkeypatch.setattr(Kept, "write", written)
    async with table.open(table.renewable()) as adapter:
        table.server.expire(table.bot)
        await adapter.send(table.address(), reply("Evening."))
    assert seen == [(REFRESH, False), (table.bot.refresh, False)]


async def test_a_disk_that_takes_nothing_does_not_cost_the_only_token(table: Table) -> None:
    async with table.open(table.renewable()) as adapter:
        table.folder.write_text("a file where the folder should be")
        table.server.expire(table.bot)
        with pytest.raises(NotReady, match="cannot be used"):
            await adapter.send(table.address(), reply("Evening."))
        assert renewals(table) == 0
        table.folder.unlink()
        await adapter.send(table.address(), reply("Evening."))
        assert table.posts() == ["Evening."]


async def test_what_a_person_writes_anew_wins_over_what_was_kept(table: Table) -> None:
    table.server.expire(table.bot)
    async with table.open(table.renewable()):
        pass
    other = table.server.add_bot("freshtokenofanother", "Other_Bot", client_id=CLIENT, client_secret=SECRET)
    async with table.open(table.renewable(oauth_token="freshtokenofanother")) as adapter:
        assert adapter.account == other.user.id


async def test_a_kept_token_that_is_void_gives_way_to_the_written_one(table: Table) -> None:
    table.server.expire(table.bot)
    async with table.open(table.renewable()):
        pass
    kept = json.loads(files(table)[0].read_text())
    files(table)[0].write_text(json.dumps({**kept, "access": "voidvoidvoid", "refresh": "voidvoidvoid"}))
    table.bot.access, table.bot.expires = TOKEN, table.bot.expires
    async with table.open(table.renewable()) as adapter:
        assert adapter.account == table.bot.user.id


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"access": 5}', "null"])
def test_a_file_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    kept = Kept(tmp_path, "twitch", ("a", "b"))
    kept.write(Pair("access-token", "refresh-token"))
    (file,) = tmp_path.glob("*")
    file.write_text(text)
    assert kept.read() is None


def test_each_instance_and_each_writing_has_tokens_of_its_own(tmp_path: Path) -> None:
    first, second = Kept(tmp_path, "twitch", ("a",)), Kept(tmp_path, "twitch:second", ("a",))
    first.write(Pair("access-of-the-first", "refresh-of-the-first"))
    assert second.read() is None
    assert Kept(tmp_path, "twitch", ("b",)).read() is None
    assert Kept(tmp_path, "twitch", ("a",)).read() == Pair("access-of-the-first", "refresh-of-the-first")
    Kept(tmp_path, "twitch:Second", ("a",)).write(Pair("another-access", "another-refresh"))
    assert second.read() is None


# -- hiding


async def trouble(server: TwitchServer, table: Table) -> list[HomunculusError]:
    """Fail in every way that has to do with credentials; return what was raised."""
    raised: list[HomunculusError] = []
    for path, status in (("/oauth2/validate", 500), ("/oauth2/token", 500), ("/oauth2/token", None), ("/oauth2", 503)):
        server.expire(table.bot)
        server.fail_next(1, status, path)
        await tried(table.renewable(), table, raised)
    for secrets in ({"refresh_token": "anotherrefreshtoken"}, {"client_secret": "anotherclientsecret"}):
        await tried(table.renewable(**secrets), table, raised)
    server.refuse_connections()
    await tried(table.renewable(), table, raised)
    server.accept_connections()
    return raised


async def tried(adapter: TwitchAdapter, table: Table, raised: list[HomunculusError]) -> None:
    try:
        await adapter.open(table.deliver)
    except HomunculusError as error:
        raised.append(error)
    finally:
        await adapter.aclose()


async def test_no_credential_stands_in_an_error_or_in_the_log(table: Table, log: io.StringIO) -> None:
    raised = await trouble(table.server, table)
    assert len(raised) >= 6
    shown = [log.getvalue(), *map(str, raised), *map(repr, raised), *(repr(error.__cause__) for error in raised)]
    secrets = (TOKEN, REFRESH, SECRET, "anotherrefreshtoken", "anotherclientsecret")
    assert not [secret for secret in secrets for text in shown if secret in text]


async def test_a_token_learnt_later_is_taken_out_of_every_log(table: Table) -> None:
    table.server.expire(table.bot)
    async with table.open(table.renewable()):
        pass
    assert scrub(f"{table.bot.access} {table.bot.refresh}") == "<secret> <secret>"
    assert repr(Pair("an-access-token")) == "<a pair of tokens>"
