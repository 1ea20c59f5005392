"""The id server: what a token may, and what a refresh token is good for."""

from __future__ import annotations

import pytest

from tests.unit.testing.twitch.conftest import Stage, staged


async def test_a_token_tells_whose_it_is_and_what_it_may(stage: Stage) -> None:
    answer = await stage.validate(f"OAuth {stage.bot.access}")
    assert answer.status == 200
    assert answer.json["login"] == "keeper_bot"
    assert answer.json["client_id"] == stage.bot.client_id
    assert answer.json["user_id"] == stage.bot.user.id
    assert "user:read:chat" in answer.json["scopes"]
    assert 14_000 < answer.json["expires_in"] <= 14_400


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        ("", (401, "missing authorization token")),
        ("Basic abcdef", (401, "missing authorization token")),
        ("OAuth wrong", (401, "invalid access token")),
    ],
)
async def test_a_strange_token_is_not_validated(stage: Stage, authorization: str, refusal: tuple[int, str]) -> None:
    assert (await stage.validate(authorization)).refusal == refusal


async def test_an_expired_token_is_invalid_until_it_is_renewed(stage: Stage) -> None:
    stage.server.expire(stage.bot)
    assert (await stage.validate(f"OAuth {stage.bot.access}")).refusal == (401, "invalid access token")
    fresh = await stage.token()
    assert fresh.status == 200
    assert fresh.json["token_type"] == "bearer"
    assert (await stage.validate(f"OAuth {fresh.json['access_token']}")).status == 200


async def test_a_refresh_token_is_good_for_one_use(stage: Stage) -> None:
    first = stage.bot.refresh
    second = (await stage.token()).json["refresh_token"]
    assert second != first
    assert (await stage.token(refresh_token=first)).refusal == (400, "Invalid refresh token")
    assert (await stage.token(refresh_token=second)).status == 200


async def test_a_refresh_token_that_does_not_rotate_stays_good() -> None:
    async with staged(rotate=False) as stage:
        first = stage.bot.refresh
        assert (await stage.token()).json["refresh_token"] == first
        assert (await stage.token(refresh_token=first)).status == 200


async def test_an_old_access_token_lives_until_it_expires(stage: Stage) -> None:
    old = stage.bot.access
    await stage.token()
    assert (await stage.validate(f"OAuth {old}")).status == 200


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"client_id": None}, (400, 'The parameter "client_id" is missing.')),
        ({"client_id": "nobody"}, (400, "invalid client")),
        ({"client_secret": None}, (403, "invalid client secret")),
        ({"client_secret": "wrong"}, (403, "invalid client secret")),
        ({"grant_type": "password"}, (400, "Invalid grant type")),
        ({"refresh_token": None}, (400, "missing refresh token")),
        ({"refresh_token": "wrong"}, (400, "Invalid refresh token")),
    ],
)
async def test_a_wrong_refresh_is_refused(
    stage: Stage, changes: dict[str, str | None], refusal: tuple[int, str]
) -> None:
    assert (await stage.token(**changes)).refusal == refusal


async def test_what_was_revoked_cannot_be_renewed(stage: Stage) -> None:
    stage.server.revoke(stage.bot)
    assert (await stage.validate(f"OAuth {stage.bot.access}")).status == 401
    assert (await stage.token()).refusal == (401, "Invalid refresh token")
