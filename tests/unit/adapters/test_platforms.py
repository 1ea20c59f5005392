"""What each platform says about itself, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

from homunculus.interfaces import Platform

PLATFORMS: dict[str, Platform] = {one.name: one.load() for one in entry_points(group="homunculus.platforms")}


def test_every_platform_is_found_under_the_name_it_gives_itself() -> None:
    assert set(PLATFORMS) == {"discord", "local", "slack", "telegram", "twitch"}
    assert all(platform.name == name for name, platform in PLATFORMS.items())


def test_platforms_take_the_keys_of_the_contract() -> None:
    keys = {name: (one.credentials, one.required, one.endpoints, one.place) for name, one in PLATFORMS.items()}
    assert keys == {
        "discord": (("token",), ("token",), ("api_base", "gateway"), "channel_ids"),
        "local": ((), (), (), "chat_id"),
        "slack": (("bot_token", "app_token"), ("bot_token", "app_token"), ("api_base",), "channel_ids"),
        "telegram": (("token",), ("token",), ("api_base", "file_base"), "chat_id"),
        "twitch": (
            ("oauth_token", "client_id", "client_secret", "refresh_token"),
            ("oauth_token",),
            ("api_base", "auth_base", "gateway"),
            "channel_ids",
        ),
    }
    assert PLATFORMS["twitch"].login == ("username",)
    assert PLATFORMS["twitch"].options == ("channels", "trigger_prefix")
    assert [name for name, one in PLATFORMS.items() if one.keeps] == ["twitch"]
    assert [name for name, one in PLATFORMS.items() if one.folds_case] == ["twitch"]
    assert [name for name, one in PLATFORMS.items() if one.default_on] == ["local"]
    assert [name for name, one in PLATFORMS.items() if one.agent_places] == ["local"]


def test_importing_the_platforms_loads_none_of_their_libraries() -> None:
    heavy = {"discord", "telegram", "slack_sdk", "twitchio", "aiohttp", "starlette"}
    program = (
        "import sys\n"
        f"import {', '.join(f'homunculus.adapters.{name}' for name in PLATFORMS)}\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
